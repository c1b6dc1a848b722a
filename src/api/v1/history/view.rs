//! What of a history is asked for, and how it looks in JSON.

use aggregates::ids::UserId;
use axum::Json;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use projections::history::{ActorNames, FieldChange, actor_names};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};

use super::formats::Format;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::import::through::Through;
use crate::ledger::Actor;
use crate::ledger::history::{Entry, Filter, Part};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only what changed this field or a part of it, such as `stage_id`, `estimated_value.amount`, `answers[9]`, `extra` or `notes[7]`.
    field: Option<String>,
    /// Only by this actor: `user:7` or `7`, `token:3`, `system`, `anonymous`.
    actor: Option<String>,
    /// Only what was recorded at this instant or later.
    from: Option<DateTime<Utc>>,
    /// Only what was recorded at this instant or earlier.
    to: Option<DateTime<Utc>>,
    /// `position`, the oldest first (when absent), or `-position`.
    sort: Option<String>,
    /// Changes a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 25)]
    per_page: Option<i64>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
    /// `json`, `csv` or `cloudevents`; when absent, `Accept` decides.
    format: Option<String>,
}

/// A checked [`HistoryQuery`].
pub struct Wanted {
    pub filter: Filter,
    pub part: Part,
    pub format: Format,
    /// The resource whose history it is: the path without its last segment.
    pub source: String,
    /// Path and query of this page, without its cursor.
    this_page: String,
}

impl HistoryQuery {
    /// Checks every parameter.
    ///
    /// # Errors
    /// 400 naming the first that is malformed.
    pub fn check(self, headers: &HeaderMap, uri: &Uri) -> Result<Wanted, Problem> {
        let refuse =
            |name: &str, message: &str| Problem::malformed_query(FieldErrors::of(name, message));
        for (name, instant) in [("from", self.from), ("to", self.to)] {
            if instant.is_some_and(|instant| !(1..=9999).contains(&instant.year())) {
                return Err(refuse(name, "must be in the years 1 to 9999"));
            }
        }
        let descending = match self.sort.as_deref() {
            None | Some("position") => false,
            Some("-position") => true,
            Some(_) => return Err(refuse("sort", "must be position or -position")),
        };
        let limit = self.per_page.unwrap_or(25);
        let limit = usize::try_from(limit)
            .ok()
            .filter(|n| (1..=100).contains(n));
        let limit = limit.ok_or_else(|| refuse("per_page", "must be between 1 and 100"))?;
        let actor = self.actor.map(|text| {
            let actor = actor(text.trim());
            actor.ok_or_else(|| {
                refuse(
                    "actor",
                    "must be a user's id, user:7, token:3, system or anonymous",
                )
            })
        });
        let after = self.cursor.map(|cursor| {
            let text = URL_SAFE_NO_PAD.decode(cursor).ok();
            text.and_then(|text| String::from_utf8(text).ok()?.parse().ok())
                .ok_or_else(|| refuse("cursor", "is not a cursor of this list"))
        });
        let format = match self.format.as_deref() {
            Some(name) => Format::named(name)
                .ok_or_else(|| refuse("format", "must be json, csv or cloudevents"))?,
            None => Format::accepted(headers),
        };
        let path = uri.path();
        let pairs = uri.query().unwrap_or_default().split('&');
        let pairs: Vec<_> = pairs
            .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
            .collect();
        Ok(Wanted {
            filter: Filter {
                field: self.field,
                actor: actor.transpose()?.map(|actor| actor.to_string()),
                from: self.from,
                to: self.to,
                up_to: None,
                sealed: false,
            },
            part: Part {
                descending,
                after: after.transpose()?,
                limit,
            },
            format,
            source: path.trim_end_matches("/history").to_owned(),
            this_page: format!("{path}?{}", pairs.join("&")),
        })
    }
}

/// A user by their id alone, or an actor as it is stored.
fn actor(text: &str) -> Option<Actor> {
    let actor = match text.parse() {
        Ok(id) => Actor::User(UserId(id)),
        Err(_) => Actor::parse(text)?,
    };
    let nobody = match &actor {
        Actor::User(id) => id.get() < 1,
        Actor::Token(id) => id.get() < 1,
        Actor::Anonymous | Actor::System => false,
    };
    (!nobody).then_some(actor)
}

impl Wanted {
    /// The opaque place after the event with this sequence.
    pub fn cursor(next: i64) -> String {
        URL_SAFE_NO_PAD.encode(next.to_string())
    }

    /// Where the next page is.
    pub fn next_page(&self, next: i64) -> String {
        let joined = if self.this_page.ends_with('?') {
            ""
        } else {
            "&"
        };
        format!("{}{joined}cursor={}", self.this_page, Self::cursor(next))
    }
}

/// A page of a history.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    history: Vec<EntryView>,
    meta: HistoryMeta,
}

#[derive(Debug, Serialize, ToSchema)]
struct HistoryMeta {
    per_page: usize,
    /// Continues the history after this page; null on the last one.
    next_cursor: Option<String>,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// Place in the ledger; `as_of` takes it.
    pub position: i64,
    /// Place among the changes of this thing, from 1.
    pub sequence: i64,
    pub event_type: String,
    /// Version of the event's shape.
    pub event_version: String,
    pub recorded_at: DateTime<Utc>,
    pub actor: ActorView,
    /// The way in: `api`, `import <code> row <n>` (behind it ` undo` for what takes back what the row did), `worker`, `console`, `first run`;
    /// null when a foreign program did not say.
    pub through: Option<String>,
    /// The row of the imported file that it came from, or whose doing it takes back.
    pub import: Option<ImportView>,
    pub ip: Option<String>,
    /// What the client says it is, its first 200 characters; of an import at the console `leadledger import (console)`.
    pub user_agent: Option<String>,
    /// `X-Request-Id` of the request.
    pub request_id: Option<String>,
    /// `X-Reason` of the request, or `--reason` at the console.
    pub reason: Option<String>,
    pub changes: Vec<ChangeView>,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorView {
    /// `user`, `token` (a program), `anonymous`, `system`, `elsewhere` (somebody who acts for companies whose history the reader may not
    /// read: who, from where and why is withheld), or what a foreign program says.
    #[serde(rename = "type")]
    #[schema(example = "user")]
    pub kind: String,
    pub id: Option<i64>,
    pub name: Option<String>,
}

/// A row of an imported file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportView {
    pub code: String,
    /// Null where it was not recorded.
    pub row: Option<i64>,
}

/// A field before and after.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// Named as in answers; one of several things with its id, as in `notes[7].content`.
    pub field: String,
    pub from: Value,
    pub to: Value,
    /// Why a value is not shown: `erased`, `blocked`, `elsewhere` (of another company) or `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
}

impl From<FieldChange> for ChangeView {
    fn from(change: FieldChange) -> Self {
        Self {
            field: change.field,
            from: change.from,
            to: change.to,
            withheld: change.withheld.map(str::to_owned),
        }
    }
}

/// The entries with the names of who acted.
///
/// # Errors
/// What the database answers.
pub async fn entries(
    connection: &mut PgConnection,
    entries: Vec<Entry>,
) -> Result<Vec<EntryView>, sqlx::Error> {
    let (mut users, mut tokens) = (Vec::new(), Vec::new());
    for entry in &entries {
        match entry
            .metadata
            .get("actor")
            .and_then(|text| Actor::parse(text))
        {
            Some(Actor::User(id)) => users.push(id.get()),
            Some(Actor::Token(id)) => tokens.push(id.get()),
            _ => {}
        }
    }
    let names = actor_names(connection, &users, &tokens).await?;
    let viewed = entries.into_iter().map(|entry| view(entry, &names));
    Ok(viewed.collect())
}

fn view(mut entry: Entry, names: &ActorNames) -> EntryView {
    let actor = entry.metadata.remove("actor").unwrap_or_default();
    let actor = match Actor::parse(&actor) {
        Some(Actor::User(UserId(id))) => ("user", Some(id), names.users.get(&id)),
        Some(Actor::Token(id)) => ("token", Some(id.get()), names.tokens.get(&id.get())),
        Some(Actor::Anonymous) => ("anonymous", None, None),
        Some(Actor::System) => ("system", None, None),
        None => (actor.as_str(), None, None),
    };
    let through = entry.metadata.remove("source");
    EntryView {
        position: entry.position,
        sequence: entry.sequence,
        recorded_at: entry.recorded_at,
        actor: ActorView {
            kind: actor.0.to_owned(),
            id: actor.1,
            name: actor.2.cloned(),
        },
        import: through.as_deref().and_then(import),
        through,
        ip: entry.metadata.remove("ip"),
        user_agent: entry.metadata.remove("user_agent"),
        request_id: entry.metadata.remove("request_id"),
        reason: entry.metadata.remove("reason"),
        changes: entry.changes.into_iter().map(ChangeView::from).collect(),
        event_type: entry.event_type,
        event_version: entry.event_version,
    }
}

fn import(through: &str) -> Option<ImportView> {
    let Through { code, row } = Through::parse(through)?;
    Some(ImportView {
        code: code.to_owned(),
        row,
    })
}

/// A page in JSON.
pub fn page(history: Vec<EntryView>, wanted: &Wanted, next: Option<i64>) -> Response {
    let meta = HistoryMeta {
        per_page: wanted.part.limit,
        next_cursor: next.map(Wanted::cursor),
    };
    Json(History { history, meta }).into_response()
}
