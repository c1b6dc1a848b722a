-- What proofs about the ledger are made from. Trees and map follow from the events; the checkpoints are what was signed and given
-- away.

-- The roots of full subtrees of the ledger's Merkle tree (RFC 9162) at every fourth level; leaves are `events.leaf_hash`.
CREATE TABLE tree_nodes (
    level    smallint NOT NULL CHECK (level > 0 AND level % 4 = 0),
    index    bigint   NOT NULL CHECK (index >= 0),
    hash     bytea    NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, index)
);
COMMENT ON COLUMN tree_nodes.index IS 'Which of its level, from 0: the node covers positions index * 2^level + 1 to (index + 1) * 2^level.';

-- The map of streams as of its size, in tiles of four bits; see src/proof/stream_map.rs.
CREATE TABLE stream_map_tiles (
    path    bytea PRIMARY KEY,
    content bytea NOT NULL
);
CREATE TABLE stream_map (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size     bigint NOT NULL DEFAULT 0
);
INSERT INTO stream_map DEFAULT VALUES;
COMMENT ON COLUMN stream_map.size IS 'How many events of the ledger the map has taken in.';

-- The public halves of the keys that sign checkpoints; the seed of the present one is in server_secrets.
CREATE TABLE checkpoint_keys (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verifier    text        NOT NULL UNIQUE,
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz
);
COMMENT ON COLUMN checkpoint_keys.verifier IS 'name+hash+base64 (C2SP signed-note).';
CREATE UNIQUE INDEX checkpoint_keys_present ON checkpoint_keys ((true)) WHERE valid_until IS NULL;

CREATE TABLE checkpoints (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tree_size bigint      NOT NULL,
    note      text        NOT NULL,
    made_at   timestamptz NOT NULL,
    witnessed boolean     NOT NULL DEFAULT false
);
COMMENT ON COLUMN checkpoints.witnessed IS 'Whether it was written outside the database.';
CREATE INDEX checkpoints_to_witness ON checkpoints (id) WHERE NOT witnessed;
