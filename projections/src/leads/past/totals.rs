//! How many leads the past was found to have: in each stage, and what contains a text; and the first of these.
//!
//! How many meet a filter is the sum of as many counters as there are combinations of what leads are classified by. Few enough hits are counted, and of a past moment by way of all leads that ever contained the text, which can take many times as long as the
//! page. But what a moment held stays what it is, and whoever looks at it turns pages: so it is counted once. In memory alone, because a text
//! may be somebody's name.

use std::sync::Arc;

use aggregates::ids::CompanyId;
use quick_cache::sync::Cache;
use sqlx::PgConnection;

use super::Past;
use crate::count_spans;
use crate::leads::counts::LeadFilter;
use crate::leads::list::{Cursor, Sort, Wanted};
use crate::page::{PageFrom, PageRequest, Total};

/// How many searches are remembered, and how many sums: of a short text each takes some 300 bytes.
const SEARCHES: usize = 4_096;

/// Of how many searches the first hits are remembered: at most 16 kB each.
const LISTS: usize = 256;

/// How many hits, in the order of the list, are remembered of a search that had to collect them.
const FIRST: i64 = 2_000;

/// What was counted, by what was asked for.
#[derive(Debug)]
pub struct PastTotals {
    searches: Cache<Search, Total>,
    lists: Cache<(Search, Sort), Arc<[i64]>>,
    stages: Cache<Counted, Arc<[(i64, i64)]>>,
}

/// What sums of counters depend on. Nothing that happens later changes them: who is erased goes on counting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Counted {
    moment: i64,
    company: CompanyId,
    filter: LeadFilter,
}

/// What a total depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Search {
    /// The position as of which it is searched.
    moment: i64,
    /// The position of the last blocking, unblocking or erasure of a lead: these alone change what the past has.
    hidden_until: i64,
    company: CompanyId,
    filter: LeadFilter,
    text: String,
}

impl Default for PastTotals {
    fn default() -> Self {
        Self {
            searches: Cache::new(SEARCHES),
            lists: Cache::new(LISTS),
            stages: Cache::new(SEARCHES),
        }
    }
}

impl PastTotals {
    pub(super) fn of(&self, search: &Search) -> Option<Total> {
        self.searches.get(search)
    }

    pub(super) fn remember(&self, search: Search, total: Total) {
        self.searches.insert(search, total);
    }

    /// The ids of a page by its number, and one more, from what is remembered of the list. What a cursor means depends on more than ids.
    pub(super) fn page(
        &self,
        search: &Search,
        sort: Sort,
        request: &PageRequest<Cursor>,
    ) -> Option<Vec<i64>> {
        if request.after().is_some() {
            return None;
        }
        let ids = self.lists.get(&(search.clone(), sort))?;
        let is_whole = ids.len() < usize::try_from(FIRST).ok()?;
        let page = page(&ids, request);
        (is_whole || request.is_filled_by(page.len())).then_some(page)
    }

    pub(super) fn remember_first(&self, search: Search, sort: Sort, ids: Arc<[i64]>) {
        self.lists.insert((search, sort), ids);
    }
}

impl Past<'_> {
    /// The number of leads per stage id, as [`by_stage`](crate::leads::counts::by_stage) of the moment.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn by_stage(
        self,
        connection: &mut PgConnection,
        company: CompanyId,
        filter: &LeadFilter,
    ) -> Result<Arc<[(i64, i64)]>, sqlx::Error> {
        let counted = Counted {
            moment: self.moment,
            company,
            filter: filter.clone(),
        };
        if let Some(known) = self.totals.stages.get(&counted) {
            return Ok(known);
        }
        let found: Arc<[(i64, i64)]> =
            count_spans::by_stage(connection, self.moment, company, filter)
                .await?
                .into();
        self.totals.stages.insert(counted, found.clone());
        Ok(found)
    }

    /// The exact number of leads that the filter meets, as [`total`](crate::leads::counts::total) of the moment.
    pub(super) async fn leads(
        self,
        connection: &mut PgConnection,
        company: CompanyId,
        filter: &LeadFilter,
    ) -> Result<i64, sqlx::Error> {
        let by_stage = self.by_stage(connection, company, filter).await?;
        Ok(by_stage.iter().map(|(_, count)| count).sum())
    }
}

impl Search {
    /// To be asked for before anything is counted, so that no count of before an erasure is taken for one of after it.
    pub(super) async fn of(
        connection: &mut PgConnection,
        moment: i64,
        list: Wanted<'_>,
        text: &str,
    ) -> Result<Self, sqlx::Error> {
        let hidden_until =
            sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM public.lead_erasures")
                .fetch_one(connection)
                .await?;
        Ok(Self {
            moment,
            hidden_until,
            company: list.company,
            filter: list.filter.clone(),
            text: text.to_owned(),
        })
    }
}

/// What is to be asked for so that a page is found and the first hits can be remembered: these, if the page is among them.
pub(super) fn first_of(request: &PageRequest<Cursor>) -> Option<PageRequest<Cursor>> {
    let first = PageRequest {
        per_page: FIRST - 1,
        from: PageFrom::Offset(0),
    };
    let end = request.offset().saturating_add(request.per_page);
    (request.after().is_none() && end < FIRST).then_some(first)
}

/// The page by its number, and one more, of the first ids of a list.
pub(super) fn page(ids: &Arc<[i64]>, request: &PageRequest<Cursor>) -> Vec<i64> {
    let rows = |rows: i64| usize::try_from(rows).unwrap_or(usize::MAX);
    let from = ids.iter().copied().skip(rows(request.offset()));
    from.take(rows(request.per_page + 1)).collect()
}
