-- Counters of the past that are read together.
--
-- What a counter said at a moment was looked up, one look-up for each: in a company with a thousand combinations of stage, source, campaign and person the
-- metrics of the past took many times as long as today's. A span holds what all counters of a part of them said between two positions, as time-split
-- B-trees hold versions: whatever held when it began once more, and what came since. So a moment is answered by one span.
-- They are made in the background, may be deleted at any time, and are checked by verify.

CREATE TABLE past.count_parts (
    counters   text   NOT NULL CHECK (counters IN ('stage_counts', 'stage_counts_daily')),
    company_id bigint NOT NULL,
    -- Counters by day are parted by days: a part ends where the next one begins. The first, and the only one of counters without days, begins with
    -- the year 1.
    first_day  date   NOT NULL CHECK (isfinite(first_day)),
    -- The ledger's end when its spans were made last: they tell about the positions up to there.
    as_of      bigint NOT NULL,
    PRIMARY KEY (counters, company_id, first_day)
);
COMMENT ON TABLE past.count_parts IS 'Which counters of which companies have spans, up to which position.';

CREATE TABLE past.count_spans (
    counters       text   NOT NULL,
    company_id     bigint NOT NULL,
    first_day      date   NOT NULL,
    -- It tells about this position and those up to the next span of its part.
    since          bigint NOT NULL,
    -- An entry is what a counter said for a while: the n-th values of these. Null where it said so when the span began, and when it ended.
    valid_from     bigint[] NOT NULL,
    valid_until    bigint[] NOT NULL,
    created_on     date[] CHECK ((created_on IS NULL) = (counters = 'stage_counts')),
    stage_id       bigint[] NOT NULL,
    source_id      bigint[] NOT NULL,
    campaign_id    bigint[] NOT NULL,
    cycle_id       bigint[] NOT NULL,
    territory_id   bigint[] NOT NULL,
    user_access_id bigint[] NOT NULL,
    count          bigint[] NOT NULL,
    PRIMARY KEY (counters, company_id, first_day, since),
    FOREIGN KEY (counters, company_id, first_day) REFERENCES past.count_parts ON DELETE CASCADE
);
COMMENT ON TABLE past.count_spans IS 'What the counters of a part said between two positions, in arrays.';
