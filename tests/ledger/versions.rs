//! What readers saw at any earlier position is kept, through commits of many commands, rebuilds and foreign events.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aggregates::change::Change;
use aggregates::email::Email;
use aggregates::ids::LeadId;
use aggregates::lead::{Lead, LeadCommand, UpdateLead};
use aggregates::stage::Stage;
use leadledger::ledger::likenesses::Unknown;
use leadledger::ledger::verify::{Depth, Findings};
use leadledger::ledger::verify_proofs::Witnessed;
use leadledger::ledger::{
    Ledger, Provenance, StreamKey, StreamKind, Work, rebuild, replay, verify, verify_past,
};
use projections::Batch;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use crate::node::{add_note, contact, create, erase, open};
use crate::support::database::TestDatabase;

/// Tables whose past nobody can ask for, and why.
const NOT_KEPT: [(&str, &str); 7] = [
    (
        "user_credentials",
        "old password hashes are of use to nobody but a thief",
    ),
    (
        "company_totals",
        "only plan limits are decided by it, on today's",
    ),
    ("source_turns", "only routing is decided by it, on today's"),
    (
        "mail_outbox",
        "rows are only added, and no operation shows them",
    ),
    ("user_profiles", "of the other dialect, which has no past"),
    (
        "user_memberships",
        "of the other dialect, which has no past",
    ),
    (
        "lead_erasures",
        "whether a person is erased is asked of today, and a block that was taken back of the events",
    ),
];

#[tokio::test]
async fn every_read_table_keeps_its_past_or_is_known_not_to() {
    let database = TestDatabase::create().await;
    let kept: Vec<String> = sqlx::query_scalar("SELECT table_name FROM past.kept_tables")
        .fetch_all(database.pool())
        .await
        .unwrap();
    let kept: BTreeSet<String> = kept.into_iter().collect();
    for table in Batch::default().tables() {
        let known = NOT_KEPT.iter().any(|(name, _)| *name == table.name);
        assert_ne!(
            kept.contains(table.name),
            known,
            "{}: its migration must call keep_versions",
            table.name
        );
    }
    let differing: Vec<String> = sqlx::query_scalar(
        "SELECT table_name FROM past.kept_tables k WHERE \
         (SELECT array_agg(column_name::text || data_type ORDER BY ordinal_position) FROM information_schema.columns c \
          WHERE c.table_schema = 'public' AND c.table_name = k.table_name) IS DISTINCT FROM \
         (SELECT array_agg(column_name::text || data_type ORDER BY ordinal_position) FROM information_schema.columns c \
          WHERE c.table_schema = 'past' AND c.table_name = k.table_name AND column_name NOT IN ('valid_from', 'valid_until'))",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(
        differing,
        Vec::<String>::new(),
        "a migration that adds a column must call keep_versions again"
    );
}

async fn update(ledger: &Ledger, lead: i64, update: UpdateLead) {
    let work = Work::new(Provenance::system("test"), move |unit| {
        unit.execute::<Lead>(lead, LeadCommand::Update(Box::new(update.clone())))?;
        Ok(lead)
    });
    let stream = StreamKey::new(StreamKind::Lead, LeadId(lead).get());
    ledger.commit(work.on(stream)).await.unwrap();
}

/// Commits of one command and of many at once: leads come, become and cease to be alike, move and are written about.
async fn live(ledger: &Ledger, rounds: i64) {
    for round in 0..rounds {
        let made = (0..6).map(|n| {
            create(
                ledger,
                1 + n % 2,
                contact(&format!("p{}@example.com", (round + n) % 5)),
            )
        });
        let made = futures::future::join_all(made).await;
        let leads: Vec<i64> = made
            .into_iter()
            .map(|made| made.unwrap().resource_id)
            .collect();
        let changed = leads.iter().map(|lead| {
            let stage = Stage::ALL[usize::try_from((lead + round) % 6).unwrap()];
            let email = Email::parse(&format!("p{}@example.com", lead % 7)).unwrap();
            let email = if lead % 2 == 0 {
                Change::Set(email)
            } else {
                Change::Keep
            };
            update(
                ledger,
                *lead,
                UpdateLead {
                    stage: Some(stage),
                    email,
                    ..UpdateLead::default()
                },
            )
        });
        futures::future::join_all(changed).await;
        add_note(ledger, leads[0], "hello").await.unwrap();
    }
}

/// What the past shows at every end of a commit, against a fold of the ledger up to there.
async fn differences_of_the_past(database: &TestDatabase) -> (usize, Vec<String>) {
    let options = database.connect_options();
    let options = options.options([("search_path", "pg_temp,public")]);
    let mut connection = options.connect().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let unknown = Unknown::look_for(&mut transaction).await.unwrap();
    let mut batch = Batch::default();
    let tables = batch.tables();
    for table in &tables {
        let (first, _) = replay::shadow(&mut transaction, table, "pg_temp")
            .await
            .unwrap();
        for statement in first {
            transaction.execute(statement.as_str()).await.unwrap();
        }
    }
    let ends: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM events WHERE ledger_commit_end(position) = position ORDER BY position",
    )
    .fetch_all(&mut *transaction)
    .await
    .unwrap();
    let mut findings = Findings::default();
    let mut position = 0;
    for end in &ends {
        while position < *end {
            position = replay::step(&mut transaction, &mut batch, position, Some(*end))
                .await
                .unwrap()
                .last;
        }
        verify_past::compare(&mut transaction, &tables, &unknown, *end, &mut findings)
            .await
            .unwrap();
    }
    (ends.len(), findings.differences)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_what_the_ledger_folds_to_at_every_end_of_a_commit() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    live(&ledger, 4).await;
    let shared: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger_commits")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert!(shared > 2, "hardly any commit was shared: {shared}");
    let (ends, differences) = differences_of_the_past(&database).await;
    assert!(ends > 10, "{ends}");
    assert_eq!(differences, Vec::<String>::new());

    // A rebuild exchanges the tables; what was kept stays, and the new ones go on keeping.
    rebuild::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    let (_, differences) = differences_of_the_past(&database).await;
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
    live(&ledger, 2).await;
    let (_, differences) = differences_of_the_past(&database).await;
    assert_eq!(differences, Vec::<String>::new());
}

/// Whom erased leads were like cannot be worked out any more. What is kept of it is compared with what their erasures recorded, and
/// whatever happened since as ever.
#[tokio::test(flavor = "multi_thread")]
async fn after_erasures_the_past_of_duplicates_is_compared_too() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    live(&ledger, 3).await;
    for (lead, recorded) in [(2, true), (5, false), (9, true)] {
        erase(&ledger, lead, recorded).await;
        live(&ledger, 1).await;
    }
    let (_, differences) = differences_of_the_past(&database).await;
    assert_eq!(differences, Vec::<String>::new());
    rebuild::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    erase(&ledger, 14, true).await;
    live(&ledger, 2).await;
    for depth in [Depth::USUAL, Depth(0)] {
        let (found, _) = verified(&database, depth).await;
        assert_eq!(found, Vec::<String>::new());
    }
    let last = "(SELECT max(erased_position) FROM lead_erasures)";
    for (table, condition) in [
        // What erasures recorded.
        ("duplicates", format!("valid_until < {last}")),
        ("duplicate_counts", format!("valid_until < {last}")),
        // What happened since.
        ("duplicates", format!("valid_from > {last}")),
        ("duplicate_counts", format!("valid_from > {last}")),
    ] {
        for change in [
            "valid_from = valid_from - 1",
            "valid_until = valid_until + 1",
        ] {
            let one = format!("(SELECT max(ctid) FROM past.{table} WHERE {condition})");
            let change = format!("UPDATE past.{table} SET {change} WHERE ctid = {one}");
            let found = after(&database, &format!("past.{table}"), &change).await;
            let tells = format!("past.{table}: ");
            let tells = |difference: &String| difference.starts_with(&tells);
            assert!(found.iter().any(tells), "{change}: {found:?}");
        }
    }
    let zero =
        "SELECT valid_from, valid_from + 1, company_id, 0, valid_from FROM past.duplicate_counts";
    let of_stage = "SELECT valid_from, valid_from + 1, company_id, stage_id, 0, 0, 0, 0, 0, 0, valid_from FROM past.stage_counts";
    let one = format!(
        "(SELECT min(ctid) FROM past.duplicates WHERE valid_until < {last} AND matched_on = '{{email}}')"
    );
    let reversed = "SELECT valid_until, 2, lead_id, company_id, duplicate_group, matched_on, valid_until FROM past.duplicates";
    let matched_on = "UPDATE past.duplicates SET matched_on =";
    for (table, change) in [
        // A counter at zero for one position, before and after the last erasure.
        (
            "past.duplicate_counts",
            format!("INSERT INTO past.duplicate_counts {zero} WHERE valid_from < {last} LIMIT 1"),
        ),
        (
            "past.duplicate_counts",
            format!("INSERT INTO past.duplicate_counts {zero} WHERE valid_from > {last} LIMIT 1"),
        ),
        (
            "past.stage_counts",
            format!("INSERT INTO past.stage_counts {of_stage} WHERE count > 0 LIMIT 1"),
        ),
        (
            "duplicate_counts",
            "INSERT INTO duplicate_counts VALUES (999, 0, 3)".to_owned(),
        ),
        // Other spellings of the same.
        (
            "past.duplicates",
            format!("{matched_on} '{{email,NULL}}' WHERE ctid = {one}"),
        ),
        (
            "past.duplicates",
            format!("{matched_on} '[0:0]={{email}}' WHERE ctid = {one}"),
        ),
        // It ends before it begins.
        (
            "past.duplicates",
            format!("INSERT INTO past.duplicates {reversed} WHERE valid_from > {last} LIMIT 1"),
        ),
    ] {
        let found = after(&database, table, &change).await;
        assert_ne!(found, Vec::<String>::new(), "{change}");
    }
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
}

/// What `verify` tells after a superuser's change of one row of this table, which is taken back then.
async fn after(database: &TestDatabase, table: &str, change: &str) -> Vec<String> {
    let mut connection = database.pool().acquire().await.unwrap();
    let run = async |connection: &mut PgConnection, statements: &str| {
        let done = sqlx::raw_sql(statements).execute(connection).await;
        done.unwrap().rows_affected()
    };
    let kept = format!(
        "SET session_replication_role = replica; CREATE TEMP TABLE kept AS SELECT * FROM {table}"
    );
    run(&mut connection, &kept).await;
    assert_eq!(run(&mut connection, change).await, 1, "{change}");
    let (found, _) = verified(database, Depth::USUAL).await;
    let back = format!(
        "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept; RESET session_replication_role"
    );
    run(&mut connection, &back).await;
    found
}

/// What a counter said is found through its row, also when nobody is counted by it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_counter_without_a_row_is_told_by_verify_and_made_whole_by_a_rebuild() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let lead = create(&ledger, 9, contact("p@example.com")).await.unwrap();
    let moved = UpdateLead {
        stage: Some(Stage::ALL[3]),
        ..UpdateLead::default()
    };
    update(&ledger, lead.resource_id, moved).await;
    let deleted = sqlx::query("DELETE FROM stage_counts WHERE count = 0")
        .execute(database.pool())
        .await
        .unwrap();
    assert_eq!(deleted.rows_affected(), 1);
    let (found, _) = verified(&database, Depth::USUAL).await;
    let told = |difference: &String| difference.contains("because their rows are missing");
    assert!(found.iter().any(told), "{found:?}");
    rebuild::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
}

/// What came and went in one commit was nothing for anybody, however many events it has.
#[tokio::test(flavor = "multi_thread")]
async fn verify_and_rebuild_make_nothing_of_what_nobody_saw() {
    // More events than a step takes; and the stages that each lead goes through: all of them, and back.
    const LEADS: i64 = 900;
    let ways = [1, 2, 3, 4, 5, 0].map(|n: usize| Stage::ALL[n]);
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    let made = (0..LEADS).map(|n| create(&ledger, 1, contact(&format!("p{n}@example.com"))));
    let made = futures::future::join_all(made).await;
    let leads: Vec<i64> = made
        .into_iter()
        .map(|made| made.unwrap().resource_id)
        .collect();
    let head: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(database.pool())
        .await
        .unwrap();
    if (5_000 - head) % 6 == 0 {
        // A step would end where every lead is back.
        add_note(&ledger, leads[0], "hello").await.unwrap();
    }
    let streams = leads.clone();
    let mut work = Work::new(Provenance::system("test"), move |unit| {
        for lead in &leads {
            for stage in ways {
                let moved = UpdateLead {
                    stage: Some(stage),
                    ..UpdateLead::default()
                };
                unit.execute::<Lead>(*lead, LeadCommand::Update(Box::new(moved)))?;
            }
        }
        Ok(leads[0])
    });
    for lead in streams {
        work = work.on(StreamKey::new(StreamKind::Lead, lead));
    }
    ledger.commit(work).await.unwrap();
    let counters = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM stage_counts")
            .fetch_one(database.pool())
            .await
            .unwrap()
    };
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
    let before = counters().await;
    rebuild::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    assert_eq!(counters().await, before);
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
}

/// What `verify` tells, stopping at no more commits than this; and how many tables it left to samples.
async fn verified(database: &TestDatabase, depth: Depth) -> (Vec<String>, usize) {
    let witnessed = Witnessed::default();
    let options = database.connect_options();
    let found = verify::run_with(&options, &[], &witnessed, depth, |_, _| ())
        .await
        .unwrap();
    (found.differences, found.sampled.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_kept_row_that_was_changed() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    live(&ledger, 4).await;
    let (sound, sampled) = verified(&database, Depth::USUAL).await;
    assert_eq!((sound, sampled), (Vec::new(), 0));
    let (sound, sampled) = verified(&database, Depth(0)).await;
    assert_eq!(sound, Vec::<String>::new());
    assert!(sampled >= 4, "{sampled}");
    sqlx::raw_sql(
        "UPDATE past.leads SET stage_id = 6; UPDATE past.stage_counts SET count = count + 1",
    )
    .execute(database.pool())
    .await
    .unwrap();
    for (depth, tells) in [(Depth::USUAL, "past."), (Depth(0), "as of position")] {
        let (found, _) = verified(&database, depth).await;
        for what in ["leads: ", "stage_counts: "] {
            let names =
                |difference: &String| difference.starts_with(tells) && difference.contains(what);
            assert!(found.iter().any(names), "nothing on {what} in {found:?}");
        }
    }
}

/// Rows that change again and again make `verify` write its tables anew; what they say of rows that did not change stays.
#[tokio::test(flavor = "multi_thread")]
async fn counters_that_change_again_and_again_are_compared_like_others() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("stays@example.com"))
        .await
        .unwrap();
    let lead = create(&ledger, 2, contact("moves@example.com"))
        .await
        .unwrap();
    for round in 0..300 {
        let stage = Some(Stage::ALL[1 + round % 2]);
        let moved = UpdateLead {
            stage,
            ..UpdateLead::default()
        };
        update(&ledger, lead.resource_id, moved).await;
    }
    assert_eq!(verified(&database, Depth::USUAL).await, (Vec::new(), 0));
    let later = "UPDATE stage_counts SET since = since + 1 WHERE company_id = 1";
    let found = after(&database, "stage_counts", later).await;
    let told = |difference: &String| difference.ends_with("differs in since");
    assert!(found.iter().any(told), "{found:?}");
}

/// A ledger that was there before versions were kept says nothing of what readers saw before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_before_versions_were_kept_gives_no_alarm() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    live(&ledger, 2).await;
    let kept: Vec<(String, String)> =
        sqlx::query_as("SELECT table_name, since_column FROM past.kept_tables")
            .fetch_all(database.pool())
            .await
            .unwrap();
    let mut forget = "SET session_replication_role = replica; ".to_owned();
    for (table, since) in kept {
        write!(forget, "DELETE FROM past.{table}; ").unwrap();
        if since == "since" {
            write!(forget, "UPDATE public.{table} SET since = 0; ").unwrap();
        }
    }
    let end = "(SELECT position FROM ledger_head)";
    write!(
        forget,
        "UPDATE past.kept_tables SET kept_from = {end}; UPDATE past.beginning SET position = {end}; \
         UPDATE _sqlx_migrations SET installed_on = now(); RESET session_replication_role"
    )
    .unwrap();
    sqlx::raw_sql(&forget)
        .execute(database.pool())
        .await
        .unwrap();
    live(&ledger, 2).await;
    let (found, sampled) = verified(&database, Depth::USUAL).await;
    assert_eq!((found, sampled), (Vec::new(), 0));
    sqlx::raw_sql("DELETE FROM past.stage_counts WHERE valid_until = (SELECT max(valid_until) FROM past.stage_counts)")
        .execute(database.pool())
        .await
        .unwrap();
    let (found, _) = verified(&database, Depth::USUAL).await;
    let tells = |difference: &String| difference.starts_with("past.stage_counts: ");
    assert!(found.iter().any(tells), "{found:?}");
}
