-- Groups of zones hold 32 zones and no longer 128: where a past moment's rows lie far apart, four times as many zones were looked at as there had to be.
-- Maps are made on demand, and so those in groups of the old size are deleted and not converted.
DELETE FROM past.zone_maps;
