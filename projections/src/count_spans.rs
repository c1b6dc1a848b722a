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
use sqlx::{PgConnection, QueryBuilder};

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
    /// Whether any of them is asked for.
    fn are_of(self, filter: &LeadFilter) -> bool {
        filter.created_to.is_none_or(|to| self.first <= to)
            && self
                .end
                .is_none_or(|end| filter.created_from.is_none_or(|from| from < end))
    }

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
    let counters = Counters::of(filter);
    let parts: Vec<(NaiveDate, i64)> = sqlx::query_as(
        "SELECT first_day, as_of FROM past.count_parts WHERE counters = $1 AND company_id = $2 ORDER BY first_day",
    )
    .bind(counters.table())
    .bind(company.get())
    .fetch_all(&mut *connection)
    .await?;
    let firsts: Vec<NaiveDate> = parts.iter().map(|(first, _)| *first).collect();
    if firsts.first() != Some(&build::FIRST_DAY) {
        return counts::by_stage(connection, company, filter).await;
    }
    let (mut told, mut others): (Vec<NaiveDate>, Vec<Days>) = (Vec::new(), Vec::new());
    for (days, (_, as_of)) in parted(&firsts).zip(&parts) {
        if !days.are_of(filter) {
            continue;
        }
        if *as_of >= moment {
            told.push(days.first);
            continue;
        }
        match others.last_mut() {
            // Neighbours are asked for together.
            Some(last) if last.end == Some(days.first) => last.end = days.end,
            _ => others.push(days),
        }
    }
    let mut found = Vec::new();
    if !told.is_empty() {
        found = by_spans(connection, moment, company, filter, told).await?;
    }
    for days in others {
        let within = match counters {
            Counters::Whole => filter.clone(),
            Counters::ByDay => days.within(filter),
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

/// Of the parts that begin with these days.
async fn by_spans(
    connection: &mut PgConnection,
    moment: i64,
    company: CompanyId,
    filter: &LeadFilter,
    firsts: Vec<NaiveDate>,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let mut query = QueryBuilder::new("SELECT c.stage_id, sum(c.count)::bigint FROM (SELECT ");
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
        .push(" FROM unnest(")
        .push_bind(firsts)
        .push(
            ") AS p(first_day) CROSS JOIN LATERAL (SELECT * FROM past.count_spans s WHERE s.counters = ",
        )
        .push_bind(Counters::of(filter).table())
        .push(" AND s.company_id = ")
        .push_bind(company.get())
        .push(" AND s.first_day = p.first_day AND s.since <= ")
        .push_bind(moment)
        .push(" ORDER BY s.since DESC LIMIT 1) s) c WHERE (c.valid_from IS NULL OR c.valid_from <= ")
        .push_bind(moment)
        .push(") AND (c.valid_until IS NULL OR c.valid_until > ")
        .push_bind(moment)
        .push(")");
    counts::push_conditions(&mut query, filter);
    query.push(" GROUP BY c.stage_id HAVING sum(c.count) <> 0");
    query.build_query_as().fetch_all(connection).await
}
