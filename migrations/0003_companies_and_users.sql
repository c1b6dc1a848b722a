-- Read models of companies, users and who holds which role where.

CREATE TABLE companies (
    id                bigint PRIMARY KEY,
    name              text    NOT NULL,
    parent_company_id bigint,
    -- From the root of its tree down to itself: a role held at any of these holds here.
    path              bigint[] NOT NULL,
    is_default        boolean NOT NULL,
    cycles            boolean NOT NULL,
    region            text    NOT NULL,
    search            text    NOT NULL,
    version           bigint  NOT NULL,
    position          bigint  NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
COMMENT ON COLUMN companies.region IS 'ISO 3166 country in which phone numbers without a country code are read.';
CREATE INDEX companies_path ON companies USING gin (path);
CREATE INDEX companies_parent ON companies (parent_company_id, id);

CREATE TABLE users (
    id             bigint PRIMARY KEY,
    first_name     text,
    last_name      text,
    full_name      text    NOT NULL,
    email          text,
    status         text    NOT NULL,
    birthdate      date,
    theme          text,
    lang           text,
    currency       text,
    phone_number   text,
    platform_owner boolean NOT NULL,
    search         text    NOT NULL,
    version        bigint  NOT NULL,
    position       bigint  NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
COMMENT ON COLUMN users.status IS 'pending until the e-mail is proved, then active.';
CREATE INDEX users_email ON users (email);
CREATE INDEX users_search ON users USING gin (search gin_trgm_ops);

-- Apart from users, so that analysts can be given users without it.
CREATE TABLE user_credentials (
    user_id       bigint PRIMARY KEY,
    password_hash text,
    -- Tokens carry the epoch they were issued in; a changed password raises it and so ends them.
    session_epoch bigint NOT NULL,
    position      bigint NOT NULL
);

CREATE TABLE user_accesses (
    id         bigint PRIMARY KEY,
    user_id    bigint  NOT NULL,
    company_id bigint  NOT NULL,
    role       text    NOT NULL,
    is_primary boolean NOT NULL,
    position   bigint  NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX user_accesses_user ON user_accesses (user_id, id);
CREATE INDEX user_accesses_company ON user_accesses (company_id, id);
