//! How a file comes in: parts of which some are missing, base64 as programs write it, forms that say a thing twice; and that many
//! at a time are served in little memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::imports::{Scene, code, people};
use crate::server::{Call, int};

/// An upload in parts that has begun.
pub struct Parts<'a> {
    scene: &'a Scene,
    upload: Value,
}

impl<'a> Parts<'a> {
    pub async fn begin(scene: &'a Scene) -> Self {
        let path = format!("/api/v1/companies/{}/import/uploads", scene.company);
        let call = scene.server.post(path).token(&scene.ana.token);
        let mut answer = call.expect(201).await;
        Self {
            scene,
            upload: answer["upload"].take(),
        }
    }

    pub fn put(&self, part: &str, bytes: impl Into<Vec<u8>>) -> Call {
        let url = self.upload["part_url"].as_str().expect("an address");
        let call = self.scene.server.put(url.replace("{part}", part));
        call.typed("application/octet-stream", bytes.into())
    }

    pub fn complete(&self) -> Call {
        let url = self.upload["complete_url"].as_str().expect("an address");
        let call = self.scene.server.post(url).token(&self.scene.ana.token);
        call.json(&json!({}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_part_is_named_and_a_completed_upload_takes_no_more() {
    let scene = Scene::start().await;
    let file = people(30, "example.com");
    let (first, rest) = file.split_at(200);
    let (second, third) = rest.split_at(200);
    let parts = Parts::begin(&scene).await;
    let refused = parts.complete().expect(422).await;
    assert_eq!(refused["code"], "part_missing", "{refused}");
    let unknown = scene.server.app.clock.new_id();
    let nowhere = format!(
        "/api/v1/companies/{}/import/uploads/{unknown}/complete",
        scene.company
    );
    let nowhere = scene.server.post(nowhere).token(&scene.ana.token);
    nowhere.json(&json!({})).expect(404).await;
    parts.put("3", third).expect(200).await;
    for (missing, bytes) in [("1", first), ("2", second)] {
        let refused = parts.complete().expect(422).await;
        assert_eq!(refused["code"], "part_missing", "{refused}");
        let told = format!("part {missing} is missing");
        assert_eq!(refused["errors"]["part"], json!([told]));
        parts.put(missing, bytes).expect(200).await;
    }
    let largest = usize::try_from(int(&parts.upload["part_size"])).expect("a size");
    for bytes in [vec![b'x'; largest + 1], Vec::new()] {
        let refused = parts.put("4", bytes).expect(422).await;
        assert!(refused["errors"]["part"].is_array(), "{refused}");
    }
    let begun = parts.complete().expect(201).await;
    let import = scene.ended(code(&begun["import_file"])).await;
    assert_eq!(int(&import["imported_rows"]), 30, "{import}");
    for call in [parts.put("2", second), parts.complete()] {
        let refused = call.expect(422).await;
        assert_eq!(refused["code"], "upload_completed", "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_may_have_line_breaks_and_nothing_behind_its_padding() {
    let scene = Scene::start().await;
    let post = |text: String| {
        let call = scene.server.post(scene.path()).token(&scene.ana.token);
        call.json(&json!({"file_base64": text}))
    };
    let file = people(5_000, "example.com");
    let text = STANDARD.encode(&file);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(76)
        .map(String::from_utf8_lossy)
        .collect();
    let text = format!("data:text/csv;base64,{}\r\n", lines.join("\r\n"));
    let begun = post(text).expect(201).await;
    let import = scene.ended(code(&begun["import_file"])).await;
    assert_eq!(int(&import["imported_rows"]), 5_000, "{import}");
    // As programs write it that put a backslash before every slash.
    let slashed = STANDARD.encode("email,note\nslashed@example.com,???>>>???\n");
    assert!(slashed.contains('/'));
    let body = format!(r#"{{"file_base64": "{}"}}"#, slashed.replace('/', "\\/"));
    let call = scene.server.post(scene.path()).token(&scene.ana.token);
    let begun = call.typed("application/json", body.into_bytes());
    let begun = begun.expect(201).await;
    let import = scene.ended(code(&begun["import_file"])).await;
    assert_eq!(int(&import["imported_rows"]), 1, "{import}");
    let padded = STANDARD.encode("email\na@example.com\n");
    assert!(padded.ends_with('='));
    for text in [padded.repeat(2), "§".to_owned(), "YQ".to_owned()] {
        let refused = post(text).expect(422).await;
        assert!(refused["errors"]["file_base64"].is_array(), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_form_says_twice_or_with_control_characters_is_refused_with_the_field() {
    let scene = Scene::start().await;
    let file = "email\na@example.com\n";
    let upload = |fields: &[(&str, &str)]| {
        let call = scene.server.post(scene.path()).token(&scene.ana.token);
        call.upload("leads.csv", file, fields).expect(422)
    };
    let refused = upload(&[("file", file)]).await;
    assert!(refused["errors"]["file"].is_array(), "{refused}");
    for mapping in [r#"{"e\u0000mail": "email"}"#, r#"{"email": "em\u0007ail"}"#] {
        let refused = upload(&[("mapping", mapping)]).await;
        assert!(refused["errors"]["mapping"].is_array(), "{refused}");
    }
    let refused = upload(&[("sheet", "a\u{1}")]).await;
    assert!(refused["errors"]["sheet"].is_array(), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_at_a_time_are_told_what_they_would_do() {
    let scene = Scene::start().await;
    let file = people(3_000, "example.com");
    let runs = (0..8).map(|_| {
        let call = scene.server.post(scene.path()).token(&scene.ana.token);
        call.upload("leads.csv", file.as_str(), &[("dry_run", "true")])
            .expect(200)
    });
    for run in join_all(runs).await {
        assert_eq!(int(&run["imported_rows"]), 3_000);
        assert_eq!(run["rows"].as_array().map(Vec::len), Some(3_000));
    }
    assert_eq!(scene.leads().await.len(), 0);
}

/// Who completes an upload while somebody else does finds it completed, whatever they force.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_completed_at_the_same_moment_is_one_import() {
    let scene = Scene::start().await;
    let parts = Parts::begin(&scene).await;
    let file = people(30, "example.com");
    parts.put("1", file.as_str()).expect(200).await;
    let url = parts.upload["complete_url"].as_str().expect("an address");
    let complete = || {
        let call = scene.server.post(url).token(&scene.ana.token);
        call.json(&json!({"force": true})).answer()
    };
    let answers = join_all((0..5).map(|_| complete())).await;
    let begun = answers.iter().filter(|answer| answer.status == 201);
    assert_eq!(begun.count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.body["code"], "upload_completed", "{}", answer.body);
    }
}
