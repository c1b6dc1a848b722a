//! Stored events of every type and version that ever was: each is read, today's code still writes the newest shape, and a shape
//! that changes without a new version fails here. How to change an event is written in `docs/events.md`.
//!
//! The samples are payloads as a stock program stores them, personal data as it stands: `events/<stream>/<Event>.v<version>.json`, for
//! shapes that one version had one after the other also `….v<version>.<letter>.json`. What they fold to is in `events/<stream>/state.json`.
//! With `UPDATE_STATES=1` in the environment the latter are written anew; samples never are.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aggregates::Decide;
use aggregates::company::Company;
use aggregates::import::Import;
use aggregates::invitation::Invitation;
use aggregates::lead::Lead;
use aggregates::subscription::Subscription;
use aggregates::upcasting;
use aggregates::user::User;
use cqrs_es::{Aggregate, DomainEvent};
use serde_json::{Value, json};

/// By type and then by version and letter, oldest first.
type Samples = BTreeMap<String, Vec<(String, Value)>>;

fn folder<A: Aggregate>() -> PathBuf {
    let events = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    events.join(A::TYPE)
}

fn samples<A: Aggregate>() -> Samples {
    let mut found = Samples::new();
    for entry in std::fs::read_dir(folder::<A>()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((event, version)) = name.trim_end_matches(".json").split_once(".v") else {
            assert_eq!(name, "state.json", "a sample is <Event>.v<version>.json");
            continue;
        };
        let payload = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let versions = found.entry(event.to_owned()).or_default();
        versions.push((version.to_owned(), payload));
    }
    for versions in found.values_mut() {
        versions.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    found
}

/// The version without the letter of a sample.
fn version_of(named: &str) -> &str {
    match named.rsplit_once('.') {
        Some((version, letter)) if letter.chars().all(|c| c.is_ascii_lowercase()) => version,
        _ => named,
    }
}

/// The event types that the code knows, as serde lists them when it meets another.
fn known<A: Aggregate>() -> BTreeSet<String> {
    let error = serde_json::from_value::<A::Event>(json!({"?": {}}))
        .err()
        .unwrap()
        .to_string();
    let (_, list) = error.split_once("expected one of ").unwrap();
    let names = list.split(',').map(|name| {
        let name = name.trim().trim_start_matches('`');
        name.split('`').next().unwrap().to_owned()
    });
    names.collect()
}

/// As every reader of the ledger reads it.
fn read<A: Aggregate>(event: &str, version: &str, payload: &Value) -> A::Event {
    let text = payload.to_string();
    let upcast = upcasting::upcast(A::TYPE, event, version, &text);
    serde_json::from_value(upcast.unwrap_or_else(|| payload.clone()))
        .unwrap_or_else(|error| panic!("{event} of version {version} is not read: {error}"))
}

fn check<A>()
where
    A: Aggregate
        + Decide
        + serde::Serialize
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + PartialEq,
    A::Event: PartialEq + std::fmt::Debug,
{
    let samples = samples::<A>();
    let with_samples: BTreeSet<String> = samples.keys().cloned().collect();
    assert_eq!(
        known::<A>(),
        with_samples,
        "types known and types with samples"
    );
    let mut state = A::default();
    for (event, versions) in &samples {
        let first = version_of(&versions[0].0);
        assert_eq!(
            first, "1",
            "the first version of {event} has no sample any more"
        );
        let mut last = None;
        for (named, payload) in versions {
            let version = version_of(named);
            let decoded = read::<A>(event, version, payload);
            assert_eq!(decoded.event_type(), *event);
            last = Some((version, decoded, payload));
        }
        let (newest, decoded, payload) = last.unwrap();
        assert_eq!(
            decoded.event_version(),
            newest,
            "{event} has no sample of the version that is written, or one of a version that is not"
        );
        assert_eq!(
            &serde_json::to_value(&decoded).unwrap(),
            payload,
            "{event}: what is written today is not the newest sample. A changed shape takes a new version"
        );
    }
    // In an order in which a stream could be: what begins it first, what ends it last.
    let order = |name: &String| {
        let begins = ["Created", "Registered", "Started", "Requested"]
            .map(|end| name.to_lowercase() == format!("{}{}", A::TYPE, end.to_lowercase()));
        let ends = name.ends_with("Erased")
            || name.ends_with("Deleted")
            || name.ends_with("Ended")
            || name.ends_with("Undone");
        (!begins.contains(&true), ends, name.clone())
    };
    let mut names: Vec<&String> = samples.keys().collect();
    names.sort_by_key(|name| order(name));
    for name in names {
        for (version, payload) in &samples[name] {
            state.evolve(&read::<A>(name, version_of(version), payload));
        }
    }
    let path = folder::<A>().join("state.json");
    if std::env::var_os("UPDATE_STATES").is_some() {
        let text = serde_json::to_string_pretty(&state).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let expected: A = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(state, expected, "what the samples of {} fold to", A::TYPE);
}

#[test]
fn every_event_of_a_lead_that_ever_was_is_read() {
    check::<Lead>();
}

#[test]
fn every_event_of_a_company_that_ever_was_is_read() {
    check::<Company>();
}

#[test]
fn every_event_of_a_user_that_ever_was_is_read() {
    check::<User>();
}

#[test]
fn every_event_of_an_invitation_that_ever_was_is_read() {
    check::<Invitation>();
}

#[test]
fn every_event_of_a_subscription_that_ever_was_is_read() {
    check::<Subscription>();
}

#[test]
fn every_event_of_an_import_that_ever_was_is_read() {
    check::<Import>();
}

#[test]
fn an_older_version_reads_as_the_newest() {
    let samples = samples::<Lead>();
    let mut compared = 0;
    for (event, versions) in &samples {
        let (newest, payload) = versions.last().unwrap();
        let today = read::<Lead>(event, version_of(newest), payload);
        for (named, payload) in versions {
            if version_of(named) != version_of(newest) {
                assert_eq!(
                    read::<Lead>(event, version_of(named), payload),
                    today,
                    "{event}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no event has an older version");
}
