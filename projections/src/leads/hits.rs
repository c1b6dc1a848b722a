//! How many leads contain a text: exact up to 10,000; above, an estimate by a sample of them.
//!
//! The sample is of leads by their ids. It does not depend on who asks, on the planner's statistics or on what other companies have, and so the
//! estimate of a past moment is the one that was given then.
//! Of 10,001 hits the sample has some 310, of which the standard deviation is 5.7 in a hundred; of more it is less.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::counts;
use super::list::{self, Wanted};
use crate::page::Total;
use crate::total;

/// A number from 0 to 4,095 that a lead's id is scattered to: multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), which spreads
/// ids that follow each other evenly. The conditions of the indexes `leads_sample` and `leads_sample_search` (migration 0040) say the same.
const SCATTERED: &str = "((l.id & 2147483647::bigint) * 2654435761::bigint >> 20 & 4095::bigint)";

/// A part of the leads that is looked at for all.
#[derive(Clone, Copy)]
struct Sample {
    /// The scattered numbers below this one.
    below: i64,
    /// One lead in so many.
    one_in: i64,
}

/// Walked through for what most leads of a very large company contain.
const COARSE: Sample = Sample {
    below: 8,
    one_in: 512,
};
/// Has an index of the text.
const FINE: Sample = Sample {
    below: 128,
    one_in: 32,
};
/// With so many hits in it the coarse sample is good enough: a standard deviation of five in a hundred.
const ENOUGH: i64 = 400;

/// How many leads of the list contain the text.
pub(super) async fn total(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    text: &str,
) -> Result<Total, sqlx::Error> {
    match exact(connection, list, text).await? {
        Some(total) => Ok(total),
        None => estimated(connection, list, text).await,
    }
}

/// How many, when they are not more than 10,000.
pub(super) async fn exact(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    text: &str,
) -> Result<Option<Total>, sqlx::Error> {
    total::exact(connection, |query| {
        query.push("SELECT 1 FROM leads l");
        list::push_conditions(query, list.company, list.filter, Some(text));
    })
    .await
}

/// How many of more than 10,000.
pub(super) async fn estimated(
    connection: &mut PgConnection,
    list: Wanted<'_>,
    text: &str,
) -> Result<Total, sqlx::Error> {
    let all = counts::total(connection, list.company, list.filter).await?;
    // PostgreSQL would look for a text that it takes for rare by the index of the search of all leads, if it saw it in the condition.
    let walked = |query: &mut QueryBuilder<'_, Postgres>| {
        query.push("SELECT 1 FROM (SELECT l.search FROM leads l");
        list::push_conditions(query, list.company, list.filter, None);
        list::push_searched(query);
        push_sample(query, COARSE);
        query.push(" OFFSET 0) l WHERE ");
        list::push_contains(query, text);
    };
    let looked_up = |query: &mut QueryBuilder<'_, Postgres>| {
        query.push("SELECT 1 FROM leads l");
        list::push_conditions(query, list.company, list.filter, Some(text));
        push_sample(query, FINE);
    };
    let mut found = 0;
    if all >= ENOUGH * COARSE.one_in {
        found = total::counted(&mut *connection, walked).await? * COARSE.one_in;
    }
    if found < ENOUGH * COARSE.one_in {
        found = total::counted(&mut *connection, looked_up).await? * FINE.one_in;
    }
    Ok(Total::estimated(found.min(all)))
}

fn push_sample(query: &mut QueryBuilder<'_, Postgres>, sample: Sample) {
    // Not bound: the index is known by it.
    query.push(format!(" AND {SCATTERED} < {}", sample.below));
}

/// How many of so many leads contain the text, as the planner expects it: by the share of the leads of all companies today. Good for
/// choosing a way, not for telling anybody.
pub(super) async fn expected(
    connection: &mut PgConnection,
    leads: i64,
    text: &str,
) -> Result<i64, sqlx::Error> {
    let contain_it = total::planned(connection, |query| {
        query.push("SELECT 1 FROM leads l WHERE ");
        list::push_contains(query, text);
    });
    let contain_it = i128::from(contain_it.await?);
    let all = total::planned(connection, |query| {
        query.push("SELECT 1 FROM leads");
    });
    let all = i128::from(all.await?.max(1));
    Ok(i64::try_from(i128::from(leads) * contain_it / all).unwrap_or(leads))
}

/// How many rows and versions a company's leads have, as the planner expects it.
pub(super) async fn rows_of_all_times(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<i64, sqlx::Error> {
    total::planned(connection, |query| {
        query
            .push("SELECT 1 FROM leads WHERE company_id = ")
            .push_bind(company.get())
            .push(" UNION ALL SELECT 1 FROM past.leads WHERE company_id = ")
            .push_bind(company.get());
    })
    .await
}
