//! What every handler shares: the pool, the ledger, the keys, and who may do what as the ledger says now.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aggregates::access::{Reach, Right, Role};
use aggregates::ids::{CompanyId, IntegrationTokenId, LeadId, UserAccessId, UserId};
use aggregates::phone::Region;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::companies::{self, CompanyRow, Visible};
use projections::integration_tokens::{self, IntegrationTokenRow};
use projections::lead_notes::{self, NoteRow};
use projections::leads::list::{self, LeadRow};
use projections::leads::past::PastTotals;
use projections::users::list::authority;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use crate::auth::integration_token::{self, TokenUses};
use crate::auth::invitation_code::InvitationCodes;
use crate::auth::password::Passwords;
use crate::auth::rate_limits::RateLimits;
use crate::auth::token::Tokens;
use crate::avatars::Avatars;
use crate::clock::Clock;
use crate::coalesce::Coalesced;
use crate::import::engine::Imports;
use crate::ledger::moment::{Asked, Moment, NoMoment, Reader};
use crate::ledger::zone_maps::ZoneMaps;
use crate::ledger::{Ledger, Secrets, authority_position};
use crate::mail::links::Links;
use crate::providers::Issuers;
use crate::trusted_proxies::TrustedProxies;
use crate::turns::Turns;
use crate::witness::Witness;

/// The server's parts, shared: each route and each request holds them.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What an [`App`] consists of.
#[derive(Clone)]
pub struct Parts {
    /// For reads.
    pub pool: Reader,
    /// For writes.
    pub ledger: Ledger,
    /// Issues and checks tokens.
    pub tokens: Tokens,
    /// Derives the codes of invitations.
    pub invitation_codes: InvitationCodes,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// The time.
    pub clock: Clock,
    /// The phone region of new top-level companies.
    pub region: Region,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Reads that requests share.
    pub reads: SharedReads,
    /// See [`AuthorityCache`].
    pub authority: Arc<AuthorityCache>,
    /// Reads the links in mails.
    pub links: Links,
    /// Pictures.
    pub avatars: Avatars,
    /// Files of leads.
    pub imports: Imports,
    /// See [`Stopping`].
    pub stopping: Stopping,
    /// Whose identities users may link.
    pub issuers: Issuers,
    /// See [`TokenUses`].
    pub token_uses: Arc<TokenUses>,
    /// Where checkpoints are written outside the database.
    pub witness: Witness,
    /// Told of slow pages of the past.
    pub zone_maps: ZoneMaps,
    /// See [`PastTotals`].
    pub past_totals: Arc<PastTotals>,
    /// Who is at which idempotency key.
    pub turns: Arc<Turns>,
    /// See [`RateLimits`].
    pub rate_limits: Arc<RateLimits>,
    /// Whose word on where requests come from counts.
    pub proxies: TrustedProxies,
    /// The parts of today, where these are bound to a moment of the past: see [`App::today`].
    pub today: Option<App>,
}

/// Tells answers that have no end of their own that the server stops. Cheap to clone.
#[derive(Clone)]
pub struct Stopping(Arc<watch::Sender<bool>>);

impl Default for Stopping {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stopping {
    /// The server stops.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when the server stops.
    pub async fn told(&self) {
        // The sender is held right here.
        let _ = self.0.subscribe().wait_for(|stops| *stops).await;
    }
}

/// The reads that nearly every request makes; requests that come together share a round trip.
#[derive(Clone)]
pub struct SharedReads {
    /// See [`authority_position`].
    pub authority_position: Coalesced<(), i64>,
    /// A lead's row.
    pub lead: Coalesced<LeadId, Option<LeadRow>>,
    /// A lead's notes, oldest first.
    pub notes: Coalesced<LeadId, Vec<NoteRow>>,
}

impl SharedReads {
    /// The same reads as of the moment that the reader is bound to; who may do what is asked of today all the same.
    #[must_use]
    pub fn at(&self, reader: &Reader) -> Self {
        Self {
            authority_position: self.authority_position.clone(),
            lead: self.lead.on(reader),
            notes: self.notes.on(reader),
        }
    }

    /// Connects when first asked.
    #[must_use]
    pub fn new(options: &PgConnectOptions) -> Self {
        Self {
            authority_position: Coalesced::start(options, 1, |connection, keys| {
                Box::pin(async move {
                    let position = authority_position(connection).await?;
                    Ok(vec![position; keys.len()])
                })
            }),
            lead: Coalesced::start(options, 2, |connection, ids| {
                Box::pin(list::by_ids(connection, ids))
            }),
            notes: Coalesced::start(options, 1, |connection, ids| {
                Box::pin(lead_notes::of_leads(connection, ids))
            }),
        }
    }
}

/// A role that a user holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRole {
    /// The access.
    pub user_access_id: UserAccessId,
    /// Where; it holds below too.
    pub company_id: CompanyId,
    /// What.
    pub role: Role,
}

/// Who a user is and what they hold.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Sees and may do everything.
    pub platform_owner: bool,
    /// Tokens of another epoch do not hold.
    pub session_epoch: i64,
    /// Oldest first.
    pub roles: Vec<HeldRole>,
}

impl Authority {
    /// What an integration token of this company holds: an administrator's role there, which is nobody's access.
    #[must_use]
    pub fn of_token(company_id: CompanyId) -> Self {
        Self {
            platform_owner: false,
            session_epoch: 0,
            roles: vec![HeldRole {
                user_access_id: UserAccessId(0),
                company_id,
                role: Role::Admin,
            }],
        }
    }

    /// The companies that this user may see.
    #[must_use]
    pub fn visible(&self) -> Visible {
        if self.platform_owner {
            Visible::All
        } else {
            Visible::Under(
                self.roles
                    .iter()
                    .map(|held| held.company_id.get())
                    .collect(),
            )
        }
    }

    /// The companies below which this user sees something today, as the past is told of them: an array in PostgreSQL's notation, the empty
    /// one standing for all.
    #[must_use]
    pub fn under(&self) -> Arc<str> {
        let companies = match self.visible() {
            Visible::All => Vec::new(),
            Visible::Under(companies) => companies,
        };
        let ids: Vec<String> = companies.iter().map(ToString::to_string).collect();
        format!("{{{}}}", ids.join(",")).into()
    }

    /// The roles that hold in the company with this path from the root.
    pub fn roles_on(&self, path: &[i64]) -> impl Iterator<Item = &HeldRole> {
        self.roles
            .iter()
            .filter(move |held| path.contains(&held.company_id.get()))
    }

    /// Whether anything of the company is visible.
    #[must_use]
    pub fn sees(&self, path: &[i64]) -> bool {
        self.platform_owner || self.roles_on(path).next().is_some()
    }

    /// Whether the right is held in any company.
    #[must_use]
    pub fn reaches_anywhere(&self, right: Right) -> bool {
        self.platform_owner || self.roles.iter().any(|held| held.role.may(right).is_some())
    }

    /// How far the right reaches in the company with this path.
    #[must_use]
    pub fn reach(&self, path: &[i64], right: Right) -> Option<Reach> {
        if self.platform_owner {
            return Some(Reach::All);
        }
        self.roles_on(path)
            .filter_map(|held| held.role.may(right))
            .max()
    }
}

/// So many companies of the past are remembered: whoever pages through a list of then asks for the same one again and again.
const COMPANIES_THEN: usize = 1_000;

/// Users' authority and companies' places, kept as long as no event touches users, companies or roles: each request asks
/// the ledger's head for that position, so that a revoked role ends at once on every node.
#[derive(Default)]
pub struct AuthorityCache(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    position: i64,
    users: HashMap<UserId, Arc<Authority>>,
    companies: HashMap<CompanyId, Arc<CompanyRow>>,
    /// As of a position of the past, for whoever sees these companies today.
    companies_then: HashMap<(CompanyId, i64, Arc<str>), Option<Arc<CompanyRow>>>,
    /// By the hash of their secret.
    integration_tokens: HashMap<String, Arc<IntegrationTokenRow>>,
}

impl AuthorityCache {
    /// Works on what is remembered as of this position, forgetting what is older; `None` when something newer is
    /// remembered.
    fn with<R>(&self, position: i64, work: impl FnOnce(&mut Cached) -> R) -> Option<R> {
        let mut cached = self.lock();
        if cached.position < position {
            *cached = Cached {
                position,
                ..Cached::default()
            };
        }
        (cached.position == position).then(|| work(&mut cached))
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        // The map is only ever replaced or extended: a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// The same server, which whoever holds this tells that it stops. Nothing of the one that was lives on: the ledger ends when its last holder does.
    #[must_use]
    pub fn stopped_by(mut self, stopping: Stopping) -> Self {
        Arc::make_mut(&mut self.0).stopping = stopping;
        self
    }

    /// The same server as of a moment of the past, for reads: its tables and its clock; `under` is [`Authority::under`] of who reads, today.
    ///
    /// # Errors
    /// What the database answers, outside; why there is no such moment, inside.
    pub async fn looking_back(
        &self,
        asked: Asked,
        under: &Arc<str>,
    ) -> Result<Result<(Self, Moment), NoMoment>, sqlx::Error> {
        let pool = self
            .pool
            .looking_back(asked, self.clock.now(), under.clone());
        let pool = match pool.await? {
            Ok(pool) => pool,
            Err(none) => return Ok(Err(none)),
        };
        let Some(moment) = pool.moment() else {
            return Ok(Err(NoMoment::BeforeFirstEvent));
        };
        let parts = Parts {
            reads: self.reads.at(&pool),
            pool,
            clock: Clock::fixed(moment.clock()),
            today: Some(self.clone()),
            ..Parts::clone(self)
        };
        Ok(Ok((parts.into(), moment)))
    }

    /// The parts of today, whatever moment these are bound to.
    #[must_use]
    pub fn today(&self) -> &Self {
        self.today.as_ref().unwrap_or(self)
    }

    /// The company's row as of the moment that these parts are bound to; `None` where they are bound to none. `as_of` is what
    /// [`App::authority_of`] answered.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn company_then(
        &self,
        company: CompanyId,
        as_of: i64,
    ) -> Result<Option<Option<Arc<CompanyRow>>>, sqlx::Error> {
        let (Some(moment), Some(under)) = (self.pool.moment(), self.pool.under()) else {
            return Ok(None);
        };
        let key = (company, moment.position, under);
        let known = self
            .authority
            .with(as_of, |c| c.companies_then.get(&key).cloned());
        if let Some(known) = known.flatten() {
            return Ok(Some(known));
        }
        let mut connection = self.pool.acquire().await?;
        let row = companies::by_id(&mut connection, company).await?;
        let row = row.map(Arc::new);
        self.authority.with(as_of, |c| {
            if c.companies_then.len() >= COMPANIES_THEN {
                c.companies_then.clear();
            }
            c.companies_then.insert(key, row.clone())
        });
        Ok(Some(row))
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        self.reads.authority_position.get(()).await.is_ok()
    }

    /// The user's authority now, and the position it is as of; `None` for an unknown user.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn authority_of(
        &self,
        user: UserId,
    ) -> Result<Option<(Arc<Authority>, i64)>, sqlx::Error> {
        let position = self.reads.authority_position.get(()).await?;
        if let Some(known) = self
            .authority
            .with(position, |c| c.users.get(&user).cloned())
            .flatten()
        {
            return Ok(Some((known, position)));
        }
        let mut connection = self.pool.acquire().await?;
        let Some(row) = authority(&mut connection, user).await? else {
            return Ok(None);
        };
        let roles = row.access_ids.iter().zip(&row.company_ids).zip(&row.roles);
        let roles = roles.filter_map(|((id, company), role)| {
            Some(HeldRole {
                user_access_id: UserAccessId(*id),
                company_id: CompanyId(*company),
                role: Role::ALL.into_iter().find(|known| known.code() == role)?,
            })
        });
        let loaded = Arc::new(Authority {
            platform_owner: row.platform_owner,
            session_epoch: row.session_epoch,
            roles: roles.collect(),
        });
        self.authority
            .with(position, |c| c.users.insert(user, loaded.clone()));
        Ok(Some((loaded, position)))
    }

    /// What this node remembers of the user's authority, and the position it was as of: it may hold no longer.
    #[must_use]
    pub fn remembered_authority_of(&self, user: UserId) -> Option<(Arc<Authority>, i64)> {
        let cached = self.authority.lock();
        let known = cached.users.get(&user)?;
        Some((known.clone(), cached.position))
    }

    /// The integration token with this secret, if it holds, and the position that it is as of. Notes that it was used, without
    /// waiting for that.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn integration_token(
        &self,
        secret: &str,
    ) -> Result<Option<(Arc<IntegrationTokenRow>, i64)>, sqlx::Error> {
        let hash = integration_token::hash(secret);
        let position = self.reads.authority_position.get(()).await?;
        let known = self
            .authority
            .with(position, |c| c.integration_tokens.get(&hash).cloned())
            .flatten();
        let token = if let Some(known) = known {
            known
        } else {
            let mut connection = self.pool.acquire().await?;
            let Some(row) = integration_tokens::by_hash(&mut connection, &hash).await? else {
                return Ok(None);
            };
            let row = Arc::new(row);
            self.authority
                .with(position, |c| c.integration_tokens.insert(hash, row.clone()));
            row
        };
        let now = self.clock.now();
        if !token.holds_at(now) {
            return Ok(None);
        }
        let id = IntegrationTokenId(token.id);
        if self.token_uses.is_due(id, now) {
            let pool = self.pool.today().clone();
            tokio::spawn(async move {
                let noted = match pool.acquire().await {
                    Ok(mut connection) => {
                        integration_tokens::record_use(&mut connection, id, now).await
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = noted {
                    tracing::warn!(%error, "a token's use was not noted");
                }
            });
        }
        Ok(Some((token, position)))
    }

    /// The company's row, as of the position that [`App::authority_of`] answered.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn company(
        &self,
        company: CompanyId,
        position: i64,
    ) -> Result<Option<Arc<CompanyRow>>, sqlx::Error> {
        let known = self
            .authority
            .with(position, |c| c.companies.get(&company).cloned())
            .flatten();
        if known.is_some() {
            return Ok(known);
        }
        let mut connection = self.pool.acquire().await?;
        let Some(row) = companies::by_id(&mut connection, company).await? else {
            return Ok(None);
        };
        let row = Arc::new(row);
        self.authority
            .with(position, |c| c.companies.insert(company, row.clone()));
        Ok(Some(row))
    }
}
