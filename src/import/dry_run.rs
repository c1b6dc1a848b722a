//! A dry run: every row of a file decided as in an import, by the same decision, and nothing of it kept.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use aggregates::ids::CompanyId;
use aggregates::import::{FIRST_ROW, RowOutcomes};

use super::decision::{self, Common, Decided, Imagined};
use super::engine::{ImportRefusal, Imports, NewImport, OpenFile};
use super::files::{FileError, Spooled};
use super::known_keys::Chunk;
use super::reading;
use super::rows::{ReadyRow, resolve};
use super::running::provenance;
use crate::ledger::rehearsal::Rehearsal;
use crate::ledger::{CommitError, IdKind};

/// The most rows of a dry run: what it imagines has to be in memory.
pub const MOST_ROWS: i64 = 100_000;

/// What an import would do.
#[derive(Debug)]
pub struct DryRun {
    /// What would become of the rows.
    pub outcomes: Vec<RowOutcomes>,
    /// Leads with a higher id are imagined.
    pub last_lead_id: i64,
}

impl Imports {
    /// What importing the file would do.
    ///
    /// # Errors
    /// See [`ImportRefusal`].
    pub async fn rehearse(
        &self,
        new: NewImport,
        spooled: &Spooled,
    ) -> Result<DryRun, ImportRefusal> {
        let file = || spooled.open().map_err(FileError::from);
        let opened = self.open(file()?, &new.company, &new.options).await?;
        let total = reading::count(file()?, &new.options).await;
        if total.map_err(ImportRefusal::Unreadable)? > MOST_ROWS {
            return Err(ImportRefusal::TooManyForDryRun);
        }
        let OpenFile {
            reader,
            columns,
            region,
        } = opened;
        let catalogue = self.catalogue(&new.company).await?;
        let mut ahead = reading::ahead(reader, columns.clone(), region, FIRST_ROW);
        let mut rehearsal = Rehearsal::begin(&self.pool, &self.clock).await?;
        let imagined: Imagined = Arc::default();
        let common = Common {
            import_id: 0,
            code: "dry run".into(),
            company: new.company.clone(),
            policy: new.options.duplicates,
            provenance: provenance(None, "dry run"),
        };
        let mut run = DryRun {
            outcomes: Vec::new(),
            last_lead_id: rehearsal.last_id(IdKind::Lead),
        };
        while let Some(rows) = ahead.recv().await {
            let rows = VecDeque::from(rows.map_err(ImportRefusal::Unreadable)?);
            let company = CompanyId(new.company.id);
            let ready = rows.into_iter().map(|read| ReadyRow {
                row: read.row,
                lead: read
                    .said
                    .and_then(|said| resolve(said, &columns, &catalogue, company, &new.options)),
            });
            let chunk = Chunk {
                rows: Arc::new(ready.collect()),
                decided: Decided::default(),
            };
            let (decided, memory) = (chunk.decided.clone(), Some(imagined.clone()));
            let mut work = decision::work(common.clone(), chunk, memory, None);
            let outcome = rehearsal.decide(&mut work).await?;
            outcome.map_err(CommitError::Refused)?;
            let decided = decided.lock().unwrap_or_else(PoisonError::into_inner);
            run.outcomes.extend(decided.clone());
        }
        Ok(run)
    }
}
