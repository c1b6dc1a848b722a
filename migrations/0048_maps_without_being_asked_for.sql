-- Zone maps are made before anybody asks for them, and anew when their lists have grown.
ALTER TABLE past.zone_maps ADD COLUMN entries bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN past.zone_maps.entries IS 'How many rows and versions the list had when the map was made.';

-- Those of sources, campaigns, territories and cycles tell only of leads that have one any more.
DELETE FROM past.zone_maps WHERE list IN ('source', 'campaign', 'territory', 'cycle');
