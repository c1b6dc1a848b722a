//! What came with an import goes with a person that is erased: files that were never read to their end, parts that never became a
//! file, and the words that somebody sent along.

use std::fmt::Write as _;

use aggregates::access::Role;
use leadledger::ledger::{IdempotencyKey, rebuild, verify};
use leadledger::worker;
use serde_json::{Value, json};

use crate::erased_everywhere::{everywhere, in_folder, step};
use crate::import_uploads::Parts;
use crate::imports::{Scene, code, people};
use crate::server::{Person, TestServer, int};

/// Of these nobody knows whom their rows are about.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_not_read_to_their_end_are_gone() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    let open = "email\nzoe@example.com\n\"never closed\n";
    let failed = scene.import(open, &[]).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    let long = format!(
        "{}Zoe,zoe@example.com,Town\n",
        people(30_000, "example.com")
    );
    let begun = scene.upload(&long, &[]).await;
    let cancel = format!("/api/v1/import/{}/cancel", code(&begun));
    let cancel = server.post(cancel).token(&scene.ana.token);
    cancel.expect(200).await;
    let cancelled = scene.ended(code(&begun)).await;
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    let parts = Parts::begin(&scene).await;
    let part = "email\nzoe@example.com\n";
    parts.put("1", part).expect(200).await;
    // Of another company: these stay.
    let other = Scene {
        company: server.company(&scene.ana, "Another").await,
        ana: scene.ana.clone(),
        server: scene.server,
    };
    let server = &other.server;
    let others = Parts::begin(&other).await;
    others.put("1", part).expect(200).await;
    // In the store: whoever reads a file has it in the spool for as long.
    let store = server.data.path().join("objects");
    let files = || in_folder(&store, &["zoe@example.com".to_owned()]);
    assert_eq!(files().len(), 4, "{:?}", files());
    step(server, &other.ana, lead, "block").await;
    assert_eq!(files().len(), 4, "{:?}", files());
    step(server, &other.ana, lead, "erase").await;
    let left = files();
    let [left] = left.as_slice() else {
        panic!("{left:?}");
    };
    let theirs = format!("{}-", other.company);
    assert!(left.contains(&theirs), "{left}");
    server.assert_sound().await;
}

/// Clearing goes on for a while after an erasure. What came since is of others, or was sent by who knew what they did.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_after_an_erasure_stays() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    let file = "email\nnew@example.com\nno mail\n";
    let before = scene.import(file, &[]).await;
    for done in ["block", "erase"] {
        step(server, &scene.ana, lead, done).await;
    }
    let since = scene.import(file, &[("force", "true")]).await;
    worker::round(&server.app).await;
    for (import, status) in [(before, 410), (since, 200)] {
        assert_eq!(import["failed_rows"], 1, "{import}");
        let errors = format!("/api/v1/import/{}/errors", code(&import));
        let errors = server.get(errors).token(&scene.ana.token);
        errors.expect(status).await;
    }
}

/// However a server ends, nothing of a file that it was reading stays on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_read_has_no_name_in_the_spool() {
    let scene = Scene::start().await;
    let begun = scene.upload(&people(3_000, "example.com"), &[]).await;
    let spool = scene.server.data.path().join("spool");
    let read = async |code: &str| {
        let call = scene.server.get(format!("/api/v1/import/{code}"));
        let mut about = call.token(&scene.ana.token).expect(200).await;
        about["import_file"].take()
    };
    loop {
        let named: Vec<_> = std::fs::read_dir(&spool).unwrap().collect();
        assert!(named.is_empty(), "{named:?}");
        if read(code(&begun)).await["status"] == "completed" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_writer_left_is_swept() {
    let scene = Scene::start().await;
    let server = &scene.server;
    scene.import("email\nzoe@example.com\n", &[]).await;
    let folder = |name: &str| server.data.path().join(name);
    let kept = in_folder(&folder("objects"), &["zoe@example.com".to_owned()]);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let now = server.app.clock.now();
    let hours_ago = std::time::SystemTime::from(now - chrono::TimeDelta::hours(2));
    for (name, is_old) in [
        ("spool/.tmpOld", true),
        ("objects/imports/old#1", true),
        ("objects/imports/new#12", false),
    ] {
        let file = std::fs::File::create(folder(name)).unwrap();
        if is_old {
            file.set_modified(hours_ago).unwrap();
        }
    }
    let files = &server.app.imports.files;
    assert_eq!(files.sweep(now).await.unwrap(), 2);
    assert!(folder("objects/imports/new#12").exists());
    assert_eq!(
        in_folder(&folder("objects"), &["zoe@example.com".to_owned()]),
        kept
    );
}

/// What the file is called, and why it was imported: sealed with the key of the import, which goes with the file.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_that_came_with_an_import_are_gone() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let import = async |address: &str, name: &str, reason: &str| -> Value {
        let call = server.post(scene.path()).token(&scene.ana.token);
        let call = call.header("x-reason", reason);
        let call = call.header("idempotency-key", address);
        let call = call.upload(&format!("{name}.csv"), format!("email\n{address}\n"), &[]);
        let mut begun = call.expect(201).await;
        let begun = begun["import_file"].take();
        assert!(begun["name"].to_string().contains(name), "{begun}");
        scene.ended(code(&begun)).await
    };
    let hers = import("zoe@example.com", "zqhersfile", "zqherswhy").await;
    let his = import("bo@example.com", "zqhisfile", "zqhiswhy").await;
    let words = ["zqhersfile", "zqherswhy"].map(str::to_owned);
    let before = everywhere(server, &words).await.join("\n");
    for table in ["past.imports", "public.imports"] {
        let held = format!("{table}: zqhersfile");
        assert!(before.contains(&held), "{table}: {before}");
    }
    assert!(!before.contains("zqherswhy"), "it is sealed: {before}");
    // Kept answers are sealed: the name cannot be looked for in them.
    let addresses = ["bo@example.com", "zoe@example.com"];
    sqlx::query("UPDATE idempotency_keys SET response = 'kept' WHERE key = ANY($1)")
        .bind(addresses.map(IdempotencyKey::stored))
        .execute(server.database.pool())
        .await
        .expect("kept answers");
    let leads = scene.leads().await;
    let lead = leads.iter().find(|lead| lead["email"] == "zoe@example.com");
    let lead = int(&lead.expect("an imported lead")["id"]);
    step(server, &scene.ana, lead, "block").await;
    step(server, &scene.ana, lead, "erase").await;
    assert_eq!(everywhere(server, &words).await, Vec::<String>::new());
    let kept: Vec<bool> = sqlx::query_scalar(
        "SELECT i.response IS NOT NULL FROM unnest($1::text[]) WITH ORDINALITY AS w(key, nth) \
         JOIN idempotency_keys i ON i.key = w.key ORDER BY w.nth",
    )
    .bind(addresses.map(IdempotencyKey::stored))
    .fetch_all(server.database.pool())
    .await
    .expect("kept answers");
    assert_eq!(kept, [true, false]);
    let shown = async |import: &Value| -> Value {
        let path = format!("/api/v1/import/{}", code(import));
        let mut shown = server.get(path).token(&scene.ana.token).expect(200).await;
        shown["import_file"].take()
    };
    assert_eq!(shown(&hers).await["name"], "");
    assert_eq!(shown(&his).await["name"], "zqhisfile.csv");
    server.assert_sound().await;

    // It goes on as before: what it did to others is taken back, and the tables are made anew.
    let undo = format!("/api/v1/import/{}/undo", code(&hers));
    let undo = server.post(undo).token(&scene.ana.token);
    let undo = undo.header("x-reason", "zqundowhy").answer().await;
    assert!(undo.status < 300, "{} {}", undo.status, undo.text);
    assert_eq!(scene.ended(code(&hers)).await["status"], "undone");
    let options = server.database.connect_options();
    let rebuilt = rebuild::run(&options, &[], |_, _| ()).await;
    rebuilt.expect("rebuilt tables");
    assert_eq!(shown(&hers).await["name"], "");
    let found = verify::run(&options, &[], |_, _| ()).await;
    let found = found.expect("a verified ledger").differences;
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(everywhere(server, &words).await, Vec::<String>::new());
}

/// Managers mend failed rows; those of a lead that is blocked are for who may erase it.
#[tokio::test(flavor = "multi_thread")]
async fn failed_rows_of_a_blocked_lead_are_for_owners_only() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    let manager = server.member(scene.company, &scene.ana, Role::Manager, "Max");
    let manager = manager.await.person;
    let file = "email,phone\nZoe@Example.com,12\nbo@example.com,34\n";
    let failed = scene.import(file, &[]).await;
    assert_eq!(int(&failed["failed_rows"]), 2, "{failed}");
    let path = format!("/api/v1/import/{}/errors", code(&failed));
    let rows = async |person: &Person| {
        let call = server.get(&path).token(&person.token);
        call.expect_answer(200).await.text.to_lowercase()
    };
    assert!(rows(&manager).await.contains("zoe@example.com"));
    step(server, &scene.ana, lead, "block").await;
    let shown = rows(&manager).await;
    assert!(!shown.contains("zoe@example.com"), "{shown}");
    assert!(shown.contains("bo@example.com"), "{shown}");
    assert!(rows(&scene.ana).await.contains("zoe@example.com"));
}

/// What an import passed over or refused of a person is held on them as long as the file is kept; of others nothing is told.
#[tokio::test(flavor = "multi_thread")]
async fn the_export_tells_of_rows_that_were_skipped_or_refused() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead =
        json!({"first_name": "Zoe", "email": "zoe@example.com", "phone_number": "+525512345678"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    // By its number alone: the e-mail is none.
    let refused = "first_name,email,phone,remark\nZoe,not one,55 1234 5678,zqremark\nBo,not one,5599999999,zqbo\n";
    let refused = scene.import(refused, &[]).await;
    assert_eq!(int(&refused["failed_rows"]), 2, "{refused}");
    let skipped = "first_name,email\nBo,bo@example.com\nZoe,ZOE@example.com\n";
    let skipped = scene.import(skipped, &[("duplicates", "skip")]).await;
    assert_eq!(int(&skipped["skipped_rows"]), 1, "{skipped}");
    let call = server.post(scene.path()).token(&scene.ana.token);
    let file = "email,last_name\nzoe@example.com,Ruiz\n";
    let call = call.upload("zqupdate.csv", file, &[("duplicates", "update")]);
    let updated = call.expect(201).await["import_file"].take();
    let updated = scene.ended(code(&updated)).await;
    assert_eq!(int(&updated["updated_rows"]), 1, "{updated}");
    let open = scene
        .import("email\nzoe@example.com\n\"never closed\n", &[])
        .await;
    assert_eq!(open["status"], "failed", "{open}");

    let export = async || {
        let call = server.get(format!("/api/v1/leads/{lead}/personal_data"));
        let mut export = call.token(&scene.ana.token).expect(200).await;
        export["personal_data"].take()
    };
    let told = export().await;
    let rows = told["import_rows"].as_array().expect("rows");
    let of = |import: &Value| -> Vec<&Value> {
        let found = rows.iter();
        let found = found.filter(|row| row["import_code"] == import["import_code"]);
        found.map(|row| &row["row"]).collect()
    };
    assert_eq!(of(&refused), [&json!(2)], "{told:#}");
    assert_eq!(of(&skipped), [&json!(3)], "{told:#}");
    assert_eq!(of(&updated), [&json!(2)], "{told:#}");
    assert_eq!(of(&open), [&json!(2)], "{told:#}");
    let text = told.to_string();
    assert!(text.contains("zqremark"), "{told:#}");
    assert!(
        !text.contains("zqbo") && !text.contains("bo@example.com"),
        "{told:#}"
    );
    assert_eq!(told["unread_imports"], json!([open["import_code"]]));
    let by = json!([{"import_code": updated["import_code"], "name": "zqupdate.csv"}]);
    assert_eq!(told["imports"], by);
    // A file that is not kept any more is not missed.
    scene.server.app.imports.files.remove(code(&open)).await;
    assert_eq!(export().await["unread_imports"], json!([]));
    step(server, &scene.ana, lead, "block").await;
    assert_eq!(
        export().await["import_rows"].as_array().map(Vec::len),
        Some(3)
    );
    step(server, &scene.ana, lead, "erase").await;
    let left = export().await;
    assert_eq!(left["import_rows"], json!([]), "{left:#}");
    assert!(!left.to_string().contains("zqupdate"), "{left:#}");
}

/// What is left out is named: 1,000 rows are given.
#[tokio::test(flavor = "multi_thread")]
async fn the_export_says_which_files_it_did_not_read_to_their_end() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let lead = json!({"first_name": "Zoe", "email": "zoe@example.com"});
    let lead = int(&server.lead(&scene.ana, scene.company, lead).await["id"]);
    let few = scene.import("email,phone\nzoe@example.com,12\n", &[]).await;
    assert_eq!(int(&few["failed_rows"]), 1, "{few}");
    let many = format!("email,phone\n{}", "zoe@example.com,12\n".repeat(1_001));
    let many = scene.import(&many, &[]).await;
    assert_eq!(int(&many["failed_rows"]), 1_001, "{many}");
    let call = server.get(format!("/api/v1/leads/{lead}/personal_data"));
    let told = call.token(&scene.ana.token).expect(200).await;
    let told = &told["personal_data"];
    assert_eq!(told["import_rows"].as_array().map(Vec::len), Some(1_000));
    let unread = json!([many["import_code"], few["import_code"]]);
    assert_eq!(told["unread_imports"], unread);
}

async fn read_by(server: &TestServer, by: &Person, lead: i64, whom: &Person) -> usize {
    let path = format!("/api/v1/leads/{lead}/reads");
    let found = server.get(path).token(&by.token).expect(200).await;
    let reads = found["reads"].as_array().expect("reads").iter();
    let reader = format!("user:{}", whom.id);
    let shown = reads.filter(|read| {
        read["operation"] == "GET /import/{import_code}/errors" && read["reader"] == reader
    });
    shown.count()
}

/// Whoever is shown a failed row reads the data of every lead that it names.
#[tokio::test(flavor = "multi_thread")]
async fn failed_rows_that_are_shown_are_reads_of_their_leads() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let mut leads = Vec::new();
    for lead in [
        json!({"first_name": "Zoe", "email": "zoe@example.com"}),
        json!({"first_name": "Zoe", "email": "zoe@example.com"}),
        json!({"first_name": "Bo", "phone_number": "+52 55 1234 5678"}),
        json!({"first_name": "Cy", "email": "cy@example.com"}),
        json!({"first_name": "Di", "email": "di@example.com"}),
    ] {
        leads.push(int(
            &server.lead(&scene.ana, scene.company, lead).await["id"],
        ));
    }
    let manager = server.member(scene.company, &scene.ana, Role::Manager, "Max");
    let manager = manager.await.person;
    // The fourth is imported, and so is not among the failed rows; the last is in no row.
    let file = "first_name,email,phone,note\nFail,ZOE@example.com,12,\nFail,zoe@example.com,34,\n\
                Fail,nobody,,+52 (55) 1234-5678\ncy,cy@example.com,,\n";
    let failed = scene.import(file, &[("duplicates", "update")]).await;
    assert_eq!(int(&failed["failed_rows"]), 3, "{failed}");
    let path = format!("/api/v1/import/{}/errors", code(&failed));
    let show = async |person: &Person, as_of: &str| {
        let call = server.get(format!("{path}{as_of}")).token(&person.token);
        call.expect_answer(200).await.text
    };
    let counts = async |whom: &Person| {
        let mut counts = Vec::new();
        for lead in &leads {
            counts.push(read_by(server, &scene.ana, *lead, whom).await);
        }
        counts
    };
    assert!(show(&manager, "").await.contains("zoe@example.com"));
    assert_eq!(counts(&manager).await, [1, 1, 1, 0, 0]);
    assert_eq!(counts(&scene.ana).await, [0; 5]);

    // Of a blocked one, who is shown the row and who is not; also as of before.
    let before: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    for lead in [leads[0], leads[1]] {
        let call = server.post(format!("/api/v1/leads/{lead}/erasure"));
        let block = json!({"step": "block", "reason": "subject_request"});
        call.token(&scene.ana.token).json(&block).expect(200).await;
    }
    for as_of in [String::new(), format!("?as_of={before}")] {
        assert!(show(&scene.ana, &as_of).await.contains("zoe@example.com"));
        assert!(!show(&manager, &as_of).await.contains("zoe@example.com"));
    }
    assert_eq!(counts(&scene.ana).await, [2, 2, 2, 0, 0]);
    assert_eq!(counts(&manager).await, [1, 1, 3, 0, 0]);
}

/// An answer of many rows names each lead once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_failed_rows_every_lead_is_noted_once() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let mut leads = Vec::new();
    for name in ["first", "last"] {
        let lead = json!({"first_name": name, "email": format!("{name}@example.com")});
        leads.push(int(
            &server.lead(&scene.ana, scene.company, lead).await["id"],
        ));
    }
    let mut file = "email,phone\nfirst@example.com,1\n".to_owned();
    for row in 0..3_000 {
        writeln!(file, "p{row}@example.com,1").expect("writing into a text");
    }
    file.push_str("first@example.com,2\nlast@example.com,1\n");
    let failed = scene.import(&file, &[]).await;
    assert_eq!(int(&failed["failed_rows"]), 3_003, "{failed}");
    assert_eq!(scene.failed_rows(&failed).await.lines().count(), 3_004);
    for lead in leads {
        assert_eq!(read_by(server, &scene.ana, lead, &scene.ana).await, 1);
    }
}
