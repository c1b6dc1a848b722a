-- Read model of invitations. The code itself is nowhere: it is derived from a secret of the installation, the id and the nonce.

CREATE TABLE invitations (
    id         bigint PRIMARY KEY,
    company_id bigint NOT NULL,
    email      text,
    role       text   NOT NULL,
    invited_by bigint NOT NULL,
    nonce      text   NOT NULL,
    code_hash  text   NOT NULL,
    status     text   NOT NULL,
    expires_at timestamptz NOT NULL,
    version    bigint NOT NULL,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON COLUMN invitations.status IS 'pending, accepted, revoked or expired. Pending means nothing any more once expires_at has passed.';
CREATE INDEX invitations_code ON invitations (code_hash);
CREATE INDEX invitations_company ON invitations (company_id, id) WHERE status = 'pending';
CREATE INDEX invitations_email ON invitations (email, id) WHERE status = 'pending';
-- What is due next.
CREATE INDEX invitations_due ON invitations (expires_at) WHERE status = 'pending';
