//! The projections as one: what a batch of events does to every read table.
//!
//! The only place that names every projection; what one is, is in `projection`.

use sqlx::PgConnection;

use crate::projection::{Projection, Table, Unheld};
use crate::recorded::Recorded;
use crate::statement::Statement;

/// Every projection, with the events of one batch folded into it.
pub struct Batch {
    projections: Vec<Box<dyn Projection>>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            projections: vec![
                Box::<crate::companies::Companies>::default(),
                Box::<crate::users::Users>::default(),
                Box::<crate::users::UserAccesses>::default(),
                Box::<crate::leads::Leads>::default(),
                Box::<crate::duplicates::Duplicates>::default(),
                Box::<crate::lead_notes::LeadNotes>::default(),
                Box::<crate::invitations::Invitations>::default(),
                Box::<crate::subscriptions::Subscriptions>::default(),
                Box::<crate::company_totals::CompanyTotals>::default(),
                Box::<crate::questions::Questions>::default(),
                Box::<crate::campaigns::Campaigns>::default(),
                Box::<crate::cycles::Cycles>::default(),
                Box::<crate::lead_stages::LeadStages>::default(),
                Box::<crate::appointments::Appointments>::default(),
                Box::<crate::sources::Sources>::default(),
                Box::<crate::territories::Territories>::default(),
                Box::<crate::mail_outbox::MailOutbox>::default(),
                Box::<crate::avatars::Avatars>::default(),
                Box::<crate::onboarding::Onboarding>::default(),
                Box::<crate::legal_terms::LegalTerms>::default(),
                Box::<crate::providers::Providers>::default(),
                Box::<crate::integration_tokens::IntegrationTokens>::default(),
                Box::<crate::user_profiles::UserProfiles>::default(),
                Box::<crate::lead_erasures::LeadErasures>::default(),
                Box::<crate::legal_holds::LegalHolds>::default(),
                Box::<crate::imports::Imports>::default(),
            ],
        }
    }
}

impl Batch {
    /// Only the projections with these names and those that they read; all when the list is empty.
    ///
    /// # Errors
    /// The first name that is not a projection's.
    pub fn of(names: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        if let Some(unknown) = names
            .iter()
            .find(|name| !all.projections.iter().any(|p| p.name() == name.as_str()))
        {
            return Err(unknown.clone());
        }
        if !names.is_empty() {
            let wanted = |p: &dyn Projection| names.iter().any(|name| name == p.name());
            let with_them: Vec<_> = all
                .projections
                .iter()
                .filter(|p| wanted(p.as_ref()))
                .flat_map(|p| p.reads())
                .collect();
            all.projections
                .retain(|p| wanted(p.as_ref()) || with_them.contains(&&p.name()));
        }
        Ok(all)
    }

    /// An empty batch of the same projections.
    #[must_use]
    pub fn anew(&self) -> Self {
        let mut all = Self::default();
        all.projections
            .retain(|p| self.projections.iter().any(|own| own.name() == p.name()));
        all
    }

    /// The tables of its projections.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        let tables = self.projections.iter().flat_map(|p| p.tables());
        tables.copied().collect()
    }

    /// Spares the projections looks for these keys.
    pub fn know(&mut self, unheld: &Unheld) {
        for projection in &mut self.projections {
            projection.know(unheld);
        }
    }

    /// Takes one event into every projection.
    pub fn fold(&mut self, recorded: &Recorded) {
        for projection in &mut self.projections {
            projection.fold(recorded);
        }
    }

    /// Whether no projection needs to read before it writes, given what [`Batch::assume`] adds to the guard.
    #[must_use]
    pub fn can_assume(&self) -> bool {
        self.projections.iter().all(|p| p.can_assume())
    }

    /// Instead of [`Batch::look_up`]: adds the conditions under which the rows are right to the guard.
    pub fn assume(&mut self, guard: &mut Statement) {
        for projection in &mut self.projections {
            projection.assume(guard);
        }
    }

    /// Lets every projection read what it needs, from the tables as they were before the batch.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn look_up(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for projection in &mut self.projections {
            projection.look_up(connection).await?;
        }
        Ok(())
    }

    /// Looks up and writes the rows by themselves, for a caller that has the ledger to itself.
    ///
    /// # Errors
    /// What the database answers; the batch is then of no further use.
    pub async fn write_rows(
        &mut self,
        connection: &mut PgConnection,
        visible_from: Option<i64>,
    ) -> Result<(), sqlx::Error> {
        self.look_up(connection).await?;
        let mut statement = Statement::unguarded();
        if let Some(position) = visible_from {
            statement = statement.visible_from(position);
        }
        self.write(&mut statement);
        if statement.has_parts() {
            let (sql, arguments) = statement.finish();
            sqlx::query_with(&sql, arguments)
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// Adds every projection's parts to the statement and forgets the batch.
    pub fn write(&mut self, statement: &mut Statement) {
        for projection in &mut self.projections {
            projection.write(statement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_brings_those_that_it_reads() {
        let batch = Batch::of(&["duplicates".to_owned()]).unwrap();
        let names: Vec<_> = batch.projections.iter().map(|p| p.name()).collect();
        assert_eq!(names, ["leads", "duplicates"]);
        assert_eq!(
            Batch::of(&["doubles".to_owned()]).err().as_deref(),
            Some("doubles")
        );
    }

    /// A projection that reads before it writes, but does not say so, would be left unread by a commit that assumes.
    #[test]
    fn whoever_looks_up_says_when_that_can_be_left_out() {
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut looking = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let implements =
                    text.contains("Projection for") && text.contains("    fn look_up<");
                if implements {
                    looking += 1;
                    assert!(text.contains("    fn can_assume("), "{}", path.display());
                }
            }
        }
        assert!(looking >= 3, "only {looking} projections look something up");
    }
}
