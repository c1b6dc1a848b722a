//! The past as it was: a company lives through all that can be changed by API V1, every GET of the description is recorded
//! after each step, and asked again at the end with `as_of`. An operation that answers as of today is found here.

mod life;

use std::collections::{BTreeMap, BTreeSet};

use aggregates::access::Role;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use leadledger::clock::Clock;
use serde_json::{Value, json};

use reqwest::Method;

use crate::server::{Answer, Person, TestServer, int};
use life::{Life, STEPS};

/// What the answers are made of never changes.
const CONSTANT: [&str; 10] = [
    "/api/v1/accesses",
    "/api/v1/accesses/{id}",
    "/api/v1/stages",
    "/api/v1/memberships",
    "/api/v1/memberships/{id}",
    "/api/v1/users/password",
    "/api/v1/users/email/prove",
    "/api/v1/invitations/accept",
    // Whether a person is erased is asked of today, whatever the moment; nobody is in this life.
    "/api/v1/leads/{id}/erasure",
    // Needs an identity provider; its own tests link some.
    "/api/v1/users/{user_id}/providers",
];

/// What they answer changes while nothing is recorded in the ledger: with each checkpoint, and each read of a lead.
const BY_THE_CLOCK: [&str; 6] = [
    "/api/v1/checkpoint",
    "/api/v1/proofs/inclusion",
    "/api/v1/proofs/consistency",
    "/api/v1/leads/{id}/evidence",
    "/api/v1/leads/{id}/personal_data",
    "/api/v1/leads/{id}/reads",
];

/// Further ways to ask the same.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "/api/v1/companies/{company_id}/leads",
        &[
            "search=gomez",
            "sort=full_name",
            "sort=-updated_at&per_page=2",
            "sort=id&page=2&per_page=2",
            "stage_id=4",
            "source_id={source}",
            "campaign_id={campaign}",
            "user_access_id={access}",
            "created_from=2027-01-01&created_to=2027-01-01",
        ],
    ),
    (
        "/api/v1/companies/{company_id}/leads/metrics",
        &[
            "source_id={source}",
            "created_from=2027-01-02",
            "user_access_id={access}",
        ],
    ),
    (
        "/api/v1/companies/{company_id}/leads/duplicates",
        &["per_page=1", "page=2&per_page=1"],
    ),
    (
        "/api/v1/proofs/inclusion",
        &["position=1", "position=7&tree_size=9"],
    ),
    ("/api/v1/proofs/consistency", &["from=1", "from=3&to=12"]),
    ("/api/v1/leads/{id}/reads", &["per_page=2"]),
    ("/api/v1/users", &["search=bea", "per_page=1"]),
    ("/api/v1/companies", &["search=casa", "per_page=1"]),
    ("/api/v1/companies/{company_id}/users", &["search=bea"]),
    (
        "/api/v1/appointments",
        &["from=2027-01-10T00:00:00Z&to=2027-01-11T00:00:00Z"],
    ),
];

/// Paths of every GET of the description, as they are declared.
async fn operations(server: &TestServer) -> Vec<String> {
    let document = server.get("/openapi.json").expect(200).await;
    let paths = document["paths"].as_object().expect("paths");
    let gets = paths
        .iter()
        .filter(|(path, item)| path.starts_with("/api/v1/") && item["get"].is_object());
    let mut found = Vec::new();
    for (path, item) in gets {
        let parameters = item["get"]["parameters"].as_array();
        let takes = parameters
            .is_some_and(|taken| taken.iter().any(|parameter| parameter["name"] == "as_of"));
        assert!(takes, "{path}");
        found.push(path.clone());
    }
    let gets = found;
    assert!(gets.len() >= 40, "only {} operations", gets.len());
    gets
}

fn asked(operations: &[String], life: &Life) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for template in operations {
        let path = life.path(template);
        asked.push((template.clone(), path.clone()));
        let more = QUERIES.iter().find(|(known, _)| known == template);
        for query in more.map_or(&[][..], |(_, queries)| *queries) {
            asked.push((template.clone(), format!("{path}?{}", life.filled(query))));
        }
    }
    asked
}

async fn get(server: &TestServer, person: &Person, path: &str) -> Answer {
    server.get(path).token(&person.token).answer().await
}

/// What must be the same: status, tag, body without `meta.as_of`. A refusal names the request, which is another.
fn essence(answer: &Answer) -> (u16, String, String) {
    let mut text = answer.text.clone();
    if let Some(from) = text.find("\"as_of\":{") {
        let until = from + text[from..].find('}').expect("an object's end") + 1;
        text.replace_range(from..until, "");
        text = text.replace(",\"meta\":{}", "").replace(",}", "}");
    }
    if answer.status >= 400 {
        let mut problem = answer.body.clone();
        problem["instance"].take();
        text = problem.to_string();
    }
    (answer.status, answer.header("etag").to_owned(), text)
}

struct Recorded {
    step: usize,
    only_time_passed: bool,
    position: i64,
    answers: Vec<Asked>,
}

struct Asked {
    template: String,
    path: String,
    /// No other was asked at the same instant.
    instant: DateTime<Utc>,
    answer: (u16, String, String),
}

#[tokio::test(flavor = "multi_thread")]
async fn every_get_answers_as_it_did_then() {
    let began: DateTime<Utc> = "2027-01-01T09:00:00Z".parse().expect("an instant");
    let clock = Clock::fixed(began);
    let server = TestServer::start_by(clock.clone()).await;
    let operations = operations(&server).await;
    let mut life = Life::begin(&server).await;
    let mut recorded: Vec<Recorded> = Vec::new();
    for step in 0..STEPS {
        clock.advance(TimeDelta::minutes(if step == 20 {
            9 * 24 * 60
        } else {
            20
        }));
        life.step(&server, step).await;
        let mut answers = Vec::new();
        for (template, path) in asked(&operations, &life) {
            let answer = get(&server, &life.ana, &path).await;
            assert!(answer.status < 500, "{path}: {}", answer.text);
            answers.push(Asked {
                template,
                path,
                instant: clock.now(),
                answer: essence(&answer),
            });
            clock.advance(TimeDelta::milliseconds(1));
        }
        let position = position(&server).await;
        recorded.push(Recorded {
            step,
            only_time_passed: recorded
                .last()
                .is_some_and(|last| last.position == position),
            position,
            answers,
        });
    }
    let mut different: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for then in &recorded {
        for asked in &then.answers {
            let (template, path) = (asked.template.as_str(), &asked.path);
            let (instant, expected) = (asked.instant, &asked.answer);
            let instant = instant.to_rfc3339_opts(SecondsFormat::Micros, true);
            different.entry(template).or_default().insert(&expected.2);
            let joined = if path.contains('?') { '&' } else { '?' };
            // A position stands for the time at which it was recorded: what only the clock changed since is asked for by instant.
            let by_instant =
                then.only_time_passed || then.step % 2 == 0 || BY_THE_CLOCK.contains(&template);
            let as_of = if by_instant {
                instant.clone()
            } else {
                then.position.to_string()
            };
            {
                let again = format!("{path}{joined}as_of={as_of}");
                let answer = get(&server, &life.ana, &again).await;
                if answer.status == 200 && answer.body.is_object() {
                    assert_eq!(
                        answer.body["meta"]["as_of"]["position"], then.position,
                        "{again}"
                    );
                }
                if essence(&answer) != *expected {
                    wrong.push(format!(
                        "after step {}: {again}\n  then {expected:?}\n  now  {:?}",
                        then.step,
                        essence(&answer)
                    ));
                }
            }
        }
    }
    let shown: Vec<&String> = wrong.iter().take(6).collect();
    assert!(
        wrong.is_empty(),
        "{} answers differ: {shown:#?}",
        wrong.len()
    );
    for (template, answers) in different {
        let changed = answers.len() > 1;
        assert_eq!(
            changed,
            !CONSTANT.contains(&template),
            "{template}: {} different answers in this life",
            answers.len()
        );
    }
    server.assert_sound().await;
}

async fn position(server: &TestServer) -> i64 {
    sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end")
}

#[tokio::test]
async fn a_moment_that_cannot_be_is_refused_by_name() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/leads");
    for (as_of, status) in [
        ("yesterday", 400),
        ("2027-13-01T00:00:00Z", 400),
        ("2027-01-01", 400),
        ("1.5", 400),
        ("-", 400),
        ("99999999999999999999", 400),
        ("1&as_of=2", 400),
        ("%00", 400),
        ("", 400),
        ("0", 422),
        ("1", 422),
        ("-5", 422),
        ("9223372036854775807", 422),
        ("9999-12-31T23:59:59Z", 422),
        ("0001-01-01T00:00:00Z", 422),
        ("1969-01-01T00:00:00-23:59", 422),
    ] {
        let call = server
            .get(format!("{path}?as_of={as_of}"))
            .token(&ana.token);
        let refused = call.expect(status).await;
        assert!(refused["errors"]["as_of"].is_array(), "{as_of}: {refused}");
    }
    // However it is written.
    for none in ["as_of", "a%73_of=", "per_page=2&as_of=&as_of="] {
        let call = server.get(format!("{path}?{none}")).token(&ana.token);
        let refused = call.expect(400).await;
        assert!(refused["errors"]["as_of"].is_array(), "{none}: {refused}");
    }
    let (first, end): (i64, i64) = sqlx::query_as(
        "SELECT first_position, last_position FROM ledger_commits ORDER BY 1 LIMIT 1",
    )
    .fetch_one(server.database.pool())
    .await
    .expect("the first commit");
    assert!(first == 1 && end > 1, "the first run is one commit");
    let call = server.get("/api/v1/stages?as_of=1").token(&ana.token);
    let refused = call.expect(422).await;
    let message = refused["errors"]["as_of"][0].as_str().expect("a message");
    assert!(
        message.contains("inside the first commit") && message.contains(&end.to_string()),
        "{message}"
    );
    let call = server.get(format!("/api/v1/stages?as_of={end}"));
    call.token(&ana.token).expect(200).await;
    // The past cannot be changed, and today is not meant.
    for as_of in [end.to_string(), "yesterday".to_owned()] {
        let create = server.post(format!("{path}?as_of={as_of}"));
        let body = json!({"first_name": "Late"});
        let refused = create.token(&ana.token).json(&body).expect(400).await;
        assert!(refused["errors"]["as_of"].is_array(), "{as_of}: {refused}");
    }
    let leads = server.get(&path).token(&ana.token).expect(200).await;
    assert_eq!(leads["meta"]["total_count"], 0, "{leads}");
    let now = server.app.clock.now();
    let plus = now.to_rfc3339_opts(SecondsFormat::Micros, false);
    assert!(
        plus.contains('+'),
        "an offset whose + is not escaped: {plus}"
    );
    server
        .get(format!("{path}?as_of={plus}"))
        .token(&ana.token)
        .expect(200)
        .await;
}

#[tokio::test]
async fn who_may_look_back_is_asked_of_todays_roles() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server.lead(&ana, company, json!({"first_name": "L"})).await["id"]);
    let now = position(&server).await;
    for role in Role::ALL {
        let member = server
            .member(company, &ana, role, &format!("M{}", role.id()))
            .await;
        let may = !matches!(role, Role::Agent | Role::Analyst);
        for path in [
            format!("/api/v1/leads/{lead}"),
            format!("/api/v1/companies/{company}/leads"),
            "/api/v1/stages".to_owned(),
        ] {
            let path = format!("{path}?as_of={now}");
            let answer = get(&server, &member.person, &path).await;
            assert_eq!(
                answer.status,
                if may { 200 } else { 403 },
                "{role:?} {path}: {}",
                answer.body
            );
        }
    }
    server
        .get(format!("/api/v1/stages?as_of={now}"))
        .expect(401)
        .await;
    // An auditor elsewhere, an agent here: what they see today of this company gives no way into its past.
    let eve = server.sign_up("Eve").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let path = format!("/api/v1/companies/{company}/leads?as_of={now}");
    server.get(&path).token(&eve.token).expect(404).await;
    let body = json!({"company_id": company, "access_id": Role::Agent.id()});
    let owner = server.owner().await;
    let call = server
        .post(format!("/api/v1/users/{}/user_access", eve.id))
        .token(&owner.token);
    call.json(&body).expect(201).await;
    server.get(&path).token(&eve.token).expect(403).await;
    let list = server
        .get(format!("/api/v1/companies?as_of={now}"))
        .token(&eve.token);
    assert_eq!(
        list.expect(200).await["companies"],
        json!([]),
        "{elsewhere} was not made then"
    );
}

#[tokio::test]
async fn a_company_that_left_takes_its_past_along() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let child = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": root}))
        .await;
    let bea = server.sign_up("Bea").await;
    let home = server.company(&bea, "Home").await;
    let lead = int(&server.lead(&ana, child, json!({"first_name": "L"})).await["id"]);
    let then = position(&server).await;
    let owner = server.owner().await;
    let call = server
        .put(format!("/api/v1/companies/{child}"))
        .token(&owner.token);
    call.json(&json!({"parent_company_id": home}))
        .expect(200)
        .await;
    let list = |person: &Person| {
        server
            .get(format!("/api/v1/companies?as_of={then}"))
            .token(&person.token)
            .expect(200)
    };
    let names = |list: &Value| list["companies"].as_array().expect("companies").len();
    assert_eq!(
        names(&list(&ana).await),
        1,
        "the child is not hers any more"
    );
    let path = format!("/api/v1/leads/{lead}?as_of={then}");
    server.get(&path).token(&ana.token).expect(404).await;
    server.get(&path).token(&bea.token).expect(200).await;
    let path = format!("/api/v1/companies/{child}?as_of={then}");
    let shown = server.get(&path).token(&bea.token).expect(200).await;
    assert_eq!(shown["company"]["name"], "Child");
    server.get(&path).token(&ana.token).expect(404).await;
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "Eva"}));
    let lead = int(&lead.await["id"]);
    let then = position(&server).await;
    for path in [
        format!("/api/v1/companies/{company}"),
        format!("/api/v1/companies/{company}/leads"),
        format!("/api/v1/companies/{company}/leads/metrics"),
        format!("/api/v1/companies/{company}/leads/export"),
        format!("/api/v1/leads/{lead}"),
        format!("/api/v1/leads/{lead}/history"),
        "/api/v1/stages".to_owned(),
    ] {
        for path in [format!("{path}?as_of={then}"), path] {
            let shown = get(&server, &ana, &path).await;
            let head = server.call(Method::HEAD, &path).token(&ana.token);
            let head = head.answer().await;
            assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
            for name in ["etag", "content-type", "content-length"] {
                assert_eq!(head.header(name), shown.header(name), "{path}: {name}");
            }
        }
    }
}
