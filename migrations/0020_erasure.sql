-- Blocking and erasing leads, legal holds, and what became of destroyed keys.

CREATE TABLE lead_erasures (
    lead_id         bigint PRIMARY KEY,
    company_id      bigint,
    status          text   NOT NULL CHECK (status IN ('in_use', 'blocked', 'erased')),
    -- Of the last block or erasure.
    reason          text,
    blocked_at      timestamptz,
    unblocked_at    timestamptz,
    erased_at       timestamptz,
    erased_position bigint,
    position        bigint NOT NULL
);
COMMENT ON TABLE lead_erasures IS 'Leads whose personal data was ever blocked. Read model; holds no personal data.';
COMMENT ON COLUMN lead_erasures.status IS 'in_use: the block was taken back.';

CREATE TABLE legal_holds (
    id          bigint PRIMARY KEY,
    company_id  bigint,
    lead_id     bigint,
    reason      text,
    until       timestamptz,
    placed_at   timestamptz NOT NULL,
    released_at timestamptz,
    position    bigint NOT NULL
);
COMMENT ON TABLE legal_holds IS 'Read model. On the lead where one is named, else on the company and all below it.';
COMMENT ON COLUMN legal_holds.reason IS 'Null once the lead is erased.';
CREATE INDEX legal_holds_lead ON legal_holds (lead_id, id) WHERE lead_id IS NOT NULL;
CREATE INDEX legal_holds_company ON legal_holds (company_id, id) WHERE lead_id IS NULL;

-- Not a read model: a key that is gone cannot be told from the ledger, which never held it.
CREATE TABLE destroyed_keys (
    aggregate_type text   NOT NULL,
    aggregate_id   bigint NOT NULL,
    -- Null when the stream never had a key.
    key_id         uuid,
    -- Of the event that the key was destroyed with.
    position       bigint NOT NULL,
    destroyed_at   timestamptz NOT NULL,
    -- When everything outside the ledger and the read tables was cleared too, and the dead rows vacuumed.
    cleared_at     timestamptz,
    -- The signed certificate, once it was asked for.
    certificate    text,
    PRIMARY KEY (aggregate_type, aggregate_id)
);
CREATE INDEX destroyed_keys_to_clear ON destroyed_keys (destroyed_at) WHERE cleared_at IS NULL;

-- Nodes that hold the key, or what it opened, in memory forget it when they hear of this.
CREATE FUNCTION announce_destroyed_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('subject_key_destroyed', '');
    RETURN NULL;
END $$;
CREATE TRIGGER subject_keys_announce_destroyed AFTER DELETE ON subject_keys
    FOR EACH STATEMENT EXECUTE FUNCTION announce_destroyed_key();

-- The leads that the answer to the request may tell about; null: not known.
ALTER TABLE idempotency_keys ADD COLUMN leads bigint[];

-- Where read tables keep what their rows were (the schema past), an erasure reaches that too, in its own transaction: what the
-- statement itself replaces comes there at its end, and so this runs at the transaction's.
CREATE FUNCTION erase_past_of_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.aggregate_type <> 'lead' THEN
        RETURN NULL;
    END IF;
    IF to_regclass('past.leads') IS NOT NULL THEN
        UPDATE past.leads SET first_name = NULL, last_name = NULL, full_name = '', email = NULL, phone = NULL, search = '',
            answers = '[]', extra = '{}' WHERE id = NEW.aggregate_id;
    END IF;
    IF to_regclass('past.lead_notes') IS NOT NULL THEN
        DELETE FROM past.lead_notes WHERE lead_id = NEW.aggregate_id;
    END IF;
    IF to_regclass('past.appointments') IS NOT NULL THEN
        UPDATE past.appointments SET title = '', description = NULL, location = NULL WHERE lead_id = NEW.aggregate_id;
    END IF;
    IF to_regclass('past.legal_holds') IS NOT NULL THEN
        UPDATE past.legal_holds SET reason = NULL WHERE lead_id = NEW.aggregate_id;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER destroyed_keys_erase_past AFTER INSERT ON destroyed_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION erase_past_of_lead();

-- Holds are shown as of earlier moments; whether a lead is erased always as of now.
DO $$ BEGIN
    IF to_regproc('keep_versions') IS NOT NULL THEN
        PERFORM keep_versions('legal_holds');
    END IF;
END $$;
