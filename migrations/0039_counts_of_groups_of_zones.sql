-- Groups of zones tell how many of their rows held at any moment, so that a page by its number is found without walking through what comes before it.
--
-- At a position as many rows of a group held as began there or before, less those that ended there or before. Both lists are sorted, and so two
-- binary searches count. They are kept as they are: to unpack them would take longer than to search them.

ALTER TABLE past.zones
    ADD COLUMN begun bigint[],
    ADD COLUMN ended bigint[];
ALTER TABLE past.zones
    ALTER COLUMN begun SET STORAGE EXTERNAL,
    ALTER COLUMN ended SET STORAGE EXTERNAL;
COMMENT ON COLUMN past.zones.begun IS 'Of a group: the positions since which its rows held, in their order.';
COMMENT ON COLUMN past.zones.ended IS 'Of a group: the positions up to which its rows held that hold no more, in their order.';

CREATE AGGREGATE past.joined(bigint[]) (SFUNC = array_cat, STYPE = bigint[]);

-- Maps are made on demand: those without the counts are deleted and not converted.
DELETE FROM past.zone_maps;
