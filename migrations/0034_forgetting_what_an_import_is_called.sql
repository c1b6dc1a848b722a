-- When a lead is erased, the files of the imports that it came by go, with their names and the reasons that were given for them: the
-- key of the import's stream is destroyed, and what the read tables say is taken away in the same transaction. That is no event,
-- and no version of the row: while leadledger.forgetting is on, rows are changed without a trace of what they were.

CREATE OR REPLACE FUNCTION past.stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('leadledger.forgetting', true) = 'on' THEN
        RETURN NEW;
    END IF;
    NEW.since := (SELECT position FROM public.ledger_head);
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION past.keep_old_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('leadledger.forgetting', true) = 'on' THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'INSERT INTO past.%I SELECT o.%I, h.position, o.* FROM old_rows o, public.ledger_head h WHERE o.%I < h.position',
        TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[0]);
    RETURN NULL;
END $$;

COMMENT ON COLUMN imports.name IS 'Empty once a lead that came or changed by the import was erased.';
SELECT keep_versions('imports');
