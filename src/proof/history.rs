//! A checked history in plain words, for people who read no code.
//!
//! Works on the stored JSON, whatever kind of event it is: an event that this version of the program does not know is told
//! like any other.

use std::fmt::Write as _;

use aggregates::personal::FieldCipher;
use serde_json::{Map, Value};

use super::evidence::{EventEvidence, EvidenceError, EvidencePack};
use super::to_base64;
use crate::ledger::{StreamKey, sealing::SubjectKey};

/// The story of a pack that was checked before.
///
/// # Errors
/// [`EvidenceError`] when the key in the pack does not open its sealed values.
pub fn tell(pack: &EvidencePack) -> Result<String, EvidenceError> {
    let cipher = cipher_of(pack)?;
    let mut story = String::new();
    for (event, nth) in pack.events.iter().zip(1..) {
        tell_event(&mut story, event, nth, cipher.as_deref()).ok_or(EvidenceError::Event(
            nth,
            "the key in the pack does not open its sealed values",
        ))?;
    }
    Ok(story)
}

fn cipher_of(
    pack: &EvidencePack,
) -> Result<Option<std::sync::Arc<dyn FieldCipher>>, EvidenceError> {
    use base64::Engine as _;
    let Some(key) = &pack.subject_key else {
        return Ok(None);
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(key);
    let bytes: [u8; 32] = bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(EvidenceError::Key)?;
    let stream = StreamKey::from_stored(&pack.aggregate_type, &pack.aggregate_id);
    Ok(stream.map(|stream| SubjectKey::from_bytes(stream, bytes).cipher()))
}

fn tell_event(
    story: &mut String,
    event: &EventEvidence,
    nth: usize,
    cipher: Option<&dyn FieldCipher>,
) -> Option<()> {
    let when = event.recorded_at().map_or_else(
        || "at an unknown time".to_owned(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    let position = event.position;
    let name = visible(&sentence(&event.event_type));
    line(
        story,
        &format!("{nth}. {when}: {name} (position {position} of the ledger)"),
    );
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap_or_default();
    if let Some(told) = metadata.as_object().map(provenance) {
        line(story, &format!("   {told}"));
    }
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    // Externally tagged: one member, called as the event.
    let body = match &payload {
        Value::Object(members) if members.len() == 1 => members.values().next()?,
        other => other,
    };
    let body = opened(body, cipher)?;
    if let Value::Object(fields) = &body {
        tell_fields(story, fields);
    }
    Some(())
}

fn line(story: &mut String, text: &str) {
    writeln!(story, "{text}").expect("writing into a String cannot fail");
}

/// By whom, through what, from where and why.
fn provenance(metadata: &Map<String, Value>) -> String {
    let text = |name: &str| {
        let text = metadata.get(name).and_then(Value::as_str);
        text.map(visible)
    };
    let mut told = format!(
        "by {}",
        text("actor").unwrap_or_else(|| "somebody unnamed".to_owned())
    );
    for (name, words) in [
        ("source", " through "),
        ("ip", " from "),
        ("user_agent", " with "),
        ("request_id", ", request "),
    ] {
        if let Some(value) = text(name) {
            told += words;
            told += &value;
        }
    }
    if let Some(reason) = text("reason") {
        told += ", because: ";
        told += &reason;
    }
    told
}

/// Every field in a line; what changed from one value to another, in one line too.
fn tell_fields(story: &mut String, fields: &Map<String, Value>) {
    for (name, value) in fields {
        if let Some(what) = name.strip_prefix("from_")
            && let Some(to) = fields.get(&format!("to_{what}"))
        {
            line(
                story,
                &format!("   {}: {} → {}", words(what), plain(value), plain(to)),
            );
        } else if name
            .strip_prefix("to_")
            .is_some_and(|what| fields.contains_key(&format!("from_{what}")))
        {
            // Told with what it was before.
        } else if !is_nothing(value) {
            line(story, &format!("   {}: {}", words(name), plain(value)));
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        _ => false,
    }
}

/// A value in a line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => visible(text),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(members) => {
            if let (Some(from), Some(to), 2) =
                (members.get("from"), members.get("to"), members.len())
            {
                return format!("{} → {}", plain(from), plain(to));
            }
            let told = members.iter().filter(|(_, value)| !is_nothing(value));
            let told = told.map(|(name, value)| format!("{} {}", words(name), plain(value)));
            told.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The value with every sealed one in it opened; `None` when one does not open though there is a key.
fn opened(value: &Value, cipher: Option<&dyn FieldCipher>) -> Option<Value> {
    Some(match value {
        Value::Object(members) => {
            if let (1, Some(Value::String(sealed))) = (members.len(), members.get("sealed")) {
                let Some(cipher) = cipher else {
                    return Some(Value::String(
                        "(sealed, and the pack has no key)".to_owned(),
                    ));
                };
                return serde_json::from_slice(&cipher.open(sealed)?).ok();
            }
            let members = members.iter();
            let members = members.map(|(name, value)| Some((name.clone(), opened(value, cipher)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
        Value::Array(list) => {
            let list = list.iter().map(|value| opened(value, cipher));
            Value::Array(list.collect::<Option<_>>()?)
        }
        other => other.clone(),
    })
}

/// `LeadStageChanged` as `Lead stage changed`.
fn sentence(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
            text.extend(c.to_lowercase());
        } else {
            text.push(c);
        }
    }
    text
}

fn words(name: &str) -> String {
    visible(&name.replace('_', " "))
}

/// The text with what a terminal would obey written out.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| {
        // Marks that turn the writing direction could make a line read otherwise than it is.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// The key that packs carry.
#[must_use]
pub fn key_text(key: &SubjectKey) -> String {
    to_base64(key.bytes())
}
