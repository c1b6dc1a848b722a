//! The task that turns requests for a new password into events, and events into mails.
//!
//! One node does it at a time: the holder of an advisory lock, on whose connection every note is made. An attempt is noted
//! before it begins and again when it succeeded. Should the process end between the server's "250" and the second note, the
//! mail is sent again with the same Message-ID, by which it is known for the same one; otherwise it is sent once.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, SystemTime};

use aggregates::access::Role;
use aggregates::email::Email;
use aggregates::ids::{InvitationId, UserId};
use aggregates::user::recovery::{Nonce, RecoveryCommand};
use aggregates::user::{User, UserCommand};
use chrono::TimeDelta;
use lettre::message::Mailbox;
use projections::invitations;
use projections::mail_outbox::{EMAIL_PROOF, INVITATION, PASSWORD_RESET};
use projections::users::list;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::watch;

use super::compose::{self, Mail};
use super::language::Language;
use super::links::{Links, Purpose, fresh_nonce};
use super::transport::{self, Transport};
use crate::auth::invitation_code::InvitationCodes;
use crate::clock::Clock;
use crate::config::Settings;
use crate::ledger::mail_deliveries::{self, Due, Outcome};
use crate::ledger::{CommitError, Ledger, Secrets, StreamKey, StreamKind, Work, reset_requests};

/// How often the outbox is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// An attempt that takes longer has failed.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long others keep off a mail whose attempt has begun: longer than any attempt.
const KEEP_OFF: TimeDelta = TimeDelta::seconds(12);
/// The longest wait between two attempts.
const LONGEST_WAIT: i64 = 900;

/// What delivering takes.
pub struct Delivery {
    /// The way out.
    pub transport: Transport,
    /// Who mails come from.
    pub from: Mailbox,
    /// What links begin with, without a slash at the end.
    pub public_url: String,
    /// Makes the links' tokens.
    pub links: Links,
    /// Makes the invitations' codes.
    pub invitation_codes: InvitationCodes,
    /// For the events that requests become.
    pub ledger: Ledger,
    /// For the connection that holds the lock.
    pub options: PgConnectOptions,
    /// The time.
    pub clock: Clock,
}

impl Delivery {
    /// As configured; `served_at` begins the links where no public address is configured.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub fn of(
        settings: &Settings,
        served_at: &str,
        secrets: &Secrets,
        ledger: Ledger,
        options: PgConnectOptions,
    ) -> anyhow::Result<Self> {
        let public_url = settings.public_url.as_deref().unwrap_or(served_at);
        anyhow::ensure!(
            ["http://", "https://"]
                .iter()
                .any(|scheme| public_url.starts_with(scheme)),
            "LEADLEDGER_PUBLIC_URL must begin with http:// or https://"
        );
        Ok(Self {
            transport: Transport::of(settings)?,
            from: transport::sender(settings)?,
            public_url: public_url.trim_end_matches('/').to_owned(),
            links: Links::new(secrets),
            invitation_codes: InvitationCodes::new(secrets.invitations()),
            clock: ledger.clock().clone(),
            ledger,
            options,
        })
    }
}

/// Delivers until `shutdown` resolves; what is under way then is brought to its end.
pub async fn run(delivery: Delivery, shutdown: impl Future<Output = ()> + Send) {
    match &delivery.transport {
        Transport::Smtp(_) => tracing::info!("mails go out by SMTP"),
        Transport::Mailbox(folder) => {
            tracing::info!(folder = %folder.display(), "LEADLEDGER_SMTP_URL is not set: mails are written to a folder");
        }
    }
    let (stop, stopped) = watch::channel(false);
    let work = work(delivery, stopped);
    tokio::pin!(work, shutdown);
    tokio::select! {
        () = &mut work => {}
        () = &mut shutdown => {
            let _ = stop.send(true);
            work.await;
        }
    }
}

async fn work(delivery: Delivery, mut stopped: watch::Receiver<bool>) {
    let mut session = Session {
        delivery,
        sent_unnoted: BTreeSet::new(),
    };
    while !*stopped.borrow() {
        if let Err(error) = session.hold(&mut stopped).await {
            // The error's text may quote data.
            tracing::warn!(kind = kind_of(&error), "mail delivery lost the database");
            pause(&mut stopped, Duration::from_secs(1)).await;
        }
    }
}

async fn pause(stopped: &mut watch::Receiver<bool>, time: Duration) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = tokio::time::sleep(time) => {}
    }
}

fn kind_of(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Database(_) => "database",
        sqlx::Error::Io(_) => "io",
        _ => "connection",
    }
}

struct Session {
    delivery: Delivery,
    /// Sent by this process, but the database went away before that was noted: only the note is made up for.
    sent_unnoted: BTreeSet<i64>,
}

impl Session {
    /// Works on one connection until it is lost or the server stops.
    async fn hold(&mut self, stopped: &mut watch::Receiver<bool>) -> Result<(), sqlx::Error> {
        let mut connection = self.delivery.options.connect().await?;
        let mut ours = false;
        while !*stopped.borrow() {
            ours = ours || mail_deliveries::take_turn(&mut connection).await?;
            if ours {
                self.take_requests(&mut connection).await?;
                let now = self.delivery.clock.now();
                mail_deliveries::take_new(&mut connection, now).await?;
                self.deliver_due(&mut connection, stopped).await?;
            }
            pause(stopped, LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Requests for a new password become events where the address is somebody's.
    async fn take_requests(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let requests = reset_requests::waiting(connection).await?;
        for request in &requests {
            if let Some(user_id) = request.user_id {
                let nonce = fresh_nonce();
                let work = Work::new(request.provenance(), move |unit| {
                    let at = unit.now();
                    let nonce = nonce.clone();
                    let request = RecoveryCommand::RequestPasswordReset { nonce, at };
                    unit.execute::<User>(user_id, UserCommand::Recover(request))?;
                    Ok(user_id)
                })
                .once(Some(request.once()))
                .on(StreamKey::new(StreamKind::User, user_id));
                match self.delivery.ledger.commit(work).await {
                    Ok(_) | Err(CommitError::Refused(_)) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a request for a new password waits for the ledger");
                        continue;
                    }
                }
            }
            reset_requests::handled(connection, request).await?;
        }
        if requests.is_empty() {
            reset_requests::forget_old(connection, self.delivery.clock.now()).await?;
        }
        Ok(())
    }

    async fn deliver_due(
        &mut self,
        connection: &mut PgConnection,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), sqlx::Error> {
        loop {
            let due = mail_deliveries::due(connection, self.delivery.clock.now()).await?;
            if due.is_empty() {
                return Ok(());
            }
            for mail in due {
                if *stopped.borrow() {
                    return Ok(());
                }
                self.deliver(connection, &mail).await?;
            }
        }
    }

    async fn deliver(
        &mut self,
        connection: &mut PgConnection,
        due: &Due,
    ) -> Result<(), sqlx::Error> {
        if !self.sent_unnoted.contains(&due.position) {
            match self.attempt(connection, due).await? {
                Attempt::Sent => {
                    self.sent_unnoted.insert(due.position);
                }
                Attempt::Hopeless(outcome) => {
                    let now = self.delivery.clock.now();
                    tracing::warn!(position = due.position, ?outcome, "a mail was not sent");
                    return mail_deliveries::settle(connection, due.position, outcome, now).await;
                }
                Attempt::Failed => {
                    let until = self.delivery.clock.now() + wait_after(due.attempts);
                    return mail_deliveries::put_off(connection, due.position, until).await;
                }
            }
        }
        let now = self.delivery.clock.now();
        mail_deliveries::settle(connection, due.position, Outcome::Sent, now).await?;
        self.sent_unnoted.remove(&due.position);
        tracing::info!(position = due.position, kind = due.kind, "a mail was sent");
        Ok(())
    }

    async fn attempt(
        &self,
        connection: &mut PgConnection,
        due: &Due,
    ) -> Result<Attempt, sqlx::Error> {
        let delivery = &self.delivery;
        let now = delivery.clock.now();
        if due.expires_at <= now {
            return Ok(Attempt::Hopeless(Outcome::Expired));
        }
        let Some(mail) = delivery.compose(connection, due).await? else {
            return Ok(Attempt::Hopeless(Outcome::NoRecipient));
        };
        let id = delivery.message_id(due.position);
        let Some(message) = transport::message(mail, &delivery.from, id, SystemTime::from(now))
        else {
            return Ok(Attempt::Hopeless(Outcome::NoRecipient));
        };
        mail_deliveries::begin(connection, due.position, now + KEEP_OFF).await?;
        let sending = delivery.transport.deliver(due.position, message);
        let failure = match tokio::time::timeout(ATTEMPT, sending).await {
            Ok(Ok(())) => return Ok(Attempt::Sent),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(
            position = due.position,
            attempts = due.attempts + 1,
            failure,
            "a mail will be tried again"
        );
        Ok(Attempt::Failed)
    }
}

enum Attempt {
    Sent,
    Hopeless(Outcome),
    Failed,
}

/// 2 seconds after the first attempt, then twice as long each time.
fn wait_after(attempts: i32) -> TimeDelta {
    let exponent = u32::try_from(attempts).unwrap_or(0).min(10);
    TimeDelta::seconds((2_i64 << exponent).min(LONGEST_WAIT))
}

impl Delivery {
    /// The same for the same event for ever.
    fn message_id(&self, position: i64) -> String {
        let installation = self.links.installation();
        format!("<{position}.{installation}@{}>", self.from.email.domain())
    }

    /// `None` when the offer has ended meanwhile, or the invited person was erased.
    async fn compose_invitation(
        &self,
        connection: &mut PgConnection,
        due: &Due,
    ) -> Result<Option<Mail>, sqlx::Error> {
        let Some(row) = invitations::by_id(connection, due.subject_id).await? else {
            return Ok(None);
        };
        let to = row.email.and_then(|email| Email::parse(&email).ok());
        let role = Role::ALL.into_iter().find(|role| role.code() == row.role);
        let Some((to, role)) = to.zip(role).filter(|_| row.status == "pending") else {
            return Ok(None);
        };
        // Nothing is known of somebody who is not here yet: the inviter's language is the best guess.
        let lang = match row.inviter_id {
            Some(inviter) => list::by_id(connection, UserId(inviter)).await?,
            None => None,
        };
        let lang = lang.and_then(|inviter| inviter.lang);
        let code = self
            .invitation_codes
            .mailed(InvitationId(due.subject_id), &due.nonce);
        Ok(Some(compose::invitation(
            to,
            &row.company_name,
            role,
            row.inviter_first_name.as_deref(),
            &format!(
                "{}/api/v1/invitations/accept?token={code}&lang={}",
                self.public_url,
                Language::of(lang.as_deref()).code()
            ),
            due.expires_at,
            lang.as_deref(),
        )))
    }

    /// `None` when there is nobody to write to.
    async fn compose(
        &self,
        connection: &mut PgConnection,
        due: &Due,
    ) -> Result<Option<Mail>, sqlx::Error> {
        let (purpose, path) = match due.kind.as_str() {
            PASSWORD_RESET => (Purpose::PasswordReset, "users/password"),
            EMAIL_PROOF => (Purpose::EmailProof, "users/email/prove"),
            INVITATION => return self.compose_invitation(connection, due).await,
            _ => return Ok(None),
        };
        let user = UserId(due.subject_id);
        let Some(row) = list::by_id(connection, user).await? else {
            return Ok(None);
        };
        let to = row.email.and_then(|email| Email::parse(&email).ok());
        let token = self.links.token(purpose, user, &Nonce(due.nonce.clone()));
        let Some((to, token)) = to.zip(token) else {
            return Ok(None);
        };
        let language = Language::of(row.lang.as_deref());
        let link = format!(
            "{}/api/v1/{path}?token={token}&lang={}",
            self.public_url,
            language.code()
        );
        let name = row.first_name.as_deref();
        Ok(Some(match purpose {
            Purpose::PasswordReset => {
                compose::password_reset(to, name, &link, due.expires_at, language)
            }
            Purpose::EmailProof => compose::email_proof(to, name, &link, due.expires_at, language),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_more_rarely_but_never_stop() {
        let waits: Vec<i64> = [0, 1, 2, 9, 100]
            .map(|n| wait_after(n).num_seconds())
            .into();
        assert_eq!(waits, [2, 4, 8, LONGEST_WAIT, LONGEST_WAIT]);
    }
}
