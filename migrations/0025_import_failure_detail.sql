-- What is wrong with a file that failed as a whole, in words for whoever sent it.
ALTER TABLE imports ADD COLUMN failure_detail text;
COMMENT ON COLUMN imports.failure_detail IS 'What is wrong with the file and where, in words; never what stands in a cell.';
SELECT keep_versions('imports');
