//! Making spans of counters from their rows and versions, and comparing them with what they would be.

use std::collections::BTreeMap;

use aggregates::ids::CompanyId;
use chrono::NaiveDate;
use sqlx::{PgConnection, QueryBuilder};

use super::{Counters, Days, parted};
use crate::leads::counts;

/// The first day of the first part.
pub(super) const FIRST_DAY: NaiveDate =
    NaiveDate::from_ymd_opt(1, 1, 1).expect("the year 1 has a first day");

/// How large spans and parts are.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// A company with fewer counters has no spans: to look these up takes no longer than the rest of a request.
    pub counters: i64,
    /// So many new versions at least make a span, and as many as the part has counters.
    pub span: i64,
    /// A part of counters by day has so many at least, but for the last one.
    pub part: i64,
    /// Spans are made anew when so many counters of the part have changed since, and one in eight of them.
    pub changed: i64,
}

impl Sizes {
    /// What serves best.
    pub const USUAL: Self = Self {
        counters: 64,
        span: 512,
        part: 1_000,
        changed: 32,
    };
}

/// Which part of a part's counters have to change before its spans are made anew: those that have are looked up.
const CHANGED_ONE_IN: i64 = 8;

/// The companies and counters that may need spans: so many of them, some of which changed after this position, or that have no spans; and the
/// ledger's end.
///
/// # Errors
/// What the database answers.
pub async fn wanted(
    connection: &mut PgConnection,
    after: i64,
    sizes: Sizes,
) -> Result<(i64, Vec<(CompanyId, Counters)>), sqlx::Error> {
    let position = sqlx::query_scalar("SELECT position FROM public.ledger_head")
        .fetch_one(&mut *connection)
        .await?;
    let mut wanted = Vec::new();
    if position <= after {
        return Ok((position, wanted));
    }
    for counters in Counters::ALL {
        let table = counters.table();
        let companies: Vec<i64> = sqlx::query_scalar(&format!(
            "SELECT c.company_id FROM public.{table} c GROUP BY 1 HAVING count(*) >= $1 AND (max(c.since) > $2 OR NOT EXISTS \
             (SELECT 1 FROM past.count_parts p WHERE p.counters = '{table}' AND p.company_id = c.company_id)) ORDER BY 1"
        ))
        .bind(sizes.counters)
        .bind(after)
        .fetch_all(&mut *connection)
        .await?;
        let companies = companies.into_iter().map(CompanyId);
        wanted.extend(companies.map(|company| (company, counters)));
    }
    Ok((position, wanted))
}

/// Makes spans of a company's counters where many have changed since; answers of how many parts. In a transaction of the caller, which reads what is
/// committed at each statement. Does nothing while somebody else makes them.
///
/// # Errors
/// What the database answers.
pub async fn refresh(
    connection: &mut PgConnection,
    company: CompanyId,
    counters: Counters,
    sizes: Sizes,
) -> Result<usize, sqlx::Error> {
    let table = counters.table();
    let free: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('count spans ' || $2, $1))",
    )
    .bind(company.get())
    .bind(table)
    .fetch_one(&mut *connection)
    .await?;
    if !free {
        return Ok(0);
    }
    let known: Vec<(NaiveDate, i64)> = sqlx::query_as(
        "SELECT first_day, as_of FROM past.count_parts WHERE counters = $1 AND company_id = $2 ORDER BY first_day",
    )
    .bind(table)
    .bind(company.get())
    .fetch_all(&mut *connection)
    .await?;
    let firsts: Vec<NaiveDate> = known.iter().map(|(first, _)| *first).collect();
    let known_as_of: BTreeMap<NaiveDate, i64> = known.into_iter().collect();
    let days = by_day(connection, company, counters).await?;
    let wanted = cut(&firsts, &days, sizes.part);
    let before: Vec<Days> = parted(&firsts).collect();
    let mut made = 0;
    for days in parted(&wanted) {
        let as_of = known_as_of.get(&days.first).copied();
        // One that ends elsewhere than it did is another one.
        let as_of = as_of.filter(|_| before.contains(&days));
        let part = Part {
            company,
            counters,
            days,
        };
        let (counted, changed) = part.changed(connection, as_of.unwrap_or(-1)).await?;
        if as_of.is_none() || changed >= sizes.changed.max(counted / CHANGED_ONE_IN) {
            part.make(connection, as_of.is_some(), sizes.span.max(counted))
                .await?;
            made += 1;
        }
    }
    Ok(made)
}

/// How many counters there are of each day, the first ones first; of those without days none.
async fn by_day(
    connection: &mut PgConnection,
    company: CompanyId,
    counters: Counters,
) -> Result<Vec<(NaiveDate, i64)>, sqlx::Error> {
    if counters == Counters::Whole {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT created_on, count(*) FROM public.stage_counts_daily WHERE company_id = $1 GROUP BY 1 ORDER BY 1",
    )
    .bind(company.get())
    .fetch_all(connection)
    .await
}

/// The first days of the parts: those that there are, of which only the last, without an end, may be cut.
fn cut(firsts: &[NaiveDate], days: &[(NaiveDate, i64)], least: i64) -> Vec<NaiveDate> {
    let mut firsts = firsts.to_vec();
    if firsts.first() != Some(&FIRST_DAY) {
        firsts.insert(0, FIRST_DAY);
    }
    let open = firsts.last().copied().unwrap_or(FIRST_DAY);
    let mut counted = 0;
    for (day, counters) in days.iter().filter(|(day, _)| *day >= open) {
        if counted >= least {
            firsts.push(*day);
            counted = 0;
        }
        counted += counters;
    }
    firsts
}

/// Some of a company's counters, which have spans of their own.
#[derive(Debug, Clone, Copy)]
struct Part {
    company: CompanyId,
    counters: Counters,
    days: Days,
}

impl Part {
    /// How many counters it has, and how many of them changed after this position.
    async fn changed(
        self,
        connection: &mut PgConnection,
        after: i64,
    ) -> Result<(i64, i64), sqlx::Error> {
        let mut query = QueryBuilder::new("SELECT count(*), count(*) FILTER (WHERE since > ");
        query.push_bind(after).push(format!(
            ") FROM public.{} c WHERE {}",
            self.counters.table(),
            self.counted("c")
        ));
        query.build_query_as().fetch_one(connection).await
    }

    /// SQL of which rows `alias` are of it. The values are numbers and days of our own.
    fn counted(self, alias: &str) -> String {
        let Days { first, end } = self.days;
        let company = self.company;
        let days = match (self.counters, end) {
            (Counters::Whole, _) => String::new(),
            (Counters::ByDay, None) => format!(" AND {alias}.created_on >= '{first}'"),
            (Counters::ByDay, Some(end)) => {
                format!(" AND {alias}.created_on >= '{first}' AND {alias}.created_on < '{end}'")
            }
        };
        format!("{alias}.company_id = {}{days}", company.get())
    }

    /// SQL of which spans are its own, or which row of `past.count_parts`.
    fn own(self) -> String {
        let (company, first) = (self.company.get(), self.days.first);
        let table = self.counters.table();
        format!("counters = '{table}' AND company_id = {company} AND first_day = '{first}'")
    }

    /// Makes its spans: all of them, or those from the last one on.
    async fn make(
        self,
        connection: &mut PgConnection,
        goes_on: bool,
        span: i64,
    ) -> Result<(), sqlx::Error> {
        let own = self.own();
        let last: Option<i64> = sqlx::query_scalar(&format!(
            "SELECT max(since) FROM past.count_spans WHERE {own}"
        ))
        .fetch_one(&mut *connection)
        .await?;
        let from = last.filter(|_| goes_on).unwrap_or(0);
        sqlx::query(&format!(
            "DELETE FROM past.count_spans WHERE {own} AND since >= $1"
        ))
        .bind(from)
        .execute(&mut *connection)
        .await?;
        let (table, first) = (self.counters.table(), self.days.first);
        let begins = "SELECT $1 AS since UNION SELECT valid_from FROM \
             (SELECT valid_from, row_number() OVER (ORDER BY valid_from) AS n FROM v WHERE valid_from > $1) r WHERE n % $2 = 0";
        // One statement, and so one snapshot: the ledger's end, and the tables as they are then.
        let statement = format!(
            "WITH part AS (INSERT INTO past.count_parts (counters, company_id, first_day, as_of) \
             SELECT '{table}', {company}, '{first}'::date, position FROM public.ledger_head \
             ON CONFLICT (counters, company_id, first_day) DO UPDATE SET as_of = EXCLUDED.as_of), \
             {entries} \
             INSERT INTO past.count_spans (counters, company_id, first_day, since, valid_from, valid_until, {columns}) \
             SELECT '{table}', {company}, '{first}'::date, since, {arrays} FROM entries GROUP BY since",
            company = self.company.get(),
            entries = self.entries(begins, "(SELECT position FROM public.ledger_head)", "$1"),
            columns = self.columns().join(", "),
            arrays = self.arrays(),
        );
        sqlx::query(&statement)
            .bind(from)
            .bind(span)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// What an entry has besides its positions.
    fn columns(self) -> Vec<&'static str> {
        let day = (self.counters == Counters::ByDay).then_some("created_on");
        let of_company = counts::DIMENSIONS.iter().copied();
        let key = of_company.filter(|column| *column != "company_id");
        day.into_iter().chain(key).chain(["count"]).collect()
    }

    fn arrays(self) -> String {
        let mut arrays = Vec::new();
        for column in ["valid_from", "valid_until"]
            .into_iter()
            .chain(self.columns())
        {
            arrays.push(format!(
                "coalesce(array_agg({column}) FILTER (WHERE stage_id IS NOT NULL), '{{}}')"
            ));
        }
        arrays.join(", ")
    }

    /// The common table expression `entries` of spans from this position on, which begin with what `begins` selects from the versions `v`, and of a
    /// span without an entry a row without values. They come span by span, and in the order of the counters, so that arrays of them repeat themselves.
    fn entries(self, begins: &str, as_of: &str, from: &str) -> String {
        let table = self.counters.table();
        let columns = |alias: &str| {
            let named = self.columns().into_iter();
            let named: Vec<String> = named.map(|column| format!("{alias}.{column}")).collect();
            named.join(", ")
        };
        let same: Vec<String> = ["company_id"]
            .into_iter()
            .chain(self.columns())
            .filter(|column| *column != "count")
            .map(|column| format!("v.{column} = c.{column}"))
            .collect();
        let named = self.columns().join(", ");
        format!(
            "v AS MATERIALIZED (SELECT c.since AS valid_from, CAST(NULL AS bigint) AS valid_until, {of_rows} \
                 FROM public.{table} c WHERE {counted} AND c.since <= {as_of} \
               UNION ALL SELECT v.valid_from, CASE WHEN v.valid_until <= {as_of} THEN v.valid_until END, {of_versions} \
                 FROM public.{table} c CROSS JOIN LATERAL (SELECT * FROM past.{table} v WHERE {same} AND v.valid_until > {from} OFFSET 0) v \
                 WHERE {counted} AND v.valid_from <= {as_of}), \
             begins AS MATERIALIZED (SELECT array_agg(since ORDER BY since) AS since FROM ({begins}) b), \
             spans AS (SELECT n, since[n] AS since, since[n + 1] AS until FROM begins, generate_subscripts(begins.since, 1) AS n), \
             entries AS (SELECT s.since, CASE WHEN e.valid_from > s.since THEN e.valid_from END AS valid_from, \
                 CASE WHEN e.valid_until < s.until OR s.until IS NULL THEN e.valid_until END AS valid_until, {of_entries} \
                 FROM spans s LEFT JOIN (SELECT n, v.* FROM v, begins b, \
                     generate_series(greatest(width_bucket(v.valid_from, b.since), 1), \
                         CASE WHEN v.valid_until IS NULL THEN cardinality(b.since) ELSE width_bucket(v.valid_until - 1, b.since) END) AS n) e \
                 ON e.n = s.n ORDER BY s.since, {named}, 2)",
            of_rows = columns("c"),
            of_versions = columns("v"),
            of_entries = columns("e"),
            counted = self.counted("c"),
            same = same.join(" AND "),
        )
    }

    /// Whether its spans are what they would be if they were made anew, with the same beginnings, as of this position.
    async fn is_right(
        self,
        connection: &mut PgConnection,
        as_of: i64,
    ) -> Result<bool, sqlx::Error> {
        let begins = format!("SELECT since FROM past.count_spans WHERE {}", self.own());
        let named = self.columns().join(", ");
        let mut unpacked = Vec::new();
        for column in ["valid_from", "valid_until"]
            .into_iter()
            .chain(self.columns())
        {
            unpacked.push(format!("unnest({column}) AS {column}"));
        }
        sqlx::query_scalar(&format!(
            "WITH {entries}, wanted AS MATERIALIZED (SELECT since, valid_from, valid_until, {named} FROM entries WHERE stage_id IS NOT NULL), \
             there AS MATERIALIZED (SELECT since, {unpacked} FROM past.count_spans WHERE {own}) \
             SELECT coalesce((SELECT min(since) = 0 FROM ({begins}) b), false) \
             AND NOT EXISTS ((TABLE there EXCEPT ALL TABLE wanted) UNION ALL (TABLE wanted EXCEPT ALL TABLE there))",
            entries = self.entries(&begins, "$1", "-1"),
            unpacked = unpacked.join(", "),
            own = self.own(),
        ))
        .bind(as_of)
        .fetch_one(connection)
        .await
    }
}

/// The parts whose spans are not what they would be if they were made anew, in words: readers are shown other counts of the past than its counters
/// had.
///
/// # Errors
/// What the database answers.
pub async fn wrong(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let end: i64 = sqlx::query_scalar("SELECT position FROM public.ledger_head")
        .fetch_one(&mut *connection)
        .await?;
    // What no key and no constraint would allow, where there is one.
    let mut wrong: Vec<String> = sqlx::query_scalar(
        "SELECT format('past.count_parts: company_id=%s counters=%s first_day=%s: is there more than once, or no part', company_id, counters, first_day) \
             FROM past.count_parts GROUP BY counters, company_id, first_day HAVING count(*) > 1 OR NOT isfinite(first_day) \
         UNION ALL SELECT format('past.count_spans: company_id=%s counters=%s first_day=%s since=%s: is there more than once, or of no part', \
             company_id, counters, first_day, since) FROM past.count_spans s GROUP BY counters, company_id, first_day, since \
             HAVING count(*) > 1 OR NOT EXISTS (SELECT 1 FROM past.count_parts p WHERE (p.counters, p.company_id, p.first_day) \
                 = (s.counters, s.company_id, s.first_day)) ORDER BY 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    if !wrong.is_empty() {
        return Ok(wrong);
    }
    for counters in Counters::ALL {
        let parts: Vec<(i64, NaiveDate, i64)> = sqlx::query_as(
            "SELECT company_id, first_day, as_of FROM past.count_parts WHERE counters = $1 ORDER BY 1, 2",
        )
        .bind(counters.table())
        .fetch_all(&mut *connection)
        .await?;
        for of_company in parts.chunk_by(|a, b| a.0 == b.0) {
            let firsts: Vec<NaiveDate> = of_company.iter().map(|(_, first, _)| *first).collect();
            for ((company, first, as_of), days) in of_company.iter().zip(parted(&firsts)) {
                let part = Part {
                    company: CompanyId(*company),
                    counters,
                    days,
                };
                // Counters without days have one part.
                let is_part = counters == Counters::ByDay || *first == FIRST_DAY;
                // What it tells of positions to come would be wrong as soon as something happens.
                if *as_of > end || !is_part || !part.is_right(connection, *as_of).await? {
                    let table = counters.table();
                    wrong.push(format!(
                        "past.count_spans: company_id={company} counters={table} first_day={first}: are not what these counters said"
                    ));
                }
            }
        }
    }
    Ok(wrong)
}

/// Deletes every span of these tables: what they tell about was made anew.
///
/// # Errors
/// What the database answers.
pub async fn forget(connection: &mut PgConnection, tables: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM past.count_parts WHERE counters = ANY($1)")
        .bind(tables)
        .execute(connection)
        .await?;
    Ok(())
}
