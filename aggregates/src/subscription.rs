//! The Subscription aggregate: what a company has subscribed to, one after the other.
//!
//! Invariants
//! - A company has at most one subscription at a time: all of them are one stream, named by the company's id.
//! - It goes by the terms under which it was started or last changed, whatever the catalogue says later.
//! - The first one, when it costs something, begins with a trial; no later one does.
//! - A cancelled one lasts to the end of what is begun (trial or period), and can be taken up again until then.
//! - After the last one ended the company stays limited, as the end's event says.

use chrono::{DateTime, Months, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::Decide;
use crate::ids::{CompanyId, SubscriptionId};
use crate::plan::{Limits, Period, Plan, Terms};

/// Where a subscription is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Free of charge at first; becomes active by itself.
    Trialing,
    /// Renewed at each period's end.
    Active,
    /// Not renewed any more; ends at the end of the trial or period.
    Cancelling,
    /// Over.
    Ended,
}

impl Phase {
    /// `trialing`, `active`, `cancelling` or `ended`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Cancelling => "cancelling",
            Self::Ended => "ended",
        }
    }
}

/// The last subscription of a company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    id: SubscriptionId,
    phase: Phase,
    terms: Terms,
    /// Whether what is begun is the trial, also while cancelling.
    on_trial: bool,
    /// Periods are reckoned from here, so that the 31st does not wander to the 28th.
    anchor: DateTime<Utc>,
    /// End of the trial or period that is begun.
    period_ends_at: DateTime<Utc>,
    limits: Limits,
}

/// The state that decisions need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    current: Option<Current>,
}

impl Subscription {
    /// What the company may have; `None` when it never subscribed.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.current.as_ref().map(|current| current.limits)
    }

    /// The subscription that has not ended by this time, noted or not.
    #[must_use]
    pub fn running(&self, now: DateTime<Utc>) -> Option<SubscriptionId> {
        let over = |c: &Current| c.phase == Phase::Cancelling && now >= c.period_ends_at;
        self.live().filter(|c| !over(c)).map(|current| current.id)
    }

    fn live(&self) -> Option<&Current> {
        self.current.as_ref().filter(|c| c.phase != Phase::Ended)
    }
}

/// A wish that concerns a company's subscription.
#[derive(Debug, Clone)]
pub enum SubscriptionCommand {
    /// Start one, change the running one's terms, or take a cancelled one up again.
    Attach {
        /// The id, should a new one be started.
        subscription_id: SubscriptionId,
        /// Whose.
        company_id: CompanyId,
        /// What the catalogue offers now.
        terms: Box<Terms>,
        /// When.
        now: DateTime<Utc>,
    },
    /// End it.
    Cancel {
        /// Now, instead of at the end of what is begun.
        immediately: bool,
        /// When.
        now: DateTime<Utc>,
    },
    /// Do what is due: the trial becomes active, the period is renewed, the cancelled one ends.
    PassTime {
        /// When.
        now: DateTime<Utc>,
    },
}

/// What happened to a company's subscription. These names and shapes are the storage format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEvent {
    /// A subscription began.
    SubscriptionStarted {
        /// Its id.
        subscription_id: SubscriptionId,
        /// Whose; also the stream's name.
        company_id: CompanyId,
        /// Plan, price, period and limits.
        terms: Terms,
        /// `trialing` or `active`.
        phase: Phase,
        /// Since when.
        started_at: DateTime<Utc>,
        /// The trial's or first period's end.
        period_ends_at: DateTime<Utc>,
    },
    /// The trial is over and the first period began.
    SubscriptionActivated {
        /// Which one.
        subscription_id: SubscriptionId,
        /// Since when.
        period_started_at: DateTime<Utc>,
        /// The period's end.
        period_ends_at: DateTime<Utc>,
    },
    /// A period was over and the next began.
    SubscriptionRenewed {
        /// Which one.
        subscription_id: SubscriptionId,
        /// Since when.
        period_started_at: DateTime<Utc>,
        /// The period's end.
        period_ends_at: DateTime<Utc>,
    },
    /// Other terms hold from now on.
    SubscriptionChanged {
        /// Which one.
        subscription_id: SubscriptionId,
        /// Terms before.
        from: Terms,
        /// Terms after.
        to: Terms,
    },
    /// It will not be renewed.
    SubscriptionCancelled {
        /// Which one.
        subscription_id: SubscriptionId,
        /// Since when.
        cancelled_at: DateTime<Utc>,
        /// When it will end.
        ends_at: DateTime<Utc>,
    },
    /// The cancellation was taken back.
    SubscriptionResumed {
        /// Which one.
        subscription_id: SubscriptionId,
        /// `trialing` or `active`.
        phase: Phase,
    },
    /// It is over.
    SubscriptionEnded {
        /// Which one.
        subscription_id: SubscriptionId,
        /// Since when.
        ended_at: DateTime<Utc>,
        /// What the company may have from now on.
        limits: Limits,
    },
}

impl SubscriptionEvent {
    /// The version of every shape above.
    pub const VERSION: &'static str = "1";

    /// The stored event type: the variant's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SubscriptionStarted { .. } => "SubscriptionStarted",
            Self::SubscriptionActivated { .. } => "SubscriptionActivated",
            Self::SubscriptionRenewed { .. } => "SubscriptionRenewed",
            Self::SubscriptionChanged { .. } => "SubscriptionChanged",
            Self::SubscriptionCancelled { .. } => "SubscriptionCancelled",
            Self::SubscriptionResumed { .. } => "SubscriptionResumed",
            Self::SubscriptionEnded { .. } => "SubscriptionEnded",
        }
    }
}

/// A rule that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// None runs.
    #[error("the company has no running subscription")]
    NotSubscribed,
}

impl Decide for Subscription {
    fn decide(
        &self,
        command: SubscriptionCommand,
    ) -> Result<Vec<SubscriptionEvent>, SubscriptionError> {
        // What was due before anybody looked happens first.
        let (mut events, state) = self.passed(match &command {
            SubscriptionCommand::Attach { now, .. }
            | SubscriptionCommand::Cancel { now, .. }
            | SubscriptionCommand::PassTime { now } => *now,
        });
        match command {
            SubscriptionCommand::Attach {
                subscription_id,
                company_id,
                terms,
                now,
            } => match state.live() {
                Some(current) => events.extend(current.change(*terms)),
                None => events.push(state.start(subscription_id, company_id, *terms, now)),
            },
            SubscriptionCommand::Cancel { immediately, now } => {
                let current = state.live().ok_or(SubscriptionError::NotSubscribed)?;
                events.extend(current.cancel(immediately, now));
            }
            SubscriptionCommand::PassTime { .. } => {}
        }
        Ok(events)
    }

    fn evolve(&mut self, event: &SubscriptionEvent) {
        if let SubscriptionEvent::SubscriptionStarted {
            subscription_id,
            terms,
            phase,
            started_at,
            period_ends_at,
            ..
        } = event
        {
            self.current = Some(Current {
                id: *subscription_id,
                phase: *phase,
                terms: *terms,
                on_trial: *phase == Phase::Trialing,
                anchor: *started_at,
                period_ends_at: *period_ends_at,
                limits: terms.limits,
            });
        } else if let Some(current) = &mut self.current {
            current.evolve(event);
        }
    }
}

impl Subscription {
    /// What is due by `now`, and the state after it. One event a period, also when many have passed: each was one that the
    /// company had.
    fn passed(&self, now: DateTime<Utc>) -> (Vec<SubscriptionEvent>, Self) {
        let mut state = self.clone();
        let mut events = Vec::new();
        while let Some(current) = state.live().filter(|c| now >= c.period_ends_at) {
            let event = current.next();
            state.evolve(&event);
            events.push(event);
        }
        (events, state)
    }

    fn start(
        &self,
        subscription_id: SubscriptionId,
        company_id: CompanyId,
        terms: Terms,
        now: DateTime<Utc>,
    ) -> SubscriptionEvent {
        let on_trial = self.current.is_none() && terms.price.amount > 0;
        let (phase, period_ends_at) = if on_trial {
            (Phase::Trialing, now + TimeDelta::days(Plan::TRIAL_DAYS))
        } else {
            (Phase::Active, end_after(now, now, terms.period))
        };
        SubscriptionEvent::SubscriptionStarted {
            subscription_id,
            company_id,
            terms,
            phase,
            started_at: now,
            period_ends_at,
        }
    }
}

impl Current {
    fn change(&self, terms: Terms) -> Vec<SubscriptionEvent> {
        let subscription_id = self.id;
        let mut events = Vec::new();
        if self.terms != terms {
            events.push(SubscriptionEvent::SubscriptionChanged {
                subscription_id,
                from: self.terms,
                to: terms,
            });
        }
        if self.phase == Phase::Cancelling {
            let phase = if self.on_trial {
                Phase::Trialing
            } else {
                Phase::Active
            };
            events.push(SubscriptionEvent::SubscriptionResumed {
                subscription_id,
                phase,
            });
        }
        events
    }

    fn cancel(&self, immediately: bool, now: DateTime<Utc>) -> Vec<SubscriptionEvent> {
        if immediately {
            return vec![self.ended(now)];
        }
        if self.phase == Phase::Cancelling {
            return vec![];
        }
        vec![SubscriptionEvent::SubscriptionCancelled {
            subscription_id: self.id,
            cancelled_at: now,
            ends_at: self.period_ends_at,
        }]
    }

    /// What the end of the trial or period brings.
    fn next(&self) -> SubscriptionEvent {
        let subscription_id = self.id;
        let period_started_at = self.period_ends_at;
        match self.phase {
            Phase::Trialing => SubscriptionEvent::SubscriptionActivated {
                subscription_id,
                period_started_at,
                period_ends_at: end_after(period_started_at, period_started_at, self.terms.period),
            },
            Phase::Active => SubscriptionEvent::SubscriptionRenewed {
                subscription_id,
                period_started_at,
                period_ends_at: end_after(self.anchor, period_started_at, self.terms.period),
            },
            Phase::Cancelling | Phase::Ended => self.ended(self.period_ends_at),
        }
    }

    fn ended(&self, ended_at: DateTime<Utc>) -> SubscriptionEvent {
        SubscriptionEvent::SubscriptionEnded {
            subscription_id: self.id,
            ended_at,
            limits: Plan::Free.limits(),
        }
    }

    fn evolve(&mut self, event: &SubscriptionEvent) {
        match event {
            SubscriptionEvent::SubscriptionStarted { .. } => {}
            SubscriptionEvent::SubscriptionActivated {
                period_started_at,
                period_ends_at,
                ..
            } => {
                self.phase = Phase::Active;
                self.on_trial = false;
                self.anchor = *period_started_at;
                self.period_ends_at = *period_ends_at;
            }
            SubscriptionEvent::SubscriptionRenewed { period_ends_at, .. } => {
                self.period_ends_at = *period_ends_at;
            }
            SubscriptionEvent::SubscriptionChanged { to, .. } => {
                self.terms = *to;
                self.limits = to.limits;
            }
            SubscriptionEvent::SubscriptionCancelled { .. } => self.phase = Phase::Cancelling,
            SubscriptionEvent::SubscriptionResumed { phase, .. } => self.phase = *phase,
            SubscriptionEvent::SubscriptionEnded { limits, .. } => {
                self.phase = Phase::Ended;
                self.limits = *limits;
            }
        }
    }
}

/// The first whole number of periods from `anchor` that ends later than `after`.
fn end_after(anchor: DateTime<Utc>, after: DateTime<Utc>, period: Period) -> DateTime<Utc> {
    let nth = |n: u32| anchor.checked_add_months(Months::new(n.saturating_mul(period.months())));
    (1..=u32::MAX)
        .map_while(nth)
        .find(|end| *end > after)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

crate::bridge_to_cqrs_es!(
    Subscription,
    "subscription",
    SubscriptionCommand,
    SubscriptionEvent,
    SubscriptionError
);

#[cfg(test)]
mod tests;
