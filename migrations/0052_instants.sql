-- When something was recorded, of one event in 64: so that the last position of an instant is found by one look into an index and a walk over a few
-- events. Halving the ledger again and again reads some twenty of its pages.
CREATE INDEX events_instants ON events (recorded_at, position) WHERE (position & 63::bigint) = 0;

-- In PL/pgSQL, which plans its statement once a session.
CREATE OR REPLACE FUNCTION ledger_position_at(instant timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := coalesce((SELECT e.position FROM public.events e WHERE (e.position & 63::bigint) = 0 AND e.recorded_at <= instant
                            ORDER BY e.recorded_at DESC, e.position DESC LIMIT 1), 0);
BEGIN
    RETURN coalesce((SELECT max(e.position) FROM public.events e
                     WHERE e.position >= low AND e.position < low + 64 AND e.recorded_at <= instant), low);
END $$;

CREATE OR REPLACE FUNCTION ledger_commit_end(at bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT first_position - 1
                     FROM (SELECT * FROM public.ledger_commits WHERE last_position >= at ORDER BY last_position LIMIT 1) AS c
                     WHERE first_position <= at AND at < last_position), at);
END $$;
