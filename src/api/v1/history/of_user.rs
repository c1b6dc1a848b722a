//! What of a user's history a reader is told, who may audit some of the companies that the user works in, and knows nothing of the others.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::access::{Reach, Right};
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::user::UserEvent;
use projections::history::{ELSEWHERE, FieldChange};
use projections::{DomainEvent, integration_tokens};
use serde_json::Value;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::users::require_visible;
use crate::app::App;
use crate::ledger::history::{self, Entry, RolesHeld};
use crate::ledger::{Actor, StreamKey, StreamKind};

/// What of a user's history the caller may read.
pub struct Audited(Option<Part>);

/// The part that is about some companies.
struct Part {
    held: RolesHeld,
    /// The companies that the reader audits, of those where the user ever held a role.
    companies: BTreeSet<i64>,
    /// Up to here: when the user left the last of them.
    up_to: Option<i64>,
    /// Whoever changed anything of the user.
    actors: BTreeMap<String, Known>,
}

/// Whether somebody who acted is known to the reader: because they act for a company that the reader audits, or for one above.
enum Known {
    Always,
    Never,
    /// While they held a role in one of these.
    InRole(RolesHeld, BTreeSet<i64>),
}

impl Audited {
    /// Whoever may read the history of a company may read that of its people, also when they have left or were deleted, up to then.
    ///
    /// # Errors
    /// 404 when the user is unknown, 403 when nothing of them may be read, and what the database answers.
    pub async fn find(app: &App, caller: &Caller, user: UserId) -> Result<Self, Problem> {
        // The ledger knows them also when they were deleted; of a moment before they came to be it does not.
        let stream = StreamKey::new(StreamKind::User, user.get());
        if !history::is_known(&mut *app.pool.acquire().await?, stream).await? {
            return Err(Problem::not_found("user"));
        }
        if caller.authority.platform_owner {
            return Ok(Self(None));
        }
        let today = app.today();
        // Of the moment that is asked for: who came to a company later was nobody's there.
        let mut connection = app.pool.acquire().await?;
        let held = history::roles_held(&mut connection, user.get()).await?;
        drop(connection);
        let (mut companies, mut above) = (BTreeSet::new(), BTreeSet::new());
        for id in held.companies() {
            if let Some(path) = audits(today, caller, id).await? {
                companies.insert(id);
                above.extend(path);
            }
        }
        if companies.is_empty() {
            require_visible(app, caller, user).await?;
            let detail = "Your roles do not allow reading this user's history.";
            return Err(Problem::forbidden(detail));
        }
        let mut actors = BTreeMap::new();
        for actor in held.actors() {
            let known = match Actor::parse(actor) {
                Some(Actor::User(id)) if id == user => Known::Always,
                Some(Actor::Anonymous | Actor::System) => Known::Always,
                Some(Actor::User(id)) => known_user(today, caller, id, &above).await?,
                Some(Actor::Token(id)) => {
                    let mut connection = today.pool.acquire().await?;
                    let token = integration_tokens::by_id(&mut connection, id).await?;
                    drop(connection);
                    let company = token.map(|token| token.company_id);
                    match company {
                        Some(id) if is_known(today, caller, id, &above).await? => Known::Always,
                        _ => Known::Never,
                    }
                }
                None => Known::Never,
            };
            actors.insert(actor.to_owned(), known);
        }
        Ok(Self(Some(Part {
            up_to: held.left(&companies),
            held,
            companies,
            actors,
        })))
    }

    /// The last position that may be told of; `None`: there is no such.
    pub fn up_to(&self) -> Option<i64> {
        self.0.as_ref()?.up_to
    }

    /// Whether the entry is told; what it says of other companies, and of who acts for them, is taken out.
    pub fn tells(&self, entry: &mut Entry) -> bool {
        self.0.as_ref().is_none_or(|part| part.tells(entry))
    }
}

async fn known_user(
    today: &App,
    caller: &Caller,
    user: UserId,
    above: &BTreeSet<i64>,
) -> Result<Known, Problem> {
    let mut connection = today.pool.acquire().await?;
    let roles = history::roles_held(&mut connection, user.get()).await?;
    // The companies are looked up on another one.
    drop(connection);
    if roles.platform_owner() {
        return Ok(Known::Always);
    }
    let mut acting = BTreeSet::new();
    for id in roles.companies() {
        if is_known(today, caller, id, above).await? {
            acting.insert(id);
        }
    }
    Ok(Known::InRole(roles, acting))
}

/// Whether who acts for the company is known to the reader.
async fn is_known(
    today: &App,
    caller: &Caller,
    company: i64,
    above: &BTreeSet<i64>,
) -> Result<bool, Problem> {
    Ok(above.contains(&company) || audits(today, caller, company).await?.is_some())
}

/// The company and all above it, if the caller may read its whole history.
async fn audits(today: &App, caller: &Caller, company: i64) -> Result<Option<Vec<i64>>, Problem> {
    let company = today.company(CompanyId(company), caller.as_of).await?;
    let audited = company
        .filter(|company| caller.authority.reach(&company.path, Right::Audit) == Some(Reach::All));
    Ok(audited.map(|company| company.path.clone()))
}

impl Part {
    fn tells(&self, entry: &mut Entry) -> bool {
        let Some(DomainEvent::User(event)) = &entry.event else {
            self.judge_actor(entry);
            return true;
        };
        let audits = |company: &CompanyId| self.companies.contains(&company.get());
        match event {
            UserEvent::AccessGranted { company_id, .. }
            | UserEvent::AccessRevoked { company_id, .. } => return audits(company_id),
            UserEvent::AccessChanged {
                from_company_id,
                to_company_id,
                ..
            } => return audits(from_company_id) && audits(to_company_id),
            UserEvent::PrimaryAccessChanged { from, to } => {
                let seen = |access: &UserAccessId| self.held.is_of(*access, &self.companies);
                let (from, to) = (from.as_ref().map(seen), to.as_ref().map(seen));
                if from != Some(true) && to != Some(true) {
                    return false;
                }
                if from == Some(false) || to == Some(false) {
                    for change in &mut entry.changes {
                        change.withheld = Some(ELSEWHERE);
                        if from == Some(false) {
                            change.from = Value::Null;
                        }
                        if to == Some(false) {
                            change.to = Value::Null;
                        }
                    }
                    entry.withhold_provenance();
                    return true;
                }
            }
            UserEvent::UserDeleted { accesses } => {
                for access in accesses {
                    if !audits(&access.company_id) {
                        let field = format!("user_accesses[{}]", access.id);
                        entry.changes.retain(|change| !change.is_of(&field));
                    }
                }
                let primary = |change: &FieldChange| {
                    let access = change.from.as_i64().map(UserAccessId);
                    access.is_some_and(|access| self.held.is_of(access, &self.companies))
                };
                let kept =
                    |change: &FieldChange| !change.is_of("primary_access_id") || primary(change);
                entry.changes.retain(kept);
            }
            _ => {}
        }
        self.judge_actor(entry);
        true
    }

    /// Whoever acted for another company did so for its reasons and from its places.
    fn judge_actor(&self, entry: &mut Entry) {
        let known = match entry.metadata.get("actor") {
            None => true,
            Some(actor) => match self.actors.get(actor) {
                Some(Known::Always) => true,
                Some(Known::InRole(roles, companies)) => roles.held_then(entry.position, companies),
                Some(Known::Never) | None => false,
            },
        };
        if !known {
            entry.withhold_provenance();
        }
    }
}
