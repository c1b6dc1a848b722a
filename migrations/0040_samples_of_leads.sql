-- Samples of the leads, by which the number of those that contain a text is estimated where it is large (projections/src/leads/hits.rs). By the ids
-- alone, so that an estimate of a past moment is the one that was given then. One lead in 512 to be walked through, one in 32 to be searched.
CREATE INDEX leads_sample ON leads (company_id, ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint), id, position)
    WHERE ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint) < 8;
CREATE INDEX leads_sample_search ON leads USING gin (search gin_trgm_ops)
    WHERE ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint) < 128;
SELECT keep_versions('leads', 'position', 'statement', timed_by => '{created_at,updated_at}');
-- How few are in a sample: without it the planner expects a third of the leads, and looks for a quicker way than the small index.
CREATE STATISTICS leads_scattered ON ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint) FROM leads;
CREATE STATISTICS past.leads_scattered ON ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint) FROM past.leads;
ANALYZE leads;
ANALYZE past.leads;
