//! Avatars of users and companies.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

use std::io::Cursor;

use aggregates::access::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::TestServer;

const USERS: &str = "/api/v1/users/avatar";
const COMPANIES: &str = "/api/v1/companies/avatar";

fn picture(shade: u8, format: ImageFormat) -> String {
    let mut bytes = Vec::new();
    RgbImage::from_pixel(600, 300, image::Rgb([shade, 0, 0]))
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    STANDARD.encode(bytes)
}

fn route(answer: &Value, what: &str) -> String {
    let route = answer[what]["avatar_route"].as_str();
    route.expect("an avatar").to_owned()
}

fn objects(server: &TestServer) -> usize {
    let folder = server.data.path().join("objects/avatars");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn users_show_a_picture_that_anybody_can_fetch_until_they_remove_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let png = picture(1, ImageFormat::Png);
    let body =
        json!({"user_id": ana.id, "avatar_base64": png, "name": "me.png", "type": "image/png"});
    let answer = server
        .put(USERS)
        .token(&ana.token)
        .json(&body)
        .expect(200)
        .await;
    assert_as_in("PUT /api/v1/users/avatar", &answer);
    let first = route(&answer, "user");
    let got = server.get(&first).expect_answer(200).await;
    assert_eq!(got.header("content-type"), "image/png");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    assert!(got.header("cache-control").contains("immutable"));
    let tag = got.header("etag").to_owned();
    let known = server.get(&first).header("if-none-match", &tag);
    known.expect_answer(304).await;

    // Without a user_id it is the caller; a data: URL is taken; the replaced picture is gone.
    let jpeg = format!("data:image/jpeg;base64,{}", picture(9, ImageFormat::Jpeg));
    let body = json!({"avatar_base64": jpeg});
    let answer = server
        .put(USERS)
        .token(&ana.token)
        .json(&body)
        .expect(200)
        .await;
    let second = route(&answer, "user");
    assert!(second.contains(".jpg"), "{second}");
    server.get(&first).expect(404).await;
    server.get(&second).expect_answer(200).await;
    assert_eq!(objects(&server), 1);
    let shown = server
        .get(format!("/api/v1/users/{}", ana.id))
        .token(&ana.token);
    assert_eq!(route(&shown.expect(200).await, "user"), second);

    let removed = server.delete(format!("{USERS}?user_id={}", ana.id));
    let answer = removed.token(&ana.token).expect(200).await;
    assert_as_in("DELETE /api/v1/users/avatar", &answer);
    assert!(answer["user"]["avatar_route"].is_null());
    server.get(&second).expect(404).await;
    assert_eq!(objects(&server), 0);
    let again = server.delete(USERS).token(&ana.token);
    again.json(&json!({"user_id": ana.id})).expect(200).await;
    for path in ["x", "x.png", "../secret"] {
        server
            .get(format!("/api/v1/avatars/{path}"))
            .expect(404)
            .await;
    }
}

#[tokio::test]
async fn a_users_avatar_is_theirs_and_their_administrators() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let max = server.member(company, &ana, Role::Manager, "Max").await;
    let body = json!({"user_id": bob.person.id, "avatar_base64": picture(5, ImageFormat::Gif)});
    let put = |token: &str| server.put(USERS).token(token).json(&body);
    put(&eve.token).expect(404).await;
    put(&max.person.token).expect(403).await;
    server.put(USERS).json(&body).expect(401).await;
    let route = route(&put(&ana.token).expect(200).await, "user");
    let path = format!("{USERS}?user_id={}", bob.person.id);
    server.delete(&path).token(&eve.token).expect(404).await;
    server
        .delete(&path)
        .token(&max.person.token)
        .expect(403)
        .await;
    server.delete(&path).expect(401).await;

    // Wherever the user appears, so does the picture.
    let lead = json!({"first_name": "Lea", "user_access_id": bob.access_id});
    let lead = server.lead(&ana, company, lead).await;
    assert_eq!(lead["user_access"]["user"]["avatar_route"], route);
    let users = server
        .get(format!("/api/v1/companies/{company}/users"))
        .token(&ana.token);
    let users = users.expect(200).await;
    let routes: Vec<_> = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["avatar_route"].clone())
        .collect();
    assert!(routes.contains(&json!(route)), "{routes:?}");
}

#[tokio::test]
async fn a_companys_avatar_is_its_administrators() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let max = server.member(company, &ana, Role::Manager, "Max").await;
    let body = json!({"company_id": company, "avatar_base64": picture(5, ImageFormat::WebP), "name": "a", "type": "b"});
    let put = |token: &str| server.put(COMPANIES).token(token).json(&body);
    put(&eve.token).expect(404).await;
    put(&max.person.token).expect(403).await;
    server.put(COMPANIES).json(&body).expect(401).await;
    let answer = put(&ana.token).expect(200).await;
    assert_as_in("PUT /api/v1/companies/avatar", &answer);
    let route = route(&answer, "company");
    server.get(&route).expect_answer(200).await;
    let path = format!("{COMPANIES}?company_id={company}");
    server.delete(&path).token(&eve.token).expect(404).await;
    server
        .delete(&path)
        .token(&max.person.token)
        .expect(403)
        .await;
    server.delete(&path).expect(401).await;
    server.delete(COMPANIES).token(&ana.token).expect(422).await;
    let answer = server.delete(&path).token(&ana.token).expect(200).await;
    assert_as_in("DELETE /api/v1/companies/avatar", &answer);
    server.get(&route).expect(404).await;
}

#[tokio::test]
async fn what_is_no_picture_or_too_large_is_refused() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let put = |text: String| {
        let body = json!({"avatar_base64": text});
        server.put(USERS).token(&ana.token).json(&body)
    };
    for text in ["", "%%%", "aGVsbG8=", "data:text/plain,hello"] {
        let refused = put(text.to_owned()).expect(422).await;
        assert!(refused["errors"]["avatar_base64"].is_array(), "{refused}");
    }
    put(STANDARD.encode(vec![0; 2 * 1024 * 1024 + 1]))
        .expect(413)
        .await;
    put(STANDARD.encode(vec![0; 4 * 1024 * 1024]))
        .expect(413)
        .await;
    let most = STANDARD.encode(vec![0; 2 * 1024 * 1024]);
    put(most.clone()).expect(422).await;
    put(most)
        .header("idempotency-key", "large")
        .expect(422)
        .await;
    server
        .put(USERS)
        .token(&ana.token)
        .raw("{")
        .expect(400)
        .await;
    server
        .put(COMPANIES)
        .token(&ana.token)
        .raw("{")
        .expect(400)
        .await;
    server
        .put(COMPANIES)
        .token(&ana.token)
        .json(&json!({}))
        .expect(422)
        .await;
}
