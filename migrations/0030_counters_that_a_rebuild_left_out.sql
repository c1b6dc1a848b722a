-- What a counter said in the past is found through its row. A rebuild made no row for those that were back at zero.
INSERT INTO stage_counts (company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, count, since)
    SELECT company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, 0, max(valid_until)
    FROM past.stage_counts GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT DO NOTHING;
INSERT INTO stage_counts_daily (company_id, created_on, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, count, since)
    SELECT company_id, created_on, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, 0, max(valid_until)
    FROM past.stage_counts_daily GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT DO NOTHING;
INSERT INTO duplicate_counts (company_id, count, since)
    SELECT company_id, 0, max(valid_until) FROM past.duplicate_counts GROUP BY 1
    ON CONFLICT DO NOTHING;
