-- A company's leads by id were found among those of all companies: where others had millions of newer ones, these were walked through first.
CREATE INDEX leads_id ON leads (company_id, id, position);
SELECT keep_versions('leads', 'position', 'statement', timed_by => '{created_at,updated_at}');
