//! What a company's plan limits: decided inside the commands that would exceed it, under the ledger's guard, so that it holds
//! however many add at once.
//!
//! The nearest company on the path that ever subscribed governs; nobody else's leads, users and companies count. A company
//! without one is unlimited, and its commands declare nothing.

use aggregates::ids::UserId;
use aggregates::plan::Limited;
use aggregates::subscription::Subscription;
use projections::companies::CompanyRow;
use projections::facts::{Fact, FactKind};
use projections::imports::{self, GOVERNED_IMPORTS};
use projections::subscriptions::{GOVERNED_COMPANIES, GOVERNED_LEADS, GOVERNED_USERS};

use crate::ledger::{Refusal, StreamKey, StreamKind, Unit, Work};

/// The limits of one company.
#[derive(Debug, Clone, Copy)]
pub struct PlanLimits {
    governed_by: Option<i64>,
    lead_limit: Option<i64>,
}

impl PlanLimits {
    /// As far as its row tells; the limits themselves are read when a command is decided.
    #[must_use]
    pub fn of(company: &CompanyRow) -> Self {
        Self {
            governed_by: company.governed_by,
            lead_limit: company.lead_limit,
        }
    }

    /// Those of the subscription of this company, whatever it governs; for [`PlanLimits::check`].
    #[must_use]
    pub fn of_subscription(company: i64) -> Self {
        Self {
            governed_by: Some(company),
            lead_limit: None,
        }
    }

    /// The work reads what adding a lead depends on.
    #[must_use]
    pub fn watch_leads(self, work: Work) -> Work {
        match self.lead_limit {
            Some(_) => self.watch(work, &GOVERNED_LEADS),
            None => work,
        }
    }

    /// The work reads what adding a user depends on.
    #[must_use]
    pub fn watch_users(self, work: Work) -> Work {
        self.watch(work, &GOVERNED_USERS)
    }

    /// The work reads what adding a company below this one depends on.
    #[must_use]
    pub fn watch_companies(self, work: Work) -> Work {
        self.watch(work, &GOVERNED_COMPANIES)
    }

    /// The work reads what beginning an import depends on.
    #[must_use]
    pub fn watch_imports(self, work: Work) -> Work {
        self.watch(work, &GOVERNED_IMPORTS)
    }

    /// The work reads the plan and how much of something there is already.
    #[must_use]
    pub fn watch(self, work: Work, kind: &'static FactKind) -> Work {
        match self.governed_by {
            Some(id) => work
                .on(StreamKey::new(StreamKind::Subscription, id))
                .reading(Fact { kind, id }),
            None => work,
        }
    }

    /// Makes room for one more lead.
    ///
    /// # Errors
    /// [`Refusal::PlanLimit`] when there is none.
    pub fn add_lead(self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        match self.lead_limit {
            Some(_) => self.add_one(unit, Limited::Leads, &GOVERNED_LEADS),
            None => Ok(()),
        }
    }

    /// Makes room for one more company below this one.
    ///
    /// # Errors
    /// [`Refusal::PlanLimit`] when there is none.
    pub fn add_company(self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        self.add_one(unit, Limited::Companies, &GOVERNED_COMPANIES)
    }

    /// Makes room for a user, unless they hold an access already.
    ///
    /// # Errors
    /// [`Refusal::PlanLimit`] when there is none.
    pub fn add_user(self, unit: &mut Unit<'_>, user: UserId) -> Result<(), Refusal> {
        let Some(id) = self.governed_by else {
            return Ok(());
        };
        let kind = &GOVERNED_USERS;
        let mut users = unit.fact(Fact { kind, id });
        *users.entry(user.get()).or_insert(0) += 1;
        if users[&user.get()] == 1 {
            let count = i64::try_from(users.len()).unwrap_or(i64::MAX);
            self.check(unit, Limited::Users, count)?;
        }
        unit.set_fact(Fact { kind, id }, users);
        Ok(())
    }

    /// Makes room for one more import in this calendar month.
    ///
    /// # Errors
    /// [`Refusal::PlanLimit`] when there is none.
    pub fn add_import(self, unit: &mut Unit<'_>) -> Result<(), Refusal> {
        let month = imports::month(unit.now());
        self.add_to(unit, Limited::ImportsPerMonth, &GOVERNED_IMPORTS, month)
    }

    fn add_one(
        self,
        unit: &mut Unit<'_>,
        limited: Limited,
        kind: &'static FactKind,
    ) -> Result<(), Refusal> {
        self.add_to(unit, limited, kind, 0)
    }

    fn add_to(
        self,
        unit: &mut Unit<'_>,
        limited: Limited,
        kind: &'static FactKind,
        key: i64,
    ) -> Result<(), Refusal> {
        let Some(id) = self.governed_by else {
            return Ok(());
        };
        let mut numbers = unit.fact(Fact { kind, id });
        let count = numbers.entry(key).or_insert(0);
        *count += 1;
        let count = *count;
        self.check(unit, limited, count)?;
        unit.set_fact(Fact { kind, id }, numbers);
        Ok(())
    }

    /// Checks how much there would be against the plan as it was when it was subscribed to. The unit's work must read the
    /// governing subscription's stream, as the `watch` functions make it.
    ///
    /// # Errors
    /// [`Refusal::PlanLimit`] when it is too much.
    pub fn check(self, unit: &Unit<'_>, limited: Limited, count: i64) -> Result<(), Refusal> {
        let limits = self
            .governed_by
            .and_then(|id| unit.state::<Subscription>(id).limits());
        match limits.and_then(|limits| limits.of(limited)) {
            Some(limit) if count > limit => Err(Refusal::PlanLimit { limited, limit }),
            _ => Ok(()),
        }
    }
}
