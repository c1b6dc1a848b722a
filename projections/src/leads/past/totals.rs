//! How many leads searches of the past were found to have.
//!
//! Few enough hits are counted, and of a past moment by way of all leads that ever contained the text, which can take many times as long as the
//! page. But what a moment held stays what it is, and whoever looks at it turns pages: so it is counted once. In memory alone, because a text
//! may be somebody's name.

use aggregates::ids::CompanyId;
use quick_cache::sync::Cache;
use sqlx::PgConnection;

use crate::leads::counts::LeadFilter;
use crate::leads::list::Wanted;
use crate::page::Total;

/// How many searches are remembered: of a short text each takes some 300 bytes.
const SEARCHES: usize = 4_096;

/// What was counted, by what was asked for.
#[derive(Debug)]
pub struct PastTotals(Cache<Search, Total>);

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
        Self(Cache::new(SEARCHES))
    }
}

impl PastTotals {
    pub(super) fn of(&self, search: &Search) -> Option<Total> {
        self.0.get(search)
    }

    pub(super) fn remember(&self, search: Search, total: Total) {
        self.0.insert(search, total);
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
