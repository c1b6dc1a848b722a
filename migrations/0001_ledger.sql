-- The ledger: the truth. Everything below "read models" can be dropped and rebuilt from here.

-- The first seven columns are exactly those of postgres-es 0.5, so that a stock program loads from and appends to this table.
CREATE TABLE events (
    aggregate_type text   NOT NULL,
    aggregate_id   text   NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    event_type     text   NOT NULL,
    event_version  text   NOT NULL,
    payload        json   NOT NULL,
    metadata       json   NOT NULL,
    position       bigint CHECK (position > 0),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    company_id     bigint,
    leaf_hash      bytea,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
COMMENT ON TABLE events IS 'Append-only. One row per event; payload and metadata are never changed.';
COMMENT ON COLUMN events.position IS '1-based place in the one total order, without gaps; null until an event appended by a stock program is sequenced.';
COMMENT ON COLUMN events.leaf_hash IS 'RFC 9162 leaf hash over the stored bytes of the row; see docs/architecture.md.';

CREATE UNIQUE INDEX events_position ON events (position);
-- Finds what stock programs appended; empty nearly always, so that asking costs nothing.
CREATE INDEX events_unsequenced ON events (recorded_at) WHERE position IS NULL;

CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.position IS NULL AND NEW.position IS NOT NULL
       AND (NEW.aggregate_type, NEW.aggregate_id, NEW.sequence, NEW.event_type, NEW.event_version)
         = (OLD.aggregate_type, OLD.aggregate_id, OLD.sequence, OLD.event_type, OLD.event_version)
       AND NEW.payload::text = OLD.payload::text AND NEW.metadata::text = OLD.metadata::text THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: % on events is refused', TG_OP;
END $$;
CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_are_append_only();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only();

CREATE FUNCTION announce_unsequenced_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('unsequenced_event', '');
    RETURN NULL;
END $$;
CREATE TRIGGER events_announce_unsequenced AFTER INSERT ON events
    FOR EACH ROW WHEN (NEW.position IS NULL) EXECUTE FUNCTION announce_unsequenced_event();

-- One row: the end of the ledger. Its row lock is the append lock: whoever moves the position appends alone, cluster-wide.
CREATE TABLE ledger_head (
    only_row           boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position           bigint NOT NULL DEFAULT 0,
    recorded_at        timestamptz NOT NULL DEFAULT '-infinity',
    -- Position of the last event that touched users, companies or roles: what cached authority is checked against.
    authority_position bigint NOT NULL DEFAULT 0,
    -- The last integer id given, by kind.
    last_ids           json NOT NULL DEFAULT '{}'
);
INSERT INTO ledger_head DEFAULT VALUES;

-- One key per data subject, which is a stream. Destroying a key erases the person from every event, also in old backups of the events.
CREATE TABLE subject_keys (
    aggregate_type text  NOT NULL,
    aggregate_id   bigint NOT NULL,
    key_id         uuid  NOT NULL,
    key            bytea NOT NULL CHECK (octet_length(key) = 32),
    PRIMARY KEY (aggregate_type, aggregate_id)
);

-- Values that only one stream may hold at a time, such as a user's e-mail. The value is a keyed hash: it tells nothing about a person.
CREATE TABLE claims (
    kind         text   NOT NULL,
    value_hash   bytea  NOT NULL,
    aggregate_id bigint NOT NULL,
    PRIMARY KEY (kind, value_hash)
);

-- What a request with an Idempotency-Key did, written in the transaction that did it. The response is sealed, for its owner only.
CREATE TABLE idempotency_keys (
    user_id     bigint NOT NULL,
    key         text   NOT NULL,
    fingerprint bytea  NOT NULL,
    resource_id bigint NOT NULL,
    position    bigint NOT NULL,
    response    bytea,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Random secrets of this installation, made at first run: what signs tokens and hashes claims, the same for every node.
CREATE TABLE server_secrets (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);
