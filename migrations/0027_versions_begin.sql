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

-- From now on the table's rows are kept when they are replaced or removed. May be called again: after columns or indexes were
-- added it brings what belongs to the table up to date.
CREATE OR REPLACE FUNCTION keep_versions(name text, since_column text DEFAULT 'since', kept_by text DEFAULT 'trigger',
                              rows_stay boolean DEFAULT false, timed_by text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    missing record;
    index   record;
    parts   text[];
BEGIN
    PERFORM detach_versions(name);
    IF since_column = 'since' THEN
        EXECUTE format('ALTER TABLE public.%I ADD COLUMN IF NOT EXISTS since bigint NOT NULL DEFAULT 0', name);
        EXECUTE format('COMMENT ON COLUMN public.%I.since IS ''The ledger position since which readers see the row as it is.''', name);
    END IF;
    INSERT INTO past.kept_tables (table_name, since_column, kept_by, rows_stay, timed_by)
        VALUES (name, since_column, kept_by, rows_stay, timed_by)
        ON CONFLICT (table_name) DO NOTHING;
    -- The two positions first, so that columns added later come last in both tables.
    EXECUTE format('CREATE TABLE IF NOT EXISTS past.%1$I (valid_from bigint NOT NULL, valid_until bigint NOT NULL, LIKE public.%1$I)', name);
    FOR missing IN
        SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
        WHERE a.attrelid = format('public.%I', name)::regclass AND a.attnum > 0 AND NOT a.attisdropped
          AND NOT EXISTS (SELECT 1 FROM pg_attribute p WHERE p.attrelid = format('past.%I', name)::regclass
                          AND p.attname = a.attname AND NOT p.attisdropped)
        ORDER BY a.attnum
    LOOP
        EXECUTE format('ALTER TABLE past.%I ADD COLUMN %I %s', name, missing.attname, missing.type);
    END LOOP;
    -- The indexes of the live table, with the positions behind the columns, so that versions of other times are passed over
    -- without a look at their rows.
    FOR index IN SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = name LOOP
        CONTINUE WHEN to_regclass(format('past.%I', index.indexname)) IS NOT NULL;
        parts := regexp_match(index.indexdef, ' USING (\w+) \((.*?)\)( WHERE .*)?$');
        EXECUTE format('CREATE INDEX %I ON past.%I USING %s (%s%s)%s', index.indexname, name, parts[1], parts[2],
            CASE WHEN parts[1] = 'btree' THEN ', valid_until, valid_from' ELSE '' END, coalesce(parts[3], ''));
    END LOOP;
    PERFORM attach_versions(name);
END $$;
