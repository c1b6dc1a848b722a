-- New rows wait in a list before they are sorted into the index of the search. Who finds the list full sorts it in: with the
-- server's 4 MB a command waits for that fifty times longer than usual.
ALTER INDEX leads_search SET (gin_pending_list_limit = 512);
