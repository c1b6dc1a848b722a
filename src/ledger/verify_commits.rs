//! The part of `verify` that is about the commits of more than one event (`ledger_commits`), which no hash covers: by them readers know
//! which positions were the end of the ledger for somebody.
//!
//! The events of a commit bear one time, and those of one request its metadata, word by word. So a commit that cannot be is told,
//! and one that is missing too long or too short where two events of one request and one instant lie in it and outside. Which
//! requests were committed together within one microsecond is not known by the events.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::replay::Leaf;
use super::verify_told::Told;
use crate::proof::Hash;

/// The commits, along the events.
#[derive(Debug)]
pub(super) struct Commits {
    /// First and last position, by the last.
    listed: Vec<(i64, i64)>,
    /// The first of them that ends at or behind the event.
    next: usize,
    /// From here on commits are listed.
    listed_from: i64,
    before: Option<(i64, DateTime<Utc>, Option<Hash>)>,
    /// The last one that was found to be none.
    none: Option<(i64, i64)>,
    wrong: Told,
}

impl Commits {
    /// Reads them.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let listed: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT first_position, last_position FROM public.ledger_commits ORDER BY last_position",
        )
        .fetch_all(&mut *connection)
        .await?;
        // A ledger that is older than the list has no commits in it from before.
        let from: Option<i64> = sqlx::query_scalar("SELECT min(position) FROM past.beginning")
            .fetch_one(connection)
            .await?;
        let mut found = Self {
            listed: Vec::new(),
            next: 0,
            listed_from: from.unwrap_or(0),
            before: None,
            none: None,
            wrong: Told::of("ledger_commits"),
        };
        let mut end = 0;
        for (first, last) in &listed {
            if *first <= end {
                found.tell((*first, *last), "begins before the one before it ends");
            } else if first >= last {
                found.tell((*first, *last), "has no second event");
            }
            end = *last;
        }
        found.listed = listed;
        Ok(found)
    }

    fn tell(&mut self, (first, last): (i64, i64), what: &str) {
        self.wrong
            .tell(format_args!("positions {first} to {last}: {what}"));
    }

    /// The next event.
    pub fn take(&mut self, leaf: &Leaf) {
        let here = (leaf.position, leaf.recorded_at, leaf.request);
        let Some((position, recorded_at, request)) = self.before.replace(here) else {
            return;
        };
        let rest = &self.listed[self.next..];
        self.next += rest.partition_point(|(_, last)| *last < leaf.position);
        let within = self.listed.get(self.next).copied();
        let within = within.filter(|(first, _)| *first <= position);
        if let Some(commit) = within {
            if leaf.recorded_at != recorded_at && self.none != within {
                self.none = within;
                self.tell(commit, "were not recorded at one time");
            }
        } else if leaf.recorded_at == recorded_at
            && request.is_some()
            && leaf.request == request
            && position > self.listed_from
        {
            let pair = (position, leaf.position);
            self.tell(
                pair,
                "are of one request and one time, and not of one commit",
            );
        }
    }

    /// What is wrong, after the last event.
    pub fn told(mut self) -> Vec<String> {
        let last = self.before.map_or(0, |(position, _, _)| position);
        let beyond: Vec<_> = self
            .listed
            .iter()
            .filter(|(_, end)| *end > last)
            .copied()
            .collect();
        for commit in beyond {
            self.tell(commit, "end behind the last event");
        }
        self.wrong.into_lines()
    }
}
