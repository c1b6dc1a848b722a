//! How many leads the past was found to have: in each stage, and what contains a text.
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
use crate::leads::list::Wanted;
use crate::page::Total;

/// How many searches are remembered, and how many sums: of a short text each takes some 300 bytes.
const SEARCHES: usize = 4_096;

/// What was counted, by what was asked for.
#[derive(Debug)]
pub struct PastTotals {
    searches: Cache<Search, Total>,
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
