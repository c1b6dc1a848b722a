//! Refusals of an upload in parts: a conversation of several requests, whose addresses are signed.

use leadledger::api::layers::{BODY_LIMIT, IMPORT_PART_LIMIT};
use serde_json::{Value, json};

use super::Row;
use super::scene::{SPENT_KEY, Scene};
use crate::server::Call;

/// The operations of which every refusal stands here, none of them made from the description.
pub const BY_HAND: [&str; 2] = [PUT, COMPLETE];
const PUT: &str = "PUT /import/uploads/{upload_id}/parts/{part}";
const COMPLETE: &str = "POST /companies/{company_id}/import/uploads/{upload_id}/complete";

/// A begun upload.
struct Upload<'a> {
    scene: &'a Scene,
    /// With `{part}`.
    part_url: String,
    complete_url: String,
}

impl<'a> Upload<'a> {
    async fn begin(scene: &'a Scene) -> Self {
        let uploads = format!("/companies/{}/import/uploads", scene.company);
        let begun = scene.made(uploads, &json!({})).await;
        let text = |name: &str| begun["upload"][name].as_str().expect("a text").to_owned();
        Self {
            scene,
            part_url: text("part_url"),
            complete_url: text("complete_url"),
        }
    }

    fn part(&self, part: &str) -> String {
        self.part_url.replace("{part}", part)
    }

    fn put(&self, url: impl AsRef<str>, bytes: Vec<u8>) -> Call {
        let call = self.scene.server.put(url);
        call.typed("application/octet-stream", bytes)
    }

    fn complete(&self, body: &Value) -> Call {
        self.signed(&self.complete_url).json(body)
    }

    fn signed(&self, url: &str) -> Call {
        let call = self.scene.server.post(url);
        call.token(&self.scene.ana.token)
    }
}

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let mut rows = of_parts(&Upload::begin(scene).await);
    rows.extend(of_completion(&Upload::begin(scene).await).await);
    rows.extend(of_order(&Upload::begin(scene).await, &Upload::begin(scene).await).await);
    rows
}

/// What is asked for too early, and too late.
async fn of_order(gap: &Upload<'_>, completed: &Upload<'_>) -> Vec<Row> {
    let good = json!({"force": true});
    let bytes = || b"email\nin-parts@example.com\n".to_vec();
    gap.put(gap.part("2"), bytes()).expect(200).await;
    let first = || completed.put(completed.part("1"), bytes());
    first().expect(200).await;
    completed.complete(&good).expect(201).await;
    let missing = gap.complete(&good);
    let again = completed.complete(&good);
    vec![
        Row::new(COMPLETE, 422, "part_missing", &["part"], missing),
        Row::new(COMPLETE, 422, "upload_completed", &[], again),
        Row::new(PUT, 422, "upload_completed", &[], first()),
        Row::new(
            PUT,
            422,
            "validation",
            &["part"],
            gap.put(gap.part("1"), Vec::new()),
        ),
    ]
}

fn of_parts(upload: &Upload<'_>) -> Vec<Row> {
    let row = |status, code, fields: &[&str], call| Row::new(PUT, status, code, fields, call);
    let put = |url: String| upload.put(url, vec![1]);
    let first = upload.part("1");
    let too_much = vec![b'x'; IMPORT_PART_LIMIT + 1];
    let key = "Idempotency-Key";
    vec![
        row(400, "malformed_path", &["part"], put(upload.part("x"))),
        row(
            400,
            "malformed_query",
            &["expires"],
            put(first.replace("expires=", "expires=x")),
        ),
        row(
            403,
            "forbidden",
            &[],
            put(first.replace("signature=", "signature=A")),
        ),
        row(413, "too_large", &[], upload.put(&first, too_much)),
        row(422, "validation", &["part"], put(upload.part("0"))),
        row(
            400,
            "malformed_header",
            &[key],
            put(first.clone()).header(key, "with a space"),
        ),
    ]
}

async fn of_completion(upload: &Upload<'_>) -> Vec<Row> {
    let row = |status, code, fields: &[&str], call| Row::new(COMPLETE, status, code, fields, call);
    let good = json!({"duplicates": "skip"});
    let bytes = b"email\n".to_vec();
    upload.put(upload.part("1"), bytes).expect(200).await;
    let too_much = vec![b' '; BODY_LIMIT + 1];
    let key = "Idempotency-Key";
    let url = &upload.complete_url;
    let anonymous = || upload.scene.server.post(url).json(&good);
    let elsewhere = url.replace(
        &format!("/companies/{}/", upload.scene.company),
        "/companies/x/",
    );
    vec![
        row(401, "unauthorized", &[], anonymous()),
        row(
            403,
            "forbidden",
            &[],
            anonymous().token(&upload.scene.tokens[0]),
        ),
        row(
            404,
            "not_found",
            &[],
            upload
                .signed(&format!("{url}/").replace("/complete/", "x/complete"))
                .json(&good),
        ),
        row(
            400,
            "malformed_path",
            &["company_id"],
            upload.signed(&elsewhere).json(&good),
        ),
        row(
            400,
            "malformed_header",
            &[key],
            upload.complete(&good).header(key, "with a space"),
        ),
        row(
            409,
            "idempotency_key_reused",
            &[],
            upload.complete(&good).header(key, SPENT_KEY),
        ),
        row(
            413,
            "too_large",
            &[],
            upload.signed(url).typed("application/json", too_much),
        ),
        row(
            415,
            "unsupported_media_type",
            &[],
            upload.signed(url).typed("text/plain", b"{}".to_vec()),
        ),
        row(
            422,
            "validation",
            &["duplicates"],
            upload.complete(&json!({"duplicates": "merge"})),
        ),
    ]
}
