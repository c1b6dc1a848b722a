-- Why a lead stayed as it was when its import was undone.
ALTER TABLE import_kept_leads ADD COLUMN reason text;
COMMENT ON COLUMN import_kept_leads.reason IS 'changed_since or legal_hold; null where it was not recorded.';
COMMENT ON TABLE import_kept_leads IS 'Leads that stayed as they were when their import was undone.';
SELECT keep_versions('import_kept_leads');
