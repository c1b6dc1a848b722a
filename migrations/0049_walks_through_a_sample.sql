-- The sample of the leads that is searched (migration 0040) is walked through where a company has few leads and everybody's contain the text: to look
-- that up finds those of all companies. The condition is another one than that of leads_sample_search, so that PostgreSQL takes each for what it is for.
CREATE INDEX leads_sample_walk ON leads (company_id, id, position)
    WHERE ((id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint & 3968::bigint) = 0;
SELECT keep_versions('leads', 'position', 'statement', timed_by => '{created_at,updated_at}');
