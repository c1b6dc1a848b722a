-- Mail that events cause, and how far its delivery is.

CREATE TABLE mail_outbox (
    position   bigint PRIMARY KEY,
    kind       text   NOT NULL,
    subject_id bigint NOT NULL,
    nonce      text   NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE mail_outbox IS 'One row per event that causes a mail, by its ledger position. Read model; holds no personal data.';
COMMENT ON COLUMN mail_outbox.subject_id IS 'The user (or invitation) that the mail is about; kind tells which.';
COMMENT ON COLUMN mail_outbox.nonce IS 'What the link in the mail is derived from, together with a secret of the installation.';

-- Not a read model: what was done with the rows above, which a rebuild must not forget.
CREATE TABLE mail_deliveries (
    position        bigint PRIMARY KEY,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    -- Null while the mail waits; then what became of it.
    outcome         text CHECK (outcome IN ('sent', 'expired', 'no_recipient')),
    settled_at      timestamptz
);
CREATE INDEX mail_deliveries_waiting ON mail_deliveries (next_attempt_at, position) WHERE outcome IS NULL;

-- One row: every position of the outbox up to here has its row in mail_deliveries.
CREATE TABLE mail_deliveries_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0
);
INSERT INTO mail_deliveries_mark DEFAULT VALUES;

-- Requests for a new password, for known and unknown addresses alike: the address as the keyed hash that is its claim.
-- They become events (for the known ones) behind the answer, so that the answer tells nothing, in time neither.
CREATE TABLE password_reset_requests (
    address_hash bytea PRIMARY KEY,
    requested_at timestamptz NOT NULL,
    handled      boolean NOT NULL,
    request_id   text,
    ip           text,
    user_agent   text
);
CREATE INDEX password_reset_requests_waiting ON password_reset_requests (requested_at) WHERE NOT handled;
CREATE INDEX password_reset_requests_age ON password_reset_requests (requested_at) WHERE handled;
