-- What readers saw at any earlier position of the ledger: every row of a read table that was replaced or removed is kept in the
-- schema `past`, and the schema `as_of` shows all tables as of the position in the setting `leadledger.as_of`.
--
-- A later migration that makes a read table, or adds a column to one, calls keep_versions(table) after it.

CREATE SCHEMA past;
CREATE SCHEMA as_of;
COMMENT ON SCHEMA past IS 'Rows of read tables as they were, with the ledger positions during which readers saw them: valid_from <= position < valid_until.';
COMMENT ON SCHEMA as_of IS 'The read tables as of the ledger position in the setting leadledger.as_of.';

-- Positions inside a commit were never the end of the ledger for anybody. Commits of one event need no row.
CREATE TABLE ledger_commits (
    last_position  bigint PRIMARY KEY,
    first_position bigint NOT NULL CHECK (first_position < last_position)
);
COMMENT ON TABLE ledger_commits IS 'The commits of more than one event, by their first and last position.';

-- The end of the last commit at or before the position: what somebody could see.
CREATE FUNCTION ledger_commit_end(at bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT first_position - 1
                     FROM (SELECT * FROM public.ledger_commits WHERE last_position >= at ORDER BY last_position LIMIT 1) AS c
                     WHERE first_position <= at AND at < last_position), at)
$$;

-- The last position that was recorded at the instant or before; 0 when there is none. recorded_at never goes backwards.
CREATE FUNCTION ledger_position_at(instant timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low  bigint := 0;
    high bigint := (SELECT position FROM public.ledger_head);
    mid  bigint;
    found_at timestamptz;
BEGIN
    WHILE low < high LOOP
        mid := (low + high + 1) / 2;
        SELECT recorded_at INTO found_at FROM public.events WHERE position = mid;
        IF found_at IS NOT NULL AND found_at <= instant THEN
            low := mid;
        ELSE
            high := mid - 1;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- Where versions begin: a ledger that is older than this schema has them from here on only.
CREATE TABLE past.beginning (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
);
INSERT INTO past.beginning (position) SELECT position FROM ledger_head;

CREATE TABLE past.kept_tables (
    table_name   text PRIMARY KEY,
    -- The column that tells since which position a live row is what it is.
    since_column text NOT NULL,
    -- trigger, or statement where the projection writes the old rows itself because the table is hot.
    kept_by      text NOT NULL CHECK (kept_by IN ('trigger', 'statement')),
    -- Its rows are changed but never removed, and are few enough to be asked one by one: counters.
    rows_stay    boolean NOT NULL,
    -- Columns that are never later than the row's events: an index on them leaves out what came later.
    timed_by     text[] NOT NULL
);

-- Notes since when the row is what it is. The ledger's end has been moved by the same statement already.
CREATE FUNCTION past.stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.since := (SELECT position FROM public.ledger_head);
    RETURN NEW;
END $$;

-- Keeps what a statement replaced or removed. The argument is the column of past.kept_tables.since_column.
CREATE FUNCTION past.keep_old_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO past.%I SELECT o.%I, h.position, o.* FROM old_rows o, public.ledger_head h WHERE o.%I < h.position',
        TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[0]);
    RETURN NULL;
END $$;

-- The triggers on the live table and the view of it: to be called again when the live table was exchanged.
CREATE FUNCTION attach_versions(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kept    past.kept_tables;
    columns text;
    others  text;
    keys    text;
    at      CONSTANT text := 'current_setting(''leadledger.as_of'')::bigint';
    instant CONSTANT text := 'current_setting(''leadledger.as_of_at'')::timestamptz';
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

-- Takes away what attach_versions made, so that the live table can be exchanged.
CREATE FUNCTION detach_versions(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP VIEW IF EXISTS as_of.%I', name);
    EXECUTE format('DROP TRIGGER IF EXISTS stamp_row ON public.%I', name);
    EXECUTE format('DROP TRIGGER IF EXISTS keep_replaced_rows ON public.%I', name);
    EXECUTE format('DROP TRIGGER IF EXISTS keep_removed_rows ON public.%I', name);
END $$;

-- From now on the table's rows are kept when they are replaced or removed. May be called again: after columns or indexes were
-- added it brings what belongs to the table up to date.
CREATE FUNCTION keep_versions(name text, since_column text DEFAULT 'since', kept_by text DEFAULT 'trigger',
                              rows_stay boolean DEFAULT false, timed_by text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    missing record;
    index   record;
    parts   text[];
BEGIN
    PERFORM detach_versions(name);
    IF since_column = 'since' THEN
        EXECUTE format('ALTER TABLE public.%I ADD COLUMN IF NOT EXISTS since bigint NOT NULL DEFAULT 0', name);
        EXECUTE format('COMMENT ON COLUMN public.%I.since IS ''The ledger position since which readers see the row as it is. Not compared by verify.''', name);
    END IF;
    INSERT INTO past.kept_tables VALUES (name, since_column, kept_by, rows_stay, timed_by)
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

-- The indexes that lists follow tell since when a row is what it is: rows that became so after the moment are passed over
-- without a look at them.
DROP INDEX leads_created, leads_name, leads_stage, leads_assignee, leads_source, leads_campaign, leads_territory, leads_cycle;
CREATE INDEX leads_created ON leads (company_id, created_at, id, position);
CREATE INDEX leads_name ON leads (company_id, full_name, id, position);
CREATE INDEX leads_stage ON leads (company_id, stage_id, created_at, id, position);
CREATE INDEX leads_assignee ON leads (company_id, user_access_id, created_at, id, position);
CREATE INDEX leads_source ON leads (company_id, source_id, created_at, id, position) WHERE source_id IS NOT NULL;
CREATE INDEX leads_campaign ON leads (company_id, campaign_id, created_at, id, position) WHERE campaign_id IS NOT NULL;
CREATE INDEX leads_territory ON leads (company_id, territory_id, created_at, id, position) WHERE territory_id IS NOT NULL;
CREATE INDEX leads_cycle ON leads (company_id, cycle_id, created_at, id, position) WHERE cycle_id IS NOT NULL;
ALTER TABLE duplicates ADD COLUMN since bigint NOT NULL DEFAULT 0;
DROP INDEX duplicates_group;
CREATE INDEX duplicates_group ON duplicates (company_id, duplicate_group, lead_id, since);

SELECT keep_versions('leads', 'position', 'statement', timed_by => '{created_at,updated_at}');
SELECT keep_versions('stage_counts', kept_by => 'statement', rows_stay => true);
SELECT keep_versions('stage_counts_daily', kept_by => 'statement', rows_stay => true);
SELECT keep_versions('duplicates', kept_by => 'trigger');
SELECT keep_versions('duplicate_counts', kept_by => 'trigger', rows_stay => true);
SELECT keep_versions('lead_notes', 'position');
SELECT keep_versions('lead_stages', 'position');
SELECT keep_versions('companies');
SELECT keep_versions('users');
SELECT keep_versions('user_accesses');
SELECT keep_versions('sources');
SELECT keep_versions('source_user_accesses');
SELECT keep_versions('territories');
SELECT keep_versions('questions');
SELECT keep_versions('campaign_question_options');
SELECT keep_versions('campaigns');
SELECT keep_versions('cycles');
SELECT keep_versions('appointments');
SELECT keep_versions('invitations');
SELECT keep_versions('subscriptions');
SELECT keep_versions('user_avatars');
SELECT keep_versions('company_avatars');
SELECT keep_versions('user_onboarding');
SELECT keep_versions('legal_terms', 'position');
SELECT keep_versions('user_providers');
SELECT keep_versions('integration_tokens');

-- The ledger itself, cut off.
CREATE VIEW as_of.events AS SELECT * FROM public.events WHERE position <= current_setting('leadledger.as_of')::bigint;

-- Not a read table: each use that was noted stays, so that it is known what was the last one at any instant.
CREATE TABLE past.integration_token_uses (
    token_id     bigint NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (token_id, last_used_at)
);
INSERT INTO past.integration_token_uses SELECT token_id, last_used_at FROM integration_token_uses;
CREATE FUNCTION past.keep_token_use() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO past.integration_token_uses VALUES (NEW.token_id, NEW.last_used_at) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_use AFTER INSERT OR UPDATE ON integration_token_uses FOR EACH ROW EXECUTE FUNCTION past.keep_token_use();
CREATE VIEW as_of.integration_token_uses AS
    SELECT token_id, max(last_used_at) AS last_used_at FROM past.integration_token_uses
    WHERE last_used_at <= current_setting('leadledger.as_of_clock')::timestamptz GROUP BY token_id;

-- No sign-in, no lists of the other dialect and no routing of the past: what is behind them is as of today only.
