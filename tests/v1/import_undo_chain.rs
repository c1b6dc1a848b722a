//! Imports over the leads of other imports, taken back: what remains, what is kept and why, and what a dry run says of it before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::imports::{Scene, code};
use crate::server::int;

/// Removed, restored and kept leads.
fn told(answer: &Value) -> [i64; 3] {
    ["removed_leads", "restored_leads", "kept_leads"].map(|count| int(&answer[count]))
}

impl Scene {
    async fn asked(&self, path: String) -> Value {
        let path = format!("/api/v1/{path}");
        self.server
            .get(path)
            .token(&self.ana.token)
            .expect(200)
            .await
    }

    async fn sent(&self, path: String, body: &Value, status: u16) -> Value {
        let call = self.server.post(format!("/api/v1/{path}"));
        let call = call.token(&self.ana.token).json(body);
        call.expect(status).await
    }

    async fn foreseen(&self, import: &Value) -> Value {
        let path = format!("import/{}/undo?dry_run=true", code(import));
        self.sent(path, &json!({}), 200).await
    }

    /// Undoes it, which comes to what was foreseen.
    async fn undone(&self, import: &Value) -> Value {
        let foreseen = self.foreseen(import).await;
        let path = format!("import/{}/undo", code(import));
        self.sent(path, &json!({}), 202).await;
        let undone = self.ended(code(import)).await;
        assert_eq!(undone["status"], "undone", "{undone:#}");
        assert_eq!(told(&undone), told(&foreseen), "{foreseen:#}");
        let kept = self.kept(import, "per_page=100").await;
        assert_eq!(kept["meta"]["total_count"], foreseen["kept_leads"]);
        assert_eq!(kept["kept_leads"], foreseen["kept"]);
        undone
    }

    async fn kept(&self, import: &Value, query: &str) -> Value {
        self.asked(format!("import/{}/kept_leads?{query}", code(import)))
            .await
    }

    /// Every lead with its stages, but for the time of the last change.
    async fn everything(&self) -> BTreeMap<i64, (Value, Value)> {
        let mut all = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let path = format!("companies/{}/leads?per_page=100{cursor}", self.company);
            let mut page = self.asked(path).await;
            let next = page["meta"]["next_cursor"].take();
            let Value::Array(leads) = page["leads"].take() else {
                panic!("{page} is no list")
            };
            for mut lead in leads {
                lead["updated_at"].take();
                let id = int(&lead["id"]);
                let stages = self.asked(format!("leads/{id}/stages?per_page=100")).await;
                all.insert(id, (lead, stages["stages"].clone()));
            }
            let Some(next) = next.as_str() else {
                return all;
            };
            cursor = format!("&cursor={next}");
        }
    }
}

const UPDATE: [(&str, &str); 2] = [("duplicates", "update"), ("update", "overwrite")];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_undo_kept_is_listed_with_why_and_was_foreseen() {
    let scene = Scene::start().await;
    let mut leads = Vec::new();
    for name in ["a", "b", "c"] {
        let lead = json!({"first_name": "Old", "email": format!("{name}@example.com")});
        leads.push(int(&scene
            .server
            .lead(&scene.ana, scene.company, lead)
            .await["id"]));
    }
    let case = json!({"reason": "Case 7"});
    scene
        .sent(format!("leads/{}/legal_holds", leads[0]), &case, 201)
        .await;
    let file =
        "email,last name\na@example.com,A\nb@example.com,B\nc@example.com,C\nd@example.com,D\n";
    let import = scene.import(file, &UPDATE).await;
    assert_eq!(scene.kept(&import, "").await["kept_leads"], json!([]));
    let block = json!({"step": "block", "reason": "subject_request"});
    scene
        .sent(format!("leads/{}/erasure", leads[1]), &block, 200)
        .await;
    // One that came later is a change too, and yet it is the hold that keeps the lead.
    scene
        .sent(format!("leads/{}/legal_holds", leads[2]), &case, 201)
        .await;

    let undone = scene.undone(&import).await;
    assert_eq!(told(&undone), [1, 0, 3]);
    let held = json!({"lead_id": leads[0], "row": 2, "reason": "legal_hold"});
    let changed = json!({"lead_id": leads[1], "row": 3, "reason": "changed_since"});
    let page = scene.kept(&import, "per_page=1").await;
    assert_eq!(page["kept_leads"], json!([held]));
    let cursor = page["meta"]["next_cursor"].as_str().expect("a cursor");
    let rest = scene.kept(&import, &format!("cursor={cursor}")).await;
    let later = json!({"lead_id": leads[2], "row": 4, "reason": "legal_hold"});
    assert_eq!(rest["kept_leads"], json!([changed, later]));
    assert_eq!(rest["meta"]["next_cursor"], Value::Null);
    // What was, and not what would be now: the leads are not as the import left them any more.
    let was = scene.foreseen(&import).await;
    assert_eq!(told(&was), [1, 0, 3]);
    assert_eq!(was["kept"], json!([held, changed, later]));
    let eve = scene.server.sign_up("Eve").await;
    let path = format!("/api/v1/import/{}/kept_leads", code(&import));
    let stranger = scene.server.get(&path).token(&eve.token);
    stranger.expect(404).await;
    let malformed = scene.server.get(format!("{path}?cursor=x"));
    malformed.token(&scene.ana.token).expect(400).await;
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_in_its_stage_since_it_was_there_before_and_its_history_names_the_row() {
    let scene = Scene::start().await;
    let lead = json!({"first_name": "Ana", "email": "a@example.com"});
    let lead = scene.server.lead(&scene.ana, scene.company, lead).await;
    let id = int(&lead["id"]);
    let before = scene.everything().await;
    // The second file goes elsewhere and comes back.
    let files = [
        "email,stage\na@example.com,won\n",
        "email,stage\na@example.com,won\na@example.com,new\n",
    ];
    for (n, file) in files.iter().enumerate() {
        let import = scene.import(file, &UPDATE).await;
        assert_ne!(scene.everything().await, before);
        let row = int(&import["updated_rows"]) + 1;
        assert_eq!(told(&scene.undone(&import).await), [0, 1, 0]);
        assert_eq!(scene.everything().await, before);
        let history = scene.asked(format!("leads/{id}/history")).await;
        let entries = history["history"].as_array().expect("a history");
        let last = entries.last().expect("a change");
        assert_eq!(last["import"], json!({"code": code(&import), "row": row}));
        let came_back = last["changes"].as_array().expect("changes").last();
        let came_back = came_back.expect("a change");
        assert_eq!(came_back["field"], "stage_entered_at");
        assert_eq!(came_back["to"], lead["stage_entered_at"], "file {n}");
    }
    let moved = scene.server.put(format!("/api/v1/leads/{id}"));
    let moved = moved.token(&scene.ana.token).json(&json!({"stage_id": 2}));
    moved.expect(200).await;
    let stages = scene.asked(format!("leads/{id}/stages")).await;
    let entered = lead["stage_entered_at"].clone();
    assert_eq!(stages["stages"][0]["entered_at"], entered);
    assert_eq!(stages["meta"]["total_count"], 2);
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_taken_back_does_not_count_as_a_change() {
    let scene = Scene::start().await;
    let first = scene
        .import("email\na@example.com\nb@example.com\n", &[])
        .await;
    let second = scene.import(
        "email,last name\na@example.com,A\nb@example.com,B\n",
        &UPDATE,
    );
    let second = second.await;
    let third = scene.import("email,last name\nb@example.com,C\n", &UPDATE);
    let third = third.await;
    // The third is not undone when the second is, and so keeps what both did to the lead.
    assert_eq!(told(&scene.undone(&second).await), [0, 1, 1]);
    assert_eq!(told(&scene.undone(&third).await), [0, 1, 0]);
    assert_eq!(told(&scene.undone(&first).await), [1, 0, 1]);
    let left = scene.leads().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["last_name"], "B");
    scene.server.assert_sound().await;
}

/// A row: which of a few e-mails and telephone numbers, names, a stage, an extra field and an amount; of each perhaps none.
type Row = (Option<u8>, Option<u8>, u8, Option<u8>, Option<u8>, bool);

fn file(rows: &[Row]) -> String {
    let stages = ["won", "new", "contacted", "no stage"];
    let mut file = "first name,email,phone,stage,field,estimated value\n".to_owned();
    for (email, phone, name, stage, extra, valued) in rows {
        let email = email.map(|n| format!("p{n}@example.com"));
        let phone = phone.map(|n| format!("504-621-89{}", 10 + n));
        let stage = stage.map(|n| stages[usize::from(n)]);
        let extra = extra.map(|n| format!("x{n}"));
        writeln!(
            file,
            "P{name},{},{},{},{},{}",
            email.unwrap_or_default(),
            phone.unwrap_or_default(),
            stage.unwrap_or_default(),
            extra.unwrap_or_default(),
            if *valued { "100.50 MXN" } else { "" }
        )
        .expect("writing into a text");
    }
    file
}

/// What anybody can see of the leads before each of eight imports is what can be seen after it is taken back, the newest first.
#[test]
fn of_imports_taken_back_the_newest_first_nothing_remains() {
    let few = |n: u8| proptest::option::of(0..n);
    let row = (few(12), few(12), 0..4_u8, few(4), few(3), any::<bool>());
    let rows = proptest::collection::vec(row, 1..40);
    let imports = proptest::collection::vec((rows, 0..4_usize), 8);
    let mut runner = TestRunner::new(Config {
        cases: 3,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runner.run(&imports, |imports| {
        runtime.block_on(taken_back_in_turn(&imports));
        Ok(())
    });
    outcome.expect("nothing remains");
}

async fn taken_back_in_turn(imports: &[(Vec<Row>, usize)]) {
    let policies: [&[(&str, &str)]; 4] = [
        &[("duplicates", "create")],
        &[("duplicates", "skip")],
        &[("duplicates", "update")],
        &UPDATE,
    ];
    let scene = Scene::start().await;
    for n in 0..4 {
        let lead = json!({"first_name": "Old", "email": format!("p{n}@example.com"), "stage_id": n % 2 + 1});
        scene.server.lead(&scene.ana, scene.company, lead).await;
    }
    let mut done = Vec::new();
    for (n, (rows, policy)) in imports.iter().enumerate() {
        let before = scene.everything().await;
        // No two files are the same.
        let file = format!("{}Only {n},,,,,\n", file(rows));
        done.push((scene.import(&file, policies[*policy]).await, before));
    }
    for (import, before) in done.iter().rev() {
        let undone = scene.undone(import).await;
        assert_eq!(int(&undone["kept_leads"]), 0, "{undone:#}");
        let now = scene.everything().await;
        assert_eq!(&now, before, "after taking back {}", code(import));
    }
    scene.server.assert_sound().await;
}
