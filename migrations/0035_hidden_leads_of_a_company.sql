-- Whoever is blocked or erased today is left out of the duplicates of every moment: so a company's are asked for with each such list.
CREATE INDEX lead_erasures_hidden ON lead_erasures (company_id) WHERE status <> 'in_use';
