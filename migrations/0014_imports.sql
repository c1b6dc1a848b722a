-- Read models of imports.

CREATE TABLE imports (
    id             bigint PRIMARY KEY,
    import_code    text   NOT NULL,
    company_id     bigint NOT NULL,
    user_id        bigint,
    name           text   NOT NULL,
    import_type    text   NOT NULL,
    status         text   NOT NULL,
    file_hash      text   NOT NULL,
    file_key       bigint NOT NULL,
    file_size      bigint NOT NULL,
    options        jsonb  NOT NULL,
    columns        jsonb  NOT NULL,
    total_rows     bigint,
    imported_rows  bigint NOT NULL,
    updated_rows   bigint NOT NULL,
    skipped_rows   bigint NOT NULL,
    failed_rows    bigint NOT NULL,
    duplicate_rows bigint NOT NULL,
    errors         jsonb  NOT NULL,
    failure        text,
    removed_leads  bigint NOT NULL,
    restored_leads bigint NOT NULL,
    kept_leads     bigint NOT NULL,
    version        bigint NOT NULL,
    position       bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    finished_at    timestamptz,
    undone_at      timestamptz
);
COMMENT ON COLUMN imports.file_hash IS 'Keyed hash of company and bytes: the same file again has the same one.';
COMMENT ON COLUMN imports.file_key IS 'The first 64 bits of file_hash, by which a decision asks for earlier imports of the file.';
COMMENT ON COLUMN imports.total_rows IS 'Null until the rows were counted.';
COMMENT ON COLUMN imports.errors IS 'The first 100 failed rows; all are in import_chunks.';
COMMENT ON COLUMN imports.duplicate_rows IS 'Rows that were like a lead or a row before; each is counted by its outcome too.';
CREATE INDEX imports_code ON imports (import_code);
CREATE INDEX imports_company ON imports (company_id, created_at, id);
CREATE INDEX imports_file ON imports (file_key);
-- What is under way; nearly empty.
CREATE INDEX imports_under_way ON imports (id) WHERE status IN ('pending', 'processing', 'undoing');

CREATE TABLE import_chunks (
    import_id bigint NOT NULL,
    first_row bigint NOT NULL,
    last_row  bigint NOT NULL,
    outcomes  jsonb  NOT NULL,
    PRIMARY KEY (import_id, first_row)
);
COMMENT ON TABLE import_chunks IS 'What became of the rows that one commit processed: what undoing and the file of failed rows are made from.';

CREATE TABLE import_kept_leads (
    import_id  bigint NOT NULL,
    lead_id    bigint NOT NULL,
    row_number bigint NOT NULL,
    PRIMARY KEY (import_id, lead_id)
);
COMMENT ON TABLE import_kept_leads IS 'Leads that were changed after their import and therefore stayed when it was undone.';
