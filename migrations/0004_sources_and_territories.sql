-- Read models of where leads come from and go to.

CREATE TABLE sources (
    id         bigint PRIMARY KEY,
    company_id bigint  NOT NULL,
    name       text    NOT NULL,
    -- 1 to n without a gap in each company; none when the source is removed.
    priority   integer,
    position   bigint  NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN sources.priority IS 'Null when removed: the row stays, because leads keep their source.';
CREATE INDEX sources_company ON sources (company_id, priority) WHERE priority IS NOT NULL;

CREATE TABLE source_user_accesses (
    source_id      bigint NOT NULL,
    user_access_id bigint NOT NULL,
    company_id     bigint NOT NULL,
    -- Of the assigning event: people are listed in order of assignment.
    position       bigint NOT NULL,
    PRIMARY KEY (source_id, user_access_id)
);
CREATE INDEX source_user_accesses_access ON source_user_accesses (user_access_id);

CREATE TABLE source_turns (
    source_id      bigint NOT NULL,
    user_access_id bigint NOT NULL,
    turn           bigint NOT NULL,
    PRIMARY KEY (source_id, user_access_id)
);
COMMENT ON TABLE source_turns IS 'When each access was last served a lead from each source, in turns of that source.';

CREATE TABLE territories (
    id           bigint PRIMARY KEY,
    company_id   bigint NOT NULL,
    name         text   NOT NULL,
    code         text,
    country      text,
    state        text,
    city         text,
    postal_codes text[] NOT NULL,
    rule_version integer NOT NULL,
    search       text   NOT NULL,
    position     bigint NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX territories_company ON territories (company_id, id);
