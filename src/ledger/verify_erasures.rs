//! The part of `verify` that is about erasures: the register of destroyed keys, which no fold makes, and keys that are back.

use std::collections::HashSet;

use sqlx::{PgConnection, Row};

use super::certificates::{EVENT, ErasureEvent, REGISTERED, Registered};
use super::checkpoints;
use super::verify_told::Told;

/// Compares the register of destroyed keys with the erasures that the ledger tells, and its certificates with these events, with the
/// keys that sign and with the checkpoints that they name.
///
/// # Errors
/// What the database answers.
pub(super) async fn destroyed_keys(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    // Whose certificate is missing: a server makes it within moments of the erasure, or of its start after a crash.
    let rows = sqlx::query(&format!(
        "SELECT {REGISTERED}, l.lead_id, l.erased_position, d.certificate IS NULL AND (d.cleared_at IS NOT NULL \
         OR l.erased_at < now() - interval '10 minutes'), {EVENT} FROM \
         (SELECT lead_id, erased_position, erased_at FROM public.lead_erasures WHERE status = 'erased') AS l \
         FULL JOIN (SELECT * FROM public.destroyed_keys WHERE aggregate_type = 'lead') AS d ON d.aggregate_id = l.lead_id \
         LEFT JOIN public.events e ON e.position = d.position ORDER BY coalesce(l.lead_id, d.aggregate_id)"
    ))
    .fetch_all(&mut *connection)
    .await?;
    let keys = checkpoints::trusted(connection).await?;
    let mut found = Vec::new();
    let mut certified = Vec::new();
    for row in &rows {
        let lead: Option<i64> = row.try_get(6)?;
        if row.try_get::<Option<i64>, _>(0)?.is_none() {
            found.push((lead.unwrap_or(0), "is missing"));
            continue;
        }
        let registered = Registered::of(row)?;
        let lead = registered.lead;
        let erased_at: Option<i64> = row.try_get(7)?;
        let event = ErasureEvent::of(row, 9)?.filter(|_| erased_at == Some(registered.position));
        let Some(event) = event else {
            found.push((lead, "is not of the event that erased it"));
            continue;
        };
        found.extend(event.unlike(&registered).map(|what| (lead, what)));
        match &registered.certificate {
            Some(certificate) => match event.certified_in(certificate, &registered, &keys) {
                Some(tree) => certified.push((lead, tree)),
                None => found.push((lead, "its certificate is not one that was signed for it")),
            },
            None if row.try_get(8)? => found.push((lead, "has no certificate")),
            None => {}
        }
    }
    let signed = signed_trees(connection, &certified).await?;
    let unsigned = certified.iter().filter(|(_, tree)| !signed.contains(tree));
    found.extend(unsigned.map(|(lead, _)| (*lead, "its certificate names no checkpoint")));
    let mut told = Told::of("destroyed_keys");
    for (lead, what) in found {
        told.tell(format_args!("lead {lead}: {what}"));
    }
    Ok(told.into_lines())
}

/// Names the keys that were destroyed and are there again. They open nothing through this program, and would to whoever reads the tables.
///
/// # Errors
/// What the database answers.
pub(super) async fn keys_that_are_back(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let back: Vec<(String, i64)> = sqlx::query_as(
        "SELECT k.aggregate_type, k.aggregate_id FROM (SELECT aggregate_id AS lead, position FROM public.destroyed_keys \
             WHERE aggregate_type = 'lead' UNION SELECT lead_id, erased_position FROM public.lead_erasures) AS told \
         JOIN public.events e ON e.position = told.position AND e.aggregate_type = 'lead' AND e.aggregate_id = told.lead::text \
             AND e.event_type = 'LeadErased' \
         JOIN public.subject_keys k ON k.aggregate_type = 'lead' AND k.aggregate_id = told.lead \
         UNION SELECT k.aggregate_type, k.aggregate_id FROM public.destroyed_keys d \
         JOIN public.subject_keys k ON k.aggregate_type = d.aggregate_type AND k.aggregate_id = d.aggregate_id AND k.key_id = d.key_id \
         WHERE d.aggregate_type <> 'lead' ORDER BY 1, 2",
    )
    .fetch_all(connection)
    .await?;
    let mut told = Told::of("subject_keys");
    for (kind, id) in back {
        told.tell(format_args!(
            "{kind} {id}: has a key, though it was destroyed"
        ));
    }
    Ok(told.into_lines())
}

/// The checkpoints of these sizes: each its size and root.
async fn signed_trees(
    connection: &mut PgConnection,
    certified: &[(i64, (i64, String))],
) -> Result<HashSet<(i64, String)>, sqlx::Error> {
    let sizes: Vec<i64> = certified.iter().map(|(_, (size, _))| *size).collect();
    let trees: Vec<(i64, String)> = sqlx::query_as(
        "SELECT tree_size, split_part(note, chr(10), 3) FROM public.checkpoints WHERE tree_size = ANY($1)",
    )
    .bind(sizes)
    .fetch_all(connection)
    .await?;
    Ok(trees.into_iter().collect())
}
