-- The views of the past ask for the moment in a subquery.
--
-- PostgreSQL evaluates a setting that stands in a condition when it plans, and counts what it expects by it: it made plans for one moment, which
-- served others badly, and had to be made anew with each. What a subquery will answer it does not know while it plans. So one plan serves every
-- moment: the one that follows the order that is asked for.

CREATE OR REPLACE FUNCTION attach_versions(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kept    past.kept_tables;
    columns text;
    others  text;
    keys    text;
    at      CONSTANT text := '(SELECT current_setting(''leadledger.as_of'')::bigint)';
    instant CONSTANT text := '(SELECT current_setting(''leadledger.as_of_at'')::timestamptz)';
    timed   text;
BEGIN
    SELECT * INTO STRICT kept FROM past.kept_tables WHERE table_name = name;
    IF kept.kept_by = 'trigger' THEN
        IF kept.since_column = 'since' THEN
            EXECUTE format('CREATE TRIGGER stamp_row BEFORE INSERT OR UPDATE ON public.%I FOR EACH ROW EXECUTE FUNCTION past.stamp_row()', name);
        END IF;
        EXECUTE format('CREATE TRIGGER keep_replaced_rows AFTER UPDATE ON public.%I REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION past.keep_old_rows(%L)', name, kept.since_column);
        EXECUTE format('CREATE TRIGGER keep_removed_rows AFTER DELETE ON public.%I REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION past.keep_old_rows(%L)', name, kept.since_column);
    END IF;
    SELECT string_agg(CASE
               -- A company that the reader does not see today has no place in the past either: no role holds at an empty path.
               WHEN name = 'companies' AND attname = 'path' THEN
                   '(CASE WHEN current_setting(''leadledger.as_of_under'') = ''{}'' OR EXISTS (SELECT 1 FROM public.companies today '
                   'WHERE today.id = t.id AND today.path && current_setting(''leadledger.as_of_under'')::bigint[]) '
                   'THEN t.path ELSE ''{}''::bigint[] END) AS path'
               ELSE format('t.%I', attname) END, ', ' ORDER BY attnum)
        INTO columns FROM pg_attribute
        WHERE attrelid = format('public.%I', name)::regclass AND attnum > 0 AND NOT attisdropped;
    SELECT coalesce(string_agg(format(' AND t.%I <= %s', c, instant), ''), '') INTO timed FROM unnest(kept.timed_by) AS c;
    IF kept.rows_stay THEN
        SELECT string_agg(format('v.%I = c.%I', a.attname, a.attname), ' AND ') INTO keys
            FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
            WHERE i.indrelid = format('public.%I', name)::regclass AND i.indisprimary;
        -- The key from the live row, so that conditions on it find the live row; the rest as it was.
        SELECT string_agg(format('%s.%I', CASE WHEN a.attnum = ANY(i.indkey) THEN 'c' ELSE 't' END, a.attname), ', ' ORDER BY a.attnum)
            INTO others FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE i.indrelid = format('public.%I', name)::regclass AND i.indisprimary;
        EXECUTE format(
            'CREATE OR REPLACE VIEW as_of.%1$I AS SELECT %2$s FROM public.%1$I t WHERE t.%3$I <= %4$s '
            'UNION ALL SELECT %5$s FROM public.%1$I c CROSS JOIN LATERAL (SELECT v.* FROM past.%1$I v '
            'WHERE %6$s AND v.valid_until > %4$s ORDER BY v.valid_until LIMIT 1) t '
            'WHERE c.%3$I > %4$s AND t.valid_from <= %4$s',
            name, columns, kept.since_column, at, others, keys);
    ELSE
        -- The conditions stand above the union and not in its parts: only so the planner makes one sorted scan of both tables.
        SELECT string_agg(format('t.%I', attname), ', ' ORDER BY attnum) INTO others FROM pg_attribute
            WHERE attrelid = format('public.%I', name)::regclass AND attnum > 0 AND NOT attisdropped;
        EXECUTE format(
            'CREATE OR REPLACE VIEW as_of.%1$I AS SELECT %2$s FROM (SELECT %5$s, t.%3$I AS valid_from, 9223372036854775807 AS valid_until '
            'FROM public.%1$I t UNION ALL SELECT %5$s, t.valid_from, t.valid_until FROM past.%1$I t) t '
            'WHERE t.valid_from <= %4$s AND t.valid_until > %4$s%6$s',
            name, columns, kept.since_column, at, others, timed);
    END IF;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT table_name FROM past.kept_tables LOOP
        PERFORM detach_versions(name);
        PERFORM attach_versions(name);
    END LOOP;
END $$;

CREATE OR REPLACE VIEW as_of.events AS SELECT * FROM public.events WHERE position <= (SELECT current_setting('leadledger.as_of')::bigint);
