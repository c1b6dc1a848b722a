//! Packs and keys on which readers of JSON, base64, times or lines could differ, before both verifiers: this one, and the script in
//! another language.

use std::path::Path;
use std::process::Command;

use super::super::super::note::{self, VerifierKey};
use super::*;
use crate::evidence_command;

/// What both are to judge, and what they are to find.
struct Case {
    name: String,
    pack: String,
    keys: String,
    proved: bool,
}

impl Forge {
    fn note_with(&self, pack: &EvidencePack, part: &str, other: &str) -> String {
        let (text, _) = pack.checkpoint.split_once("\n\n").unwrap();
        assert!(text.contains(part), "{part}");
        let text = format!("{}\n", text.replacen(part, other, 1));
        note::sign(&text, &[&self.signer])
    }
}

/// The cases of one forge.
struct Cases {
    forge: Forge,
    pack: EvidencePack,
    found: Vec<Case>,
}

impl Cases {
    fn new() -> Self {
        let forge = Forge::new();
        let pack = forge.pack(1);
        let found = Vec::new();
        Self { forge, pack, found }
    }

    fn key(&self) -> String {
        self.forge.signer.public().to_string()
    }

    fn add(&mut self, name: &str, pack: String, proved: bool) {
        let keys = self.key();
        self.add_with(name.to_owned(), pack, keys, proved);
    }

    fn add_with(&mut self, name: String, pack: String, keys: String, proved: bool) {
        self.found.push(Case {
            name,
            pack,
            keys,
            proved,
        });
    }

    fn text(&self) -> String {
        serde_json::to_string(&self.pack).unwrap()
    }

    /// The text of an honest pack with one part of it otherwise, where that stands first.
    fn text_with(&mut self, part: &str, other: &str, proved: bool) {
        let text = self.text();
        assert!(text.contains(part), "{part}");
        let otherwise = text.replacen(part, other, 1);
        self.add(&format!("{part} as {other:.60}"), otherwise, proved);
    }

    /// A member of its own in an honest pack.
    fn member(&mut self, member: &str, proved: bool) {
        let pack = format!("{{{member},{}", &self.text()[1..]);
        self.add(&format!("member {member:.60}"), pack, proved);
    }

    /// Stored and signed by whoever has the ledger.
    fn stored(&mut self, what: &str, proved: bool, change: impl Fn(&mut EventEvidence)) {
        let mut forge = Forge::new();
        change(&mut forge.events[12].1);
        let pack = serde_json::to_string(&forge.pack(1)).unwrap();
        self.add(&format!("stored {what:.60}"), pack, proved);
    }

    /// A payload in which a value stands so.
    fn value(&mut self, value: &str, proved: bool) {
        let payload = format!("{{\"LeadNoteAdded\":{{\"note_id\":{value}}}}}");
        self.stored(value, proved, |event| event.payload.clone_from(&payload));
    }

    fn with_note(&mut self, what: &str, note: String, proved: bool) {
        let pack = EvidencePack {
            checkpoint: note,
            ..self.pack.clone()
        };
        let text = serde_json::to_string(&pack).unwrap();
        self.add(&format!("note with {what:?}"), text, proved);
    }

    /// A line below the honest signature.
    fn signature(&mut self, line: &str, proved: bool) {
        let note = format!("{}{line}\n", self.pack.checkpoint);
        self.with_note(line, note, proved);
    }

    /// The text of the checkpoint with a part of it otherwise, signed so.
    fn signed(&mut self, part: &str, other: &str, proved: bool) {
        let note = self.forge.note_with(&self.pack, part, other);
        self.with_note(other, note, proved);
    }

    /// The honest pack, before these keys.
    fn keys(&mut self, keys: String, proved: bool) {
        self.add_with(format!("keys {keys:?}"), self.text(), keys, proved);
    }
}

/// The same base64 with a bit set behind the last byte.
fn with_bits_left_over(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let last = digits.len() - 1;
    let value = DIGITS
        .iter()
        .position(|digit| *digit == digits.as_bytes()[last]);
    let other = char::from(DIGITS[value.unwrap() ^ 1]);
    format!("{}{other}{}", &digits[..last], &text[last + 1..])
}

/// The members of an object as a list, as `serde` takes them for a struct too.
fn as_list(object: &Value) -> Value {
    object.as_object().unwrap().values().cloned().collect()
}

fn json_of_the_file(cases: &mut Cases) {
    let deep = |levels: usize| format!("\"x\":{}{}", "[".repeat(levels), "]".repeat(levels));
    for (member, proved) in [
        (r#""x":[1,-2.5e-3,{"y":null}]"#, true),
        (r#""x":1,"x":1"#, false),
        (r#""x":[{"a":1,"\u0061":2}]"#, false),
        (r#""x":NaN"#, false),
        (r#""x":-Infinity"#, false),
        (r#""x":1e999"#, false),
        (r#""x":18446744073709551616"#, false),
        (&format!("\"x\":{}", "7".repeat(5000)), false),
        (r#""x":"\ud800""#, false),
        (r#""\udc00":1"#, false),
        (&deep(126), true),
        (&deep(127), false),
        (&deep(100_000), false),
    ] {
        cases.member(member, proved);
    }
    for (part, other, proved) in [
        ("\"stream_events\":5", "\"stream_events\":5.0", false),
        ("\"stream_events\":5", "\"stream_events\":5e0", false),
        ("\"stream_events\":5", "\"stream_events\":\"5\"", false),
        ("\"position\":1,", "\"position\":true,", false),
        ("\"position\":1,", "\"position\":1.0,", false),
        ("\"sequence\":1,", "\"sequence\":true,", false),
        ("\"company_id\":3", "\"company_id\":\"3\"", false),
        ("\"company_id\":3", "\"company_id\":3.0", false),
        ("\"lead\"", "\"l\\u0065ad\"", true),
    ] {
        cases.text_with(part, other, proved);
    }
    let pack = serde_json::to_value(&cases.pack).unwrap();
    cases.add("the pack as a list", as_list(&pack).to_string(), false);
    let mut one = pack;
    one["events"][2] = as_list(&one["events"][2]);
    cases.add("an event as a list", one.to_string(), false);
    let mut forge = Forge::new();
    for (_, event) in &mut forge.events {
        event.company_id = None;
    }
    let nobodys = serde_json::to_string(&forge.pack(1)).unwrap();
    let with = |other: &str| nobodys.replacen("\"company_id\":null,", other, 1);
    for (other, proved) in [
        ("\"company_id\":null,", true),
        ("", false),
        ("\"company_id\":\"\",", false),
        ("\"company_id\":false,", false),
    ] {
        cases.add(&format!("no company as {other}"), with(other), proved);
    }
    for (_, event) in &mut forge.events {
        event.company_id = Some(0);
    }
    let zero = serde_json::to_string(&forge.pack(1)).unwrap();
    let negative = zero.replacen("\"company_id\":0", "\"company_id\":-0", 1);
    cases.add("company 0", zero, true);
    cases.add("company -0", negative, false);
}

fn base64(cases: &mut Cases) {
    let honest = cases.pack.clone();
    let mut changed = |name: &str, change: &dyn Fn(&mut EvidencePack)| {
        let mut pack = honest.clone();
        change(&mut pack);
        cases.add(name, serde_json::to_string(&pack).unwrap(), false);
    };
    changed("bits left over in a path", &|pack| {
        let hash = &mut pack.events[0].inclusion_path[0];
        *hash = with_bits_left_over(hash);
    });
    changed("bits left over in the proof of a stream", &|pack| {
        pack.stream_proof[0] = with_bits_left_over(&pack.stream_proof[0]);
    });
    changed("bits left over in a signature", &|pack| {
        let (before, signature) = pack.checkpoint.trim_end().rsplit_once(' ').unwrap();
        pack.checkpoint = format!("{before} {}\n", with_bits_left_over(signature));
    });
    for key in [
        "",
        "AAAA",
        "!!!",
        &with_bits_left_over(&to_base64(&[9; 32])),
    ] {
        changed(&format!("subject key {key}"), &|pack| {
            pack.subject_key = Some(key.to_owned());
        });
    }
    let key = format!("\"{}\"", to_base64(&[9; 32]));
    for (other, proved) in [
        ("null", true),
        ("5", false),
        ("[]", false),
        ("false", false),
    ] {
        cases.text_with(&key, other, proved);
    }
    cases.text_with(&format!("\"subject_key\":{key},"), "", false);
}

fn json_of_events(cases: &mut Cases) {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (value, proved) in [
        ("null", true),
        ("-9223372036854775808", true),
        ("18446744073709551615", true),
        ("0.1", true),
        ("1e21", true),
        ("1.5e-7", true),
        ("0.30000000000000004", true),
        ("5e-324", true),
        ("2.9802322387695312e-8", true),
        ("2.9802322387695313e-8", false),
        ("1.7976931348623157e308", true),
        ("-0.0", true),
        ("4.0", true),
        ("1E+2", true),
        ("NaN", false),
        ("Infinity", false),
        ("1e999", false),
        ("-1e999", false),
        ("-0", false),
        ("18446744073709551616", false),
        ("-9223372036854775809", false),
        ("9007199254740993.0", false),
        ("0.10000000000000000555", false),
        ("1e-400", false),
        ("1.7976931348623158e308", false),
        ("01", false),
        ("1.", false),
        ("\"\\ud83d\\ude00\\u0000\"", true),
        ("\"\\ud800\"", false),
        ("\"\\udc00x\"", false),
        ("{\"a\":[{\"b\":1,\"b\":1}]}", false),
        (&deep(125), true),
        (&deep(126), false),
    ] {
        cases.value(value, proved);
    }
    for (metadata, proved) in [
        (r#"{"actor":"user:1","x":0.25}"#, true),
        (r#"{"actor":NaN}"#, false),
        (r#"{"actor":"\ud800"}"#, false),
        (r#"{"actor":1e-400}"#, false),
    ] {
        cases.stored(metadata, proved, |event| {
            metadata.clone_into(&mut event.metadata);
        });
    }
    let cipher = SubjectKey::from_bytes(StreamKey::new(StreamKind::Lead, 1), [9; 32]).cipher();
    let sealed = |text: &[u8]| json!({ "sealed": cipher.seal(text) }).to_string();
    for (value, proved) in [
        (sealed(br#"{"sealed":"AAAA"}"#), true),
        (format!("[{{\"x\":{}}}]", sealed(b"1.25")), true),
        (sealed(b"NaN"), false),
        (sealed(b"9007199254740993.0"), false),
        (sealed(br#"{"a":1,"a":1}"#), false),
        (sealed(b"\"\xff\""), false),
        (sealed(b"\"a\"").replace("\"}", "=\"}"), false),
        (r#"{"sealed":"AAAA"}"#.to_owned(), false),
        (r#"{"sealed":""}"#.to_owned(), false),
        (r#"{"sealed":"AAAA","more":1}"#.to_owned(), true),
        (r#"{"sealed":5}"#.to_owned(), true),
    ] {
        cases.value(&value, proved);
    }
    for (reason, proved) in [
        (json!(cipher.seal(b"no JSON")), true),
        (json!(cipher.seal(b"\xff")), false),
        (json!("AAAA"), false),
        (json!(null), false),
    ] {
        let metadata = json!({ "sealed_reason": reason }).to_string();
        cases.stored("a sealed reason", proved, |event| {
            event.metadata.clone_from(&metadata);
        });
    }
    let other = EvidencePack {
        subject_key: Some(to_base64(&[8; 32])),
        ..cases.pack.clone()
    };
    cases.add(
        "the key of another lead",
        serde_json::to_string(&other).unwrap(),
        false,
    );
    for (what, micros, proved) in [
        ("in the year 9999", 253_402_300_799_999_999, true),
        ("in the year 10000", 253_402_300_800_000_000, false),
    ] {
        cases.stored(what, proved, |event| event.recorded_at_micros = micros);
    }
    for (what, micros, proved) in [
        ("in the year 1", -62_135_596_800_000_000, true),
        ("in the year 0", -62_135_596_800_000_001, false),
    ] {
        let mut forge = Forge::new();
        forge.events[0].1.recorded_at_micros = micros;
        let pack = serde_json::to_string(&forge.pack(1)).unwrap();
        cases.add(what, pack, proved);
    }
}

fn notes(cases: &mut Cases) {
    let other = Signer::from_seed("leadledger/other", &[8; 32]).unwrap();
    let line = note::sign("x\n", &[&other]);
    let line = line.trim_end().rsplit('\n').next().unwrap().to_owned();
    cases.signature(&line, true);
    for lines in [99, 100] {
        let many = format!(
            "{}{}",
            cases.pack.checkpoint,
            format!("{line}\n").repeat(lines)
        );
        cases.with_note(&format!("{lines} lines more"), many, lines == 99);
    }
    for name in [
        "a+b",
        "a\tb",
        "a\u{b}b",
        "a\u{a0}b",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{3000}b",
        "a\u{1f}b",
        "",
    ] {
        cases.signature(&format!("\u{2014} {name} AAAAAAAA"), false);
    }
    cases.signature("\u{2014} a\u{7f}b AAAAAAAA", true);
    cases.signature(&format!("{line}\r"), false);
    let windows = cases.pack.checkpoint.trim_end().to_owned() + "\r\n";
    cases.with_note("a carriage return at its end", windows, false);
    for (part, otherwise, proved) in [
        ("leadledger/test\n", "leadledger/test\r\n", false),
        ("\n15\n", "\n15\r\n", false),
        ("\n15\n", "\n18446744073709551631\n", false),
        ("\nleadledger-time", "\nother\nleadledger-time", true),
        ("\nleadledger-time", "\nother\r\nleadledger-time", false),
        (
            "\nleadledger-time",
            "\nleadledger-time 1999-01-01T00:00:00Z\nleadledger-time",
            false,
        ),
    ] {
        cases.signed(part, otherwise, proved);
    }
    for (time, proved) in [
        ("2023-11-14T22:13:20.123456789012Z", true),
        ("2023-11-15T00:13:20+02:00", true),
        ("2023-11-14T22:13:20-00:00", true),
        ("2023-11-14t22:13:20z", false),
        ("2023-11-14 22:13:20Z", false),
        ("2023-11-14x22:13:20Z", false),
        ("2023-11-14T22:13Z", false),
        ("2023-11-14T22:13:20", false),
        ("2023-11-14T22:13:20.Z", false),
        ("2023-11-14T22:13:20,5Z", false),
        ("2023-11-14T22:13:20+02", false),
        ("2023-11-14T22:13:20+00:00:30", false),
        ("2023-11-14T22:13:20\u{2212}00:00", false),
        ("2023-11-14T22:13:20+24:00", false),
        ("20231114T221320Z", false),
        ("2023-W46-2T22:13:20Z", false),
        ("2016-12-31T23:59:60Z", false),
        ("2023-11-14T24:00:00Z", false),
        ("0000-11-14T22:13:20Z", false),
        ("+10000-11-14T22:13:20Z", false),
        ("2023-11-14T22:13:20Z\r", false),
    ] {
        cases.signed("2023-11-14T22:13:20Z", time, proved);
    }
}

/// An event of the second after that of the checkpoint, which has a fraction.
fn doubt(cases: &mut Cases) {
    let mut forge = Forge::new();
    forge.events[12].1.recorded_at_micros = 1_700_000_001_200_000;
    let mut pack = forge.pack(1);
    pack.checkpoint = forge.note_with(&pack, ":20Z", ":20.5Z");
    cases.add("doubtful", serde_json::to_string(&pack).unwrap(), true);
}

fn key_files(cases: &mut Cases) {
    let key = cases.key();
    let other = Signer::from_seed("leadledger/other", &[8; 32]).unwrap();
    let other = other.public().to_string();
    let short = format!("{key} 2023-01-01T00:00:00Z 2023-02-01T00:00:00Z");
    for (keys, proved) in [
        (
            format!("# keys\n\n{other}\n{key} 2023-01-01T00:00:00Z - # ours\n \n"),
            true,
        ),
        (format!("{key} 2023-01-01T00:00:00.5+02:00\t-\r\n"), true),
        (format!("{short}\n{key}\n"), false),
        (format!("{key}\n{short}\n"), false),
        (
            format!("{key} - 2023-11-14T22:13:20Z\n{key} - 2024-01-01T00:00:00Z\n"),
            true,
        ),
        (format!("{key}\n{key} 2024-01-01T00:00:00Z\n"), false),
        (format!("  {key}\n"), false),
        (format!("{key}\n  # comment\n"), false),
        (format!("{key}\n\tnonsense\n"), false),
        (format!("{key}\u{b}{other}\n"), false),
        (format!("{key}\u{2028}{other}\n"), false),
        (format!("{key}\r{other}\n"), false),
        (format!("{key}\r-\n"), false),
        (format!("{key}\u{a0}-\n"), false),
        (format!("\u{feff}{key}\n"), false),
        (format!("{key} 2023-01-01 -\n"), false),
        (format!("{key} 20230101T000000Z -\n"), false),
        (format!("{key} 2023-01-01t00:00:00z -\n"), false),
        (format!("{key} 2016-12-31T23:59:60Z -\n"), false),
        (format!("{key} - - more\n"), false),
        (format!("{key}\nnonsense\n"), false),
        (with_bits_left_over(&key), false),
        (key.replace("leadledger", "lead\u{a0}ledger"), false),
        ("# none\n".to_owned(), false),
        (String::new(), false),
    ] {
        cases.keys(keys, proved);
    }
}

/// Two keys that a signature names alike: of as many as have the same four bytes by chance.
fn keys_named_alike() -> [VerifierKey; 2] {
    let mut found = HashMap::new();
    for number in 0_u32.. {
        let key = [number.to_be_bytes(); 8].concat().try_into().unwrap();
        let name = "leadledger/test".to_owned();
        let key = VerifierKey { name, key };
        if let Some(other) = found.insert(key.hash(), key.clone()) {
            return [other, key];
        }
    }
    unreachable!("there are fewer hashes than numbers")
}

fn strange_keys(cases: &mut Cases) {
    let key = cases.key();
    let [one, other] = keys_named_alike();
    cases.keys(format!("{key}\n{one}\n"), true);
    cases.keys(format!("{key}\n{one}\n{one}\n"), true);
    cases.keys(format!("{key}\n{one}\n{other}\n"), false);
    let point = |first: u8, between: u8, last: u8| {
        let mut key = [between; 32];
        (key[0], key[31]) = (first, last);
        let name = "leadledger/test".to_owned();
        VerifierKey { name, key }
    };
    for (first, between, last, proved) in [
        (0xec, 0xff, 0x7f, true),
        (0xec, 0xff, 0xff, false),
        (0xed, 0xff, 0x7f, false),
        (0xff, 0xff, 0xff, false),
        (1, 0, 0, true),
        (1, 0, 0x80, false),
        (2, 0, 0x80, true),
    ] {
        cases.keys(format!("{key}\n{}\n", point(first, between, last)), proved);
    }
}

/// Whether a verifier holds a pack for proved, and what it says.
struct Judgement {
    proved: bool,
    told: String,
}

impl Judgement {
    fn is_doubtful(&self) -> bool {
        self.told.contains("\nDOUBTFUL: ")
    }

    /// The line that says why.
    fn end(&self) -> &str {
        self.told.trim_end().rsplit('\n').next().unwrap_or_default()
    }
}

fn ours(pack: &Path, keys: &Path) -> Judgement {
    let given = [keys.to_str().unwrap().to_owned()];
    let verdict = evidence_command::check(pack, &given);
    let verdict = verdict.unwrap_or_else(|error| evidence_command::Verdict {
        holds: false,
        text: error.to_string(),
    });
    Judgement {
        proved: verdict.holds,
        told: verdict.text,
    }
}

/// That of the script; `None` where there is no Python.
fn theirs(pack: &Path, keys: &Path) -> Option<Judgement> {
    let mut python = Command::new("python3");
    python.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scripts/verify-evidence.py"
    ));
    let done = python.args([pack, keys]).output().ok()?;
    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    let proved = done.status.success() && told.starts_with("PROVED");
    assert!(proved || told.starts_with("NOT PROVED"), "{told}");
    Some(Judgement { proved, told })
}

#[test]
fn both_verifiers_judge_every_pack_alike() {
    let mut cases = Cases::new();
    cases.add("honest", cases.text(), true);
    json_of_the_file(&mut cases);
    base64(&mut cases);
    json_of_events(&mut cases);
    notes(&mut cases);
    doubt(&mut cases);
    key_files(&mut cases);
    strange_keys(&mut cases);
    let folder = tempfile::tempdir().unwrap();
    let (pack, keys) = (folder.path().join("pack"), folder.path().join("keys"));
    let mut wrong = Vec::new();
    for case in &cases.found {
        std::fs::write(&pack, &case.pack).unwrap();
        std::fs::write(&keys, &case.keys).unwrap();
        let ours = ours(&pack, &keys);
        let theirs = theirs(&pack, &keys);
        let (name, proved) = (&case.name, case.proved);
        if ours.proved != proved {
            wrong.push(format!("{name}: this program: {}", ours.end()));
        }
        let Some(theirs) = theirs else { continue };
        if theirs.proved != proved {
            wrong.push(format!("{name}: the script: {}", theirs.end()));
        }
        if ours.is_doubtful() != theirs.is_doubtful() {
            wrong.push(format!("{name}: doubtful to one only"));
        }
    }
    let all = cases.found.len();
    assert!(wrong.is_empty(), "of {all}:\n{}", wrong.join("\n"));
}
