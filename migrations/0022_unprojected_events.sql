-- Events of foreign writers that have their place in the ledger but no read rows, because the tables refused what they say
-- (an id that something else has, a value out of range). A rebuild leaves out the same ones; `verify` tries each again.
CREATE TABLE unprojected_events (
    position bigint PRIMARY KEY,
    reason   text   NOT NULL
);
COMMENT ON TABLE unprojected_events IS 'Positions of foreign events that the read tables refused, with the SQLSTATE and the constraint.';
