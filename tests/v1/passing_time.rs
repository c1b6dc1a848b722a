//! What happens by the passing of time alone: invitations expire, subscriptions go on and end, once for all nodes.

use std::time::Duration;

use aggregates::access::Role;
use chrono::{DateTime, TimeDelta, Utc};
use leadledger::clock::Clock;
use leadledger::worker;
use serde_json::{Value, json};

use crate::company_membership::attach;
use crate::invitations::invite;
use crate::server::{TestServer, int, node};

fn noon(day: &str) -> DateTime<Utc> {
    format!("{day}T12:00:00Z").parse().expect("a day")
}

#[tokio::test]
async fn an_invitation_expires_at_its_time_and_once_for_two_nodes() {
    let clock = Clock::fixed(noon("2026-03-01"));
    let server = TestServer::start_by(clock.clone()).await;
    let other = node(&server.database, clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.sign_up("Bob").await;
    let made = invite(&server, &ana, company, Role::Agent, &bob.email).await;
    assert_eq!(made["expires_at"], "2026-03-08T12:00:00Z");
    let code = format!("/api/v1/invitations/{}", made["code"].as_str().unwrap());
    clock.set(noon("2026-03-08") - TimeDelta::microseconds(1));
    worker::round(&server.app).await;
    server.get(&code).expect(200).await;

    clock.set(noon("2026-03-08"));
    // Over, though nobody has noted it yet.
    assert_eq!(
        server.get(&code).expect(410).await["code"],
        "invitation_expired"
    );
    let bob = server.person(bob.id, &bob.email).await;
    let accept = format!("{code}/accept");
    let refused = server.post(&accept).token(&bob.token).expect(410).await;
    assert_eq!(refused["code"], "invitation_expired");
    let ana = server.person(ana.id, &ana.email).await;
    let list = format!("/api/v1/companies/{company}/invitations");
    let list = server.get(list).token(&ana.token).expect(200).await;
    assert_eq!(list["invitations"], json!([]));

    // Even without the lock that keeps one of them from working, two nodes note it once.
    tokio::join!(worker::round(&server.app), worker::round(&other));
    worker::round(&other).await;
    let id = int(&made["id"]);
    assert_eq!(
        server.events("invitation", id).await,
        ["InvitationCreated", "InvitationExpired"]
    );
    let metadata = server.metadata("invitation", id).await;
    assert_eq!(metadata[1]["actor"], "system");
    assert_eq!(metadata[1]["source"], "worker");
    server.get(&code).expect(410).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn whose_invitation_is_over_is_invited_again_though_nobody_noted_it() {
    let clock = Clock::fixed(noon("2026-03-01"));
    let server = TestServer::start_by(clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let first = invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    clock.set(noon("2026-03-09"));
    let ana = server.person(ana.id, &ana.email).await;
    invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    worker::round(&server.app).await;
    assert_eq!(
        server.events("invitation", int(&first["id"])).await,
        ["InvitationCreated", "InvitationExpired"]
    );
    server.assert_sound().await;
}

#[tokio::test]
async fn a_subscription_goes_from_trial_to_period_to_end() {
    let clock = Clock::fixed(noon("2026-01-17"));
    let server = TestServer::start_by(clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    attach(&server, &ana, company, 2).await;
    clock.set(noon("2026-04-29"));
    worker::round(&server.app).await;
    worker::round(&server.app).await;
    let ana = server.person(ana.id, &ana.email).await;
    let path = format!("/api/v1/companies/{company}/membership");
    let shown = async |token: &str| -> Value {
        server.get(&path).token(token).expect(200).await["company_membership"].clone()
    };
    let running = shown(&ana.token).await;
    assert_eq!(running["status"], "active");
    assert_eq!(running["current_period_ends_at"], "2026-04-30T12:00:00Z");
    let cancel = format!("{path}/cancel");
    let cancelled = server.post(cancel).token(&ana.token).expect(200).await;
    assert_eq!(
        cancelled["company_membership"]["ends_at"],
        "2026-04-30T12:00:00Z"
    );

    clock.set(noon("2026-06-01"));
    let other = node(&server.database, clock.clone()).await;
    tokio::join!(worker::round(&server.app), worker::round(&other));
    let ana = server.person(ana.id, &ana.email).await;
    let ended = shown(&ana.token).await;
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["ends_at"], "2026-04-30T12:00:00Z");
    assert_eq!(
        server.events("subscription", company).await,
        [
            "SubscriptionStarted",
            "SubscriptionActivated",
            "SubscriptionRenewed",
            "SubscriptionRenewed",
            "SubscriptionCancelled",
            "SubscriptionEnded"
        ]
    );
    server.assert_sound().await;
}

#[tokio::test]
async fn another_node_takes_the_background_work_over() {
    let clock = Clock::fixed(noon("2026-03-01"));
    let server = TestServer::start_by(clock.clone()).await;
    let other = node(&server.database, clock.clone()).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let options = server.database.connect_options();
    let mut workers = vec![tokio::spawn(worker::run(
        server.app.clone(),
        options.clone(),
    ))];
    let mut ana = ana;
    for (n, day) in ["2026-03-10", "2026-03-20", "2026-03-30"]
        .into_iter()
        .enumerate()
    {
        let email = format!("bob{n}@people.example");
        let made = invite(&server, &ana, company, Role::Agent, &email).await;
        clock.set(noon(day));
        expired(&server, int(&made["id"])).await;
        ana = server.person(ana.id, &ana.email).await;
        match n {
            // A second node waits while the first one works.
            0 => workers.push(tokio::spawn(worker::run(other.clone(), options.clone()))),
            // The first one dies.
            _ => workers[0].abort(),
        }
    }
    server.assert_sound().await;
    workers[1].abort();
}

#[tokio::test]
async fn a_started_server_does_what_became_due_while_none_ran() {
    // Long ago, and nobody has run since.
    let clock = Clock::fixed(noon("2020-03-01"));
    let server = TestServer::start_by(clock).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let made = invite(&server, &ana, company, Role::Agent, "bob@people.example").await;
    attach(&server, &ana, company, 2).await;
    let cancel = format!("/api/v1/companies/{company}/membership/cancel");
    server.post(cancel).token(&ana.token).expect(200).await;
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_leadledger"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", server.database.url())
        .env("LEADLEDGER_DATA_DIR", server.data.path())
        .env("LEADLEDGER_LOG", "off")
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the server's program");
    expired(&server, int(&made["id"])).await;
    for _ in 0..100 {
        if server.events("subscription", company).await.len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        server.events("subscription", company).await,
        [
            "SubscriptionStarted",
            "SubscriptionCancelled",
            "SubscriptionEnded"
        ]
    );
    process.kill().await.expect("a process that can be ended");
    server.assert_sound().await;
}

async fn expired(server: &TestServer, invitation: i64) {
    for _ in 0..100 {
        let events = server.events("invitation", invitation).await;
        if events.len() > 1 {
            assert_eq!(events, ["InvitationCreated", "InvitationExpired"]);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody noted that the invitation is over");
}
