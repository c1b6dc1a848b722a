//! The plans that a company can subscribe to: the one place where prices and limits are written down.
//!
//! A subscription keeps the [`Terms`] that it was started or changed under, so that a later edit here changes nothing for those who
//! subscribed before. Not here: who is subscribed to what, and what a limit refuses.

use serde::{Deserialize, Serialize};

use crate::money::{Currency, Money};

/// A plan. On the wire it is a "membership" with a fixed id and code; in events it is its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// What everybody may have, and what a company falls to when its subscription has ended.
    Free,
    /// For one team.
    Team,
    /// For a business with several teams.
    Business,
    /// Without limits.
    Enterprise,
}

/// How long a price pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A calendar month.
    Monthly,
}

impl Period {
    /// `monthly`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
        }
    }

    /// Its length in calendar months.
    #[must_use]
    pub const fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
        }
    }
}

/// How much of each thing there may be; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Limits {
    /// People who hold an access.
    pub users: Option<i64>,
    /// Leads.
    pub leads: Option<i64>,
    /// Imports in a calendar month (UTC).
    pub imports_per_month: Option<i64>,
    /// Companies, the subscribed one included.
    pub companies: Option<i64>,
}

/// A thing that a plan limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limited {
    /// People who hold an access.
    Users,
    /// Leads.
    Leads,
    /// Imports in a calendar month.
    ImportsPerMonth,
    /// Companies.
    Companies,
}

impl Limited {
    /// The name of the limit, as [`Limits`] has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Leads => "leads",
            Self::ImportsPerMonth => "imports_per_month",
            Self::Companies => "companies",
        }
    }
}

impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Users => "users",
            Self::Leads => "leads",
            Self::ImportsPerMonth => "imports in a month",
            Self::Companies => "companies",
        })
    }
}

impl Limits {
    /// How much of this thing there may be.
    #[must_use]
    pub const fn of(&self, limited: Limited) -> Option<i64> {
        match limited {
            Limited::Users => self.users,
            Limited::Leads => self.leads,
            Limited::ImportsPerMonth => self.imports_per_month,
            Limited::Companies => self.companies,
        }
    }
}

/// What was agreed upon: a plan with its price and limits at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The plan.
    pub plan: Plan,
    /// What a period costs.
    pub price: Money,
    /// How long the price pays for.
    pub period: Period,
    /// What the plan allows.
    pub limits: Limits,
}

/// A currency that the plans have no price in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be MXN, USD, EUR or BRL")]
pub struct UnknownCurrency;

impl Plan {
    /// Every plan, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Team, Self::Business, Self::Enterprise];

    /// How many days the first paid plan of a company is free of charge.
    pub const TRIAL_DAYS: i64 = 14;

    /// The fixed id, 1 to 4.
    #[must_use]
    pub const fn id(self) -> i64 {
        self as i64 + 1
    }

    /// The plan with this id.
    #[must_use]
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.id() == id)
    }

    /// The plan with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.code() == code)
    }

    /// The fixed code, such as `team`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Team => "team",
            Self::Business => "business",
            Self::Enterprise => "enterprise",
        }
    }

    /// The English name, such as `Team`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Team => "Team",
            Self::Business => "Business",
            Self::Enterprise => "Enterprise",
        }
    }

    /// For whom it is.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Free => "To get to know the product.",
            Self::Team => "For one team that works on its leads together.",
            Self::Business => "For a business with several teams and companies.",
            Self::Enterprise => "For large organisations: without limits.",
        }
    }

    /// What it offers, in words.
    #[must_use]
    pub const fn features(self) -> &'static [&'static str] {
        match self {
            Self::Free => &["lead management", "duplicate detection"],
            Self::Team => &["lead management", "duplicate detection", "imports"],
            Self::Business => &[
                "lead management",
                "duplicate detection",
                "imports",
                "several companies",
                "analytics",
            ],
            Self::Enterprise => &[
                "lead management",
                "duplicate detection",
                "imports",
                "several companies",
                "analytics",
                "audit proofs",
                "priority support",
            ],
        }
    }

    /// What it allows to those who subscribe now.
    #[must_use]
    pub const fn limits(self) -> Limits {
        let (users, leads, imports_per_month, companies) = match self {
            Self::Free => (2, 100, 3, 1),
            Self::Team => (10, 25_000, 100, 3),
            Self::Business => (50, 250_000, 1_000, 20),
            Self::Enterprise => {
                return Limits {
                    users: None,
                    leads: None,
                    imports_per_month: None,
                    companies: None,
                };
            }
        };
        Limits {
            users: Some(users),
            leads: Some(leads),
            imports_per_month: Some(imports_per_month),
            companies: Some(companies),
        }
    }

    /// What it offers to those who subscribe now and pay in this currency.
    ///
    /// # Errors
    /// When it has no price in the currency.
    pub fn terms(self, currency: Currency) -> Result<Terms, UnknownCurrency> {
        let [mxn, usd, eur, brl] = match self {
            Self::Free => [0, 0, 0, 0],
            Self::Team => [49_900, 2_900, 2_700, 14_900],
            Self::Business => [149_900, 7_900, 7_500, 39_900],
            Self::Enterprise => [499_900, 24_900, 22_900, 129_900],
        };
        let amount = match currency.code() {
            "MXN" => mxn,
            "USD" => usd,
            "EUR" => eur,
            "BRL" => brl,
            _ => return Err(UnknownCurrency),
        };
        Ok(Terms {
            plan: self,
            price: Money { amount, currency },
            period: Period::Monthly,
            limits: self.limits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_by_its_id_and_code() {
        for plan in Plan::ALL {
            assert_eq!(Plan::from_id(plan.id()), Some(plan));
            assert_eq!(Plan::from_code(plan.code()), Some(plan));
        }
        assert_eq!(Plan::from_id(0), None);
        assert_eq!(Plan::from_id(5), None);
        assert_eq!(Plan::from_code("gold"), None);
    }

    #[test]
    fn a_bigger_plan_costs_and_allows_more_in_every_currency() {
        for code in ["MXN", "USD", "EUR", "BRL"] {
            let currency = Currency::parse(code).unwrap();
            let terms = Plan::ALL.map(|plan| plan.terms(currency).unwrap());
            for pair in terms.windows(2) {
                assert!(pair[0].price.amount < pair[1].price.amount);
                for limited in [
                    Limited::Users,
                    Limited::Leads,
                    Limited::ImportsPerMonth,
                    Limited::Companies,
                ] {
                    let limit = |terms: &Terms| terms.limits.of(limited).unwrap_or(i64::MAX);
                    assert!(limit(&pair[0]) < limit(&pair[1]), "{code} {limited}");
                }
            }
        }
        let yen = Currency::parse("JPY").unwrap();
        assert_eq!(Plan::Team.terms(yen), Err(UnknownCurrency));
    }
}
