-- Zone maps: where in the order of a list the rows of past moments lie.
--
-- A list as of a moment is made of today's rows and of kept versions, in one order. Where many leads changed, whole stretches of it
-- hold nothing of that moment. A map cuts the order into zones and says of each at which positions any of its rows held. That cannot
-- change any more: what held at a position stays what it is. Maps are made on demand, may be deleted at any time, and are checked by verify.

CREATE TABLE past.zone_maps (
    company_id bigint NOT NULL,
    list       text   NOT NULL,
    -- The ledger's end when it was made: it tells about the positions up to there.
    as_of      bigint NOT NULL,
    zone_rows  bigint NOT NULL CHECK (zone_rows > 0),
    PRIMARY KEY (company_id, list)
);
COMMENT ON TABLE past.zone_maps IS 'Which lists of which companies have a zone map, up to which position.';

CREATE TABLE past.zones (
    company_id   bigint NOT NULL,
    list         text   NOT NULL,
    -- The stage, assignee, source … whose leads are listed; 0 for all leads, or for those that have none.
    part         bigint NOT NULL,
    -- 1 for the groups of 128 zones each, by which the others are found.
    level        smallint NOT NULL CHECK (level IN (0, 1)),
    zone         bigint NOT NULL,
    -- The first and the last place of the zone: a value of the kind that the list is ordered by, and an id.
    first_at     timestamptz,
    first_name   text,
    first_number bigint,
    first_id     bigint NOT NULL,
    last_at      timestamptz,
    last_name    text,
    last_number  bigint,
    last_id      bigint NOT NULL,
    held         int8multirange NOT NULL,
    PRIMARY KEY (company_id, list, part, level, zone),
    FOREIGN KEY (company_id, list) REFERENCES past.zone_maps ON DELETE CASCADE
);
COMMENT ON TABLE past.zones IS 'The zones of each map, in the order of the list.';
COMMENT ON COLUMN past.zones.held IS 'The positions at which a row of the zone held.';

-- The names of an erased lead's past move to the front of the order, and none may stay at the edge of a zone. A map that is being made
-- meanwhile is not used, and is deleted when the erasure is cleared.
CREATE FUNCTION forget_zones_of_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.aggregate_type = 'lead' THEN
        DELETE FROM past.zone_maps WHERE list = 'full_name'
            AND company_id IN (SELECT company_id FROM public.leads WHERE id = NEW.aggregate_id
                               UNION ALL SELECT company_id FROM past.leads WHERE id = NEW.aggregate_id);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER destroyed_keys_forget_zones AFTER INSERT ON destroyed_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION forget_zones_of_lead();
CREATE INDEX lead_erasures_company ON lead_erasures (company_id, erased_position) WHERE erased_position IS NOT NULL;
