-- Folded states of long streams, so that reading one costs no more than reading a short one. A cache: may be emptied at any time.
CREATE TABLE stream_snapshots (
    aggregate_type text   NOT NULL,
    aggregate_id   bigint NOT NULL,
    -- The last event that is folded in.
    sequence       bigint NOT NULL,
    -- Which version of the code folded it; another version does not read it.
    shape          text   NOT NULL,
    -- Personal data in it is sealed with the subject's key, as in the events.
    state          text   NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);
