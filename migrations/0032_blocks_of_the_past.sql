-- Whether a lead is blocked or erased is asked of today, whatever the moment. One whose block was taken back since is shown as it was:
-- what hid it then hides it in the answer of then.
CREATE VIEW as_of.lead_erasures AS
SELECT e.lead_id, e.company_id,
    CASE WHEN e.status <> 'in_use' THEN e.status
         WHEN b.position > coalesce(u.position, 0) THEN 'blocked' ELSE 'in_use' END AS status,
    CASE WHEN e.status <> 'in_use' THEN e.reason ELSE b.reason END AS reason,
    CASE WHEN e.status <> 'in_use' THEN e.blocked_at ELSE b.recorded_at END AS blocked_at,
    CASE WHEN e.status <> 'in_use' THEN e.unblocked_at
         WHEN u.position > b.position THEN u.recorded_at END AS unblocked_at,
    e.erased_at, e.erased_position, e.position
FROM public.lead_erasures e
LEFT JOIN LATERAL (SELECT v.position, v.recorded_at, v.payload #>> '{LeadBlocked,reason}' AS reason FROM public.events v
    WHERE e.status = 'in_use' AND v.aggregate_type = 'lead' AND v.aggregate_id = e.lead_id::text AND v.event_type = 'LeadBlocked'
      AND v.position <= current_setting('leadledger.as_of')::bigint ORDER BY v.sequence DESC LIMIT 1) b ON true
LEFT JOIN LATERAL (SELECT v.position, v.recorded_at FROM public.events v
    WHERE e.status = 'in_use' AND v.aggregate_type = 'lead' AND v.aggregate_id = e.lead_id::text AND v.event_type = 'LeadUnblocked'
      AND v.position <= current_setting('leadledger.as_of')::bigint ORDER BY v.sequence DESC LIMIT 1) u ON true
WHERE e.status <> 'in_use' OR b.position IS NOT NULL;
