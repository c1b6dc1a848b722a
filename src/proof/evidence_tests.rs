//! Packs made here from scratch, honest ones and every other kind.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::checkpoint::Checkpoint;
use super::super::merkle::{Frontier, Node, inclusion_ranges, range_root};
use super::super::note::Signer;
use super::super::stream_map::{StreamMap, stream_key};
use super::super::{history, to_base64};
use super::*;
use crate::ledger::sealing::SubjectKey;
use crate::ledger::{StreamKey, StreamKind};

#[path = "two_verifiers_tests.rs"]
mod two_verifiers;

/// A ledger of one's own, with a key of one's own.
struct Forge {
    signer: Signer,
    /// Each with its stream's id.
    events: Vec<(i64, EventEvidence)>,
}

impl Forge {
    /// Leads 1 to 3, five events each, in turn.
    fn new() -> Self {
        let mut events = Vec::new();
        for sequence in 1..=5 {
            for lead in 1..=3 {
                let key = SubjectKey::from_bytes(StreamKey::new(StreamKind::Lead, lead), [9; 32]);
                let sealed = key.cipher().seal(format!("\"Ana {sequence}\"").as_bytes());
                let event = EventEvidence {
                    position: events.len() as u64 + 1,
                    sequence,
                    event_type: "LeadNoteAdded".to_owned(),
                    event_version: "1".to_owned(),
                    payload:
                        json!({"LeadNoteAdded": {"note_id": 7, "from_stage_id": 1, "to_stage_id": 4,
                        "content": {"sealed": sealed}}})
                        .to_string(),
                    metadata:
                        json!({"actor": "user:1", "source": "api", "reason": "asked\u{1b}[2J for"})
                            .to_string(),
                    recorded_at_micros: 1_700_000_000_000_000 + sequence,
                    company_id: Some(3),
                    inclusion_path: Vec::new(),
                };
                events.push((lead, event));
            }
        }
        Self {
            signer: Signer::from_seed("leadledger/test", &[5; 32]).unwrap(),
            events,
        }
    }

    fn keys(&self) -> Vec<TrustedKey> {
        vec![self.signer.public().clone().into()]
    }

    /// The pack of a lead that an honest server would give out of these events.
    fn pack(&self, lead: i64) -> EvidencePack {
        let mut pack = EvidencePack {
            format: FORMAT.to_owned(),
            aggregate_type: "lead".to_owned(),
            aggregate_id: String::new(),
            checkpoint: String::new(),
            stream_events: 0,
            stream_proof: Vec::new(),
            subject_key: Some(to_base64(&[9; 32])),
            events: Vec::new(),
        };
        let mut tree = Frontier::default();
        let mut nodes = HashMap::new();
        let mut map = StreamMap::default();
        for (index, (lead, event)) in (0..).zip(&self.events) {
            pack.aggregate_id = lead.to_string();
            let hash_of_event = pack.leaf_of(event).unwrap();
            nodes.insert(Node { level: 0, index }, hash_of_event);
            tree.push(hash_of_event, |node, hash| {
                nodes.insert(node, *hash);
            });
            let key = stream_key("lead", &lead.to_string());
            let events = map.get(&key).map_or(0, |end| end.events) + 1;
            map.set(StreamEnd {
                key,
                events,
                last_leaf: hash_of_event,
            });
        }
        let checkpoint = Checkpoint {
            origin: "leadledger/test".to_owned(),
            size: tree.size(),
            root: tree.root(),
            streams: map.settle().0,
            time: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        };
        let (end, proof) = map.prove(&stream_key("lead", &lead.to_string())).unwrap();
        pack.aggregate_id = lead.to_string();
        pack.checkpoint = checkpoint.signed_by(&[&self.signer]);
        pack.stream_events = end.events;
        pack.stream_proof = proof.iter().map(|hash| to_base64(hash)).collect();
        for (of, event) in &self.events {
            if *of == lead {
                let ranges = inclusion_ranges(event.position - 1, tree.size());
                let path = ranges.iter().map(|range| {
                    to_base64(&range_root(range, |node| nodes.get(&node).copied()).unwrap())
                });
                let inclusion_path = path.collect();
                pack.events.push(EventEvidence {
                    inclusion_path,
                    ..event.clone()
                });
            }
        }
        pack
    }
}

#[test]
fn an_honest_pack_holds_and_is_told_in_plain_words() {
    let forge = Forge::new();
    for lead in 1..=3 {
        let pack = forge.pack(lead);
        let text = serde_json::to_string(&pack).unwrap();
        let pack = EvidencePack::parse(&text).unwrap();
        assert_eq!(pack.check(&forge.keys()).unwrap().size, 15);
        let story = history::tell(&pack).unwrap();
        assert_eq!(story.matches("Lead note added").count(), 5);
        assert!(story.contains("content: \"Ana 5\""), "{story}");
        assert!(story.contains("stage id: 1 → 4"), "{story}");
        assert!(story.contains("by user:1 through api, because: \"asked\\u{1b}[2J for\""));
        let closed = EvidencePack {
            subject_key: None,
            ..pack.clone()
        };
        assert!(closed.check(&forge.keys()).is_ok());
        assert!(!history::tell(&closed).unwrap().contains("Ana"));
        let wrong = EvidencePack {
            subject_key: Some(to_base64(&[8; 32])),
            ..pack
        };
        assert!(history::tell(&wrong).is_err());
    }
}

#[test]
fn each_way_to_deceive_is_named() {
    type Deceit = fn(&mut EvidencePack);
    let deceits: [(&str, Deceit, &str); 16] = [
        (
            "last event",
            |p| drop(p.events.pop()),
            "5 events, and 4 are shown",
        ),
        (
            "last event, count too",
            |p| {
                p.events.pop();
                p.stream_events = 4;
            },
            "not whole",
        ),
        (
            "first event",
            |p| drop(p.events.remove(0)),
            "event 1: its number",
        ),
        (
            "event between",
            |p| drop(p.events.remove(2)),
            "event 3: its number",
        ),
        (
            "renumbered",
            |p| {
                p.events.remove(4);
                p.events[3].sequence = 5;
            },
            "event 4: its number",
        ),
        (
            "a number less",
            |p| {
                p.events.remove(3);
                p.events[3].sequence = 4;
            },
            "event 4: it is not what",
        ),
        ("order", |p| p.events.swap(1, 2), "event 2: its number"),
        (
            "payload",
            |p| p.events[1].payload = p.events[1].payload.replace('7', "8"),
            "event 2: it is not what",
        ),
        (
            "space",
            |p| p.events[1].payload.push(' '),
            "event 2: it is not what",
        ),
        (
            "reason",
            |p| p.events[4].metadata = "{}".to_owned(),
            "event 5: it is not what",
        ),
        (
            "time",
            |p| p.events[0].recorded_at_micros += 1,
            "event 1: it is not what",
        ),
        (
            "no time",
            |p| p.events[0].recorded_at_micros = i64::MAX,
            "event 1: its time",
        ),
        (
            "company",
            |p| p.events[0].company_id = None,
            "event 1: it is not what",
        ),
        (
            "position",
            |p| p.events[0].position = 0,
            "event 1: its position",
        ),
        (
            "another lead",
            |p| p.aggregate_id = "2".to_owned(),
            "event 1: it is not what",
        ),
        ("nothing", |p| p.events.clear(), "has no events"),
    ];
    let forge = Forge::new();
    for (name, deceit, named) in deceits {
        let mut pack = forge.pack(1);
        deceit(&mut pack);
        let error = pack.check(&forge.keys()).unwrap_err().to_string();
        assert!(error.contains(named), "{name}: {error}");
    }
    let other = Signer::from_seed("leadledger/test", &[6; 32]).unwrap();
    let strangers = [other.public().clone().into()];
    assert!(forge.pack(1).check(&strangers).is_err());
}

/// Who has the ledger and its keys stores and signs what they like: what is shown must be all that is signed, or it is refused.
#[test]
fn what_an_operator_signs_says_one_thing_or_is_refused() {
    let stored = |payload: &str, metadata: &str| {
        let mut forge = Forge::new();
        let event = &mut forge.events[12].1;
        event.payload = payload.to_owned();
        event.metadata = metadata.to_owned();
        (forge.pack(1), forge.keys())
    };
    let told = r#"{"LeadNoteAdded":{"note_id":7}}"#;
    let by = r#"{"actor":"user:1"}"#;
    for (payload, metadata) in [
        ("not json", by),
        ("[1,2]", by),
        (r#""text""#, by),
        ("null", by),
        ("{}", by),
        (r#"{"LeadStageChanged":{"note_id":7}}"#, by),
        (r#"{"LeadNoteAdded":{},"LeadErased":{}}"#, by),
        (r#"{"LeadNoteAdded":{"note_id":7,"note_id":8}}"#, by),
        (r#"{"LeadNoteAdded":{"note_id":7},"LeadNoteAdded":{}}"#, by),
        (told, "not json"),
        (told, "[]"),
        (told, r#"{"actor":"user:1","actor":"user:2"}"#),
    ] {
        let (pack, keys) = stored(payload, metadata);
        let refused = pack.check(&keys).unwrap_err().to_string();
        assert!(refused.starts_with("event 5: its "), "{payload}: {refused}");
    }
    // What is no object, and metadata that we do not write, are shown.
    for (payload, metadata, shown) in [
        (
            r#"{"LeadNoteAdded":"text only"}"#,
            by,
            "\n   \"text only\"\n",
        ),
        (
            r#"{"LeadNoteAdded":["a\"b","c"]}"#,
            by,
            "\n   [\"a\\\"b\", \"c\"]\n",
        ),
        (
            told,
            r#"{"actor":"user:1","witness":"me"}"#,
            "by user:1, witness \"me\"\n",
        ),
        (
            told,
            r#"{"actor":"user:1","user_agent":"x, because: y"}"#,
            "by user:1 with \"x, because: y\"\n",
        ),
        (
            r#"{"LeadNoteAdded":{"name":"Ana, phone +1","e, f":"\u2028"}}"#,
            by,
            "name: \"Ana, phone +1\"",
        ),
        (
            r#"{"LeadNoteAdded":{"e, f":"\u2028"}}"#,
            by,
            "\"e, f\": \"\\u{2028}\"",
        ),
        (
            told,
            r#"{"actor":"user:1 through api","ip":"::1"}"#,
            "by \"user:1 through api\" from ::1\n",
        ),
        (
            told,
            r#"{"actor":"user:1","at":"1999-01-01T00:00:00Z"}"#,
            "by user:1, at \"1999-01-01T00:00:00Z\"\n",
        ),
        (
            r#"{"LeadNoteAdded":{"a":{"b":{"c":1},"d":[[2],"x"]}}}"#,
            by,
            "a: {b {c 1}, d [[2], \"x\"]}\n",
        ),
    ] {
        let (pack, keys) = stored(payload, metadata);
        pack.check(&keys).unwrap();
        let story = history::tell(&pack).unwrap();
        assert!(story.contains(shown), "{payload} {metadata}: {story}");
    }
    // A company's own field may be called as what is sealed is.
    let key = SubjectKey::from_bytes(StreamKey::new(StreamKind::Lead, 1), [9; 32]);
    let sealed = key.cipher().seal(br#"{"sealed":"AAAA"}"#);
    let payload = json!({"LeadNoteAdded": {"extra": {"sealed": sealed}}});
    let (pack, _) = stored(&payload.to_string(), by);
    let story = history::tell(&pack).unwrap();
    assert!(story.contains("extra: {sealed \"AAAA\"}\n"), "{story}");
    // A sealed reason is told to be one, and with a key that does not open it the pack is refused.
    let metadata = |text: &str| json!({"actor": "user:1", "sealed_reason": text}).to_string();
    let (mut pack, _) = stored(told, &metadata(&key.cipher().seal(b"why")));
    assert!(history::tell(&pack).unwrap().contains("because: \"why\""));
    pack.subject_key = None;
    let story = history::tell(&pack).unwrap();
    assert!(
        story.contains("because: (sealed, and the pack has no key)"),
        "{story}"
    );
    let (pack, _) = stored(told, &metadata("AAAA"));
    assert!(history::tell(&pack).is_err());
}

#[test]
fn times_that_cannot_be_are_refused_and_those_that_are_doubtful_told() {
    let mut forge = Forge::new();
    forge.events[3].1.recorded_at_micros = 0;
    let refused = forge.pack(1).check(&forge.keys()).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("event 2: it was recorded earlier")
    );
    let mut forge = Forge::new();
    let checkpoint = forge.pack(1).check(&forge.keys()).unwrap();
    assert_eq!(forge.pack(1).later_than(&checkpoint), None);
    forge.events[12].1.recorded_at_micros = 1_700_000_001_000_000;
    let checkpoint = forge.pack(1).check(&forge.keys()).unwrap();
    assert_eq!(forge.pack(1).later_than(&checkpoint), Some(5));
}

/// The server itself rewrites its ledger without an event, signs that, and shows it with the checkpoint of before.
#[test]
fn a_ledger_rewritten_without_an_event_does_not_fit_what_was_signed_before() {
    let honest = Forge::new();
    let mut rewritten = Forge::new();
    rewritten.events.remove(14);
    let mut pack = rewritten.pack(3);
    assert!(pack.check(&honest.keys()).is_ok(), "it is whole by itself");
    pack.checkpoint = honest.pack(3).checkpoint;
    assert!(pack.check(&honest.keys()).is_err());
    // Nor does the history as shown now fit the map as signed before.
    let mut pack = honest.pack(3);
    pack.events.pop();
    pack.stream_events = 4;
    pack.stream_proof = rewritten.pack(3).stream_proof;
    assert!(pack.check(&honest.keys()).is_err());
}

/// Replaces the value at the `at`-th place of a JSON document.
fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| replace(v, at, with)),
        Value::Object(members) => members.values_mut().for_each(|v| replace(v, at, with)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn a_hostile_pack_is_refused_without_a_panic(
        at in 0_usize..90,
        with in prop_oneof![
            Just(json!(null)), Just(json!(-1)), Just(json!(u64::MAX)), Just(json!(i64::MIN)), Just(json!(1e300)),
            Just(json!("")), Just(json!("\u{0}\n\n\u{2014} a AAAA\n")), Just(json!([])), Just(json!({})),
            Just(json!(vec!["AAAA"; 300])), Just(json!("[".repeat(500))), Just(json!("{\"a\":{\"sealed\":\"AAAA\"}}")),
        ],
    ) {
        let forge = Forge::new();
        let honest = forge.pack(2);
        let mut hostile = serde_json::to_value(&honest).unwrap();
        replace(&mut hostile, &mut at.clone(), &with);
        let text = hostile.to_string();
        if let Ok(pack) = EvidencePack::parse(&text) {
            let _ = history::tell(&pack);
            let told = pack.check(&forge.keys()).is_ok();
            let key = pack.subject_key.clone().or(honest.subject_key.clone());
            let same = EvidencePack { subject_key: key, ..pack };
            prop_assert_eq!(told, same == honest);
        }
    }
}
