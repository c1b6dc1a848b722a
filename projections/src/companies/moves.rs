//! What a move of a company means: the paths of all below it, and what its old place no longer gives it.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::ids::CompanyId;
use sqlx::PgConnection;

use crate::facts::{self, Fact};
use crate::subscriptions::{GOVERNED_COMPANIES, GOVERNED_LEADS, GOVERNED_USERS};

/// The way from the root to each company whose way a batch changes: everything under a moved company, and whatever is new.
///
/// `parents` are the batch's last words on who stands under whom. The tables are read as they were before the batch; what is
/// read suffices to walk up from any of these companies, because a walk leaves the read rows only where the batch has moved
/// something, and then goes on from a parent that was read too.
pub(crate) async fn paths(
    connection: &mut PgConnection,
    moved: &BTreeSet<i64>,
    parents: &BTreeMap<i64, Option<i64>>,
) -> Result<BTreeMap<i64, Vec<i64>>, sqlx::Error> {
    let moved: Vec<i64> = moved.iter().copied().collect();
    let above: Vec<i64> = parents.values().flatten().copied().collect();
    let stored: Vec<(i64, Option<i64>, bool)> = sqlx::query_as(
        "SELECT id, parent_company_id, path && $1 FROM companies WHERE path && $1 \
         OR id IN (SELECT unnest(path) FROM companies WHERE id = ANY($2))",
    )
    .bind(&moved)
    .bind(&above)
    .fetch_all(connection)
    .await?;
    let mut all: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    let mut wanted: BTreeSet<i64> = parents.keys().copied().collect();
    for (id, parent, under_moved) in stored {
        all.insert(id, parent);
        if under_moved {
            wanted.insert(id);
        }
    }
    all.extend(parents);
    Ok(wanted.into_iter().map(|id| (id, path(&all, id))).collect())
}

fn path(parents: &BTreeMap<i64, Option<i64>>, company: i64) -> Vec<i64> {
    let mut path = vec![company];
    let mut at = company;
    while let Some(above) = parents.get(&at).copied().flatten() {
        // Only a foreign writer could close a circle.
        if path.contains(&above) {
            break;
        }
        path.push(above);
        at = above;
    }
    path.reverse();
    path
}

/// What an update of a company's place or of where users land touches besides the company itself.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// The new parent and all above it.
    pub above_parent: Vec<CompanyId>,
    /// Leads at or below it whose assignee holds there by a role above that is left behind: lead and access.
    pub leads: Vec<(i64, i64)>,
    /// Companies at or below it with a source that serves such an access: company and access.
    pub sources: Vec<(i64, i64)>,
    /// Other companies that users land on no more.
    pub defaults: Vec<i64>,
    /// What comes under another company's plan, if anything does.
    pub joins: Option<Joins>,
    /// It meets a default in the tree that it enters: none of its own stays one.
    pub gives_way: bool,
}

/// What a plan would govern after a move. What did not grow is zero.
#[derive(Debug, Clone, Default)]
pub struct Joins {
    /// The company whose subscription it is.
    pub governed_by: i64,
    /// How many companies.
    pub companies: i64,
    /// How many leads.
    pub leads: i64,
    /// How many users.
    pub users: i64,
}

/// Looks up what is touched when the company goes under `to` (`None`: stays where it is; `Some(None)`: stands alone), and
/// becomes the one that users land on, or not. To be asked under the append lock.
///
/// # Errors
/// What the database answers.
pub async fn touched_by_update(
    connection: &mut PgConnection,
    company: CompanyId,
    to: Option<Option<CompanyId>>,
    becomes_default: bool,
) -> Result<Touched, sqlx::Error> {
    let id = company.get();
    let old = path_of(connection, id).await?;
    let old_above: Vec<i64> = old.iter().copied().filter(|above| *above != id).collect();
    let mut touched = Touched::default();
    let above = match to {
        Some(Some(parent)) => path_of(connection, parent.get()).await?,
        Some(None) => Vec::new(),
        None => old_above.clone(),
    };
    if to.is_some() {
        let lost: Vec<i64> = old_above
            .iter()
            .copied()
            .filter(|held| !above.contains(held))
            .collect();
        touched.leads = sqlx::query_as(
            "SELECT l.id, a.id FROM user_accesses a CROSS JOIN companies c \
             JOIN leads l ON l.company_id = c.id AND l.user_access_id = a.id \
             WHERE a.company_id = ANY($1) AND c.path && ARRAY[$2]",
        )
        .bind(&lost)
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        touched.sources = sqlx::query_as(
            "SELECT DISTINCT c.id, a.id FROM user_accesses a JOIN source_user_accesses p ON p.user_access_id = a.id \
             JOIN companies c ON c.id = p.company_id WHERE a.company_id = ANY($1) AND c.path && ARRAY[$2]",
        )
        .bind(&lost)
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        touched.joins = joins(&mut *connection, id, &old_above, &above).await?;
        touched.above_parent = above.iter().copied().map(CompanyId).collect();
    }
    let root = above.first().copied().unwrap_or(id);
    if becomes_default {
        touched.defaults = sqlx::query_scalar(
            "SELECT id FROM companies WHERE is_default AND id <> $1 AND (path && ARRAY[$2] OR path && ARRAY[$1])",
        )
        .bind(id)
        .bind(root)
        .fetch_all(connection)
        .await?;
    } else if to.is_some() {
        touched.gives_way = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM companies WHERE is_default AND path && ARRAY[$1] AND NOT path && ARRAY[$2])",
        )
        .bind(root)
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
        if touched.gives_way {
            touched.defaults = sqlx::query_scalar(
                "SELECT id FROM companies WHERE is_default AND id <> $1 AND path && ARRAY[$1]",
            )
            .bind(id)
            .fetch_all(connection)
            .await?;
        }
    }
    Ok(touched)
}

/// What the move adds to the plan that governs above the new place, when another one did above the old.
async fn joins(
    connection: &mut PgConnection,
    moved: i64,
    old_above: &[i64],
    above: &[i64],
) -> Result<Option<Joins>, sqlx::Error> {
    let (before, after) = (
        governing(connection, old_above).await?,
        governing(connection, above).await?,
    );
    let Some(id) = after.filter(|_| before != after) else {
        return Ok(None);
    };
    // What has a subscription of its own stays under that.
    let (companies, leads, users): (i64, i64, Vec<i64>) = sqlx::query_as(
        "WITH joining AS (SELECT c.id FROM companies c WHERE c.path && ARRAY[$1] AND NOT EXISTS (SELECT 1 \
         FROM subscriptions s WHERE s.company_id = ANY(c.path[array_position(c.path, $1):]))) \
         SELECT (SELECT count(*) FROM joining), \
         (SELECT coalesce(sum(t.leads), 0)::bigint FROM company_totals t JOIN joining j ON j.id = t.company_id), \
         ARRAY(SELECT DISTINCT a.user_id FROM user_accesses a JOIN joining j ON j.id = a.company_id)",
    )
    .bind(moved)
    .fetch_one(&mut *connection)
    .await?;
    let [now_companies, now_leads, now_users] =
        [&GOVERNED_COMPANIES, &GOVERNED_LEADS, &GOVERNED_USERS].map(|kind| Fact { kind, id });
    let now = facts::read(connection, [now_companies, now_leads, now_users]).await?;
    let number = |fact| now[&fact].get(&0).copied().unwrap_or(0);
    let grown = |joining: i64, now: i64| if joining == 0 { 0 } else { joining + now };
    let known = &now[&now_users];
    let strangers = users.iter().filter(|user| !known.contains_key(user));
    let count = |users: usize| i64::try_from(users).unwrap_or(i64::MAX);
    Ok(Some(Joins {
        governed_by: id,
        companies: grown(companies, number(now_companies)),
        leads: grown(leads, number(now_leads)),
        users: grown(count(strangers.count()), count(known.len())),
    }))
}

async fn governing(
    connection: &mut PgConnection,
    path: &[i64],
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT s.company_id FROM unnest($1::bigint[]) WITH ORDINALITY AS p(id, n) \
         JOIN subscriptions s ON s.company_id = p.id ORDER BY p.n DESC LIMIT 1",
    )
    .bind(path)
    .fetch_optional(connection)
    .await
}

/// The companies of the tree with this member that users land on.
///
/// # Errors
/// What the database answers.
pub async fn defaults_beside(
    connection: &mut PgConnection,
    member: CompanyId,
) -> Result<Vec<i64>, sqlx::Error> {
    let path = path_of(connection, member.get()).await?;
    let root = path.first().copied().unwrap_or(member.get());
    sqlx::query_scalar("SELECT id FROM companies WHERE is_default AND path && ARRAY[$1]")
        .bind(root)
        .fetch_all(connection)
        .await
}

async fn path_of(connection: &mut PgConnection, company: i64) -> Result<Vec<i64>, sqlx::Error> {
    let path: Option<Vec<i64>> = sqlx::query_scalar("SELECT path FROM companies WHERE id = $1")
        .bind(company)
        .fetch_optional(connection)
        .await?;
    Ok(path.unwrap_or_default())
}
