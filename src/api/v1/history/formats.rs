//! A history in other forms than JSON: CSV with a line a field, and `CloudEvents` 1.0 as JSON lines.

use std::io;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::view::{EntryView, Wanted};
use crate::api::problem::Problem;
use crate::ledger::StreamKey;
use crate::tabular::CsvWriter;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An object with the page and its `meta`.
    Json,
    /// RFC 4180, a line for each field of each change.
    Csv,
    /// A `CloudEvents` 1.0 object a line.
    CloudEvents,
}

impl Format {
    /// The form with this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "cloudevents" => Some(Self::CloudEvents),
            _ => None,
        }
    }

    /// The form that the client likes best of ours, by the weights (`q`) that it gives; of equal ones the first that it names. JSON when it
    /// names none; what it would take of any kind is JSON, too.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(header::ACCEPT).into_iter();
        let accept = accept.filter_map(|value| value.to_str().ok());
        let mut best: Option<((u16, bool), Self)> = None;
        for range in accept.flat_map(|value| value.split(',')) {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let (named, format) = match name.trim().to_ascii_lowercase().as_str() {
                "application/json" => (true, Self::Json),
                "text/csv" => (true, Self::Csv),
                "application/x-ndjson" | "application/cloudevents+json" => {
                    (true, Self::CloudEvents)
                }
                "*/*" | "application/*" => (false, Self::Json),
                _ => continue,
            };
            let rank = (weight(parameters), named);
            if rank.0 > 0 && best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, format));
            }
        }
        best.map_or(Self::Json, |(_, format)| format)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::CloudEvents => "application/x-ndjson",
        }
    }
}

/// The parameter `q` in thousandths; 1,000 when there is none that can be read.
fn weight(parameters: &str) -> u16 {
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let (whole, rest) = match named.and_then(|value| value.split_at_checked(1)) {
        Some((whole @ ("0" | "1"), rest)) => (whole, rest.strip_prefix('.').unwrap_or(rest)),
        _ => return 1_000,
    };
    if whole == "1" {
        return 1_000;
    }
    let digits = rest.chars().chain("000".chars()).take(3);
    digits.collect::<String>().parse().unwrap_or(1_000)
}

const COLUMNS: [&str; 17] = [
    "position",
    "recorded_at",
    "event_type",
    "actor_type",
    "actor_id",
    "actor_name",
    "through",
    "import_code",
    "import_row",
    "ip",
    "user_agent",
    "request_id",
    "reason",
    "field",
    "from",
    "to",
    "withheld",
];

/// A line for each field of each change; a change of no field has one line. Formulas are neutralised.
///
/// # Errors
/// Never in memory.
pub fn csv(entries: &[EntryView]) -> Result<Vec<u8>, Problem> {
    let written = write_csv(entries);
    written.map_err(|error| Problem::internal(anyhow::Error::from(error)))
}

fn write_csv(entries: &[EntryView]) -> io::Result<Vec<u8>> {
    let mut writer = CsvWriter::new(Vec::new());
    writer.write_row(COLUMNS)?;
    for entry in entries {
        let import = entry.import.as_ref();
        let common = [
            entry.position.to_string(),
            time(entry),
            entry.event_type.clone(),
            entry.actor.kind.clone(),
            entry.actor.id.map(|id| id.to_string()).unwrap_or_default(),
            entry.actor.name.clone().unwrap_or_default(),
            entry.through.clone().unwrap_or_default(),
            import.map(|import| import.code.clone()).unwrap_or_default(),
            import
                .and_then(|import| import.row)
                .map(|row| row.to_string())
                .unwrap_or_default(),
            entry.ip.clone().unwrap_or_default(),
            entry.user_agent.clone().unwrap_or_default(),
            entry.request_id.clone().unwrap_or_default(),
            entry.reason.clone().unwrap_or_default(),
        ];
        let common = || common.iter().map(String::as_str);
        if entry.changes.is_empty() {
            writer.write_row(common().chain([""; 4]))?;
        }
        for change in &entry.changes {
            let withheld = change.withheld.as_deref().unwrap_or_default();
            let (from, to) = (text(&change.from), text(&change.to));
            let changed = [change.field.as_str(), from.as_str(), to.as_str(), withheld];
            writer.write_row(common().chain(changed))?;
        }
    }
    writer.finish()
}

/// A value as a cell: texts as they are, nothing as nothing, the rest as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn time(entry: &EntryView) -> String {
    entry
        .recorded_at
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A `CloudEvents` 1.0 object in JSON a line. `source` is the resource's path, `id` the ledger position.
pub fn cloud_events(entries: &[EntryView], stream: StreamKey, source: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in entries {
        let event = json!({
            "specversion": "1.0",
            "id": entry.position.to_string(),
            "source": source,
            "type": format!("leadledger.{}.{}", stream.kind.name(), entry.event_type),
            "subject": stream.to_string(),
            "time": time(entry),
            "datacontenttype": "application/json",
            "data": entry,
        });
        lines.extend(event.to_string().into_bytes());
        lines.push(b'\n');
    }
    lines
}

/// The answer, with the next page in `Link`.
pub fn response(format: Format, body: Vec<u8>, wanted: &Wanted, next: Option<i64>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, format.content_type())], body).into_response();
    let link = next.map(|next| format!("<{}>; rel=\"next\"", wanted.next_page(next)));
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_the_client_likes_best() {
        for (accept, wanted) in [
            (vec![], Format::Json),
            (vec!["text/html"], Format::Json),
            (vec!["text/csv"], Format::Csv),
            (vec!["Text/CSV;q=1"], Format::Csv),
            (vec!["text/csv;q=0.1, application/json;q=0.9"], Format::Json),
            (
                vec!["application/json;q=0.25", "text/csv; q=0.3"],
                Format::Csv,
            ),
            (vec!["text/csv;q=0.5, application/json;q=0.5"], Format::Csv),
            (vec!["application/x-ndjson, */*"], Format::CloudEvents),
            (vec!["*/*, text/csv"], Format::Csv),
            (vec!["text/csv;q=0.1, */*"], Format::Json),
            (vec!["text/csv;q=0"], Format::Json),
            (vec!["application/json;q=0, text/csv;q=0.001"], Format::Csv),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Format::accepted(&headers), wanted, "{accept:?}");
        }
    }
}
