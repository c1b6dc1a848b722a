-- What tells of a gap in the log of reads stays as the log itself does. A server says how far its part is complete, and once that it is closed.
CREATE FUNCTION lead_read_writers_only_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.closed_at IS NULL AND NEW.writer = OLD.writer AND NEW.opened_at = OLD.opened_at
        AND NEW.written_until >= OLD.written_until THEN
        RETURN NEW;
    END IF;
    -- As with the reads: what is older than the time for which an operator keeps the log may go.
    IF TG_OP = 'DELETE' AND current_setting('leadledger.forget_lead_reads', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the log of reads is append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER lead_read_writers_no_change BEFORE UPDATE OR DELETE ON lead_read_writers
    FOR EACH ROW EXECUTE FUNCTION lead_read_writers_only_go_on();
CREATE TRIGGER lead_read_writers_no_truncate BEFORE TRUNCATE ON lead_read_writers
    FOR EACH STATEMENT EXECUTE FUNCTION lead_read_writers_only_go_on();
COMMENT ON TABLE lead_read_writers IS 'Only added to, and each row only goes on until it is closed.';
