//! The page that the link in an invitation's mail opens: what it asks whom, and what its button does.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::invitations::invite;
use crate::mailbox::token;
use crate::server::{Person, TestServer};

const PAGE: &str = "/api/v1/invitations/accept";
const EMAIL: &str = "bob@people.example";
const PASSWORD: &str = "Correct-horse-9-battery";

/// Somebody is invited to a company; answers its id, the code that was mailed and the one that was shown.
async fn invited(server: &TestServer, ana: &Person) -> (i64, String, String) {
    let company = server.company(ana, "Casa & Co").await;
    let made = invite(server, ana, company, Role::Agent, EMAIL).await;
    let mailed = token(server, EMAIL, &format!("{PAGE}?"), 1).await;
    let shown = made["code"].as_str().expect("a code").to_owned();
    (company, mailed, shown)
}

async fn page(server: &TestServer, code: &str, lang: &str) -> String {
    let url = format!("{}{PAGE}?token={code}&lang={lang}", server.url());
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/html"), "{kind}");
    answer.text().await.expect("a page")
}

async fn press(server: &TestServer, form: &[(&str, &str)], status: u16) {
    let pairs = form.iter().map(|(name, value)| format!("{name}={value}"));
    let body = pairs.collect::<Vec<_>>().join("&");
    let answer = server.post(PAGE).form(body).expect_answer(status).await;
    assert!(answer.header("content-type").starts_with("text/html"));
}

async fn sign_in(server: &TestServer, password: &str, status: u16) -> Value {
    let body = json!({"email": EMAIL, "password": password});
    let call = server.post("/api/v1/users/login").json(&body);
    call.expect(status).await
}

#[tokio::test]
async fn whoever_has_no_account_gets_one() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (company, mailed, _) = invited(&server, &ana).await;
    for (lang, said) in [("es", "Nombre"), ("en", "First name"), ("pt", "Nome")] {
        let page = page(&server, &mailed, lang).await;
        assert!(page.contains(said) && page.contains(&mailed), "{page}");
        assert!(
            page.contains("Casa &#38; Co") || page.contains("Casa &amp; Co"),
            "{page}"
        );
    }
    let token = ("token", mailed.as_str());
    press(
        &server,
        &[token, ("first_name", "Bob"), ("password", "weak")],
        422,
    )
    .await;
    press(
        &server,
        &[token, ("first_name", "+"), ("password", PASSWORD)],
        422,
    )
    .await;
    press(
        &server,
        &[
            token,
            ("first_name", "Bob"),
            ("password", PASSWORD),
            ("lang", "pt"),
        ],
        200,
    )
    .await;
    let user = sign_in(&server, PASSWORD, 200).await;
    assert_eq!(user["user"]["status"], "active");
    assert_eq!(user["user"]["lang"], "pt");
    assert_eq!(user["user"]["primary_company"]["id"], company);
    assert_eq!(
        user["user"]["primary_access"]["access_id"],
        Role::Agent.id()
    );
    // Once.
    press(
        &server,
        &[token, ("first_name", "Bob"), ("password", PASSWORD)],
        422,
    )
    .await;
    assert!(!page(&server, &mailed, "en").await.contains("<form"));
    server.assert_sound().await;
}

#[tokio::test]
async fn who_signed_up_with_somebody_elses_email_is_put_out() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let theirs = "Somebody-elses-1";
    let body = json!({"first_name": "Eve", "email": EMAIL, "password": theirs});
    server.post("/api/v1/users").json(&body).expect(201).await;
    let eve = sign_in(&server, theirs, 200).await["token"].clone();
    let eve = eve.as_str().expect("a token");
    let (_, mailed, _) = invited(&server, &ana).await;
    let shown = page(&server, &mailed, "en").await;
    assert!(
        shown.contains("New password") && !shown.contains("First name"),
        "{shown}"
    );
    press(&server, &[("token", &mailed)], 422).await;
    press(&server, &[("token", &mailed), ("password", PASSWORD)], 200).await;
    server
        .get("/api/v1/users/validate_jwt")
        .token(eve)
        .expect(401)
        .await;
    sign_in(&server, theirs, 401).await;
    assert_eq!(
        sign_in(&server, PASSWORD, 200).await["user"]["status"],
        "active"
    );
    server.assert_sound().await;
}

#[tokio::test]
async fn who_proved_their_email_only_presses_the_button() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let bob = server.sign_up("Bob").await;
    let proof = token(&server, EMAIL, "/api/v1/users/email/prove?", 1).await;
    let proof = json!({"token": proof});
    server
        .put("/api/v1/users/email/prove")
        .json(&proof)
        .expect(200)
        .await;
    let (company, mailed, _) = invited(&server, &ana).await;
    assert!(!page(&server, &mailed, "es").await.contains("password"));
    press(&server, &[("token", &mailed)], 200).await;
    // They stay signed in.
    let me = server.get("/api/v1/users/validate_jwt").token(&bob.token);
    assert_eq!(
        me.expect(200).await["user"]["primary_company"]["id"],
        company
    );
}

#[tokio::test]
async fn only_the_mailed_code_of_an_open_invitation_serves_here() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (company, mailed, shown) = invited(&server, &ana).await;
    let form = |code: &str| {
        let form = [
            ("token", code),
            ("first_name", "Bob"),
            ("password", PASSWORD),
        ];
        form.map(|(name, value)| (name, value.to_owned()))
    };
    let list = format!("/api/v1/companies/{company}/invitations");
    let list = server.get(list).token(&ana.token).expect(200).await;
    let id = &list["invitations"][0]["id"];
    let mut refused = vec![shown, "x".to_owned(), "AAAA".to_owned()];
    for round in 0..2 {
        for code in &refused {
            assert!(!page(&server, code, "en").await.contains("<form"), "{code}");
            let form = form(code);
            let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
            press(&server, &form, 422).await;
        }
        if round == 0 {
            let one = format!("/api/v1/invitations/{id}");
            server.delete(one).token(&ana.token).expect(200).await;
            refused = vec![mailed.clone()];
        }
    }
    sign_in(&server, PASSWORD, 401).await;
}
