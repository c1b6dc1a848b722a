//! `leadledger replay lead <id>`: the life of a lead as the ledger tells it, step by step, and what it had come to in the end.

use std::fmt::Write as _;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use projections::history::{ERASED, actor_names};
use serde_json::Value;
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::config::{ReplayLeadArgs, Settings};
use crate::database::Database;
use crate::ledger::history::{self, Entry, Filter, Part};
use crate::ledger::moment::{self, Asked, NoMoment};
use crate::ledger::{Actor, StreamKey, StreamKind};
use crate::proof::history::visible;

/// What somebody may mean by `--at`.
///
/// # Errors
/// A message for the command line.
pub fn asked(text: &str) -> Result<Asked, String> {
    if let Ok(position) = text.parse() {
        return Ok(Asked::Position(position));
    }
    let instant = DateTime::parse_from_rfc3339(text);
    instant
        .map(|instant| Asked::Instant(instant.with_timezone(&Utc)))
        .map_err(|_| "must be an instant such as 2026-11-25T21:30:00Z, or a ledger position".into())
}

/// Tells the life of the lead.
///
/// # Errors
/// An unknown lead, a moment that cannot be, or what the database answers.
pub async fn lead(settings: &Settings, args: &ReplayLeadArgs) -> anyhow::Result<String> {
    let database = Database::existing(settings).await?;
    let mut connection = database.pool.acquire().await?;
    let told = tell(&mut connection, args).await;
    drop(connection);
    database.close().await;
    told
}

async fn tell(connection: &mut PgConnection, args: &ReplayLeadArgs) -> anyhow::Result<String> {
    let mut up_to = None;
    if let Some(asked) = args.at {
        let moment = moment::resolve(connection, asked, Clock::system().now()).await?;
        up_to = match moment {
            Ok(moment) => Some(moment.position),
            // Events reach further back than the kept versions of read tables.
            Err(NoMoment::BeforeVersions(_)) => Some(moment::position_of(connection, asked).await?),
            Err(none @ NoMoment::Future) => anyhow::bail!("--at {none}"),
            Err(none @ (NoMoment::BeforeFirstEvent | NoMoment::InsideFirstCommit { .. })) => {
                anyhow::bail!("--at {none}")
            }
        };
    }
    let stream = StreamKey::new(StreamKind::Lead, args.id);
    let filter = Filter {
        up_to,
        ..Filter::default()
    };
    let all = Part {
        descending: false,
        after: None,
        limit: usize::MAX,
    };
    let read = history::read(connection, stream, &filter, all, |_| true).await?;
    let entries = read.entries;
    let first = entries.first().context("there is no such lead then")?;
    anyhow::ensure!(
        first.sequence == 1,
        "the lead's history does not begin with its first event"
    );
    let mut told = String::new();
    for entry in &entries {
        step(connection, entry, &mut told).await?;
    }
    let last = entries.last().map_or(0, |entry| entry.position);
    writeln!(
        told,
        "lead {} after {} changes, as of position {}",
        args.id,
        entries.len(),
        up_to.unwrap_or(last)
    )?;
    for (field, value) in read.told.fields() {
        match value {
            Some(value) => writeln!(
                told,
                "  {}: {}",
                visible(field),
                visible(&value.to_string())
            )?,
            None => writeln!(told, "  {}: {ERASED}", visible(field))?,
        }
    }
    Ok(told)
}

async fn step(
    connection: &mut PgConnection,
    entry: &Entry,
    told: &mut String,
) -> anyhow::Result<()> {
    let of = |name: &str| entry.metadata.get(name).map(String::as_str);
    let mut by = of("actor").unwrap_or("somebody").to_owned();
    if let Some(Actor::User(id)) = Actor::parse(&by) {
        let names = actor_names(connection, &[id.get()], &[]).await?;
        let name = names.users.get(&id.get());
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            by = format!("{name} ({by})");
        }
    }
    let time = entry
        .recorded_at
        .to_rfc3339_opts(SecondsFormat::Micros, true);
    write!(
        told,
        "{} {time} {} by {}",
        entry.position,
        visible(&entry.event_type),
        visible(&by)
    )?;
    for (word, name) in [("through", "source"), ("from", "ip"), ("because", "reason")] {
        if let Some(text) = of(name) {
            write!(told, " {word} {}", visible(text))?;
        }
    }
    told.push('\n');
    if entry.event.is_none() {
        writeln!(told, "  cannot be read")?;
    }
    for change in &entry.changes {
        if let Some(why) = change.withheld {
            writeln!(told, "  {}: {why}", visible(&change.field))?;
        } else {
            let (from, to) = (shown(&change.from), shown(&change.to));
            writeln!(told, "  {}: {from} -> {to}", visible(&change.field))?;
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        other => visible(&other.to_string()),
    }
}
