-- Private integration tokens: with which programs act for a company.

CREATE TABLE integration_tokens (
    id         bigint PRIMARY KEY,
    company_id bigint NOT NULL,
    name       text,
    scopes     text[] NOT NULL,
    token_hash text   NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN integration_tokens.token_hash IS 'SHA-256 of the token, in hexadecimal; the token itself is nowhere.';
CREATE INDEX integration_tokens_hash ON integration_tokens (token_hash);
CREATE INDEX integration_tokens_company ON integration_tokens (company_id, id);

-- Not a read model: when a token was last seen is no event. Written at most once a minute for a token and node.
CREATE TABLE integration_token_uses (
    token_id     bigint PRIMARY KEY,
    last_used_at timestamptz NOT NULL
);
