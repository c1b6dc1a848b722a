//! Invitations: list those of a company, find by code, create, accept, delete, list those of an e-mail, sign up by code.

use std::time::{Duration, Instant};

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::mailbox::{mails, token};
use crate::server::{Call, Person, TestServer, ids, int};

/// An invitation by this person, as answered.
pub async fn invite(
    server: &TestServer,
    by: &Person,
    company: i64,
    role: Role,
    email: &str,
) -> Value {
    let mut answer = wish(server, by, company, role, email).expect(201).await;
    answer["invitation"].take()
}

fn wish(server: &TestServer, by: &Person, company: i64, role: Role, email: &str) -> Call {
    let body = json!({"email": email, "company_id": company, "access_id": role.id()});
    server
        .post("/api/v1/invitations")
        .token(&by.token)
        .json(&body)
}

fn by_code(invitation: &Value) -> String {
    let code = invitation["code"].as_str().expect("a code");
    format!("/api/v1/invitations/{code}")
}

#[tokio::test]
async fn an_invitation_is_made_and_listed() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let call = wish(&server, &ana, company, Role::Agent, " Bob@People.example ");
    let made = call.expect(201).await;
    assert_as_in("POST /api/v1/invitations", &made);
    let made = &made["invitation"];
    assert_eq!(made["email"], "bob@people.example");
    assert_eq!(made["status"], "pending");
    assert_eq!(made["company"]["id"], company);
    assert_eq!(made["access"]["code"], "agent");
    assert_eq!(made["invited_by"]["id"], ana.id);
    assert!(made["code"].as_str().unwrap().len() >= 22, "{made}");

    let other = invite(&server, &ana, company, Role::Admin, "cleo@people.example").await;
    assert_ne!(made["code"], other["code"]);
    let path = format!("/api/v1/companies/{company}/invitations");
    let list = server.get(&path).token(&ana.token).expect(200).await;
    assert_as_in("GET /api/v1/companies/{company_id}/invitations", &list);
    assert_eq!(&list["invitations"], &json!([made, other]));
    assert_eq!(list["meta"]["total_count"], 2);
    let page = format!("{path}?per_page=1");
    let first = server.get(&page).token(&ana.token).expect(200).await;
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let next = format!("{path}?per_page=1&cursor={cursor}");
    let second = server.get(next).token(&ana.token).expect(200).await;
    assert_eq!(ids(&second["invitations"]), [int(&other["id"])]);
    server.assert_sound().await;
}

#[tokio::test]
async fn a_code_shows_no_more_than_it_must_and_is_stored_nowhere() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    let mut shown = server.get(by_code(&made)).expect(200).await;
    let expires_at = shown["invitation"]["expires_at"].take();
    assert_eq!(expires_at, made["expires_at"]);
    assert_eq!(
        shown,
        json!({"invitation": {
            "id": null, "code": null, "email": "b***@people.example", "status": null, "expires_at": null, "created_at": null,
            "company": {"id": null, "name": "Acme", "default": null, "parent_company_id": null},
            "access": {"id": 4, "name": "Agent", "code": "agent"},
            "invited_by": {"id": null, "full_name": "Ana", "email": null, "avatar_route": null},
        }})
    );
    for wrong in [
        "x",
        "pendingg",
        "%00",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let answer = server
            .get(format!("/api/v1/invitations/{wrong}"))
            .answer()
            .await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{wrong}: {}",
            answer.status
        );
    }
    let code = made["code"].as_str().unwrap();
    for (table, text) in [
        ("events", "payload::text || metadata::text"),
        ("invitations", "invitations::text"),
        ("idempotency_keys", "idempotency_keys::text"),
    ] {
        let sql = format!("SELECT count(*) FROM {table} WHERE {text} LIKE '%' || $1 || '%'");
        let found: i64 = sqlx::query_scalar(&sql)
            .bind(code)
            .fetch_one(server.database.pool())
            .await
            .unwrap();
        assert_eq!(found, 0, "{table}");
    }
    let readable: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE payload::text LIKE '%bob@people%'")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
    assert_eq!(readable, 0, "the e-mail is personal data");
}

#[tokio::test]
async fn accepting_gives_the_role() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.sign_up("Bob").await;
    let eve = server.sign_up("Eve").await;
    let made = invite(&server, &ana, company, Role::Agent, &bob.email).await;
    let accept = format!("{}/accept", by_code(&made));
    server.post(&accept).expect(401).await;
    server.post(&accept).token(&eve.token).expect(403).await;
    server
        .post("/api/v1/invitations/unknown/accept")
        .token(&bob.token)
        .expect(404)
        .await;
    let accepted = server.post(&accept).token(&bob.token).expect(200).await;
    let access = &accepted["user_access"];
    assert_eq!(access["company"]["id"], company);
    assert_eq!(access["access"]["code"], "agent");
    assert_eq!(access["primary"], true);
    // An administrator has this code too: it tells nothing about the e-mail.
    assert_eq!(access["user"]["status"], "pending");

    let again = server.post(&accept).token(&bob.token).expect(410).await;
    assert_eq!(again["code"], "invitation_used");
    server.get(by_code(&made)).expect(410).await;
    let delete = format!("/api/v1/invitations/{}", made["id"]);
    server.delete(delete).token(&ana.token).expect(404).await;
    let list = format!("/api/v1/companies/{company}/invitations");
    let list = server.get(list).token(&ana.token).expect(200).await;
    assert_eq!(list["invitations"], json!([]));
    server.assert_sound().await;
}

#[tokio::test]
async fn an_owner_by_invitation_is_an_owner() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let admin = server
        .member(company, &ana, Role::Admin, "Adam")
        .await
        .person;
    let bob = server.sign_up("Bob").await;
    wish(&server, &admin, company, Role::Owner, &bob.email)
        .expect(403)
        .await;
    let made = invite(&server, &ana, company, Role::Owner, &bob.email).await;
    // With the code an administrator could make themselves an owner.
    let path = format!("/api/v1/companies/{company}/invitations");
    let list = server.get(&path).token(&admin.token).expect(200).await;
    assert_eq!(list["invitations"][0]["code"], Value::Null);
    let delete = format!("/api/v1/invitations/{}", made["id"]);
    server.delete(delete).token(&admin.token).expect(403).await;

    let accept = format!("{}/accept", by_code(&made));
    server.post(accept).token(&bob.token).expect(200).await;
    let path = format!("/api/v1/users/{}/user_access", ana.id);
    let held = server.get(&path).token(&ana.token).expect(200).await;
    let own = format!("{path}/{}", held["user_accesses"][0]["id"]);
    server.delete(own).token(&ana.token).expect(200).await;
}

#[tokio::test]
async fn of_two_who_accept_at_once_one_wins() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for round in 0..5 {
        let bob = server.sign_up(&format!("Bob{round}")).await;
        let made = invite(&server, &ana, company, Role::Agent, &bob.email).await;
        let accept = format!("{}/accept", by_code(&made));
        let (one, other) = tokio::join!(
            server.post(&accept).token(&bob.token).answer(),
            server.post(&accept).token(&bob.token).answer(),
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 410], "{} {}", one.body, other.body);
        let accepted = server.events("invitation", int(&made["id"])).await;
        assert_eq!(accepted, ["InvitationCreated", "InvitationAccepted"]);
    }
}

#[tokio::test]
async fn of_two_who_invite_at_once_one_does() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let (one, other) = tokio::join!(
        wish(&server, &ana, company, Role::Agent, "bob@people.example").answer(),
        wish(&server, &ana, company, Role::Admin, "bob@people.example").answer(),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.body, other.body);
}

#[tokio::test]
async fn nobody_is_invited_twice_or_where_they_are() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let second = server.company(&ana, "Second").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let refused = wish(&server, &ana, company, Role::Admin, &bob.email);
    assert_eq!(refused.expect(409).await["code"], "already_member");
    let made = invite(&server, &ana, second, Role::Agent, &bob.email).await;
    let refused = wish(&server, &ana, second, Role::Admin, &bob.email);
    assert_eq!(refused.expect(409).await["code"], "already_invited");
    let delete = format!("/api/v1/invitations/{}", made["id"]);
    let gone = server.delete(&delete).token(&ana.token).expect(200).await;
    assert_eq!(gone, json!({}));
    server.delete(&delete).token(&ana.token).expect(404).await;
    let revoked = server.get(by_code(&made)).expect(410).await;
    assert_eq!(revoked["code"], "invitation_revoked");
    let accept = format!("{}/accept", by_code(&made));
    server.post(accept).token(&bob.token).expect(410).await;
    invite(&server, &ana, second, Role::Admin, &bob.email).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn invitations_are_for_administrators() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    let manager = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let eve = server.sign_up("Eve").await;
    server.company(&eve, "Elsewhere").await;
    let list = format!("/api/v1/companies/{company}/invitations");
    let one = format!("/api/v1/invitations/{}", made["id"]);
    for (token, status) in [(&manager.token, 403), (&eve.token, 404)] {
        server.get(&list).token(token).expect(status).await;
        server.delete(&one).token(token).expect(status).await;
        let body = json!({"email": "x@people.example", "company_id": company, "access_id": 4});
        let post = server.post("/api/v1/invitations").token(token);
        post.json(&body).expect(status).await;
    }
    server.get(&list).expect(401).await;
    server.delete(&one).expect(401).await;
    server
        .delete("/api/v1/invitations/x")
        .token(&ana.token)
        .expect(400)
        .await;
    server
        .delete("/api/v1/invitations/999")
        .token(&ana.token)
        .expect(404)
        .await;
    let post = || server.post("/api/v1/invitations");
    post().json(&json!({})).expect(401).await;
    post().token(&ana.token).raw("{").expect(400).await;
    for (field, body) in [
        (
            "email",
            json!({"email": "no", "company_id": company, "access_id": 4}),
        ),
        ("email", json!({"company_id": company, "access_id": 4})),
        (
            "access_id",
            json!({"email": "x@people.example", "company_id": company, "access_id": 7}),
        ),
        (
            "company_id",
            json!({"email": "x@people.example", "company_id": "1", "access_id": 4}),
        ),
    ] {
        let refused = post().token(&ana.token).json(&body).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    let unknown = json!({"email": "x@people.example", "company_id": 999_999, "access_id": 4});
    post().token(&ana.token).json(&unknown).expect(404).await;
}

#[tokio::test]
async fn ones_own_invitations_are_shown_once_the_email_is_proved() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (one, two) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let bob = server.sign_up("Bob").await;
    let first = invite(&server, &ana, one, Role::Agent, &bob.email).await;
    let second = invite(&server, &ana, two, Role::Agent, &bob.email).await;
    let path = format!("/api/v1/invitations/pending?email={}", bob.email);
    let pending = |token: &str| server.get(&path).token(token);
    // Anybody can sign up with any e-mail.
    pending(&bob.token).expect(403).await;
    // What an administrator could have handed on is no proof.
    let accept = format!("{}/accept", by_code(&first));
    let other = server.company(&ana, "Other").await;
    let third = invite(&server, &ana, other, Role::Agent, &bob.email).await;
    let handed_on = format!("{}/accept", by_code(&third));
    server.post(handed_on).token(&bob.token).expect(200).await;
    pending(&bob.token).expect(403).await;
    let mailed = mailed_code(&server, &bob.email, 1).await;
    assert_ne!(Value::from(mailed.as_str()), first["code"]);
    let by_mail = format!("/api/v1/invitations/{mailed}/accept");
    server.post(by_mail).token(&bob.token).expect(200).await;
    server.post(accept).token(&bob.token).expect(410).await;
    let own = pending(&bob.token).expect(200).await;
    assert_as_in("GET /api/v1/invitations/pending", &own);
    assert_eq!(own["invitations"], json!([second]));

    assert_eq!(
        pending(&ana.token).expect(200).await["invitations"],
        json!([second])
    );
    let admin = server.member(one, &ana, Role::Admin, "Adam").await.person;
    assert_eq!(
        pending(&admin.token).expect(200).await["invitations"],
        json!([])
    );
    let manager = server.member(two, &ana, Role::Manager, "Mia").await.person;
    pending(&manager.token).expect(403).await;
    server.get(&path).expect(401).await;
    for malformed in ["", "?email=no", "?email="] {
        let path = format!("/api/v1/invitations/pending{malformed}");
        let refused = server.get(path).token(&ana.token).expect(400).await;
        assert!(refused["errors"]["email"].is_array(), "{refused}");
    }
}

#[tokio::test]
async fn whoever_signs_up_with_the_mailed_code_is_active_and_has_the_role() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Owner, "bob@people.example").await;
    let mailed = mailed_code(&server, "bob@people.example", 1).await;
    let body = |email: &str, accesses: Value| json!({"first_name": "Bob", "email": email, "invitation_code": mailed, "user_accesses_attributes": accesses});
    let email = "bob@people.example";
    let wanted = json!([{"company_id": company, "access_id": 1, "primary": true}]);
    for (field, body) in [
        (
            "invitation_code",
            body("eve@people.example", wanted.clone()),
        ),
        (
            "invitation_code",
            json!({"first_name": "Bob", "email": email, "invitation_code": "wrong"}),
        ),
        ("email", body("no", wanted.clone())),
        (
            "user_accesses_attributes[0].company_id",
            body(email, json!([{"company_id": 1, "access_id": 1}])),
        ),
        (
            "user_accesses_attributes[0].access_id",
            body(email, json!([{"company_id": company, "access_id": 2}])),
        ),
        (
            "user_accesses_attributes[1].company_id",
            body(email, json!([wanted[0], wanted[0]])),
        ),
        (
            "user_accesses_attributes",
            json!({"first_name": "Bob", "email": email, "user_accesses_attributes": wanted}),
        ),
    ] {
        let refused = server.post("/api/v1/users").json(&body).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    let body = body(email, wanted);
    let user = server.post("/api/v1/users").json(&body).expect(201).await;
    let user = &user["user"];
    assert_eq!(user["status"], "active");
    assert_eq!(user["primary_access"]["access_id"], 1);
    assert_eq!(user["primary_company"]["id"], company);
    server.get(by_code(&made)).expect(410).await;
    let events = server.events("invitation", int(&made["id"])).await;
    assert_eq!(events, ["InvitationCreated", "InvitationAccepted"]);
    let owners = server.events("company", company).await;
    assert_eq!(owners, ["CompanyCreated", "OwnerAdded", "OwnerAdded"]);

    // A used code is none any more, and nobody signs up by it.
    let late =
        json!({"first_name": "B", "email": "bob2@people.example", "invitation_code": made["code"]});
    server.post("/api/v1/users").json(&late).expect(422).await;
    let revoked = invite(&server, &ana, company, Role::Agent, "dan@people.example").await;
    let delete = format!("/api/v1/invitations/{}", revoked["id"]);
    server.delete(delete).token(&ana.token).expect(200).await;
    let late = json!({"first_name": "D", "email": "dan@people.example", "invitation_code": revoked["code"]});
    let refused = server.post("/api/v1/users").json(&late).expect(422).await;
    assert!(refused["errors"]["invitation_code"].is_array(), "{refused}");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_code_alone_is_enough_to_sign_up_and_wins_once() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Analyst, "bob@people.example").await;
    let body = json!({"first_name": "Bob", "email": "bob@people.example", "invitation_code": made["code"]});
    let (one, other) = tokio::join!(
        server.post("/api/v1/users").json(&body).answer(),
        server.post("/api/v1/users").json(&body).answer(),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422], "{} {}", one.body, other.body);
    let user = if one.status == 201 { one } else { other };
    assert_eq!(user.body["user"]["primary_access"]["access_id"], 5);
    // The administrator who was shown the code could have signed up with it.
    assert_eq!(user.body["user"]["status"], "pending");
}

#[tokio::test]
async fn who_is_invited_gets_one_mail_with_a_code_that_nobody_else_is_shown() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    let mail = mail_to(&server, "bob@people.example").await;
    let code = made["code"].as_str().unwrap();
    assert!(!mail.contains(code), "{mail}");
    let mailed = mailed_code(&server, "bob@people.example", 1).await;
    let by_mail = format!("/api/v1/invitations/{mailed}");
    let (one, other) = (server.get(by_code(&made)), server.get(by_mail));
    assert_eq!(one.expect(200).await, other.expect(200).await);
    assert!(mail.contains("Acme") && mail.contains("Ana"), "{mail}");
    server.assert_sound().await;
}

#[tokio::test]
async fn an_invitation_that_is_taken_back_at_once_is_mailed_before_or_not_at_all() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for n in 0..5 {
        let email = format!("bob{n}@people.example");
        let made = invite(&server, &ana, company, Role::Agent, &email).await;
        let path = format!("/api/v1/invitations/{}", made["id"]);
        server.delete(path).token(&ana.token).expect(200).await;
    }
    // What comes later is delivered later: when it is there, the others are settled.
    invite(&server, &ana, company, Role::Agent, "cleo@people.example").await;
    mail_to(&server, "cleo@people.example").await;
    let waiting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM mail_deliveries WHERE outcome IS NULL")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
    assert!(waiting <= 1, "{waiting}");
}

/// The code in the nth mail that invites this address.
async fn mailed_code(server: &TestServer, address: &str, nth: usize) -> String {
    token(server, address, "/api/v1/invitations/accept?", nth).await
}

async fn mail_to(server: &TestServer, address: &str) -> String {
    let (began, to) = (Instant::now(), format!("To: {address}\r\n"));
    loop {
        let found = mails(server).into_iter().find(|mail| mail.contains(&to));
        if let Some(mail) = found {
            return mail;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "no mail to {address}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
