//! Which leads an import touched: what is to be taken back when it is undone.

use std::collections::BTreeMap;

use aggregates::import::CreatedRows;
use projections::imports::list;
use sqlx::PgConnection;

/// How many chunks of outcomes are read together.
const READ_TOGETHER: i64 = 200;

/// What an import did to one lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The lead.
    pub lead_id: i64,
    /// The row that touched it last.
    pub row: i64,
    /// The lead's version before the import; 0 when the import created it.
    pub before: i64,
    /// The lead's version when the import had touched it last.
    pub after: i64,
    /// Whether somebody else changed it between two rows that touched it.
    pub changed_between: bool,
}

impl Touched {
    /// Another row touched it.
    fn go_on(&mut self, next: Self) {
        self.changed_between |= next.changed_between || next.before != self.after;
        (self.row, self.after) = (next.row, next.after);
    }
}

/// Every lead that an import touched.
#[derive(Debug, Default)]
pub struct TouchedLeads {
    created: Vec<CreatedRows>,
    changed: BTreeMap<i64, Touched>,
}

impl TouchedLeads {
    /// Of this import.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(connection: &mut PgConnection, import: i64) -> Result<Self, sqlx::Error> {
        let mut all = Self::default();
        let mut after = 0;
        loop {
            let chunks = list::outcomes_after(connection, import, after, READ_TOGETHER).await?;
            let Some(last) = chunks.last() else { break };
            after = last.first_row;
            for chunk in chunks {
                all.created.extend(chunk.created);
                for row in chunk.updated {
                    let touched = Touched {
                        lead_id: row.lead_id.get(),
                        row: row.row,
                        before: row.from_version,
                        after: row.to_version,
                        changed_between: false,
                    };
                    let known = all.changed.entry(row.lead_id.get());
                    known
                        .and_modify(|known| known.go_on(touched))
                        .or_insert(touched);
                }
            }
        }
        all.created.sort_unstable_by_key(|run| run.lead_id);
        Ok(all)
    }

    /// The next leads after this one, in the order of their ids.
    #[must_use]
    pub fn after(&self, lead: i64, at_most: usize) -> Vec<Touched> {
        let first = self
            .created
            .partition_point(|run| run.lead_id.get() + run.count - 1 <= lead);
        let created = self.created[first..].iter().flat_map(|run| {
            (0..run.count).map(|n| Touched {
                lead_id: run.lead_id.get() + n,
                row: run.row + n,
                before: 0,
                after: 1,
                changed_between: false,
            })
        });
        let created = created
            .filter(|touched| touched.lead_id > lead)
            .take(at_most);
        let mut next: BTreeMap<i64, Touched> = created.map(|t| (t.lead_id, t)).collect();
        for touched in self.changed.range(lead + 1..).take(at_most).map(|(_, t)| t) {
            next.entry(touched.lead_id)
                // One that the import itself had created.
                .and_modify(|known| known.go_on(*touched))
                .or_insert(*touched);
        }
        next.into_values().take(at_most).collect()
    }
}
