-- From which position on each table's versions are whole. A ledger that is older than a table's versions has them from then on.
-- Tables that a later migration begins to keep take the ledger's end of that moment.
CREATE FUNCTION past.ledger_end() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT position FROM public.ledger_head $$;
ALTER TABLE past.kept_tables ADD COLUMN kept_from bigint NOT NULL DEFAULT past.ledger_end();
COMMENT ON COLUMN past.kept_tables.kept_from IS 'The position from which on every version is kept.';
-- Those of migration 0016 have theirs from past.beginning on; when it was that the others began is not on record.
UPDATE past.kept_tables SET kept_from = (SELECT position FROM past.beginning)
    WHERE table_name NOT IN ('imports', 'import_chunks', 'import_kept_leads', 'legal_holds');

-- Since when readers see a row is compared by verify from now on, and the comment said that it is not.
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT table_name FROM past.kept_tables WHERE since_column = 'since' LOOP
        EXECUTE format('COMMENT ON COLUMN public.%I.since IS %L', name, 'The ledger position since which readers see the row as it is.');
    END LOOP;
END $$;

-- Those of tables to come too.
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('keep_versions'::regproc), ' Not compared by verify.', '');
END $$;
