//! Counters of the past that are read together: what all counters of a part of a company's said between two positions.
//!
//! A counter's versions lie together, and so what a thousand counters said at a moment takes a thousand look-ups. A span has what all of them said
//! for a while in one row: once more whatever held when it began, and what came since. That is how time-split B-trees split (Lomet and Salzberg,
//! Access Methods for Multiversion Data, 1989): where a span has as many new versions as there are counters, both the room it takes and the time
//! to read a moment stay within twice the least.
//!
//! Counters by day are parted by days, so that a few days are read without the others. A part's spans tell about positions up to the one as of which
//! they were made; what its counters said later is looked up, which only those that changed since need.
//!
//! Here is how they are read, [`build`] makes and checks them.

pub mod build;

use aggregates::ids::CompanyId;
use chrono::NaiveDate;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::leads::counts::{self, LeadFilter};

/// Counters that can have spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counters {
    /// `stage_counts`.
    Whole,
    /// `stage_counts_daily`.
    ByDay,
}

impl Counters {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Whole, Self::ByDay];

    /// Their table, and their name in `past.count_parts.counters`.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Whole => "stage_counts",
            Self::ByDay => "stage_counts_daily",
        }
    }

    const fn of(filter: &LeadFilter) -> Self {
        if filter.is_dated() {
            Self::ByDay
        } else {
            Self::Whole
        }
    }
}

/// Some days: from the first on, and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days {
    first: NaiveDate,
    /// `None`: all later ones.
    end: Option<NaiveDate>,
}

impl Days {
    /// The filter, within these days.
    fn within(self, filter: &LeadFilter) -> LeadFilter {
        let last = self.end.and_then(|end| end.pred_opt());
        LeadFilter {
            created_from: filter.created_from.max(Some(self.first)),
            created_to: match (filter.created_to, last) {
                (Some(to), Some(last)) => Some(to.min(last)),
                (to, last) => to.or(last),
            },
            ..filter.clone()
        }
    }
}

/// Parts that begin with these days, the first ones first.
fn parted(firsts: &[NaiveDate]) -> impl Iterator<Item = Days> {
    let ends = firsts.iter().skip(1).copied().map(Some).chain([None]);
    let days = firsts.iter().copied().zip(ends);
    days.map(|(first, end)| Days { first, end })
}

/// The number of leads per stage id at this position, for the stages that have any: by spans as far as there are, and else by what the counters'
/// versions say. On a connection on which the tables are those of the moment.
///
/// # Errors
/// What the database answers.
pub(crate) async fn by_stage(
    connection: &mut PgConnection,
    moment: i64,
    company: CompanyId,
    filter: &LeadFilter,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let mut query = by_spans(moment, company, filter);
    let rows: Vec<Told> = query.build_query_as().fetch_all(&mut *connection).await?;
    let mut found: Vec<(i64, i64)> = Vec::new();
    let mut parts: Vec<(Days, i64)> = Vec::new();
    for (stage, number, first, end) in rows {
        match (stage, first) {
            (Some(stage), _) => found.push((stage, number)),
            (None, Some(first)) => parts.push((Days { first, end }, number)),
            (None, None) => {}
        }
    }
    if parts.is_empty() {
        return counts::by_stage(connection, company, filter).await;
    }
    parts.sort_by_key(|(days, _)| days.first);
    let mut others: Vec<Days> = Vec::new();
    for (days, as_of) in parts {
        if as_of >= moment {
            continue;
        }
        match others.last_mut() {
            // Neighbours are asked for together.
            Some(last) if last.end == Some(days.first) => last.end = days.end,
            _ => others.push(days),
        }
    }
    for days in others {
        let within = if filter.is_dated() {
            days.within(filter)
        } else {
            filter.clone()
        };
        for (stage, count) in counts::by_stage(connection, company, &within).await? {
            match found.iter_mut().find(|(known, _)| *known == stage) {
                Some((_, sum)) => *sum += count,
                None => found.push((stage, count)),
            }
        }
    }
    Ok(found)
}

/// Either a stage and how many leads are in it by spans, or the position up to which the spans of a part tell, its first day, and the one behind its last.
type Told = (Option<i64>, i64, Option<NaiveDate>, Option<NaiveDate>);

/// What the spans tell of a moment, and the parts that are asked for, whether or not they tell. In one statement, and so of one snapshot: parts are cut,
/// and spans made anew and deleted, at any time.
fn by_spans(
    moment: i64,
    company: CompanyId,
    filter: &LeadFilter,
) -> QueryBuilder<'static, Postgres> {
    let counters = Counters::of(filter);
    let mut query = QueryBuilder::new(
        "WITH parts AS MATERIALIZED (SELECT * FROM (SELECT first_day, as_of, lead(first_day) OVER (ORDER BY first_day) AS behind, \
         min(first_day) OVER () AS begin FROM past.count_parts WHERE counters = ",
    );
    query
        .push_bind(counters.table())
        .push(" AND company_id = ")
        .push_bind(company.get())
        .push(") p WHERE p.begin = ")
        // Without the first part nothing tells of the days before the others.
        .push_bind(build::FIRST_DAY);
    if let Some(to) = filter.created_to {
        query.push(" AND p.first_day <= ").push_bind(to);
    }
    if let Some(from) = filter.created_from {
        query
            .push(" AND (p.behind IS NULL OR p.behind > ")
            .push_bind(from)
            .push(")");
    }
    query.push(
        ") SELECT CAST(NULL AS bigint), as_of, first_day, behind FROM parts \
         UNION ALL SELECT c.stage_id, sum(c.count)::bigint, NULL, NULL FROM (SELECT ",
    );
    // No others are unpacked.
    let columns = counts::conditioned(filter);
    for column in ["valid_from", "valid_until", "stage_id", "count"]
        .into_iter()
        .chain(columns.filter(|column| *column != "stage_id"))
    {
        if column != "valid_from" {
            query.push(", ");
        }
        query.push(format!("unnest(s.{column}) AS {column}"));
    }
    query
        .push(" FROM parts p CROSS JOIN LATERAL (SELECT * FROM past.count_spans s WHERE s.counters = ")
        .push_bind(counters.table())
        .push(" AND s.company_id = ")
        .push_bind(company.get())
        .push(" AND s.first_day = p.first_day AND s.since <= ")
        .push_bind(moment)
        .push(" ORDER BY s.since DESC LIMIT 1) s WHERE p.as_of >= ")
        .push_bind(moment)
        .push(") c WHERE (c.valid_from IS NULL OR c.valid_from <= ")
        .push_bind(moment)
        .push(") AND (c.valid_until IS NULL OR c.valid_until > ")
        .push_bind(moment)
        .push(")");
    counts::push_conditions(&mut query, filter);
    query.push(" GROUP BY c.stage_id HAVING sum(c.count) <> 0");
    query
}
