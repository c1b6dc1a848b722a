//! The part of `verify` that is about claims: who holds which e-mail and which identity of elsewhere. By them, and not by the read
//! tables, it is decided whether an e-mail is free.

use std::collections::{BTreeMap, HashMap};

use aggregates::user::UserEvent;
use aws_lc_rs::hmac;
use projections::DomainEvent;
use sqlx::PgConnection;

use super::provenance::Actor;
use super::stream::StreamKey;
use super::unit::{Claim, email_claim, provider_claim};
use super::verify_told::Told;

/// Whether somebody must hold a claim. What a stock program appends comes without: it neither takes one nor lets go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Surely,
    Perhaps,
}

/// Claims by kind and hash, and who may hold each.
type Wanted = HashMap<(String, Vec<u8>), BTreeMap<i64, Holds>>;

/// What an event says of claims.
#[derive(Debug)]
enum Said {
    Email(i64, String, Holds),
    /// An identity stays with who linked it first, also when it is unlinked.
    Identity(i64, String, String, Holds),
    Deleted(i64, Holds),
    /// What this user claims cannot be read.
    Unreadable(i64),
}

/// What users claim, along the events.
#[derive(Debug, Default)]
pub struct Claimed(Vec<Said>);

impl Claimed {
    /// Takes an event in.
    pub(super) fn note(&mut self, stream: StreamKey, event: &DomainEvent, metadata: &str) {
        let DomainEvent::User(event) = event else {
            return;
        };
        let user = stream.id;
        let holds = || {
            if is_ours(metadata) {
                Holds::Surely
            } else {
                Holds::Perhaps
            }
        };
        let said = match event {
            UserEvent::UserRegistered { email, .. } => match email.plain() {
                Some(email) => Said::Email(user, email.as_str().to_owned(), holds()),
                None => Said::Unreadable(user),
            },
            UserEvent::ProviderLinked { provider, uid, .. } => match uid.plain() {
                Some(uid) => Said::Identity(user, provider.clone(), uid.clone(), holds()),
                None => Said::Unreadable(user),
            },
            UserEvent::UserDeleted { .. } => Said::Deleted(user, holds()),
            _ => return,
        };
        self.0.push(said);
    }

    /// Takes in what later events claim.
    pub(super) fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Compares it with the claims that there are, both ways.
    ///
    /// # Errors
    /// What the database answers.
    pub(super) async fn compare(
        self,
        connection: &mut PgConnection,
    ) -> Result<Vec<String>, sqlx::Error> {
        let secret: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT value FROM public.server_secrets WHERE name = 'claims'")
                .fetch_optional(&mut *connection)
                .await?;
        let stored: Vec<(String, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT kind, value_hash, aggregate_id FROM public.claims ORDER BY kind, aggregate_id, value_hash",
        )
        .fetch_all(connection)
        .await?;
        let Some(secret) = secret else {
            // Before the first run there is neither.
            let any = !stored.is_empty() || !self.0.is_empty();
            return Ok(any
                .then(|| "server_secrets: what hashes claims is missing".to_owned())
                .into_iter()
                .collect());
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let (mut wanted, unreadable) = self.wanted(&key);
        let mut wrong = Told::of("claims");
        for (kind, hash, holder) in stored {
            let who = format!("{} of user {holder}", kind.escape_debug());
            let holders = wanted.remove(&(kind, hash));
            let Some(holders) = holders else {
                if !unreadable.contains(&holder) {
                    wrong.tell(format_args!("{who}: should not be there"));
                }
                continue;
            };
            if !holders.contains_key(&holder) {
                let right: Vec<String> = holders.keys().map(i64::to_string).collect();
                wrong.tell(format_args!(
                    "{who}: belongs to user {}",
                    right.join(" or ")
                ));
            }
        }
        let mut missing: Vec<_> = wanted
            .into_iter()
            .filter(|(_, holders)| holders.values().any(|holds| *holds == Holds::Surely))
            .filter_map(|((kind, _), holders)| Some((*holders.keys().next()?, kind)))
            .collect();
        missing.sort_unstable();
        for (holder, kind) in missing {
            wrong.tell(format_args!("{kind} of user {holder}: is missing"));
        }
        Ok(wrong.into_lines())
    }

    /// Each claim, by kind and hash, with those of whom one holds it; and the users of whom it is not known what they claim.
    fn wanted(self, key: &hmac::Key) -> (Wanted, Vec<i64>) {
        let mut emails = BTreeMap::new();
        let mut unreadable = Vec::new();
        let mut wanted = Wanted::new();
        let mut add = |claim: Claim, holder: i64, holds: Holds| {
            let claim = (claim.kind.to_owned(), claim.value_hash);
            wanted.entry(claim).or_default().insert(holder, holds);
        };
        for said in self.0 {
            match said {
                Said::Email(user, email, holds) => {
                    emails.insert(user, (email, holds));
                }
                Said::Identity(user, provider, uid, holds) => {
                    add(provider_claim(key, &provider, &uid), user, holds);
                }
                Said::Deleted(user, Holds::Surely) => {
                    emails.remove(&user);
                }
                Said::Deleted(user, Holds::Perhaps) => {
                    if let Some((_, holds)) = emails.get_mut(&user) {
                        *holds = Holds::Perhaps;
                    }
                }
                Said::Unreadable(user) => unreadable.push(user),
            }
        }
        for (user, (email, holds)) in emails {
            add(email_claim(key, &email), user, holds);
        }
        (wanted, unreadable)
    }
}

/// Whether the metadata are as our own are.
fn is_ours(metadata: &str) -> bool {
    let map: BTreeMap<String, String> = serde_json::from_str(metadata).unwrap_or_default();
    let actor = map.get("actor").and_then(|actor| Actor::parse(actor));
    actor.is_some() && map.contains_key("at") && map.contains_key("source")
}
