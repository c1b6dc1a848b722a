//! What a kept answer rests on: the roles of who asked, the places of the companies and users that were judged, and who may see
//! the leads it tells of. Only while that holds is the answer repeated as it was; else the operation judges anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use aggregates::ids::{CompanyId, UserId};
use projections::users::list::shares_company;
use serde::{Deserialize, Serialize};

use crate::api::caller::Caller;
use crate::app::{App, Authority};
use crate::ledger::answers::{self, LeadStanding};

/// Which companies and users an operation asked about before it acted. Cheap to clone; the clones note into one list.
#[derive(Debug, Clone, Default)]
pub struct Judged(Arc<Mutex<Names>>);

#[derive(Debug, Clone, Default)]
struct Names {
    companies: BTreeSet<i64>,
    users: BTreeSet<i64>,
}

impl Judged {
    /// The operation's answer depends on whether the caller sees this company.
    pub fn company(&self, company: CompanyId) {
        self.with(|names| names.companies.insert(company.get()));
    }

    /// The operation's answer depends on whether the caller sees this user.
    pub fn user(&self, user: UserId) {
        self.with(|names| names.users.insert(user.get()));
    }

    fn with<R>(&self, work: impl FnOnce(&mut Names) -> R) -> R {
        // Names are only ever added: a panic elsewhere leaves the list sound.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Roles by access, company and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    platform_owner: bool,
    held: BTreeSet<(i64, i64, String)>,
}

impl Roles {
    /// What the caller held when the request came; nothing for who is not signed in.
    #[must_use]
    pub fn of(caller: Option<&Caller>) -> Self {
        caller.map_or_else(Self::default, |caller| Self::from(&*caller.holds))
    }

    async fn now(app: &App, caller: Option<&Caller>) -> Result<Self, sqlx::Error> {
        match caller {
            Some(caller) if caller.token.is_none() => {
                let found = app.authority_of(caller.user_id).await?;
                Ok(found.map_or_else(Self::default, |(authority, _)| Self::from(&*authority)))
            }
            _ => Ok(Self::of(caller)),
        }
    }

    fn include(&self, other: &Self) -> bool {
        self.platform_owner >= other.platform_owner && self.held.is_superset(&other.held)
    }
}

impl From<&Authority> for Roles {
    fn from(authority: &Authority) -> Self {
        let held = authority.roles.iter().map(|held| {
            let role = held.role.code().to_owned();
            (held.user_access_id.get(), held.company_id.get(), role)
        });
        Self {
            platform_owner: authority.platform_owner,
            held: held.collect(),
        }
    }
}

/// See the module's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grounds {
    /// When the request came: what allowed it.
    before: Roles,
    /// After it, which may itself have given or taken roles.
    after: Roles,
    /// The path of each company that was judged.
    companies: BTreeMap<i64, Option<Vec<i64>>>,
    /// Whether each user that was judged shared a company with the caller.
    users: BTreeMap<i64, bool>,
    /// The leads that it tells of.
    pub leads: Vec<LeadStanding>,
}

impl Grounds {
    /// As they are after the operation.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(
        app: &App,
        caller: Option<&Caller>,
        judged: &Judged,
        key: (i64, &str),
    ) -> Result<Self, sqlx::Error> {
        let names = judged.with(|names| names.clone());
        Self::at(app, caller, names, key).await
    }

    /// Whether all of it is as it was.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn hold(
        &self,
        app: &App,
        caller: Option<&Caller>,
        key: (i64, &str),
    ) -> Result<bool, sqlx::Error> {
        let names = Names {
            companies: self.companies.keys().copied().collect(),
            users: self.users.keys().copied().collect(),
        };
        let now = Self::at(app, caller, names, key).await?;
        let roles = now.after == self.after || now.after.include(&self.before);
        let places = now.companies == self.companies && now.users == self.users;
        Ok(roles && places && now.leads == self.leads)
    }

    async fn at(
        app: &App,
        caller: Option<&Caller>,
        names: Names,
        (owner, key): (i64, &str),
    ) -> Result<Self, sqlx::Error> {
        let position = app.reads.authority_position.get(()).await?;
        let mut companies = BTreeMap::new();
        for id in names.companies {
            let row = app.company(CompanyId(id), position).await?;
            companies.insert(id, row.map(|row| row.path.clone()));
        }
        let mut users = BTreeMap::new();
        let mut connection = app.pool.acquire().await?;
        for id in names.users {
            let visible = caller.map(|caller| caller.holds.visible());
            let shares = match visible {
                Some(visible) => shares_company(&mut connection, &visible, UserId(id)).await?,
                None => false,
            };
            users.insert(id, shares);
        }
        drop(connection);
        Ok(Self {
            before: Roles::of(caller),
            after: Roles::now(app, caller).await?,
            companies,
            users,
            leads: answers::leads(app.pool.today(), owner, key).await?,
        })
    }
}
