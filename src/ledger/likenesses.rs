//! Whom an erased lead was like.
//!
//! Nobody can work that out any more: the e-mails and telephone numbers are gone with the key. So the erasure records, in the metadata of
//! its event, digests of what the kept versions of `duplicates` and `duplicate_counts` said until then of everybody whom the lead was ever
//! in a group with, and of its company. Ids and positions go in, nothing about a person. `verify` makes the digests anew.
//!
//! Until that position a fold without the lead may give others other groups than they had; from there on, the lead being blocked and so
//! like nobody, it gives the same ones again. A table of the connection tells until when which rows are concerned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};

use super::unit::Unit;
use super::verify_told::Told;
use crate::digests::hexadecimal;

/// Members of the metadata of `LeadErased`. Older ones, and those of stock programs, do not have them.
const UNTIL: &str = "duplicates_until";
const DUPLICATES: &str = "duplicates_sha256";
const COUNTS: &str = "duplicate_counts_sha256";

/// All versions of `duplicates`; the last ones last until they are replaced.
const VERSIONS: &str = "versions AS NOT MATERIALIZED (\
     SELECT lead_id, company_id, duplicate_group, matched_on, since AS valid_from, NULL::bigint AS valid_until, since FROM public.duplicates \
     UNION ALL SELECT lead_id, company_id, duplicate_group, matched_on, valid_from, valid_until, since FROM past.duplicates)";

/// That two versions were seen at the same time.
const TOGETHER: &str = "o.company_id = own.company_id AND o.duplicate_group = own.duplicate_group \
     AND (own.valid_until IS NULL OR o.valid_from < own.valid_until) AND (o.valid_until IS NULL OR own.valid_from < o.valid_until)";

/// Since when a version was seen, until when, as far as that is not later than `$2`, and since when once more, as the row has it.
const SEEN: &str =
    "valid_from, coalesce(CASE WHEN valid_until <= $2 THEN valid_until END::text, '-'), since";

/// What an erasure records.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Likeness {
    /// The ledger's end before the erasure.
    until: i64,
    /// SHA-256 in hexadecimal, over a line for each version: its lead, company, group, what it was found by, since when and until when
    /// it was seen (`-` when longer than until then), and since when once more, as the row has it; by lead and time.
    duplicates: String,
    /// The same over the versions of the company's number of duplicates that were seen after the last erasure in the company that
    /// recorded this: company, number, and the same three.
    counts: String,
}

impl Likeness {
    /// What the metadata says; nothing when it does not say all of it.
    fn read(metadata: &Value) -> Option<Self> {
        let text = |name: &str| metadata[name].as_str();
        Some(Self {
            until: text(UNTIL)?.parse().ok()?,
            duplicates: text(DUPLICATES)?.to_owned(),
            counts: text(COUNTS)?.to_owned(),
        })
    }
}

/// What [`Likeness::duplicates`] is made of, as it is stored now.
async fn of_lead(
    connection: &mut PgConnection,
    lead: i64,
    until: i64,
) -> Result<String, sqlx::Error> {
    let lines = format!(
        "WITH {VERSIONS}, alike AS (SELECT DISTINCT o.lead_id FROM versions own JOIN versions o ON {TOGETHER} WHERE own.lead_id = $1) \
         SELECT concat_ws(' ', lead_id, company_id, duplicate_group, matched_on::text, {SEEN}) \
         FROM alike JOIN versions USING (lead_id) WHERE valid_from <= $2 ORDER BY lead_id, valid_from, valid_until"
    );
    digest(connection, sqlx::query(&lines).bind(lead).bind(until)).await
}

/// What [`Likeness::counts`] is made of, as it is stored now: what was seen behind the first of the positions, up to the other.
async fn of_company(
    connection: &mut PgConnection,
    company: Option<i64>,
    (after, until): (i64, i64),
) -> Result<String, sqlx::Error> {
    let lines = format!(
        "SELECT concat_ws(' ', company_id, count, {SEEN}) \
         FROM (SELECT company_id, count, since AS valid_from, NULL::bigint AS valid_until, since FROM public.duplicate_counts \
            UNION ALL SELECT company_id, count, valid_from, valid_until, since FROM past.duplicate_counts) AS versions \
         WHERE company_id = $1 AND valid_from <= $2 AND (valid_until IS NULL OR valid_until > $3) \
         ORDER BY valid_from, valid_until"
    );
    let lines = sqlx::query(&lines).bind(company).bind(until).bind(after);
    digest(connection, lines).await
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The digest of the lines that the query answers.
async fn digest(connection: &mut PgConnection, query: Query<'_>) -> Result<String, sqlx::Error> {
    let mut context = Context::new(&SHA256);
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        context.update(row.try_get::<&str, _>(0)?.as_bytes());
        context.update(b"\n");
    }
    Ok(hexadecimal(context.finish().as_ref()))
}

/// What an erasure that is about to be decided has to record.
#[derive(Debug, Clone, Default)]
pub struct ToRecord(Arc<Mutex<Option<Likeness>>>);

impl ToRecord {
    /// Finds out whom the lead was like until now. To be called where more streams are [found](super::FindStreams), so that nothing slips in
    /// before the commit.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn look(&self, connection: &mut PgConnection, lead: i64) -> Result<(), sqlx::Error> {
        let (company, until): (Option<i64>, i64) = sqlx::query_as(
            "SELECT (SELECT company_id FROM public.lead_erasures WHERE lead_id = $1), position FROM public.ledger_head",
        )
        .bind(lead)
        .fetch_one(&mut *connection)
        .await?;
        let after = last_until(connection, company).await?;
        let found = Likeness {
            until,
            duplicates: of_lead(connection, lead, until).await?,
            counts: of_company(connection, company, (after, until)).await?,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }

    /// Lets the events of the command from here on say it.
    pub fn record(&self, unit: &mut Unit<'_>) {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.as_ref() {
            unit.say(UNTIL, &found.until.to_string());
            unit.say(DUPLICATES, &found.duplicates);
            unit.say(COUNTS, &found.counts);
        }
    }
}

/// A lead that was erased.
#[derive(Debug)]
struct Erased {
    lead: i64,
    company: Option<i64>,
    /// Of the event.
    position: i64,
    likeness: Option<Likeness>,
}

impl Erased {
    /// Until when it is not known whom it was like.
    fn until(&self) -> i64 {
        self.likeness
            .as_ref()
            .map_or(self.position, |likeness| likeness.until)
    }
}

/// Erased leads with what their events say, as `l` and `e`.
const ERASED: &str = "SELECT l.lead_id, l.company_id, l.erased_position, e.metadata::text FROM public.lead_erasures l \
     LEFT JOIN public.events e ON e.position = l.erased_position \
     WHERE l.status = 'erased' AND l.erased_position IS NOT NULL";

impl Erased {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let metadata = row.try_get::<Option<&str>, _>(3)?.unwrap_or("null");
        let metadata = serde_json::from_str(metadata).unwrap_or_default();
        Ok(Self {
            lead: row.try_get(0)?,
            company: row.try_get(1)?,
            position: row.try_get(2)?,
            likeness: Likeness::read(&metadata),
        })
    }
}

/// All of them, in the order in which they were erased.
async fn erased(connection: &mut PgConnection) -> Result<Vec<Erased>, sqlx::Error> {
    let rows = sqlx::query(&format!("{ERASED} ORDER BY l.erased_position"))
        .fetch_all(connection)
        .await?;
    rows.iter().map(Erased::of).collect()
}

/// Until when the last erasure in the company recorded it; 0 when none did.
async fn last_until(
    connection: &mut PgConnection,
    company: Option<i64>,
) -> Result<i64, sqlx::Error> {
    let last_first = format!(
        "{ERASED} AND l.company_id IS NOT DISTINCT FROM $1 ORDER BY l.erased_position DESC"
    );
    let mut rows = sqlx::query(&last_first).bind(company).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if let Some(likeness) = Erased::of(&row)?.likeness {
            return Ok(likeness.until);
        }
    }
    Ok(0)
}

/// Whether there are erased leads, and so a time of which a fold does not know whom they were like.
#[derive(Debug)]
pub struct Unknown {
    any: bool,
}

/// What of a table's past a fold can tell.
pub(super) struct Known {
    /// SQL of a row `t`: the position until which it is not known.
    pub until: &'static str,
    /// SQL, beginning with ` AND`: which rows `t` of the fold have counterparts in the database.
    pub kept: &'static str,
}

impl Unknown {
    /// Writes down until when whose groups and which companies' numbers are not known, in tables of the connection.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn look_for(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        connection
            .execute(
                "DROP TABLE IF EXISTS pg_temp.unknown_duplicates, pg_temp.unknown_duplicate_counts; \
                 CREATE TEMP TABLE unknown_duplicates (lead_id bigint PRIMARY KEY, until bigint NOT NULL); \
                 CREATE TEMP TABLE unknown_duplicate_counts (company_id bigint PRIMARY KEY, until bigint NOT NULL)",
            )
            .await?;
        let erased = erased(connection).await?;
        let leads: Vec<i64> = erased.iter().map(|erased| erased.lead).collect();
        let companies: Vec<Option<i64>> = erased.iter().map(|erased| erased.company).collect();
        let untils: Vec<i64> = erased.iter().map(Erased::until).collect();
        sqlx::query(&format!(
            "WITH {VERSIONS} INSERT INTO pg_temp.unknown_duplicates \
             SELECT o.lead_id, max(e.until) FROM unnest($1::bigint[], $2::bigint[]) AS e(lead_id, until) \
             JOIN versions own ON own.lead_id = e.lead_id JOIN versions o ON {TOGETHER} GROUP BY 1"
        ))
        .bind(&leads)
        .bind(&untils)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO pg_temp.unknown_duplicate_counts SELECT e.company_id, max(e.until) \
             FROM unnest($1::bigint[], $2::bigint[]) AS e(company_id, until) WHERE e.company_id IS NOT NULL GROUP BY 1",
        )
        .bind(companies)
        .bind(untils)
        .execute(&mut *connection)
        .await?;
        Ok(Self {
            any: !erased.is_empty(),
        })
    }

    /// What of this table's past can be told.
    pub(super) fn of(&self, table: &str) -> Known {
        let until = match table {
            "duplicates" if self.any => {
                "coalesce((SELECT u.until FROM pg_temp.unknown_duplicates u WHERE u.lead_id = t.lead_id), 0)"
            }
            "duplicate_counts" if self.any => {
                "coalesce((SELECT u.until FROM pg_temp.unknown_duplicate_counts u WHERE u.company_id = t.company_id), 0)"
            }
            _ => "0",
        };
        // Nothing is left of the notes on who is erased.
        let kept = if self.any && table == "lead_notes" {
            " AND lead_id NOT IN (SELECT lead_id FROM public.lead_erasures WHERE status = 'erased')"
        } else {
            ""
        };
        Known { until, kept }
    }
}

/// Makes the digests that erasures recorded of this table anew, and names those that differ; no other table has any.
///
/// # Errors
/// What the database answers.
pub(super) async fn unlike_recorded(
    connection: &mut PgConnection,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let is_of_leads = match table {
        "duplicates" => true,
        "duplicate_counts" => false,
        _ => return Ok(Vec::new()),
    };
    let mut told = Told::of(if is_of_leads {
        "past.duplicates"
    } else {
        "past.duplicate_counts"
    });
    let mut last: BTreeMap<Option<i64>, i64> = BTreeMap::new();
    for Erased {
        lead,
        company,
        likeness,
        ..
    } in erased(connection).await?
    {
        let Some(recorded) = likeness else {
            continue;
        };
        let until = recorded.until;
        let after = last.insert(company, until).unwrap_or(0);
        let is_same = if is_of_leads {
            of_lead(connection, lead, until).await? == recorded.duplicates
        } else {
            of_company(connection, company, (after, until)).await? == recorded.counts
        };
        if !is_same {
            told.tell(format_args!(
                "until position {until}: is not what the erasure of lead {lead} recorded"
            ));
        }
    }
    Ok(told.into_lines())
}
