-- The rest of what a GET of API V1 answers from: checkpoints, evidence and the log of reads, as they were at a moment.

-- Tiles of the map of streams as they were at earlier sizes of the map, so that an older checkpoint's evidence can be gathered again.
ALTER TABLE stream_map_tiles ADD COLUMN since bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN stream_map_tiles.since IS 'The size of the map since which the tile is as it is.';
UPDATE stream_map_tiles SET since = (SELECT size FROM stream_map);
ALTER TABLE stream_map_tiles ALTER COLUMN since DROP DEFAULT;
CREATE TABLE past.stream_map_tiles (
    path       bytea  NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    content    bytea  NOT NULL,
    PRIMARY KEY (path, valid_until)
);
COMMENT ON TABLE past.stream_map_tiles IS 'Replaced tiles of the map of streams, by the sizes of the map at which they held.';
ALTER TABLE stream_map ADD COLUMN settled bigint NOT NULL DEFAULT 0;
ALTER TABLE stream_map ADD COLUMN kept_from bigint NOT NULL DEFAULT 0;
UPDATE stream_map SET settled = size, kept_from = size;
COMMENT ON COLUMN stream_map.settled IS 'The largest size that the map ever had: while it is made anew below that, no earlier tiles are kept.';
COMMENT ON COLUMN stream_map.kept_from IS 'The size from which on earlier tiles are kept.';

-- Checkpoints of the moment. A moment that was named by its position lasts as long as that was the ledger's end.
CREATE VIEW as_of.checkpoints AS SELECT * FROM public.checkpoints
    WHERE tree_size <= current_setting('leadledger.as_of')::bigint
      AND made_at <= current_setting('leadledger.as_of_until')::timestamptz;

-- The log of reads, by the clock of the moment.
CREATE VIEW as_of.lead_reads AS SELECT * FROM public.lead_reads
    WHERE read_at < current_setting('leadledger.as_of_clock')::timestamptz;
CREATE VIEW as_of.lead_read_writers AS
    SELECT writer, opened_at, least(written_until, current_setting('leadledger.as_of_clock')::timestamptz) AS written_until,
           CASE WHEN closed_at <= current_setting('leadledger.as_of_clock')::timestamptz THEN closed_at END AS closed_at
    FROM public.lead_read_writers WHERE opened_at <= current_setting('leadledger.as_of_clock')::timestamptz;
CREATE VIEW as_of.lead_reads_lost AS SELECT * FROM public.lead_reads_lost
    WHERE lost_until <= current_setting('leadledger.as_of_clock')::timestamptz;
