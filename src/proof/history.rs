//! A checked history in plain words, for people who read no code.
//!
//! Works on the stored JSON, whatever kind of event it is: an event that this version of the program does not know is told
//! like any other.

use std::fmt::Write as _;

use aggregates::personal::FieldCipher;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::evidence::{EventEvidence, EvidenceError, EvidencePack};
use super::{rfc3339, strict_json, to_base64};
use crate::ledger::SEALED_REASON;
use crate::ledger::sealing::{self, SubjectKey};

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
/// [`EvidenceError`] when the key in the pack does not open its sealed values, or one of them could be taken for another.
pub fn tell(pack: &EvidencePack) -> Result<String, EvidenceError> {
    let cipher = cipher_of(pack)?;
    let mut story = String::new();
    for (event, nth) in pack.events.iter().zip(1..) {
        tell_event(&mut story, event, nth, cipher.as_deref()).ok_or(EvidenceError::Event(
            nth,
            "a value in it is not what was sealed with the key in the pack",
        ))?;
    }
    Ok(story)
}

fn cipher_of(
    pack: &EvidencePack,
) -> Result<Option<std::sync::Arc<dyn FieldCipher>>, EvidenceError> {
    let subject = format!("{}/{}", pack.aggregate_type, pack.aggregate_id);
    let key = pack.subject()?;
    Ok(key.map(|key| sealing::cipher_of(subject, &key)))
}

/// What of a value may be sealed, and with what it is opened.
#[derive(Clone, Copy)]
enum Sealing<'a> {
    /// Nothing: what looks like it is the value itself, such as an extra field of that name.
    Nothing,
    /// There is no key.
    NoKey,
    Key(&'a dyn FieldCipher),
}

fn tell_event(
    story: &mut String,
    event: &EventEvidence,
    nth: usize,
    cipher: Option<&dyn FieldCipher>,
) -> Option<()> {
    let recorded_at = event.recorded_at()?;
    let mut place = vec![format!("position {} of the ledger", event.position)];
    if let Some(company) = event.company_id {
        place.push(format!("company {company}"));
    }
    if event.event_version != "1" {
        place.push(format!("version {}", quoted(&event.event_version)));
    }
    line(
        story,
        &format!(
            "{nth}. {}: {} ({})",
            recorded_at.format("%Y-%m-%d %H:%M:%S UTC"),
            sentence(&event.event_type),
            place.join(", ")
        ),
    );
    let sealing = cipher.map_or(Sealing::NoKey, Sealing::Key);
    let told = provenance(&event.provenance().ok()??, recorded_at, sealing)?;
    line(story, &format!("   {told}"));
    let content = event.content().ok()??;
    match &content {
        Value::Object(fields) if sealed_in(&content).is_none() => {
            tell_fields(story, fields, sealing)?;
        }
        other => line(story, &format!("   {}", plain(other, sealing)?)),
    }
    Some(())
}

fn line(story: &mut String, text: &str) {
    writeln!(story, "{text}").expect("writing into a String cannot fail");
}

/// By whom, through what, from where and why, and whatever else is said; `None` when what is sealed does not open though there is a key.
fn provenance(
    metadata: &Map<String, Value>,
    recorded_at: DateTime<Utc>,
    sealing: Sealing<'_>,
) -> Option<String> {
    let exact = |value: &Value| plain(value, Sealing::Nothing);
    let by = metadata.get("actor");
    let mut parts = vec![match by {
        Some(by) => format!("by {}", bare(by)?),
        None => "by somebody unnamed".to_owned(),
    }];
    for (name, words) in [
        ("source", "through"),
        ("ip", "from"),
        ("user_agent", "with"),
        ("request_id", "request"),
    ] {
        if let Some(value) = metadata.get(name) {
            let value = match name {
                "source" | "ip" => bare(value)?,
                _ => exact(value)?,
            };
            parts.push(format!("{words} {value}"));
        }
    }
    let mut told = vec![parts.join(" ")];
    if let Some(reason) = metadata.get("reason") {
        told.push(format!("because: {}", exact(reason)?));
    }
    // The reason for a change of a lead is sealed as its data is, and no JSON within.
    if let Some(sealed) = metadata.get(SEALED_REASON) {
        let reason = match sealing {
            Sealing::Key(cipher) => {
                quoted(&String::from_utf8(cipher.open(sealed.as_str()?)?).ok()?)
            }
            Sealing::NoKey | Sealing::Nothing => NO_KEY.to_owned(),
        };
        told.push(format!("because: {reason}"));
    }
    let others = metadata.iter();
    for (name, value) in others.filter(|(name, _)| !TOLD.contains(&name.as_str())) {
        told.push(format!("{} {}", words(name), exact(value)?));
    }
    // It is the event's time, which has been told.
    let at = metadata.get("at");
    let is_that = |at: &Value| {
        let at = at.as_str().and_then(rfc3339::read);
        at.is_some_and(|at| at == recorded_at)
    };
    if let Some(at) = at.filter(|at| !is_that(at)) {
        told.push(format!("at {}", exact(at)?));
    }
    Some(told.join(", "))
}

/// Every field in a line; what changed from one value to another, in one line too. Fields that say nothing are left out.
fn tell_fields(
    story: &mut String,
    fields: &Map<String, Value>,
    sealing: Sealing<'_>,
) -> Option<()> {
    for (name, value) in fields {
        let told = |value| plain(value, sealing);
        if let Some(what) = name.strip_prefix("from_")
            && let Some(to) = fields.get(&format!("to_{what}"))
        {
            let (from, to) = (told(value)?, told(to)?);
            line(story, &format!("   {}: {from} → {to}", words(what)));
        } else if name
            .strip_prefix("to_")
            .is_some_and(|what| fields.contains_key(&format!("from_{what}")))
        {
            // Told with what it was before.
        } else if !is_nothing(value) {
            line(story, &format!("   {}: {}", words(name), told(value)?));
        }
    }
    Some(())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        _ => false,
    }
}

/// A value in a line: texts in quotation marks, lists and objects in brackets, so that two that differ are told differently; of objects,
/// what says nothing is left out. `None` when it is sealed and does not open though there is a key.
fn plain(value: &Value, sealing: Sealing<'_>) -> Option<String> {
    if let Some(sealed) = sealed_in(value) {
        match sealing {
            Sealing::Nothing => {}
            Sealing::NoKey => return Some(NO_KEY.to_owned()),
            Sealing::Key(cipher) => {
                let opened = String::from_utf8(cipher.open(sealed)?).ok()?;
                let opened = strict_json::read(&opened).ok()?;
                return plain(&opened, Sealing::Nothing);
            }
        }
    }
    Some(match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let list = list.iter().map(|value| plain(value, sealing));
            format!("[{}]", list.collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Object(members) => {
            let told = members.iter().filter(|(_, value)| !is_nothing(value));
            let told = told
                .map(|(name, value)| Some(format!("{} {}", words(name), plain(value, sealing)?)));
            format!("{{{}}}", told.collect::<Option<Vec<_>>>()?.join(", "))
        }
        other => other.to_string(),
    })
}

/// The same of who or what did something, without quotation marks where it is one word such as `user:7` or an address.
fn bare(value: &Value) -> Option<String> {
    let is_word = |text: &str| {
        let part_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b":.-_/".contains(&byte);
        !text.is_empty() && text.bytes().all(part_of_one)
    };
    match value.as_str() {
        Some(text) if is_word(text) => Some(text.to_owned()),
        _ => plain(value, Sealing::Nothing),
    }
}

/// The ciphertext, where a value is sealed.
fn sealed_in(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) if members.len() == 1 => members.get("sealed")?.as_str(),
        _ => None,
    }
}

/// `LeadStageChanged` as `Lead stage changed`; in quotation marks when it is not such a name.
fn sentence(name: &str) -> String {
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_name {
        return quoted(name);
    }
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        let first = text.is_empty();
        text.push(if first { c } else { c.to_ascii_lowercase() });
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
        // Marks that end a line, turn the writing direction or take no room could make it read otherwise than it is.
        let hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || hidden {
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
