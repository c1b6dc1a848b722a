//! How many leads of a past moment contain a text: estimated, walked through, or collected by the index of the search, whichever passes fewer.
//!
//! Not here: what is remembered of it (`totals`), and the page itself ([`super`]).

use sqlx::PgConnection;

use super::Past;
use super::map::Map;
use crate::leads::counts::LeadFilter;
use crate::leads::hits::{self, Estimate};
use crate::leads::list::{Cursor, Sort, SortColumn, Wanted};
use crate::page::{PageRequest, Total};
use crate::plans;
use crate::total::EXACT_UP_TO;
use crate::zone_maps::{ASTRAY, ZonedList};

/// A lead that is walked to costs as much as so many that an index of the search finds.
const DEARER: i64 = 2;

/// So many that an index of the search finds are collected without looking for a shorter way: that would take as long.
const AT_ONCE: i64 = EXACT_UP_TO;

/// In a list of more leads a sample is asked first whether what the planner takes for a few hits are not tens of thousands: of what a small part of the
/// leads contain it may know nothing, and a small part of these is many.
const FORESEEN: i64 = 4 * EXACT_UP_TO;

/// What there is to pass in search of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    /// How many leads meet the list's filter.
    pub all: i64,
    /// How many rows and versions the company's leads have, about.
    pub of_all_times: i64,
    /// How many of them an index of the search finds, about.
    pub collected: i64,
}

impl Passed {
    /// Whether whatever contains the text is collected, without asking how many that are.
    pub fn is_collected_at_once(self) -> bool {
        self.all <= FORESEEN && self.collected <= AT_ONCE.min(self.all.saturating_mul(DEARER))
    }

    /// Whether a walk to so many of the hits passes fewer leads than collecting all hits of all times. Collected rows lie anywhere, and cost more
    /// than those that are walked through.
    pub fn walk_is_shorter(self, wanted: i64, hits: i64) -> bool {
        self.is_shorter(self.to(wanted, hits), hits)
    }

    /// The same of a walk through a list in which there are so many leads, of which these are some.
    pub fn walk_among_is_shorter(self, leads: i64, wanted: i64, hits: i64) -> bool {
        let among = Self { all: leads, ..self };
        self.is_shorter(among.to(wanted, hits), hits)
    }

    fn is_shorter(self, walked: i64, hits: i64) -> bool {
        let [walked, hits, all, of_all_times] =
            [walked, hits, self.all, self.of_all_times].map(i128::from);
        hits > 0 && walked * all <= 2 * hits * of_all_times
    }

    /// How many leads a walk to so many of the hits passes.
    fn to(self, wanted: i64, hits: i64) -> i64 {
        let passed = i128::from(wanted) * i128::from(self.all) / i128::from(hits.max(1));
        i64::try_from(passed).map_or(self.all, |passed| passed.min(self.all))
    }
}

/// How many leads contain a text, and what was found out with it.
pub(super) struct Counted {
    pub total: Total,
    /// The leads of the page and one more, where the count had to collect all hits anyway.
    pub ids: Option<Vec<i64>>,
    /// The list without whose map they could not be counted by walking.
    pub unmapped: Option<&'static ZonedList>,
}

/// Counts the leads that contain the text.
pub(super) async fn total(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    (text, request): (&str, &PageRequest<Cursor>),
    passed: Passed,
) -> Result<Counted, sqlx::Error> {
    let Passed { all, collected, .. } = passed;
    let mut estimate = None;
    if all > EXACT_UP_TO {
        let every = LeadFilter::default();
        let leads = past.leads(connection, list.company, &every).await?;
        let walk = leads + passed.of_all_times / hits::PASSED_OVER;
        let sizes = (all, walk, collected);
        let made = hits::estimate(connection, hits::OF_THE_PAST, list, text, sizes).await?;
        if made.is_above() {
            return Ok(Counted {
                total: made.total(),
                ids: None,
                unmapped: None,
            });
        }
        estimate = Some(made);
    }
    let expected = estimate.map_or(all, Estimate::hits);
    let estimated = estimate.map_or(Total::exact(all), Estimate::total);
    // So few are looked through at once.
    let mut unmapped = None;
    if estimate.is_none() || passed.walk_is_shorter(EXACT_UP_TO, expected) {
        let (count, without) = counted(connection, past, list, (all, expected)).await?;
        if let Some(count) = count {
            let exact = (count <= EXACT_UP_TO).then_some(Total::exact(count));
            return Ok(Counted {
                total: exact.unwrap_or(estimated),
                ids: None,
                unmapped: None,
            });
        }
        unmapped = without;
    }
    let found = hits::found_at_once(connection, hits::OF_THE_PAST, list, request, all).await?;
    let (total, ids) = found.map_or((estimated, None), |(total, ids)| (total, Some(ids)));
    Ok(Counted {
        total,
        ids,
        unmapped,
    })
}

/// How many leads contain the text, up to 10,001, counted by walking; or the list without whose map that cannot be done.
async fn counted(
    connection: &mut PgConnection,
    past: Past<'_>,
    list: Wanted<'_>,
    (all, expected): (i64, i64),
) -> Result<(Option<i64>, Option<&'static ZonedList>), sqlx::Error> {
    // The order does not matter to the count, and as they came they lie next to each other.
    let as_they_came = Wanted {
        sort: Sort {
            column: SortColumn::CreatedAt,
            descending: false,
        },
        ..list
    };
    let Some(map) = Map::of(connection, past, as_they_came, expected).await? else {
        return Ok((None, None));
    };
    let one_in = (all / expected.max(1)).max(1);
    let looked_at = EXACT_UP_TO.saturating_mul(one_in).saturating_mul(ASTRAY);
    let mut transaction = plans::for_values(connection).await?;
    let counted = map
        .walk(as_they_came, None)
        .count(&mut transaction, EXACT_UP_TO + 1, (looked_at, all))
        .await?;
    transaction.commit().await?;
    let unmapped = counted.is_none().then_some(map.list);
    Ok((counted, unmapped))
}
