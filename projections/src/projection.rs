//! What a projection is, and what a table of its own is to rebuild and verify. Names no projection: `batch` does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::PgConnection;

use crate::recorded::Recorded;
use crate::statement::Statement;

/// A boxed future, for the few lookups that a projection may need.
pub type LookUp<'a> = Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'a>>;

/// Tells, by company and e-mail or phone number, what no lead had before the batch. It may say no without being sure, never yes.
pub type Unheld = Arc<dyn Fn(i64, &str) -> bool + Send + Sync>;

/// A read table, as rebuild and verify treat it.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name; unqualified, because a rebuild fills a table of the same name in another schema.
    pub name: &'static str,
    /// The columns that tell its rows apart.
    pub key: &'static [&'static str],
    /// A condition that rows must meet to count, or "true". Counters that came back to zero do not count.
    pub counts_when: &'static str,
    /// The indexes, besides the primary key, that folding reads it by: a rebuild makes these first and all others last.
    pub looked_up_by: &'static [&'static str],
}

/// A fold of events into the rows of one or a few tables.
///
/// For each batch: every event is folded in ledger order, then `look_up` may read the tables as they were before the
/// batch (or `assume` makes the statement check what they most likely hold, which saves the round trip), then `write` adds
/// the parts of the one statement. A projection must give the same rows however the ledger is cut
/// into batches.
pub trait Projection: Send {
    /// The name by which `rebuild` and `verify` know it.
    fn name(&self) -> &'static str;

    /// The tables it owns.
    fn tables(&self) -> &'static [Table];

    /// The other projections whose tables `look_up` reads: it is only right in step with them.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Takes one event into the batch.
    fn fold(&mut self, recorded: &Recorded);

    /// To be implemented together with `look_up`: whether the rows can be written without it under a condition that [`Projection::assume`] adds to the guard.
    fn can_assume(&self) -> bool {
        true
    }

    /// Instead of `look_up`: adds ` AND …` to the guard's condition, for what the rows then take as given.
    fn assume(&mut self, _guard: &mut Statement) {}

    /// These keys of leads need not be looked up.
    fn know(&mut self, _unheld: &Unheld) {}

    /// Reads what the rows depend on besides the events; only called when something was folded.
    fn look_up<'a>(&'a mut self, _connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async { Ok(()) })
    }

    /// Adds the parts that write the batch's rows, if there are any, and forgets the batch.
    fn write(&mut self, statement: &mut Statement);
}
