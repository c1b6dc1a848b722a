//! That histories add up: whatever happens in whatever order, what a field was is what was told of it last.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aggregates::upcasting;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const THEN: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// Every stored event of this kind of stream, in the samples of every version.
fn samples<E: DeserializeOwned>(kind: &str, event: impl Fn(E) -> DomainEvent) -> Vec<DomainEvent> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../aggregates/tests/events");
    let entries = std::fs::read_dir(folder.join(kind)).unwrap();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut found = Vec::new();
    for path in names {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Some((event_type, version)) = name.split_once(".v") else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let upcast = upcasting::upcast(kind, event_type, version, &text);
        let payload = upcast.unwrap_or_else(|| serde_json::from_str(&text).unwrap());
        found.push(event(serde_json::from_value(payload).unwrap()));
    }
    found
}

fn kinds() -> Vec<Vec<DomainEvent>> {
    vec![
        samples("lead", DomainEvent::Lead),
        samples("company", DomainEvent::Company),
        samples("user", DomainEvent::User),
        samples("invitation", DomainEvent::Invitation),
        samples("subscription", DomainEvent::Subscription),
    ]
}

/// Reads a history forward as an auditor would.
fn adds_up(told: &mut Told, events: &[&DomainEvent]) -> Result<(), TestCaseError> {
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for event in events {
        for change in told.changes(event, THEN) {
            if change.withheld.is_some() {
                continue;
            }
            if let Some(before) = last.get(&change.field) {
                prop_assert_eq!(&change.from, before, "{} in {:?}", change.field, event);
            }
            last.insert(change.field, change.to);
        }
    }
    // The end is what the changes come to.
    let held = last.into_iter().filter(|(_, value)| !value.is_null());
    let held: BTreeMap<String, Value> = held.collect();
    let end = told.fields();
    let end = end.map(|(field, value)| (field.to_owned(), value.cloned().unwrap_or_default()));
    prop_assert_eq!(held, end.collect());
    Ok(())
}

proptest! {
    #[test]
    fn what_a_field_was_is_what_was_told_of_it_last(
        kind in 0..5_usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let samples = kinds().swap_remove(kind);
        let events: Vec<_> = order.iter().map(|index| index.get(&samples)).collect();
        adds_up(&mut Told::default(), &events)?;
    }
}

fn lead(name: &str, event: &Value) -> DomainEvent {
    let event: Value = json!({ name: event });
    DomainEvent::Lead(serde_json::from_value(event).unwrap())
}

#[test]
fn what_an_event_does_not_hold_comes_from_those_before() {
    let mut told = Told::default();
    told.changes(
        &lead(
            "LeadNoteAdded",
            &json!({"note_id": 1, "author_id": 4, "content": "Called."}),
        ),
        THEN,
    );
    let gone = told.changes(&lead("LeadNoteRemoved", &json!({"note_id": 1})), THEN);
    let gone: Vec<_> = gone
        .iter()
        .map(|change| (change.field.as_str(), &change.from, &change.to))
        .collect();
    assert_eq!(
        gone,
        [
            ("notes[1].author_id", &json!(4), &Value::Null),
            ("notes[1].content", &json!("Called."), &Value::Null),
        ]
    );
    assert_eq!(told.fields().count(), 0);
}

#[test]
fn a_part_of_what_is_withheld_as_a_whole_is_found() {
    let mut told = Told::default();
    let event = lead(
        "LeadExtraFieldsChanged",
        &json!({"from": {"sealed": "x"}, "to": {"sealed": "y"}}),
    );
    let changes = told.changes(&event, THEN);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].withheld, Some(ERASED));
    assert!(changes[0].is_of("extra.zip") && changes[0].is_of("extra"));
    assert!(!changes[0].is_of("extra_fields"));
}

#[test]
fn a_field_of_the_companys_own_keeps_its_name_whatever_it_is() {
    let mut told = Told::default();
    let from = json!({});
    // Stored apart, lest it be taken for a sealed value.
    let to = json!({"plain": {"sealed": "no"}});
    let changes = told.changes(
        &lead("LeadExtraFieldsChanged", &json!({"from": from, "to": to})),
        THEN,
    );
    assert_eq!(
        (changes[0].field.as_str(), &changes[0].to),
        ("extra.sealed", &json!("no"))
    );
    let to = json!({"plain": {"sealed": "no"}, "phone": "1"});
    let changes = told.changes(
        &lead(
            "LeadExtraFieldsChanged",
            &json!({"from": {}, "to": {"sealed": "no", "phone": to["phone"]}}),
        ),
        THEN,
    );
    assert_eq!(changes[0].field, "extra.phone");
}

#[test]
fn what_is_sealed_together_is_found_by_each_field() {
    let sealed = |field: &str| FieldChange {
        field: field.to_owned(),
        from: Value::Null,
        to: Value::Null,
        withheld: Some(ERASED),
    };
    for (whole, part) in [
        ("appointments[1].text", "appointments[1].title"),
        ("appointments[1].text", "appointments[1]"),
        ("contact", "phone_number"),
        ("answers", "answers[7]"),
        ("profile", "lang"),
    ] {
        assert!(sealed(whole).is_of(part), "{part} in {whole}");
    }
    for (whole, other) in [
        ("appointments[1].text", "appointments[2].title"),
        ("appointments[1].text", "appointments[1].starts_at"),
        ("contact", "stage_id"),
        ("notes[1].content", "notes[1].title"),
    ] {
        assert!(!sealed(whole).is_of(other), "{other} in {whole}");
    }
}
