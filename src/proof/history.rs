//! A checked history in plain words, for people who read no code.
//!
//! Works on the stored JSON, whatever kind of event it is: an event that this version of the program does not know is told
//! like any other.

use std::fmt::Write as _;

use aggregates::personal::FieldCipher;
use serde_json::{Map, Value};

use super::evidence::{EventEvidence, EvidenceError, EvidencePack};
use super::{strict_json, to_base64};
use crate::ledger::{SEALED_REASON, StreamKey, reason_of, sealing::SubjectKey};

/// What stands for a sealed value where there is no key. Texts stand in quotation marks, and so no text is taken for it.
const NO_KEY: &str = "(sealed, and the pack has no key)";

/// The metadata that have their own place in the telling; the time is the event's.
const TOLD: [&str; 8] = [
    "actor",
    "source",
    "ip",
    "user_agent",
    "request_id",
    "reason",
    SEALED_REASON,
    "at",
];

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
    let told = provenance(&event.provenance()?, cipher)?;
    line(story, &format!("   {told}"));
    match opened(&event.content()?, cipher)? {
        Value::Object(fields) => tell_fields(story, &fields),
        other => line(story, &format!("   {}", plain(&other))),
    }
    Some(())
}

fn line(story: &mut String, text: &str) {
    writeln!(story, "{text}").expect("writing into a String cannot fail");
}

/// By whom, through what, from where and why, and whatever else is said; `None` when what is sealed does not open though there is a key.
fn provenance(metadata: &Map<String, Value>, cipher: Option<&dyn FieldCipher>) -> Option<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| plain(value), visible);
    let by = metadata.get("actor").map(text);
    let mut parts = vec![format!(
        "by {}",
        by.as_deref().unwrap_or("somebody unnamed")
    )];
    // What clients choose the words of stands in quotation marks.
    for (name, words, freely) in [
        ("source", "through", false),
        ("ip", "from", false),
        ("user_agent", "with", true),
        ("request_id", "request", true),
    ] {
        if let Some(value) = metadata.get(name) {
            let value = if freely { plain(value) } else { text(value) };
            parts.push(format!("{words} {value}"));
        }
    }
    let mut told = vec![parts.join(" ")];
    if let Some(reason) = metadata.get("reason") {
        told.push(format!("because: {}", plain(reason)));
    }
    // The reason for a change of a lead is sealed as its data is.
    if metadata.contains_key(SEALED_REASON) {
        let reason = match cipher {
            Some(cipher) => plain(&reason_of(&Value::Object(metadata.clone()), cipher)?.into()),
            None => NO_KEY.to_owned(),
        };
        told.push(format!("because: {reason}"));
    }
    let others = metadata.iter();
    for (name, value) in others.filter(|(name, _)| !TOLD.contains(&name.as_str())) {
        told.push(format!("{} {}", words(name), plain(value)));
    }
    Some(told.join(", "))
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
        Value::String(text) => quoted(text),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(_) if sealed_in(value).is_some() => NO_KEY.to_owned(),
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

/// The ciphertext, where a value is sealed.
fn sealed_in(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) if members.len() == 1 => members.get("sealed")?.as_str(),
        _ => None,
    }
}

/// The value with every sealed one in it opened; `None` when one does not open though there is a key.
fn opened(value: &Value, cipher: Option<&dyn FieldCipher>) -> Option<Value> {
    Some(match value {
        Value::Object(members) => {
            if let Some(sealed) = sealed_in(value) {
                let Some(cipher) = cipher else {
                    return Some(value.clone());
                };
                let opened = strict_json::read(&cipher.open(sealed)?)?;
                // It would be told as if there were no key.
                return sealed_in(&opened).is_none().then_some(opened);
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

/// The name of a member; in quotation marks when it is not one of ours, such as that of an extra field.
fn words(name: &str) -> String {
    let ours = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.bytes().all(ours) {
        name.replace('_', " ")
    } else {
        quoted(name)
    }
}

/// A text in quotation marks, so that nothing in it is taken for ours.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", visible(&text))
}

/// The text with what a terminal would obey written out.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| {
        // Marks that end a line or turn the writing direction could make it read otherwise than it is.
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
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
