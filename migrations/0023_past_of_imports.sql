-- Imports too are shown as of earlier moments.
SELECT keep_versions('imports');
SELECT keep_versions('import_chunks');
SELECT keep_versions('import_kept_leads');
