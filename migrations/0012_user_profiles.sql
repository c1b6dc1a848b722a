COMMENT ON COLUMN users.status IS 'pending until the e-mail is proved, then active; deleted ones have no e-mail.';

-- Read models of users as clients of the GoHighLevel dialect see them; deleted ones too.

CREATE TABLE user_profiles (
    user_id      bigint PRIMARY KEY,
    first_name   text,
    last_name    text,
    name         text    NOT NULL,
    email        text,
    phone        text,
    extension    text,
    lang         text,
    platform_owner boolean NOT NULL,
    -- As the account's settings are stored: kind, permissions, scopes, scopes_assigned_to_only, language.
    settings     jsonb   NOT NULL,
    photo_url    text,
    -- By company id.
    phone_numbers jsonb  NOT NULL,
    -- What the user holds, or held until they were deleted: [{"id", "company_id", "role"}], oldest first.
    accesses     jsonb   NOT NULL,
    version      bigint  NOT NULL,
    position     bigint  NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    deleted_at   timestamptz
);

-- One row for each user and each company that sees them: those where they hold (or held) a role, and all above.
CREATE TABLE user_memberships (
    company_id   bigint  NOT NULL,
    user_id      bigint  NOT NULL,
    account_type text    NOT NULL,
    role         text    NOT NULL,
    -- As seen from this company: the companies that the user belongs to.
    location_ids bigint[] NOT NULL,
    is_deleted   boolean NOT NULL,
    sort_name    text    NOT NULL COLLATE "C",
    sort_last_name text  NOT NULL COLLATE "C",
    email        text    COLLATE "C",
    search       text    NOT NULL,
    position     bigint  NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (company_id, user_id)
);
COMMENT ON COLUMN user_memberships.account_type IS 'agency: a role at this very company; account: at companies below it.';
COMMENT ON COLUMN user_memberships.search IS 'Name, e-mail and phone number, folded.';
-- In the order of the list, and enough to count without looking at rows.
CREATE INDEX user_memberships_name ON user_memberships (company_id, sort_name, user_id) WHERE NOT is_deleted;
CREATE INDEX user_memberships_added ON user_memberships (company_id, created_at, user_id) WHERE NOT is_deleted;
CREATE INDEX user_memberships_email ON user_memberships (company_id, email);
CREATE INDEX user_memberships_search ON user_memberships USING gin (search gin_trgm_ops);
