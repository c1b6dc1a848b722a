//! The part of `verify` that is about erasures: the register of destroyed keys, which no fold makes.

use sqlx::PgConnection;

use super::{checkpoints, erasure};
use crate::proof::note::{self, VerifierKey};

/// How many wrong rows are named.
const NAMED: i64 = 100;

/// Compares the register of destroyed keys with the erasures that the ledger tells, and its certificates with the keys that sign.
///
/// # Errors
/// What the database answers.
pub(super) async fn destroyed_keys(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let wrong: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT coalesce(l.lead_id, d.aggregate_id), d.aggregate_id IS NULL FROM \
         (SELECT lead_id, erased_position FROM public.lead_erasures WHERE status = 'erased') AS l \
         FULL JOIN (SELECT * FROM public.destroyed_keys WHERE aggregate_type = 'lead') AS d ON d.aggregate_id = l.lead_id \
         WHERE d.position IS DISTINCT FROM l.erased_position ORDER BY 1 LIMIT $1",
    )
    .bind(NAMED)
    .fetch_all(&mut *connection)
    .await?;
    let mut found: Vec<String> = wrong
        .into_iter()
        .map(|(lead, missing)| {
            let what = if missing {
                "is missing"
            } else {
                "is not of the event that erased it"
            };
            format!("destroyed_keys: lead {lead}: {what}")
        })
        .collect();
    let keys: Vec<VerifierKey> = checkpoints::keys(connection)
        .await?
        .iter()
        .filter_map(|key| VerifierKey::parse(&key.verifier).ok())
        .collect();
    let certificates: Vec<(i64, i64, String)> = sqlx::query_as(
        "SELECT aggregate_id, position, certificate FROM public.destroyed_keys \
         WHERE aggregate_type = 'lead' AND certificate IS NOT NULL ORDER BY aggregate_id",
    )
    .fetch_all(connection)
    .await?;
    for (lead, position, certificate) in certificates {
        if !note::open(&certificate, &keys)
            .is_ok_and(|(text, _)| erasure::certifies(&text, lead, position))
        {
            found.push(format!(
                "destroyed_keys: lead {lead}: its certificate is not one that was signed for it"
            ));
        }
    }
    Ok(found)
}
