-- How long the waiting list of the search may become is said by who writes: short for a lone command, long while a file goes in and the
-- list is sorted in beside it.
ALTER INDEX leads_search RESET (gin_pending_list_limit);
