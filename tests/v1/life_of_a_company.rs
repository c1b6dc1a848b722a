//! The life of a company by HTTP alone, from the sign-up of who founds it to the end of its plan.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::mailbox::token;
use crate::server::{Person, TestServer, ids, int};

const PASSWORD: &str = "Correct-horse-8-battery";

/// Somebody signs up with a password, proves their e-mail by the mailed link, and signs in.
async fn arrives(server: &TestServer, first_name: &str) -> Person {
    let email = format!("{}@people.example", first_name.to_lowercase());
    let body = json!({"first_name": first_name, "email": email, "password": PASSWORD});
    let user = server.post("/api/v1/users").json(&body).expect(201).await;
    assert_eq!(user["user"]["status"], "pending");
    let proof = token(server, &email, "users/email/prove", 1).await;
    let prove = server.put("/api/v1/users/email/prove");
    prove.json(&json!({"token": proof})).expect(200).await;
    let login = server.post("/api/v1/users/login");
    let login = login.json(&json!({"email": email, "password": PASSWORD}));
    let login = login.expect(200).await;
    assert_eq!(login["user"]["status"], "active");
    Person {
        id: int(&login["user"]["id"]),
        email,
        token: login["token"].as_str().expect("a token").to_owned(),
    }
}

/// They are through with the first steps and agree to the terms.
async fn settles_in(server: &TestServer, person: &Person) {
    let steps = format!("/api/v1/users/{}/onboarding", person.id);
    let done = server
        .put(format!("{steps}/complete"))
        .token(&person.token)
        .expect(200)
        .await;
    assert!(done["user"]["onboarding_completed_at"].is_string());
    let terms = server.get("/api/v1/legal_terms/current");
    let terms = terms.token(&person.token).expect(200).await;
    let approve = server.put(format!("{steps}/terms_and_conditions"));
    let approve = approve.token(&person.token);
    let body = json!({"legal_term_id": terms["legal_term"]["id"]});
    let approved = approve.json(&body).expect(200).await;
    assert_eq!(approved["user"]["terms_pending"], false);
}

/// An invitation and its acceptance; answers the new access.
async fn joins(server: &TestServer, inviter: &Person, company: i64, person: &Person) -> i64 {
    let body = json!({"email": person.email, "company_id": company, "access_id": Role::Agent.id()});
    let call = server.post("/api/v1/invitations").token(&inviter.token);
    let made = call.json(&body).expect(201).await;
    let code = made["invitation"]["code"].as_str().expect("a code");
    let accept = server.post(format!("/api/v1/invitations/{code}/accept"));
    let accepted = accept.token(&person.token).expect(200).await;
    int(&accepted["user_access"]["id"])
}

#[tokio::test]
async fn a_company_lives_from_sign_up_to_the_end_of_its_plan() {
    let server = TestServer::start().await;
    let (ana, bob, cleo) = (
        arrives(&server, "Ana").await,
        arrives(&server, "Bob").await,
        arrives(&server, "Cleo").await,
    );
    settles_in(&server, &ana).await;
    let company = server.company(&ana, "Acme").await;
    let here = format!("/api/v1/companies/{company}");
    let get = |path: String| server.get(path).token(&ana.token).expect(200);
    let post = |path: String, body: Value| {
        let call = server.post(path).token(&ana.token).json(&body);
        call.expect(201)
    };
    let put = |path: String, body: Value| {
        let call = server.put(path).token(&ana.token).json(&body);
        call.expect(200)
    };
    post(format!("{here}/membership?membership_id=3"), json!({})).await;

    // Two people join and take turns at a source.
    let accesses = [
        joins(&server, &ana, company, &bob).await,
        joins(&server, &ana, company, &cleo).await,
    ];
    let web = server.source(&ana, company, "Web").await;
    let fair = server.source(&ana, company, "Fair").await;
    for access in accesses {
        let people = format!("{here}/sources/{web}/user_access");
        post(people, json!({"user_access_id": access})).await;
    }
    let order = json!({"source_ids": [fair, web]});
    let order = put(format!("{here}/sources/priority"), order).await;
    assert_eq!(ids(&order["sources"]), [fair, web]);

    // What is asked, by whom it is run, where and when.
    let campaign = server.campaign(&ana, company, json!({"name": "Spring"}));
    let campaign = campaign.await;
    let mut questions = Vec::new();
    for text in ["Budget?", "When?"] {
        let body = json!({"text": text, "question_type": "text", "campaign_id": campaign});
        questions.push(int(&server.question(&ana, company, body).await["id"]));
    }
    questions.reverse();
    let order = json!({"question_ids": questions});
    let order = put(format!("{here}/questions/priority"), order).await;
    assert_eq!(ids(&order["questions"]), questions);
    let territory = server.territory(&ana, company, "North").await;
    let today = server.app.clock.now().date_naive();
    let cycle =
        json!({"name": "Now", "start_date": today, "end_date": today + chrono::Days::new(1)});
    let cycle = post(format!("{here}/cycles"), cycle).await;
    put(format!("{here}/cycles"), json!({"cycles": true})).await;

    // Four leads come by the web, in turn; one at the fair, where nobody is, with the e-mail of the first.
    let mut leads = Vec::new();
    for n in 0..4 {
        let body = json!({"first_name": format!("L{n}"), "email": format!("l{n}@example.com"), "source_id": web,
            "campaign_id": campaign, "territory_id": territory,
            "answers": [{"question_id": questions[0], "value": "Soon"}]});
        let lead = server.lead(&ana, company, body).await;
        assert_eq!(lead["user_access"]["id"], accesses[n % 2]);
        assert_eq!(lead["cycle"]["id"], cycle["cycle"]["id"]);
        leads.push(int(&lead["id"]));
    }
    let body = json!({"first_name": "Again", "email": "L0@example.com", "source_id": fair});
    let again = server.lead(&ana, company, body).await;
    assert_eq!(again["duplicate_of_id"], leads[0]);
    let again = int(&again["id"]);
    let duplicates = get(format!("{here}/leads/duplicates")).await;
    assert_eq!(ids(&duplicates["leads"]), [leads[0], again]);
    let unassigned = get(format!("{here}/leads/unassigned")).await;
    assert_eq!(ids(&unassigned["leads"]), [again]);

    // Bob works on his.
    let his = format!("/api/v1/leads/{}", leads[0]);
    let note = server.post(format!("{his}/notes")).token(&bob.token);
    note.json(&json!({"content": "Called."})).expect(201).await;
    let meeting = json!({"title": "Visit", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z"});
    let meet = server.post(format!("{his}/appointments")).token(&bob.token);
    let meeting = int(&meet.json(&meeting).expect(201).await["appointment"]["id"]);
    let cancel = server.post(format!("/api/v1/appointments/{meeting}/cancel"));
    cancel.token(&bob.token).expect(200).await;
    for stage in [2, 5] {
        let put = server.put(&his).token(&bob.token);
        put.json(&json!({"stage_id": stage})).expect(200).await;
    }
    let colleague = server.get(&his).token(&cleo.token);
    colleague.expect(403).await;
    let metrics = get(format!("{here}/leads/metrics")).await;
    let rows = metrics["metrics"].as_array();
    let counts = rows.expect("a row for each stage").iter();
    let counts: Vec<i64> = counts.map(|row| int(&row["count"])).collect();
    assert_eq!(counts, [4, 0, 0, 0, 1, 0]);

    // The plan ends; what there is stays.
    let cancel = server.post(format!("{here}/membership/cancel"));
    cancel.token(&ana.token).expect(200).await;
    let all = get(format!("{here}/leads")).await;
    assert_eq!(all["meta"]["total_count"], 5);
    server.assert_sound().await;
}
