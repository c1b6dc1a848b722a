//! What an answer showed of whom, noted behind the answer.

use std::borrow::Cow;

use super::caller::Caller;
use crate::app::App;
use crate::ledger::Committed;
use crate::ledger::lead_reads::LeadReads;

impl Caller {
    /// Notes that the answer shows the caller personal data of these leads, each with its company. To be called by every operation that
    /// reads them; costs no waiting.
    pub fn has_read(
        &self,
        app: &App,
        operation: impl Into<Cow<'static, str>>,
        leads: impl IntoIterator<Item = (i64, i64)>,
    ) {
        app.ledger.note_reads(LeadReads {
            // Also of the past it is read today.
            read_at: app.today().clock.now(),
            leads: leads.into_iter().collect(),
            reader: self.write.provenance.actor.to_string(),
            operation: operation.into(),
            request_id: self.write.provenance.request_id.clone(),
        });
    }

    /// [`Caller::has_read`], where a command on this lead changed nothing and its answer shows the lead all the same: of every other the
    /// history tells who it was.
    pub fn has_seen_unchanged(
        &self,
        app: &App,
        committed: Committed,
        operation: &'static str,
        lead: (i64, i64),
    ) {
        if !committed.changed {
            self.has_read(app, operation, [lead]);
        }
    }
}
