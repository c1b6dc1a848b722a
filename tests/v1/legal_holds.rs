//! Legal holds: placed on leads and on companies, they stop whatever destroys or hides what they hold, until they are released
//! or end.

use aggregates::access::Role;
use chrono::{DateTime, TimeDelta};
use leadledger::clock::Clock;
use leadledger::ledger::rebuild;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, ids, int};

async fn hold(server: &TestServer, by: &Person, thing: &str, body: Value) -> i64 {
    let call = server.post(format!("/api/v1/{thing}/legal_holds"));
    let answer = call.token(&by.token).json(&body).expect(201).await;
    int(&answer["legal_hold"]["id"])
}

async fn release(server: &TestServer, by: &Person, thing: &str, id: i64) -> Value {
    let call = server.post(format!("/api/v1/{thing}/legal_holds/{id}/release"));
    call.token(&by.token).expect(200).await
}

/// The step of an erasure, and the code of its refusal.
async fn step(server: &TestServer, by: &Person, lead: i64, step: &str) -> Option<String> {
    let call = server.post(format!("/api/v1/leads/{lead}/erasure"));
    let body = json!({"step": step, "reason": "subject_request"});
    let answer = call.token(&by.token).json(&body).answer().await;
    match answer.status {
        200 => None,
        422 => answer.body["code"].as_str().map(str::to_owned),
        other => panic!("{other} {}", answer.body),
    }
}

fn held() -> String {
    "legal_hold".to_owned()
}

#[tokio::test]
async fn a_hold_on_a_lead_stops_erasure_and_deletion_until_it_is_released() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Bo"}))
        .await["id"]);
    let of_lead = format!("leads/{lead}");
    let note = server.post(format!("/api/v1/{of_lead}/notes"));
    let note = note.token(&ana.token).json(&json!({"content": "n"}));
    let note = int(&note.expect(201).await["note"]["id"]);
    let first = hold(&server, &ana, &of_lead, json!({"reason": "Case 1"})).await;
    let second = hold(&server, &ana, &of_lead, json!({"reason": "Case 2"})).await;

    assert_eq!(step(&server, &ana, lead, "block").await, Some(held()));
    let delete = || {
        let call = server.delete(format!("/api/v1/{of_lead}/notes/{note}"));
        call.token(&ana.token)
    };
    assert_eq!(delete().expect(422).await["code"], "legal_hold");
    release(&server, &ana, &of_lead, first).await;
    assert_eq!(
        step(&server, &ana, lead, "block").await,
        Some(held()),
        "the second"
    );
    release(&server, &ana, &of_lead, second).await;
    delete().expect(200).await;
    assert_eq!(step(&server, &ana, lead, "block").await, None);
    // What is blocked can be held too, and is then not erased.
    let third = hold(&server, &ana, &of_lead, json!({"reason": "Case 3"})).await;
    assert_eq!(step(&server, &ana, lead, "erase").await, Some(held()));
    let released = release(&server, &ana, &of_lead, third).await;
    assert_eq!(released["legal_hold"]["standing"], false);
    assert_eq!(
        release(&server, &ana, &of_lead, third).await,
        released,
        "a repeat"
    );
    assert_eq!(step(&server, &ana, lead, "erase").await, None);

    // Its events outlive the person; its words, which may name them, do not.
    let list = server.get(format!("/api/v1/{of_lead}/legal_holds"));
    let list = list.token(&ana.token).expect(200).await;
    assert_eq!(ids(&list["legal_holds"]), [first, second, third]);
    assert_eq!(list["legal_holds"][0]["reason"], Value::Null);
    let events = server.events("lead", lead).await;
    let placed = events.iter().filter(|event| *event == "LeadHoldPlaced");
    assert_eq!(placed.count(), 3);
    server.assert_sound().await;
}

#[tokio::test]
async fn a_hold_on_a_company_holds_below_it_and_nothing_moves_away_from_under_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let above = server.company(&ana, "Above").await;
    let below = json!({"name": "Below", "parent_company_id": above});
    let below = server.company_with(&ana, below).await;
    let beside = json!({"name": "Beside", "parent_company_id": above});
    let beside = server.company_with(&ana, beside).await;
    let elsewhere = server.company(&ana, "Elsewhere").await;
    let lead = int(&server.lead(&ana, below, json!({"first_name": "Bo"})).await["id"]);
    let other = int(&server
        .lead(&ana, elsewhere, json!({"first_name": "Cy"}))
        .await["id"]);
    let of_company = format!("companies/{above}");
    let id = hold(&server, &ana, &of_company, json!({"reason": "Case 9"})).await;

    assert_eq!(step(&server, &ana, lead, "block").await, Some(held()));
    assert_eq!(step(&server, &ana, other, "block").await, None, "not held");
    let move_to = |parent: Value| {
        let call = server.put(format!("/api/v1/companies/{below}"));
        call.token(&ana.token)
            .json(&json!({"parent_company_id": parent}))
    };
    let refused = move_to(json!(elsewhere)).expect(422).await;
    assert_eq!(refused["code"], "legal_hold");
    move_to(json!(beside)).expect(200).await;
    assert_eq!(
        step(&server, &ana, lead, "block").await,
        Some(held()),
        "still below"
    );
    release(&server, &ana, &of_company, id).await;
    move_to(json!(elsewhere)).expect(200).await;
    assert_eq!(step(&server, &ana, lead, "block").await, None);
    server.assert_sound().await;
}

#[tokio::test]
async fn nobody_with_a_role_in_a_held_company_is_deleted() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let role = aggregates::access::Role::Agent;
    let member = server.member(company, &ana, role, "Bo").await.person;
    let scopes = json!({"name": "t", "scopes": ["users.readonly", "users.write"]});
    let token = server.post(format!("/api/v1/companies/{company}/integration_tokens"));
    let token = token.token(&ana.token).json(&scopes).expect(201).await;
    let token = token["integration_token"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let delete = || {
        let call = server.delete(format!("/users/{}", member.id));
        call.token(&token).header("version", "v3")
    };
    let of_company = format!("companies/{company}");
    let id = hold(&server, &ana, &of_company, json!({"reason": "Case 9"})).await;
    delete().expect(422).await;
    release(&server, &ana, &of_company, id).await;
    delete().expect(200).await;
}

/// A picture that is replaced is gone for good; a hold keeps it, and what the company catalogues.
#[tokio::test]
async fn a_held_company_keeps_its_picture_its_sources_and_its_questions() {
    const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let here = format!("companies/{company}");
    let set = || {
        let call = server.put("/api/v1/companies/avatar").token(&ana.token);
        call.json(&json!({"company_id": company, "avatar_base64": PICTURE}))
    };
    set().expect(200).await;
    let made = async |what: &str, body: Value| {
        let call = server.post(format!("/api/v1/{here}/{what}s"));
        let made = call.token(&ana.token).json(&body).expect(201).await;
        format!("/api/v1/{here}/{what}s/{}", made[what]["id"])
    };
    let source = made("source", json!({"name": "Fair"})).await;
    let question = made("question", json!({"text": "Why?", "question_type": "text"})).await;
    let case = hold(&server, &ana, &here, json!({"reason": "Case"})).await;
    let avatar = format!("/api/v1/companies/avatar?company_id={company}");
    for path in [&source, &question, &avatar] {
        let refused = server.delete(path).token(&ana.token).expect(422).await;
        assert_eq!(refused["code"], "legal_hold", "{path}");
    }
    // The same picture again replaces nothing.
    set().expect(200).await;
    release(&server, &ana, &here, case).await;
    for path in [&source, &question, &avatar] {
        server.delete(path).token(&ana.token).expect(200).await;
    }
    server.assert_sound().await;
}

/// The people who work in a held company are part of the matter; whoever else they work for hears that they are held, and not where.
#[tokio::test]
async fn the_picture_of_who_works_in_a_held_company_is_kept() {
    const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let below = json!({"name": "Below", "parent_company_id": company});
    let below = server.company_with(&ana, below).await;
    let bob = server.member(below, &ana, Role::Agent, "Bob").await.person;
    let set = |by: &Person| {
        let call = server.put("/api/v1/users/avatar").token(&by.token);
        call.json(&json!({"user_id": bob.id, "avatar_base64": PICTURE}))
    };
    let avatar = format!("/api/v1/users/avatar?user_id={}", bob.id);
    let here = format!("companies/{company}");
    let case = hold(&server, &ana, &here, json!({"reason": "Case"})).await;
    // There is none yet that would be gone; the same again replaces nothing.
    set(&bob).expect(200).await;
    set(&ana).expect(200).await;
    for by in [&bob, &ana] {
        let refused = server.delete(&avatar).token(&by.token).expect(422).await;
        assert_eq!(refused["code"], "legal_hold", "{refused}");
        let detail = refused["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(&format!("user {}", bob.id)), "{refused}");
        assert!(!detail.contains("company"), "{refused}");
    }
    release(&server, &ana, &here, case).await;
    server.delete(&avatar).token(&bob.token).expect(200).await;
    server.assert_sound().await;
}

/// Taking a role away stays possible: people leave. Whoever held one while the hold stood is part of the matter all the same.
#[tokio::test]
async fn who_held_a_role_in_a_held_company_is_kept_when_it_was_taken_away() {
    const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let above = server.company(&ana, "Above").await;
    let below = json!({"name": "Below", "parent_company_id": above});
    let below = server.company_with(&ana, below).await;
    let free = server.company(&ana, "Free").await;
    let scopes = json!({"name": "t", "scopes": ["users.readonly", "users.write"]});
    let token = server.post(format!("/api/v1/companies/{free}/integration_tokens"));
    let token = token.token(&ana.token).json(&scopes).expect(201).await;
    let token = token["integration_token"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let access = |user: &Person, id: i64| format!("/api/v1/users/{}/user_access/{id}", user.id);
    let member = async |name: &str, picture: bool| {
        let member = server.member(below, &ana, Role::Agent, name).await;
        if picture {
            let call = server.put("/api/v1/users/avatar").token(&ana.token);
            let body = json!({"user_id": member.person.id, "avatar_base64": PICTURE});
            call.json(&body).expect(200).await;
        }
        member
    };
    let also_free = async |user: &Person| {
        let call = server.post(format!("/api/v1/users/{}/user_access", user.id));
        let body = json!({"company_id": free, "access_id": Role::Agent.id()});
        call.token(&ana.token).json(&body).expect(201).await;
    };
    let revoke = async |user: &Person, id: i64| {
        let call = server.delete(access(user, id)).token(&ana.token);
        call.expect(200).await;
    };
    // Left before the hold: not of the matter.
    let early = member("Early", true).await;
    also_free(&early.person).await;
    revoke(&early.person, early.access_id).await;
    let left = member("Left", true).await;
    also_free(&left.person).await;
    let moved = member("Moved", true).await;
    let here = format!("companies/{above}");
    let first = hold(&server, &ana, &here, json!({"reason": "Case 1"})).await;
    revoke(&left.person, left.access_id).await;
    let call = server.put(access(&moved.person, moved.access_id));
    let call = call.token(&ana.token).json(&json!({"company_id": free}));
    call.expect(200).await;
    // Placed after they had gone: it holds none of them.
    let second = hold(&server, &ana, &here, json!({"reason": "Case 2"})).await;
    let beside = json!({"name": "Beside", "parent_company_id": above});
    let beside = server.company_with(&ana, beside).await;
    let call = server.put(format!("/api/v1/companies/{below}"));
    let call = call.token(&ana.token);
    call.json(&json!({"parent_company_id": beside}))
        .expect(200)
        .await;

    let picture = |user: &Person| {
        let call = server.delete(format!("/api/v1/users/avatar?user_id={}", user.id));
        call.token(&ana.token)
    };
    let delete = |user: &Person| {
        let call = server.delete(format!("/users/{}", user.id));
        call.token(&token).header("version", "v3")
    };
    let refused = async || {
        for user in [&left.person, &moved.person] {
            let refused = picture(user).expect(422).await;
            assert_eq!(refused["code"], "legal_hold", "{refused}");
            let detail = refused["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(&format!("user {}", user.id)), "{refused}");
            assert!(!detail.contains("company"), "{refused}");
            let deleted = delete(user).expect(422).await.to_string();
            assert!(!deleted.contains("company"), "{deleted}");
        }
    };
    refused().await;
    let options = server.database.connect_options();
    let rebuilt = rebuild::run(&options, &[], |_, _| ()).await;
    rebuilt.expect("rebuilt tables");
    refused().await;
    picture(&early.person).expect(200).await;
    delete(&early.person).expect(200).await;
    release(&server, &ana, &here, first).await;
    for user in [&left.person, &moved.person] {
        picture(user).expect(200).await;
        delete(user).expect(200).await;
    }
    release(&server, &ana, &here, second).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn a_hold_ends_by_time_alone() {
    let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let clock = Clock::fixed(start);
    let server = TestServer::start_by(clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Bo"}))
        .await["id"]);
    let of_lead = format!("leads/{lead}");
    let until = start + TimeDelta::minutes(30);
    let id = hold(
        &server,
        &ana,
        &of_lead,
        json!({"reason": "Case 1", "until": until}),
    )
    .await;
    assert_eq!(step(&server, &ana, lead, "block").await, Some(held()));
    clock.set(until);
    assert_eq!(step(&server, &ana, lead, "block").await, None);
    let list = server.get(format!("/api/v1/{of_lead}/legal_holds"));
    let list = list.token(&ana.token).expect(200).await;
    assert_eq!(list["legal_holds"][0]["id"], id);
    assert_eq!(list["legal_holds"][0]["standing"], false);
}

#[tokio::test]
async fn what_is_wrong_about_a_hold_is_named() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/legal_holds");
    for (body, field) in [
        (json!({}), "reason"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (
            json!({"reason": "x", "until": "2001-01-01T00:00:00Z"}),
            "until",
        ),
        (
            json!({"reason": "x", "until": "+12026-01-01T00:00:00Z"}),
            "until",
        ),
    ] {
        let refused = server.post(&path).token(&ana.token).json(&body);
        let refused = refused.expect(422).await;
        assert!(refused["errors"][field].is_array(), "{body}: {refused}");
    }
    let gone = server.post(format!("{path}/99/release")).token(&ana.token);
    gone.expect(404).await;
}

#[tokio::test]
async fn the_words_of_a_hold_on_a_blocked_lead_are_for_who_may_erase_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bo = server.member(company, &ana, Role::Auditor, "Bo").await;
    let lead = server.lead(&ana, company, json!({"first_name": "Luz"}));
    let lead = int(&lead.await["id"]);
    let of_lead = format!("leads/{lead}");
    let words = async |person: &Person| {
        let call = server.get(format!("/api/v1/{of_lead}/legal_holds"));
        let list = call.token(&person.token).expect(200).await;
        list["legal_holds"][0]["reason"].clone()
    };
    let placed = hold(&server, &ana, &of_lead, json!({"reason": "Luz v. Acme"})).await;
    release(&server, &ana, &of_lead, placed).await;
    assert_eq!(words(&bo.person).await, "Luz v. Acme");
    assert_eq!(step(&server, &ana, lead, "block").await, None);
    assert_eq!(words(&bo.person).await, Value::Null);
    assert_eq!(words(&ana).await, "Luz v. Acme");
    // The end of a hold is told what it should look like.
    let call = server.post(format!("/api/v1/{of_lead}/legal_holds"));
    let body = json!({"reason": "Case", "until": "2026-11-26"});
    let refused = call.token(&ana.token).json(&body).expect(422).await;
    let message = refused["errors"]["until"][0].as_str().unwrap_or_default();
    assert!(message.contains("RFC 3339"), "{refused}");
}
