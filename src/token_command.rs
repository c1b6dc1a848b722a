//! `leadledger token create`: an integration token made at the console, beside whatever servers run on the database.

use aggregates::company::integration_token::{NewIntegrationToken, TokenName, TokenScope};
use aggregates::company::{Company, CompanyCommand, CompanyError};
use aggregates::ids::IntegrationTokenId;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::integration_token;
use crate::clock::Clock;
use crate::config::{NewTokenArgs, Settings};
use crate::database::Database;
use crate::ledger::{
    CommitError, IdKind, Ledger, Provenance, Refusal, Secrets, StreamKey, StreamKind, Work,
};

/// Makes the token and answers it; nobody can read it again.
///
/// # Errors
/// A wrong name, scope or expiry, an unknown company, or a ledger that cannot be written.
pub async fn create(settings: &Settings, args: &NewTokenArgs) -> anyhow::Result<SecretString> {
    let clock = Clock::system();
    let token = integration_token::generate();
    let new = checked(args, &clock, &token)?;
    let database = Database::existing(settings).await?;
    let secrets = Secrets::load(&mut *database.pool.acquire().await?).await?;
    let (ledger, tasks) = Ledger::open(&database.pool, &database.options, &secrets, clock).await?;
    let made = commit(&ledger, args.company, new).await;
    drop(ledger);
    tasks.finished().await;
    database.close().await;
    made.map(|()| token)
}

fn checked(
    args: &NewTokenArgs,
    clock: &Clock,
    token: &SecretString,
) -> anyhow::Result<NewIntegrationToken> {
    let mut scopes = Vec::new();
    for scope in &args.scopes {
        scopes.push(TokenScope::parse(scope).with_context(|| format!("--scopes {scope:?}"))?);
    }
    scopes.sort_unstable();
    scopes.dedup();
    anyhow::ensure!(
        args.expires_at.is_none_or(|end| end > clock.now()),
        "--expires-at must be in the future"
    );
    let name = args.name.as_deref().map(TokenName::parse).transpose();
    Ok(NewIntegrationToken {
        integration_token_id: IntegrationTokenId(0),
        name: name.context("--name")?,
        scopes,
        token_hash: integration_token::hash(token.expose_secret()),
        expires_at: args.expires_at,
    })
}

async fn commit(ledger: &Ledger, company: i64, new: NewIntegrationToken) -> anyhow::Result<()> {
    let work = Work::new(Provenance::system("console"), move |unit| {
        let id = IntegrationTokenId(unit.next_id(IdKind::IntegrationToken));
        let new = NewIntegrationToken {
            integration_token_id: id,
            ..new.clone()
        };
        let create = CompanyCommand::CreateIntegrationToken(Box::new(new));
        unit.execute::<Company>(company, create)?;
        Ok(id.get())
    })
    .on(StreamKey::new(StreamKind::Company, company));
    match ledger.commit(work).await {
        Ok(_) => Ok(()),
        Err(CommitError::Refused(Refusal::Company(CompanyError::NotCreated))) => {
            anyhow::bail!("there is no company {company}")
        }
        Err(error) => Err(error.into()),
    }
}
