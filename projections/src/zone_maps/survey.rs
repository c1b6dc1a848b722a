//! Which zone maps are to be made before anybody asks for them: those of lists that have grown large, and much larger than their maps know.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::ids::CompanyId;
use sqlx::PgConnection;

use super::{ALL, ZonedList, build};

/// A map is made anew when its list has grown by one part in so many.
const GROWN_BY_ONE_IN: i64 = 5;

/// The lists, of companies whose leads have at least so many rows and versions, that have no map, or one that knows too little: by so many
/// rows and versions at least. Those of the largest companies come first.
///
/// # Errors
/// What the database answers.
pub async fn wanted(
    connection: &mut PgConnection,
    least: i64,
) -> Result<Vec<(CompanyId, &'static ZonedList)>, sqlx::Error> {
    let mut wanted = Vec::new();
    for company in large(connection, least).await? {
        let known = known(connection, company).await?;
        let mut counted: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for list in &ALL {
            let of = (list.table, list.within);
            let entries = match counted.get(&of) {
                Some(entries) => *entries,
                None => build::rows(connection, company, list).await?,
            };
            counted.insert(of, entries);
            let known = known.get(list.name).copied().unwrap_or(0);
            if entries - known >= least.max(known / GROWN_BY_ONE_IN) {
                wanted.push((company, list));
            }
        }
    }
    Ok(wanted)
}

/// The companies whose leads have at least so many rows and versions, the largest first: by the numbers of today's leads, and of the kept
/// versions as far as the planner's statistics tell.
async fn large(connection: &mut PgConnection, least: i64) -> Result<Vec<CompanyId>, sqlx::Error> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT company_id FROM (\
             SELECT company_id, sum(count) AS n FROM public.stage_counts GROUP BY 1 \
             UNION ALL SELECT v.company_id, v.share * greatest(c.reltuples, 0) FROM pg_class c, pg_stats s, \
                 unnest(s.most_common_vals::text::bigint[], s.most_common_freqs) AS v(company_id, share) \
             WHERE c.oid = 'past.leads'::regclass AND s.schemaname = 'past' AND s.tablename = 'leads' AND s.attname = 'company_id') AS n \
         GROUP BY 1 HAVING sum(n) >= $1 ORDER BY sum(n) DESC, 1",
    )
    .bind(least)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(CompanyId).collect())
}

/// How many rows and versions a company's lists had when their maps were made, by the lists' names.
async fn known(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let known: Vec<(String, i64)> =
        sqlx::query_as("SELECT list, entries FROM past.zone_maps WHERE company_id = $1")
            .bind(company.get())
            .fetch_all(connection)
            .await?;
    Ok(known.into_iter().collect())
}

/// The maps that there are: each a company and the name of its list.
pub type Maps = BTreeSet<(i64, String)>;

/// The ledger's last position, and the maps that there are.
///
/// # Errors
/// What the database answers.
pub async fn now(connection: &mut PgConnection) -> Result<(i64, Maps), sqlx::Error> {
    let maps: Vec<(i64, String)> = sqlx::query_as("SELECT company_id, list FROM past.zone_maps")
        .fetch_all(&mut *connection)
        .await?;
    let position = sqlx::query_scalar("SELECT position FROM public.ledger_head")
        .fetch_one(connection)
        .await?;
    Ok((position, maps.into_iter().collect()))
}
