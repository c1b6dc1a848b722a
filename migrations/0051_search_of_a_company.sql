-- A search collects the leads of one company that contain a text and meet the other conditions: with the text alone, the index found those of everybody,
-- and each was looked at. What one company's search takes no longer grows with what others have.
CREATE EXTENSION IF NOT EXISTS btree_gin;
-- Large tables are gone through in fewer rounds.
SET LOCAL maintenance_work_mem = '256MB';
DROP INDEX leads_search, leads_sample_search, past.leads_search, past.leads_sample_search;
CREATE INDEX leads_search ON leads
    USING gin (company_id, search gin_trgm_ops, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id);
CREATE INDEX leads_sample_search ON leads
    USING gin (company_id, search gin_trgm_ops, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id)
    WHERE ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint) < 128;
SELECT keep_versions('leads', 'position', 'statement', timed_by => '{created_at,updated_at}');
