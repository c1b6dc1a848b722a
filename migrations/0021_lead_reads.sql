-- Who read the personal data of leads. Not a read model and no part of the ledger: a log of its own, only ever added to.

CREATE TABLE lead_reads (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    read_at    timestamptz NOT NULL,
    lead_id    bigint NOT NULL,
    company_id bigint NOT NULL,
    -- Such as user:7 or token:3.
    reader     text   NOT NULL,
    -- The operation, as GET /leads/{id}.
    operation  text   NOT NULL,
    request_id text,
    PRIMARY KEY (id)
);
COMMENT ON TABLE lead_reads IS 'Append-only. One row for each lead that an answer showed; ids only, no personal data of the lead.';
CREATE INDEX lead_reads_lead ON lead_reads (lead_id, id);
CREATE INDEX lead_reads_age ON lead_reads (read_at);

-- One row for each run of a server: how far its part of the log is known to be complete.
CREATE TABLE lead_read_writers (
    writer        uuid PRIMARY KEY,
    opened_at     timestamptz NOT NULL,
    -- Every read before this is written, or counted in lead_reads_lost.
    written_until timestamptz NOT NULL,
    -- Null while it runs, and for ever when it died: then reads after written_until may be missing.
    closed_at     timestamptz
);

-- Reads that could not be written, counted: a gap in the log is on record itself.
CREATE TABLE lead_reads_lost (
    writer     uuid   NOT NULL,
    lost_until timestamptz NOT NULL,
    count      bigint NOT NULL CHECK (count > 0)
);
COMMENT ON TABLE lead_reads_lost IS 'Append-only.';

CREATE FUNCTION lead_reads_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What is older than the time for which an operator keeps the log may go, with this setting for the transaction.
    IF TG_OP = 'DELETE' AND current_setting('leadledger.forget_lead_reads', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the log of reads is append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER lead_reads_no_change BEFORE UPDATE OR DELETE ON lead_reads
    FOR EACH ROW EXECUTE FUNCTION lead_reads_are_append_only();
CREATE TRIGGER lead_reads_no_truncate BEFORE TRUNCATE ON lead_reads
    FOR EACH STATEMENT EXECUTE FUNCTION lead_reads_are_append_only();
CREATE TRIGGER lead_reads_lost_no_change BEFORE UPDATE OR DELETE ON lead_reads_lost
    FOR EACH ROW EXECUTE FUNCTION lead_reads_are_append_only();
CREATE TRIGGER lead_reads_lost_no_truncate BEFORE TRUNCATE ON lead_reads_lost
    FOR EACH STATEMENT EXECUTE FUNCTION lead_reads_are_append_only();
