//! Taking an import back, calling one off, its failed rows, its live status, and a file in parts.

use serde_json::{Value, json};

use crate::imports::{Scene, code, people};
use crate::server::int;

fn post(scene: &Scene, import: &Value, what: &str) -> crate::server::Call {
    let path = format!("/api/v1/import/{}/{what}", code(import));
    scene.server.post(path).token(&scene.ana.token)
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_brings_every_lead_back_but_those_changed_since() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let old = json!({"first_name": "Old", "email": "p0@example.com", "extra": {"a": "1"}});
    let old = server.lead(&scene.ana, scene.company, old).await;
    let before = scene.leads().await;
    let fields = [("duplicates", "update"), ("update", "overwrite")];
    let import = scene.import(&people(300, "example.com"), &fields).await;
    assert_eq!(
        (int(&import["imported_rows"]), int(&import["updated_rows"])),
        (299, 1)
    );
    let list = format!("/api/v1/companies/{}/leads", scene.company);
    let found = server.get(format!("{list}?search=p7@example.com"));
    let found = found.token(&scene.ana.token).expect(200).await;
    let changed = int(&found["leads"][0]["id"]);
    let note = format!("/api/v1/leads/{changed}/notes");
    let call = server.post(note).token(&scene.ana.token);
    call.json(&json!({"content": "called"})).expect(201).await;

    let dry = post(&scene, &import, "undo?dry_run=true").expect(200).await;
    let told = ["removed_leads", "restored_leads", "kept_leads"];
    assert_eq!(told.map(|count| int(&dry[count])), [298, 1, 1]);
    assert_eq!(
        dry["kept"],
        json!([{"lead_id": changed, "row": 9, "reason": "changed_since"}])
    );
    assert_eq!(scene.leads().await.len(), 100, "a dry run does nothing");

    let begun = post(&scene, &import, "undo").expect(202).await;
    assert_eq!(begun["import_file"]["status"], "undoing");
    let undone = scene.ended(code(&import)).await;
    assert_eq!(undone["status"], "undone");
    assert_eq!(told.map(|count| int(&undone[count])), [298, 1, 1]);
    let mut after = scene.leads().await;
    after.retain(|lead| lead["id"] != changed);
    let plain = |lead: &Value| {
        let mut lead = lead.clone();
        lead["updated_at"].take();
        lead
    };
    assert_eq!(
        after.iter().map(plain).collect::<Vec<_>>(),
        before.iter().map(plain).collect::<Vec<_>>()
    );
    let gone = format!("/api/v1/leads/{}", int(&old["id"]) + 1);
    server.get(&gone).token(&scene.ana.token).expect(404).await;
    let call = server.put(&gone).token(&scene.ana.token);
    call.json(&json!({"first_name": "x"})).expect(404).await;
    let left = server.get(list).token(&scene.ana.token).expect(200).await;
    assert_eq!(left["meta"]["total_count"], 2);
    // A repeat changes nothing, and the file may come again.
    post(&scene, &import, "undo").expect(202).await;
    let again = scene
        .import(&people(300, "example.com"), &[("duplicates", "skip")])
        .await;
    assert_eq!(int(&again["imported_rows"]), 298);
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_undo_took_away_is_on_record_until_it_is_erased() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let import = scene.import(&people(3, "example.com"), &[]).await;
    let list = format!("/api/v1/companies/{}/leads", scene.company);
    let found = server.get(format!("{list}?search=p1@example.com"));
    let found = found.token(&scene.ana.token).expect(200).await;
    let lead = format!("/api/v1/leads/{}", int(&found["leads"][0]["id"]));
    let then: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    post(&scene, &import, "undo").expect(202).await;
    assert_eq!(scene.ended(code(&import)).await["status"], "undone");

    let get = |path: String| server.get(path).token(&scene.ana.token);
    get(lead.clone()).expect(404).await;
    let history = get(format!("{lead}/history")).expect(200).await;
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2));
    let evidence = get(format!("{lead}/evidence")).expect(200).await;
    assert_eq!(evidence["stream_events"], 2);
    let data = get(format!("{lead}/personal_data")).expect(200).await;
    assert_eq!(data["personal_data"]["email"], "p1@example.com");
    let stranger = server.sign_up("Eve").await;
    for what in [
        "history",
        "evidence",
        "personal_data",
        "erasure",
        "reads",
        "legal_holds",
    ] {
        let call = server.get(format!("{lead}/{what}")).token(&stranger.token);
        call.expect(404).await;
    }

    let step = |step: &str| {
        let call = server.post(format!("{lead}/erasure"));
        let call = call.token(&scene.ana.token);
        call.json(&json!({"step": step, "reason": "subject_request"}))
    };
    let holds = format!("/api/v1/companies/{}/legal_holds", scene.company);
    let hold = server.post(&holds).token(&scene.ana.token);
    let hold = hold.json(&json!({"reason": "Case 7"})).expect(201).await;
    let refused = step("block").expect(422).await;
    assert_eq!(refused["code"], "legal_hold", "{refused}");
    let release = format!("{holds}/{}/release", int(&hold["legal_hold"]["id"]));
    let release = server.post(release).token(&scene.ana.token);
    release.expect(200).await;
    // What can be erased can be held.
    let holds = format!("{lead}/legal_holds");
    let hold = server.post(&holds).token(&scene.ana.token);
    let hold = hold.json(&json!({"reason": "Case 8"})).expect(201).await;
    let hold = &hold["legal_hold"];
    assert_eq!(hold["standing"], true, "{hold}");
    let listed = get(holds.clone()).expect(200).await;
    assert_eq!(listed["legal_holds"], json!([hold]));
    let refused = step("block").expect(422).await;
    assert_eq!(refused["code"], "legal_hold", "{refused}");
    let call = server.post(&holds).token(&stranger.token);
    call.json(&json!({"reason": "x"})).expect(404).await;
    let release = server.post(format!("{holds}/{}/release", int(&hold["id"])));
    let released = release.token(&scene.ana.token).expect(200).await;
    assert_eq!(released["legal_hold"]["standing"], false, "{released}");
    // As of the time when it was there a block hides it, and is taken back like any other.
    let then = format!(
        "/api/v1/companies/{}/leads?search=p1@example.com&as_of={then}",
        scene.company
    );
    let found = async || get(then.clone()).expect(200).await["leads"].clone();
    let shown = found().await;
    assert_eq!(shown[0]["email"], "p1@example.com", "{shown}");
    step("block").expect(200).await;
    assert_eq!(found().await, json!([]));
    let unblock = server.delete(format!("{lead}/erasure"));
    let unblocked = unblock.token(&scene.ana.token).expect(200).await;
    assert_eq!(unblocked["erasure"]["status"], "in_use", "{unblocked}");
    assert_eq!(found().await, shown);
    get(lead.clone()).expect(404).await;
    server.assert_sound().await;
    step("block").expect(200).await;
    let erased = step("erase").expect(200).await;
    assert!(erased["erasure"]["certificate"].is_string(), "{erased}");
    let data = get(format!("{lead}/personal_data")).expect(200).await;
    assert!(data["personal_data"]["email"].is_null(), "{data}");
    assert!(!data.to_string().contains("p1@"), "{data}");
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_company_keeps_what_was_imported() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let import = scene.import(&people(3, "example.com"), &[]).await;
    let holds = format!("/api/v1/companies/{}/legal_holds", scene.company);
    let hold = server.post(&holds).token(&scene.ana.token);
    let hold = hold.json(&json!({"reason": "Case 7"})).expect(201).await;
    for what in ["undo?dry_run=true", "undo"] {
        let refused = post(&scene, &import, what).expect(422).await;
        assert_eq!(refused["code"], "legal_hold", "{refused}");
    }
    assert_eq!(scene.leads().await.len(), 3);
    let release = format!("{holds}/{}/release", int(&hold["legal_hold"]["id"]));
    let release = server.post(release).token(&scene.ana.token);
    release.expect(200).await;
    post(&scene, &import, "undo").expect(202).await;
    assert_eq!(scene.ended(code(&import)).await["status"], "undone");
    assert_eq!(scene.leads().await.len(), 0);
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_stops_between_rows_and_says_where() {
    let scene = Scene::start().await;
    let begun = scene.upload(&people(30_000, "example.com"), &[]).await;
    post(&scene, &begun, "undo").expect(422).await;
    post(&scene, &begun, "undo?dry_run=true").expect(422).await;
    let cancelled = post(&scene, &begun, "cancel").expect(200).await;
    let cancelled = &cancelled["import_file"];
    assert_eq!(cancelled["status"], "cancelled");
    let processed = int(&cancelled["processed_rows"]);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let later = scene.ended(code(&begun)).await;
    assert_eq!(
        int(&later["processed_rows"]),
        processed,
        "nothing comes after it"
    );
    let leads = format!("/api/v1/companies/{}/leads", scene.company);
    let leads = scene
        .server
        .get(leads)
        .token(&scene.ana.token)
        .expect(200)
        .await;
    assert_eq!(int(&leads["meta"]["total_count"]), processed);
    post(&scene, &begun, "cancel").expect(200).await;
    let events = scene.server.payloads("import", int(&begun["id"])).await;
    let last = events.last().expect("events");
    assert_eq!(int(&last["ImportCancelled"]["after_row"]), processed + 1);
    post(&scene, &begun, "undo").expect(202).await;
    assert_eq!(scene.ended(code(&begun)).await["status"], "undone");
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failed_rows_come_back_to_be_mended() {
    let scene = Scene::start().await;
    let file =
        "Email;Nota\nana@example.com;ok\nno;\"=1+1\"\nbea@example.com;\nnope;\"dos\nlíneas\"\n";
    let import = scene.import(file, &[]).await;
    let path = format!("/api/v1/import/{}/errors", code(&import));
    let errors = scene
        .server
        .get(&path)
        .token(&scene.ana.token)
        .expect_answer(200)
        .await;
    assert!(errors.header("content-type").starts_with("text/csv"));
    assert_eq!(
        errors.text.trim_start_matches('\u{feff}'),
        "Email,Nota,import_failure_reason\r\nno,'=1+1,Email: is not an e-mail address\r\n\
         nope,\"dos\nlíneas\",Email: is not an e-mail address\r\n"
    );
    // Mended in part, and sent again as it is.
    let mended = errors.text.replace("no,", "cid@example.com,");
    let import = scene.import(&mended, &[]).await;
    assert_eq!(
        (int(&import["imported_rows"]), int(&import["failed_rows"])),
        (1, 1)
    );
    // What still fails comes back in the same columns, not in one more each time.
    assert_eq!(
        scene.failed_rows(&import).await,
        "Email,Nota,import_failure_reason\r\nnope,\"dos\nlíneas\",Email: is not an e-mail address\r\n"
    );
    let cid = scene
        .leads()
        .await
        .into_iter()
        .find(|lead| lead["email"] == "cid@example.com");
    assert_eq!(cid.expect("Cid")["extra"], json!({"Nota": "=1+1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_can_be_followed_live() {
    let scene = Scene::start().await;
    let begun = scene.upload(&people(2_000, "example.com"), &[]).await;
    let path = format!("/api/v1/import/{}/events", code(&begun));
    let answer = scene
        .server
        .get(&path)
        .token(&scene.ana.token)
        .expect_answer(200)
        .await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let statuses = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let statuses: Vec<Value> = statuses
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let last = &statuses.last().expect("an event")["import_file"];
    assert_eq!(last["status"], "completed");
    assert_eq!(int(&last["imported_rows"]), 2_000);
    let mut processed = 0;
    for status in &statuses {
        crate::imports::assert_sums(&status["import_file"]);
        let now = int(&status["import_file"]["processed_rows"]);
        assert!(now >= processed);
        processed = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_in_parts() {
    let scene = Scene::start().await;
    let server = &scene.server;
    let path = format!("/api/v1/companies/{}/import/uploads", scene.company);
    let begun = server.post(path).token(&scene.ana.token).expect(201).await;
    let upload = &begun["upload"];
    let text = |name: &str| upload[name].as_str().expect("a text").to_owned();
    let complete = || {
        let call = server.post(text("complete_url")).token(&scene.ana.token);
        call.json(&json!({"name": "In parts", "duplicates": "skip"}))
    };
    complete().expect(422).await;
    let file = people(100, "example.com");
    let (first, second) = file.split_at(777);
    let put = |part: &str, bytes: &str| {
        let call = server.put(text("part_url").replace("{part}", part));
        call.typed("application/octet-stream", bytes.as_bytes().to_vec())
    };
    put("2", second).expect(200).await;
    put("1", "wrong").expect(200).await;
    put("1", first).expect(200).await;
    put("0", "x").expect(422).await;
    let forged = text("part_url")
        .replace("{part}", "1")
        .replace("signature=", "signature=A");
    server
        .put(forged)
        .typed("application/octet-stream", vec![1])
        .expect(403)
        .await;
    let import = complete().expect(201).await;
    let import = scene.ended(code(&import["import_file"])).await;
    assert_eq!(
        (int(&import["imported_rows"]), &import["name"]),
        (100, &json!("In parts"))
    );
    let refused = complete().expect(422).await;
    assert_eq!(refused["code"], "upload_completed", "{refused}");
    scene.server.assert_sound().await;
}
