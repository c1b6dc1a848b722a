//! Proving the e-mail by the link in a mail.

use serde_json::json;

use crate::mailbox::{mails, token};
use crate::server::{Person, TestServer};

const PROVE: &str = "/api/v1/users/email/prove";
const RESEND: &str = "/api/v1/users/email/prove/resend";

async fn status(server: &TestServer, person: &Person) -> String {
    let me = server
        .get("/api/v1/users/validate_jwt")
        .token(&person.token);
    let status = me.expect(200).await["user"]["status"].take();
    status.as_str().expect("a status").to_owned()
}

#[tokio::test]
async fn a_mail_after_sign_up_proves_the_e_mail() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    assert_eq!(status(&server, &ana).await, "pending");
    let token = token(&server, &ana.email, "users/email/prove", 1).await;
    let opened = server.get(format!("{PROVE}?token={token}&lang=es"));
    opened.expect_answer(200).await;
    assert_eq!(
        status(&server, &ana).await,
        "pending",
        "opening proves nothing"
    );
    let body = json!({"token": token});
    server.put(PROVE).json(&body).expect(200).await;
    assert_eq!(status(&server, &ana).await, "active");
    server.put(PROVE).json(&body).expect(200).await;
    let mails = mails(&server);
    assert_eq!(mails.len(), 1);
    let subject = "Subject: =?utf-8?b?Q29uZmlybWEgdHUgY29ycmVv";
    assert!(mails[0].contains("Message-ID: <"), "{}", mails[0]);
    assert!(
        mails[0].contains(subject) || mails[0].contains("Subject: Confirma tu correo"),
        "{}",
        mails[0]
    );
    assert!(mails[0].contains("Auto-Submitted: auto-generated"));
    assert!(mails[0].contains("text/plain") && mails[0].contains("text/html"));
}

#[tokio::test]
async fn the_pages_button_proves_it_too_and_a_reset_token_does_not() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let proof = token(&server, &ana.email, "users/email/prove", 1).await;
    let as_reset = json!({"token": proof, "password": "Entirely-new-2026"});
    server
        .put("/api/v1/users/password")
        .json(&as_reset)
        .expect(422)
        .await;
    server
        .post(PROVE)
        .form("token=wrong".to_owned())
        .expect(422)
        .await;
    let pressed = server.post(PROVE).form(format!("token={proof}&lang=en"));
    pressed.expect_answer(200).await;
    assert_eq!(status(&server, &ana).await, "active");
    server
        .put(PROVE)
        .json(&json!({"token": "wrong"}))
        .expect(422)
        .await;
    server.put(PROVE).raw("[").expect(400).await;
    server.get(PROVE).expect(400).await;
}

#[tokio::test]
async fn the_mail_is_sent_again_to_oneself_once_a_minute() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    server.post(RESEND).expect(401).await;
    server.post(RESEND).token(&ana.token).expect(409).await;
    // The platform owner's e-mail needs no proof.
    let owner = server.owner().await;
    server.post(RESEND).token(&owner.token).expect(200).await;
    token(&server, &ana.email, "users/email/prove", 1).await;
    assert_eq!(mails(&server).len(), 1);
}
