//! How many leads contain a text: exact up to 10,000; above, an estimate by a sample of them. And which those are, where they are collected anyway.
//!
//! The sample is of leads by their ids. It does not depend on who asks, on the planner's statistics or on what other companies have, and so the
//! estimate of a past moment is the one that was given then.
//! Of 10,001 hits the sample has some 310, of which the standard deviation is 5.7 in a hundred; of more it is less.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, QueryBuilder};

use super::counts::{self, LeadFilter};
use super::list::{self, Cursor, Wanted};
use crate::page::{PageRequest, Total};
use crate::plans;
use crate::total::{self, EXACT_UP_TO};

/// A number from 0 to 4,095 that a lead's id is scattered to: multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), which spreads
/// ids that follow each other evenly. The conditions of the indexes `leads_sample` and `leads_sample_search` (migration 0040) say the same.
const SCATTERED: &str = "((l.id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint)";

/// The condition of the fine sample, for a walk through it by the index `leads_sample_walk` (migration 0049), which says the same: those bits are set
/// in the numbers from [`FINE`] on.
const IS_FINE: &str =
    "((l.id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint & 3968::bigint) = 0";

/// How many different numbers there are.
const NUMBERS: i64 = 4_096;

/// Of the fine sample, which has an index of the text and one to be walked through, the numbers are below this one.
const FINE: i64 = 128;
/// Of the coarse sample, which is walked through.
const COARSE: i64 = 8;
/// Of the part of the coarse sample that is looked at first in very large companies.
const PROBE: i64 = 1;

/// So many rows that an index tells of, without a look at them, cost as much as one that is looked at.
pub(super) const PASSED_OVER: i64 = 64;

/// With so many hits the coarse sample is good enough: a standard deviation of five in a hundred.
const ENOUGH: i64 = 400;
/// With so many hits in the part that is looked at first the coarse sample has enough, and the fine one needs not be collected.
const MOST: i64 = ENOUGH * PROBE / COARSE;
/// With so many hits in the fine sample the coarse one has about enough.
const MANY: i64 = ENOUGH * FINE / COARSE;
/// With so many in the fine sample there are more than 10,000, of which it would have some 312: five standard deviations more.
const CERTAIN: i64 = 400;

/// The rows and versions that held at the moment, which is compared with these.
macro_rules! past {
    ($from:literal, $until:literal) => {
        concat!(
            "(SELECT * FROM (\
             SELECT id, company_id, full_name, search, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, created_at, updated_at, \
                position AS valid_from, 9223372036854775807 AS valid_until FROM public.leads \
             UNION ALL SELECT id, company_id, full_name, search, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, created_at, updated_at, \
                valid_from, valid_until FROM past.leads) t WHERE ",
            $from,
            " <= (SELECT current_setting('leadledger.as_of')::bigint) AND ",
            $until,
            " > (SELECT current_setting('leadledger.as_of')::bigint)) l"
        )
    };
}

/// In which rows hits are counted; SQL of what comes behind `FROM`, as `l`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Where an index of the text finds them.
    collected: &'static str,
    /// Where they are walked through.
    walked: &'static str,
}

/// The leads.
pub(super) const TODAY: Rows = Rows {
    collected: "leads l",
    walked: "leads l",
};

/// Those of the past, on a connection on which the tables are those of the moment. Not by the view of the leads, which says besides that
/// they came before the moment: PostgreSQL takes that for rare, and reads the index of everybody's last change to count a few thousand hits.
/// Nor does it read the index of all ids to learn which of the hits held: what is added up is in no index. A walk has its own, which tells.
pub(super) const OF_THE_PAST: Rows = Rows {
    collected: past!("t.valid_from + 0", "t.valid_until + 0"),
    walked: past!("t.valid_from", "t.valid_until"),
};

/// About how many leads contain a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    hits: i64,
    above: bool,
}

impl Estimate {
    /// The estimated number.
    pub fn hits(self) -> i64 {
        self.hits
    }

    /// What is told where there are more than can be counted.
    pub fn total(self) -> Total {
        Total::estimated(self.hits)
    }

    /// Whether there are certainly more than can be counted.
    pub fn is_above(self) -> bool {
        self.above
    }
}

/// How many leads of the list contain the text, where `all` meet its filter; and the ids of a page and one more, where the count had to collect
/// the hits anyway.
pub(super) async fn found(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    text: &str,
    all: i64,
) -> Result<(Total, Option<Vec<i64>>), sqlx::Error> {
    let mut estimated = Total::exact(all);
    if all > EXACT_UP_TO {
        let walk = if *list.filter == LeadFilter::default() {
            all
        } else {
            counts::total(connection, list.company, &LeadFilter::default()).await?
        };
        let collected = expected(connection, list, text).await?;
        let estimate = estimate(connection, TODAY, list, text, (all, walk, collected)).await?;
        if estimate.is_above() {
            return Ok((estimate.total(), None));
        }
        estimated = estimate.total();
    }
    let found = found_at_once(connection, TODAY, list, request, all).await?;
    Ok(found.map_or((estimated, None), |(total, ids)| (total, Some(ids))))
}

/// How many contain the text, and the ids of a page and one more, collected in one go; `None` where there are more than 10,000, or where an estimate
/// would find more whatever is counted. That is told by the same hits. `all` is how many meet the list's filter.
pub(super) async fn found_at_once(
    connection: &mut PgConnection,
    rows: Rows,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
    all: i64,
) -> Result<Option<(Total, Vec<i64>)>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!(
        "WITH hits AS MATERIALIZED (SELECT l.id, l.created_at, l.updated_at, l.full_name FROM {}",
        rows.collected
    ));
    list::push_conditions(&mut query, list.company, list.filter, list.text);
    query
        .push(" LIMIT ")
        .push_bind(EXACT_UP_TO + 1)
        .push(format!(
            ") SELECT count(*), count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}), \
             ARRAY(SELECT l.id FROM hits l WHERE true",
            below(FINE),
            below(PROBE)
        ));
    list::push_page(&mut query, list, request);
    query.push(") FROM hits l");
    let mut transaction = plans::for_values(connection).await?;
    let (counted, fine, probe, ids): (i64, i64, i64, Vec<i64>) =
        query.build_query_as().fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    let is_above = all > EXACT_UP_TO && (fine >= CERTAIN || (is_probed(all) && probe >= MOST));
    Ok((counted <= EXACT_UP_TO && !is_above).then(|| (Total::exact(counted), ids)))
}

/// The ids of a page of what contains the text, and one more, collected as a whole.
pub(super) async fn ids(
    connection: &mut PgConnection,
    rows: Rows,
    list: Wanted<'_>,
    request: &PageRequest<Cursor>,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("SELECT l.id FROM {}", rows.collected));
    list::push_conditions(&mut query, list.company, list.filter, list.text);
    list::push_page(&mut query, list, request);
    let mut transaction = plans::for_values(connection).await?;
    let ids = query
        .build_query_scalar()
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(ids)
}

/// Whether among so many leads the coarse sample's part is looked at first.
const fn is_probed(all: i64) -> bool {
    all >= MOST * one_in(PROBE)
}

/// About how many of the leads, `all` of which meet the list's filter. `walk` tells how many rows a walk through all leads of the company would look
/// at: each, and one in [`PASSED_OVER`] of other times; `collected`, how many an index of the search would find of all times ([`expected`]).
pub(super) async fn estimate(
    connection: &mut PgConnection,
    rows: Rows,
    list: Wanted<'_>,
    text: &str,
    (all, walk, collected): (i64, i64, i64),
) -> Result<Estimate, sqlx::Error> {
    let is_most =
        is_probed(all) && walked(connection, rows, list, text, &below(PROBE)).await? >= MOST;
    let looked_up = if is_most {
        MANY
    } else if walk + walk / 2 <= collected {
        // The index of the text finds the sampled leads of all times, and looks at each.
        walked(connection, rows, list, text, IS_FINE)
            .await?
            .min(MANY)
    } else {
        total::counted(connection, |query| {
            query.push(format!("SELECT 1 FROM {}", rows.collected));
            list::push_conditions(query, list.company, list.filter, Some(text));
            query.push(format!(" AND {} LIMIT {MANY}", below(FINE)));
        })
        .await?
        .count
    };
    let mut hits = looked_up * one_in(FINE);
    if looked_up >= MANY {
        let coarse = walked(connection, rows, list, text, &below(COARSE)).await?;
        hits = hits.max(coarse * one_in(COARSE));
    }
    Ok(Estimate {
        hits: hits.min(all),
        above: looked_up >= CERTAIN,
    })
}

/// How many of a sample that is walked through contain the text.
async fn walked(
    connection: &mut PgConnection,
    rows: Rows,
    list: Wanted<'_>,
    text: &str,
    sample: &str,
) -> Result<i64, sqlx::Error> {
    // PostgreSQL would look for a text that it takes for rare by the index of the search of all leads, if it saw it in the condition.
    let walked = total::counted(connection, |query| {
        query.push(format!(
            "SELECT 1 FROM (SELECT l.search FROM {}",
            rows.walked
        ));
        list::push_conditions(query, list.company, list.filter, None);
        list::push_not_hidden(query);
        query.push(format!(" AND {sample} OFFSET 0) l WHERE "));
        list::push_contains(query, text);
    });
    Ok(walked.await?.count)
}

/// Of how many leads one has a number below this one.
const fn one_in(below: i64) -> i64 {
    NUMBERS / below
}

/// The condition of a sample. Not bound: the index is known by it.
fn below(number: i64) -> String {
    format!("{SCATTERED} < {number}")
}

/// How many rows and versions that meet the list's filter contain the text, as the planner expects it: an index of the search finds them all.
pub(super) async fn expected(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    text: &str,
) -> Result<i64, sqlx::Error> {
    total::expected(connection, |query| {
        for (table, between) in [("public", ""), ("past", " UNION ALL ")] {
            query.push(format!("{between}SELECT 1 FROM {table}.leads l"));
            list::push_conditions(query, list.company, list.filter, None);
            query.push(" AND ");
            list::push_contains(query, text);
        }
    })
    .await
}

/// How many rows and versions a company's leads have, as the planner expects it.
pub(super) async fn rows_of_all_times(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<i64, sqlx::Error> {
    total::expected(connection, |query| {
        query
            .push("SELECT 1 FROM public.leads WHERE company_id = ")
            .push_bind(company.get())
            .push(" UNION ALL SELECT 1 FROM past.leads WHERE company_id = ")
            .push_bind(company.get());
    })
    .await
}
