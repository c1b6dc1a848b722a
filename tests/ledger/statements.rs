//! Statements of a superuser of the database that change something besides the events.

/// Values of events' other columns.
pub const COLUMNS: [&str; 9] = [
    "event_type = event_type || 'x'",
    "event_version = '0'",
    "recorded_at = recorded_at + interval '1 microsecond'",
    "company_id = 7",
    "company_id = NULL",
    "sequence = sequence + 100",
    "aggregate_id = '99'",
    "leaf_hash = sha256(leaf_hash)",
    "leaf_hash = NULL",
];

/// Changes of the tree; `$byte` is any below 32.
pub const NODES: [&str; 6] = [
    "UPDATE tree_nodes SET hash = set_byte(hash, $byte, get_byte(hash, $byte) # 1) WHERE index = 0",
    "UPDATE tree_nodes SET hash = set_byte(hash, $byte, get_byte(hash, $byte) # 128) WHERE index = 1",
    "DELETE FROM tree_nodes WHERE index = 1",
    "UPDATE tree_nodes SET index = index + 1 WHERE index = 1",
    "INSERT INTO tree_nodes VALUES (4, 2, sha256(''))",
    "INSERT INTO tree_nodes VALUES (8, 0, sha256(''))",
];

/// Changes of the map of streams.
pub const TILES: [&str; 8] = [
    "UPDATE stream_map_tiles SET content = set_byte(content, $byte, get_byte(content, $byte) # 1)",
    "UPDATE stream_map_tiles SET content = set_byte(content, 40 + $byte, get_byte(content, 40 + $byte) # 1) WHERE path = ''",
    "UPDATE stream_map_tiles SET content = content || content WHERE path = ''",
    "DELETE FROM stream_map_tiles WHERE path = ''",
    "UPDATE stream_map_tiles SET path = path || '\\x01'",
    "INSERT INTO stream_map_tiles (path, content, since) SELECT '\\x0f0f', content, since FROM stream_map_tiles WHERE path = ''",
    "UPDATE stream_map SET size = size + 1",
    "UPDATE stream_map SET size = size - 1",
];

/// Changes of what it was at earlier sizes.
pub const EARLIER_TILES: [&str; 9] = [
    "UPDATE past.stream_map_tiles SET content = set_byte(content, $byte, get_byte(content, $byte) # 1) WHERE path = ''",
    "UPDATE past.stream_map_tiles SET valid_from = valid_from + 1 + $byte WHERE path = ''",
    "UPDATE past.stream_map_tiles SET valid_until = valid_until + 1 + $byte WHERE path = ''",
    "UPDATE past.stream_map_tiles SET path = path || '\\x01'",
    "DELETE FROM past.stream_map_tiles",
    "INSERT INTO past.stream_map_tiles SELECT '\\x0f0f', 12, 24, content FROM stream_map_tiles WHERE path = ''",
    "UPDATE stream_map_tiles SET since = since - 1 - $byte WHERE path = ''",
    "UPDATE stream_map SET settled = settled + 1 + $byte",
    "UPDATE stream_map SET kept_from = kept_from + 13",
];

/// Changes of what is said to have been witnessed.
pub const MARKS: [&str; 2] = [
    "UPDATE checkpoints SET witnessed = false WHERE id = 1",
    "UPDATE checkpoints SET witnessed = false WHERE id = 2",
];

/// Changes of the end of the ledger.
pub const HEADS: [&str; 4] = [
    "UPDATE ledger_head SET position = position - 1",
    "UPDATE ledger_head SET position = position + 1",
    "UPDATE ledger_head SET position = 0",
    "UPDATE ledger_head SET position = position * 2",
];
