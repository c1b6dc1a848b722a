//! What stands beside the events and is covered by no hash: changed by a superuser of the database, it is found all the same.

use aggregates::lead::{Lead, LeadCommand};
use leadledger::ledger::verify::Depth;
use leadledger::ledger::verify_proofs::Witnessed;
use leadledger::ledger::{
    IdKind, Ledger, Provenance, Refusal, StreamKey, StreamKind, Work, rebuild, verify,
};
use sqlx::Executor;
use tokio::process::Command;

use crate::claims::sign_up;
use crate::node::{add_note, assert_sound, checkpoint, contact, new_lead, note, open};
use crate::superuser;
use crate::support::database::TestDatabase;

/// A lead with two notes, by one request in one commit.
async fn create_with_notes(ledger: &Ledger, n: i64) -> i64 {
    let provenance = Provenance {
        request_id: Some(format!("request {n}")),
        ..Provenance::system("test")
    };
    let work = Work::new(provenance, move |unit| {
        let lead_id = unit.next_id(IdKind::Lead);
        let lead = new_lead(lead_id, 1 + n % 2, contact(&format!("{n}@example.com")));
        unit.execute::<Lead>(lead_id, LeadCommand::Create(Box::new(lead)))?;
        for _ in 0..2 {
            let note_id = unit.next_id(IdKind::Note);
            unit.execute::<Lead>(lead_id, note(note_id, "hello"))?;
        }
        Ok(lead_id)
    });
    ledger.commit(work).await.unwrap().resource_id
}

/// Twenty events: two users, six leads of three events in a commit each; with checkpoints, and a rebuild in between.
pub async fn ledger(database: &TestDatabase) -> Witnessed {
    let ledger = open(database).await;
    sign_up(&ledger, "ana@example.com").await.unwrap();
    sign_up(&ledger, "bea@example.com").await.unwrap();
    link_identity(&ledger, 1).await;
    let mut notes = vec![checkpoint(database).await];
    for n in 1..=3 {
        create_with_notes(&ledger, n).await;
    }
    notes.push(checkpoint(database).await);
    for n in 4..=5 {
        create_with_notes(&ledger, n).await;
        notes.push(checkpoint(database).await);
    }
    rebuild::run(&database.connect_options(), &[], |_, _| {})
        .await
        .unwrap();
    create_with_notes(&ledger, 6).await;
    add_note(&ledger, 1, "the last").await.unwrap();
    notes.push(checkpoint(database).await);
    assert_eq!(assert_sound(database).await, 22);
    Witnessed {
        notes,
        keys: Vec::new(),
        complete_to: Some(i64::MAX),
    }
}

async fn link_identity(ledger: &Ledger, user: i64) {
    use aggregates::ids::ProviderId;
    use aggregates::user::providers::ProviderCommand;
    use aggregates::user::{User, UserCommand};
    let claim = ledger.provider_claim("elsewhere", "ana");
    let taken = claim.clone();
    let work = Work::new(Provenance::system("test"), move |unit| {
        unit.claim(&taken, user, Refusal::IdentityTaken)?;
        let link = ProviderCommand::LinkProvider {
            provider_id: ProviderId(unit.next_id(IdKind::Provider)),
            provider: "elsewhere".to_owned(),
            uid: "ana".to_owned(),
            email: None,
        };
        unit.execute::<User>(user, UserCommand::Provide(link))?;
        Ok(user)
    });
    let work = work.on(StreamKey::new(StreamKind::User, user));
    ledger.commit(work.claiming(claim)).await.unwrap();
}

pub async fn differences(database: &TestDatabase, witnessed: &Witnessed) -> Vec<String> {
    let options = database.connect_options();
    let found = verify::run_with(&options, &[], witnessed, Depth::USUAL, |_, _| {}).await;
    found.unwrap().differences
}

async fn past_triggers(database: &TestDatabase, statements: &str) {
    let statements = format!(
        "SET session_replication_role = replica; {statements}; RESET session_replication_role"
    );
    database.pool().execute(statements.as_str()).await.unwrap();
}

/// Makes each change by itself; the first difference that is told of it must begin like this.
pub async fn each_is_told(changes: &[(&str, &str, &str)]) {
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    let nothing = differences(&database, &witnessed).await;
    assert_eq!(nothing, Vec::<String>::new());
    for (table, change, told) in changes {
        past_triggers(&database, &format!("CREATE TABLE saved AS TABLE {table}")).await;
        past_triggers(&database, change).await;
        let found = differences(&database, &witnessed).await;
        let is_told = found.iter().any(|difference| difference.starts_with(told));
        assert!(is_told, "{change}: {found:#?}");
        let restore = format!(
            "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM saved; DROP TABLE saved"
        );
        past_triggers(&database, &restore).await;
    }
    let nothing = differences(&database, &witnessed).await;
    assert_eq!(nothing, Vec::<String>::new(), "everything is restored");
}

#[tokio::test]
async fn changed_commits_are_told() {
    let commits = "ledger_commits";
    each_is_told(&[
        (
            commits,
            "INSERT INTO ledger_commits (first_position, last_position) VALUES (4, 5)",
            "ledger_commits: positions 4 to 6: begins before the one before it ends",
        ),
        (
            commits,
            "INSERT INTO ledger_commits (first_position, last_position) VALUES (1, 3)",
            "ledger_commits: positions 1 to 3: were not recorded at one time",
        ),
        (
            commits,
            "INSERT INTO ledger_commits (first_position, last_position) VALUES (23, 30)",
            "ledger_commits: positions 23 to 30: end behind the last event",
        ),
        (
            commits,
            "UPDATE ledger_commits SET first_position = 3 WHERE first_position = 4",
            "ledger_commits: positions 3 to 6: were not recorded at one time",
        ),
        (
            commits,
            "UPDATE ledger_commits SET first_position = 5 WHERE first_position = 4",
            "ledger_commits: positions 4 to 5: are of one request and one time, and not of one commit",
        ),
        (
            commits,
            "DELETE FROM ledger_commits WHERE first_position = 4",
            "ledger_commits: positions 4 to 5: are of one request and one time, and not of one commit",
        ),
        (
            commits,
            "TRUNCATE ledger_commits",
            "ledger_commits: positions 20 to 21: are of one request",
        ),
    ])
    .await;
}

#[tokio::test]
async fn changes_of_how_the_past_is_kept_are_told() {
    let (kept, beginning) = ("past.kept_tables", "past.beginning");
    each_is_told(&[
        (
            beginning,
            "UPDATE past.beginning SET position = 10",
            "past.kept_tables: ",
        ),
        (
            beginning,
            "DELETE FROM past.beginning",
            "past.beginning: is missing",
        ),
        (
            kept,
            "DELETE FROM past.kept_tables WHERE table_name = 'leads'",
            "past.kept_tables: leads: is missing",
        ),
        (
            kept,
            "INSERT INTO past.kept_tables VALUES ('mail_outbox', 'since', 'trigger', false, '{}')",
            "past.kept_tables: mail_outbox: should not be there",
        ),
        (
            kept,
            "UPDATE past.kept_tables SET kept_from = 7 WHERE table_name = 'leads'",
            "past.kept_tables: leads: is kept from position 7, and the past begins with 0",
        ),
        (
            kept,
            "UPDATE past.kept_tables SET since_column = 'no_such_column' WHERE table_name = 'leads'",
            "past.kept_tables: leads: is not kept as the migrations say",
        ),
        (
            kept,
            "UPDATE past.kept_tables SET rows_stay = NOT rows_stay WHERE table_name = 'users'",
            "past.kept_tables: users: is not kept as the migrations say",
        ),
        (
            kept,
            "UPDATE past.kept_tables SET timed_by = '{}' WHERE table_name = 'leads'",
            "past.kept_tables: leads: is not kept as the migrations say",
        ),
        (
            kept,
            "UPDATE past.kept_tables SET kept_by = 'statement' WHERE table_name = 'users'",
            "past.kept_tables: users: is not kept as the migrations say",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_past_that_is_said_to_begin_later_is_told() {
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    past_triggers(
        &database,
        "UPDATE past.beginning SET position = 10; UPDATE past.kept_tables SET kept_from = 10",
    )
    .await;
    let found = differences(&database, &witnessed).await;
    let told = "past.kept_tables: users: a version until 3 was kept before position 10";
    assert!(
        found.iter().any(|found| found.starts_with(told)),
        "{found:#?}"
    );
}

#[tokio::test]
async fn changed_claims_are_told() {
    let claims = "claims";
    each_is_told(&[
        (
            claims,
            "DELETE FROM claims",
            "claims: email of user 1: is missing",
        ),
        (
            claims,
            "DELETE FROM claims WHERE kind = 'provider'",
            "claims: provider of user 1: is missing",
        ),
        (
            claims,
            "UPDATE claims SET aggregate_id = 2 WHERE aggregate_id = 1",
            "claims: email of user 2: belongs to user 1",
        ),
        (
            claims,
            "UPDATE claims SET value_hash = sha256(value_hash) WHERE aggregate_id = 2",
            "claims: email of user 2: should not be there",
        ),
        (
            claims,
            "INSERT INTO claims VALUES ('email', sha256(''), 7)",
            "claims: email of user 7: should not be there",
        ),
        (
            "server_secrets",
            "DELETE FROM server_secrets WHERE name = 'claims'",
            "server_secrets: what hashes claims is missing",
        ),
    ])
    .await;
}

#[tokio::test]
async fn changed_earlier_tiles_of_the_map_are_told() {
    let (past, live, map) = ("past.stream_map_tiles", "stream_map_tiles", "stream_map");
    each_is_told(&[
        (
            past,
            "UPDATE past.stream_map_tiles SET content = set_byte(content, 40, get_byte(content, 40) # 1) \
             WHERE valid_from = 12 AND path = ''",
            "past.stream_map_tiles: 1 tiles from size 12 on are not those of the events; the first has the path []",
        ),
        (
            past,
            "UPDATE past.stream_map_tiles SET path = '\\x0f0f0f' WHERE valid_from = 12 AND path = ''",
            "past.stream_map_tiles: 1 tiles from size 12 on are not those of the events",
        ),
        (
            past,
            "UPDATE past.stream_map_tiles SET valid_from = 11 WHERE valid_from = 12 AND path = ''",
            "past.stream_map_tiles: 1 tiles from size 12 on are missing",
        ),
        (
            past,
            "UPDATE past.stream_map_tiles SET valid_until = 13 WHERE valid_from = 12 AND path = ''",
            "past.stream_map_tiles: the tile from size 12 on with the path [] does not hold until the next one",
        ),
        (
            past,
            "TRUNCATE past.stream_map_tiles",
            "past.stream_map_tiles: 1 tiles from size 3 on are missing",
        ),
        (
            past,
            "DELETE FROM past.stream_map_tiles WHERE valid_from = 12 AND path = ''",
            "past.stream_map_tiles: 1 tiles from size 12 on are missing",
        ),
        (
            past,
            "INSERT INTO past.stream_map_tiles SELECT path, 1, 2, content FROM stream_map_tiles WHERE path = ''",
            "past.stream_map_tiles: 1 tiles from size 1 on are not those of the events",
        ),
        (
            live,
            "UPDATE stream_map_tiles SET since = since - 1 WHERE path = ''",
            "past.stream_map_tiles: 1 tiles from size 22 on are missing",
        ),
        (
            live,
            "UPDATE stream_map_tiles SET since = since + 1 WHERE path = ''",
            "past.stream_map_tiles: a tile is said to be so from size 23 on",
        ),
        (
            map,
            "UPDATE stream_map SET settled = 30",
            "stream_map: is not being made anew",
        ),
        (
            map,
            "UPDATE stream_map SET settled = 15",
            "stream_map: is said to have settled at size 15, and did at 22",
        ),
        (
            map,
            "UPDATE stream_map SET kept_from = 12",
            "past.stream_map_tiles: 1 tiles from size 3 on are not those of the events",
        ),
        (map, "DELETE FROM stream_map", "stream_map: is missing"),
    ])
    .await;
}

#[tokio::test]
async fn checkpoints_that_vanish_from_the_witness_are_told() {
    let database = TestDatabase::create().await;
    let mut witnessed = ledger(&database).await;
    let all = witnessed.notes.clone();
    witnessed.notes.remove(1);
    let told =
        "checkpoints: id=2: is marked as witnessed, and is not among the witnessed checkpoints";
    assert_eq!(differences(&database, &witnessed).await, [told]);
    witnessed.notes.clear();
    assert_eq!(differences(&database, &witnessed).await.len(), all.len());
    witnessed.complete_to = Some(0);
    let nothing = differences(&database, &witnessed).await;
    assert_eq!(nothing, Vec::<String>::new(), "marked since");
    witnessed.complete_to = None;
    let nothing = differences(&database, &witnessed).await;
    assert_eq!(nothing, Vec::<String>::new(), "only some");
    past_triggers(
        &database,
        "UPDATE checkpoints SET witnessed = false WHERE id = 2",
    )
    .await;
    let told = "checkpoints: id=2: is not marked as witnessed, and a later one is";
    assert_eq!(differences(&database, &witnessed).await, [told]);
}

/// The command, on this database.
async fn command(database: &TestDatabase, arguments: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_leadledger"))
        .arg("verify")
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .env("LEADLEDGER_DATA_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env("LEADLEDGER_LOG", "off")
        .output()
        .await
        .unwrap();
    let told = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(told).unwrap())
}

#[tokio::test]
async fn the_command_does_not_fill_in_what_it_looks_for() {
    let database = TestDatabase::create().await;
    ledger(&database).await;
    let (whole, told) = command(&database, &[]).await;
    assert!(whole, "{told}");
    past_triggers(&database, "DELETE FROM tree_nodes").await;
    let (whole, told) = command(&database, &[]).await;
    assert!(!whole);
    let missing = "tree_nodes: the node over positions 1 to 16 is missing";
    assert!(told.contains(missing), "{told}");
}

#[tokio::test]
async fn the_command_asks_for_every_checkpoint_that_was_witnessed() {
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    for (size, note) in &witnessed.notes[1..] {
        std::fs::write(folder.path().join(format!("{size}.checkpoint")), note).unwrap();
    }
    let (whole, told) = command(&database, &["--checkpoints", place]).await;
    assert!(!whole);
    assert!(
        told.contains("checkpoints: id=1: is marked as witnessed"),
        "{told}"
    );
    let (whole, told) = command(&database, &["--checkpoints", place, "--partial"]).await;
    assert!(whole, "{told}");
}

#[tokio::test]
async fn what_was_rewritten_and_signed_again_lies_between_two_witnessed_checkpoints() {
    let database = TestDatabase::create().await;
    let mut witnessed = ledger(&database).await;
    witnessed.notes.retain(|(size, _)| size != "15");
    let mut connection = database.pool().acquire().await.unwrap();
    superuser::run(&mut connection, "SET session_replication_role = replica")
        .await
        .unwrap();
    let change = "UPDATE events SET payload = replace(payload::text, 'hello', 'other')::json, \
         metadata = replace(metadata::text, 'test', 'else')::json WHERE position = 14";
    superuser::run(&mut connection, change).await.unwrap();
    superuser::hash_anew(&mut connection, 14).await.unwrap();
    superuser::rewrite_proofs(&mut connection).await.unwrap();
    witnessed.complete_to = None;
    let found = differences(&database, &witnessed).await;
    assert_eq!(
        found[0],
        "events: position 13 to 18: something else was recorded here, or in another order",
        "{found:#?}"
    );
}

#[tokio::test]
async fn keys_of_infinite_times_are_told() {
    let database = TestDatabase::create().await;
    let witnessed = ledger(&database).await;
    sqlx::query("UPDATE checkpoint_keys SET valid_from = '-infinity', valid_until = 'infinity'")
        .execute(database.pool())
        .await
        .unwrap();
    let found = differences(&database, &witnessed).await;
    let tells = |told: &String| told.ends_with("does not hold until the next one begins");
    assert!(found.iter().any(tells), "{found:?}");
}
