//! Appointments: list, get, create, update, cancel.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::questions::assert_sound;
use crate::server::{Person, TestServer, ids, int};

fn meeting(title: &str, from: &str, to: &str) -> Value {
    json!({"title": title, "starts_at": format!("2027-01-{from}:00Z"), "ends_at": format!("2027-01-{to}:00Z")})
}

async fn make(server: &TestServer, who: &Person, lead: &Value, body: Value) -> Value {
    let path = format!("/api/v1/leads/{}/appointments", lead["id"]);
    let mut answer = server
        .post(path)
        .token(&who.token)
        .json(&body)
        .expect(201)
        .await;
    answer["appointment"].take()
}

#[tokio::test]
async fn an_appointment_is_made_moved_and_called_off() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let lead = server
        .lead(&ana, company, json!({"first_name": "Zoë"}))
        .await;
    let body = json!({"title": " Visit ", "description": "Bring\nplans", "location": "Secret street 1",
        "starts_at": "2027-01-01T10:00:00+01:00", "ends_at": "2027-01-01T09:30:00.1234567Z"});
    let path = format!("/api/v1/leads/{}/appointments", lead["id"]);
    let made = server
        .post(&path)
        .token(&ana.token)
        .json(&body)
        .expect_answer(201)
        .await;
    assert_as_in("GET /api/v1/appointments/{id}", &made.body);
    let appointment = &made.body["appointment"];
    assert_eq!(appointment["title"], "Visit");
    assert_eq!(appointment["starts_at"], "2027-01-01T09:00:00Z");
    assert_eq!(appointment["ends_at"], "2027-01-01T09:30:00.123456Z");
    assert_eq!(appointment["status"], "scheduled");
    assert_eq!(
        appointment["lead"],
        json!({"id": lead["id"], "full_name": "Zoë"})
    );
    assert_eq!(
        (&appointment["user"]["id"], &appointment["company"]["id"]),
        (&json!(ana.id), &json!(company))
    );
    assert_eq!(appointment["overlapping_appointment_ids"], json!([]));
    let one = format!("/api/v1/appointments/{}", appointment["id"]);
    let shown = server.get(&one).token(&ana.token).expect_answer(200).await;
    assert_eq!(shown.body, made.body);
    assert_eq!(shown.header("etag"), made.header("etag"));

    let put = |body: Value| server.put(&one).token(&ana.token).json(&body);
    let after = put(json!({"location": null, "user_id": bob.id, "title": "Call"}))
        .expect(200)
        .await;
    assert_eq!(
        (
            &after["appointment"]["location"],
            &after["appointment"]["description"]
        ),
        (&Value::Null, &json!("Bring\nplans"))
    );
    assert_eq!(after["appointment"]["user"]["id"], bob.id);
    assert_eq!(put(json!({})).expect(200).await, after);
    for status in ["done", "no_show", "scheduled"] {
        assert_eq!(
            put(json!({"status": status})).expect(200).await["appointment"]["status"],
            status
        );
    }
    let refused = put(json!({"ends_at": "2027-01-01T09:00:00Z"}))
        .expect(422)
        .await;
    assert!(refused["errors"]["ends_at"].is_array(), "{refused}");
    put(json!({"title": "x"}))
        .header("if-match", "\"1\"")
        .expect(409)
        .await;

    put(json!({"status": "done"})).expect(200).await;
    let cancel = || server.post(format!("{one}/cancel")).token(&ana.token);
    assert_eq!(
        cancel().expect(422).await["code"],
        "appointment_not_scheduled"
    );
    put(json!({"status": "scheduled"})).expect(200).await;
    cancel().header("if-match", "\"1\"").expect(409).await;
    let off = cancel().expect(200).await;
    assert_eq!(off["appointment"]["status"], "cancelled");
    assert_eq!(cancel().expect(200).await, off);
    for body in [json!({"title": "Again"}), json!({"status": "scheduled"})] {
        assert_eq!(put(body).expect(422).await["code"], "appointment_cancelled");
    }
    let stored: String = sqlx::query_scalar(
        "SELECT string_agg(payload::text, '') FROM events WHERE aggregate_type = 'lead'",
    )
    .fetch_one(server.database.pool())
    .await
    .unwrap();
    for secret in ["Visit", "Call", "plans", "Secret street"] {
        assert!(
            !stored.contains(secret),
            "{secret} is readable in the ledger"
        );
    }
    assert_sound(&server).await;
}

#[tokio::test]
async fn overlapping_appointments_are_told() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let other = server.lead(&ana, company, json!({"first_name": "B"})).await;
    let first = make(&server, &ana, &lead, meeting("A", "01T10:00", "01T11:00")).await;
    let touching = make(&server, &ana, &lead, meeting("B", "01T11:00", "01T12:00")).await;
    assert_eq!(touching["overlapping_appointment_ids"], json!([]));
    let across = make(&server, &ana, &other, meeting("C", "01T10:59", "01T11:01")).await;
    assert_eq!(
        across["overlapping_appointment_ids"],
        json!([first["id"], touching["id"]])
    );
    let mut bobs = meeting("D", "01T10:00", "01T12:00");
    bobs["user_id"] = json!(bob.id);
    let bobs = make(&server, &ana, &lead, bobs).await;
    assert_eq!(bobs["overlapping_appointment_ids"], json!([]));
    let cancel = format!("/api/v1/appointments/{}/cancel", touching["id"]);
    let cancelled = server.post(cancel).token(&ana.token).expect(200).await;
    assert_eq!(
        cancelled["appointment"]["overlapping_appointment_ids"],
        json!([])
    );
    let shown = server
        .get(format!("/api/v1/appointments/{}", across["id"]))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(
        shown["appointment"]["overlapping_appointment_ids"],
        json!([first["id"]])
    );
}

#[tokio::test]
async fn everybody_lists_their_own_appointments() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let lead = server
        .lead(
            &ana,
            company,
            json!({"first_name": "A", "user_access_id": bob.access_id}),
        )
        .await;
    let other = server.lead(&ana, company, json!({"first_name": "B"})).await;
    let late = make(
        &server,
        &ana,
        &lead,
        meeting("late", "03T10:00", "03T11:00"),
    )
    .await;
    let early = make(
        &server,
        &ana,
        &lead,
        meeting("early", "01T10:00", "01T11:00"),
    )
    .await;
    let between = make(
        &server,
        &ana,
        &other,
        meeting("between", "02T10:00", "02T11:00"),
    )
    .await;
    let mut bobs = meeting("bob's", "02T10:00", "02T11:00");
    bobs["user_id"] = json!(bob.person.id);
    let bobs = make(&server, &ana, &lead, bobs).await;
    server
        .post(format!("/api/v1/appointments/{}/cancel", early["id"]))
        .token(&ana.token)
        .expect(200)
        .await;
    let list = async |token: &str, query: &str| {
        let answer = server
            .get(format!("/api/v1/appointments?{query}"))
            .token(token)
            .expect(200)
            .await;
        assert_as_in("GET /api/v1/appointments", &answer);
        answer
    };
    let (early, between, late) = (int(&early["id"]), int(&between["id"]), int(&late["id"]));
    for (query, expected) in [
        (String::new(), vec![early, between, late]),
        ("from=2027-01-02T10:00:00Z".into(), vec![between, late]),
        ("to=2027-01-02T10:00:00Z".into(), vec![early]),
        (
            "from=2027-01-01T10:00:01Z&to=2027-01-03T10:00:00Z".into(),
            vec![between],
        ),
        ("status=cancelled".into(), vec![early]),
        ("status=scheduled".into(), vec![between, late]),
        ("status=done".into(), vec![]),
        (format!("lead_id={}", lead["id"]), vec![early, late]),
        ("per_page=2&page=2".into(), vec![late]),
    ] {
        assert_eq!(
            ids(&list(&ana.token, &query).await["appointments"]),
            expected,
            "{query}"
        );
    }
    let page = list(&ana.token, "per_page=1").await;
    assert_eq!(page["meta"]["total_count"], 3);
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    assert_eq!(
        ids(&list(&ana.token, &format!("cursor={cursor}")).await["appointments"]),
        [between, late]
    );
    assert_eq!(
        ids(&list(&bob.person.token, "").await["appointments"]),
        [int(&bobs["id"])]
    );
    server.get("/api/v1/appointments").expect(401).await;
}

#[tokio::test]
async fn a_list_is_narrowed_by_what_makes_sense() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for query in [
        "from=yesterday",
        "to=2027-13-01T00:00:00Z",
        "from=-0001-01-01T00:00:00Z",
        "status=busy",
        "lead_id=x",
        "cursor=x",
        "cursor=Wy05MjIzMzcyMDM2ODU0Nzc1ODA4LDFd",
    ] {
        let refused = server
            .get(format!("/api/v1/appointments?{query}"))
            .token(&ana.token)
            .expect(400)
            .await;
        assert!(refused["errors"].is_object(), "{refused}");
    }
}

#[tokio::test]
async fn whoever_leaves_the_company_leaves_its_appointments() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let mut body = meeting("bob's", "02T10:00", "02T11:00");
    body["user_id"] = json!(bob.person.id);
    let bobs = make(&server, &ana, &lead, body).await;
    let gone = format!(
        "/api/v1/users/{}/user_access/{}",
        bob.person.id, bob.access_id
    );
    server.delete(gone).token(&ana.token).expect(200).await;
    let none = server
        .get("/api/v1/appointments")
        .token(&bob.person.token)
        .expect(200)
        .await;
    assert_eq!(none["appointments"], json!([]));
    assert_eq!(none["meta"]["total_count"], 0);
    server
        .get(format!("/api/v1/appointments/{}", bobs["id"]))
        .token(&bob.person.token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn an_appointment_that_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let create = format!("/api/v1/leads/{}/appointments", lead["id"]);
    let made = make(&server, &ana, &lead, meeting("A", "01T10:00", "01T11:00")).await;
    let update = format!("/api/v1/appointments/{}", made["id"]);
    for (field, value) in [
        ("title", json!(" ")),
        ("title", json!("x".repeat(201))),
        ("description", json!("a\u{0}")),
        ("location", json!("two\nlines")),
        ("starts_at", json!("2027-01-01")),
        ("starts_at", json!("0000-01-01T00:00:00Z")),
        ("ends_at", json!("2027-01-01T10:00:00Z")),
        ("ends_at", json!("2026-01-01T10:00:00Z")),
        ("ends_at", json!("2027-02-01T10:00:01Z")),
        ("user_id", json!(eve.id)),
        ("user_id", json!(999)),
        ("user_id", json!("x")),
        ("status", json!("cancelled")),
        ("status", json!("busy")),
    ] {
        let mut body = meeting("B", "01T10:00", "01T11:00");
        body[field] = value;
        for call in [server.post(&create), server.put(&update)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            assert!(refused["errors"][field].is_array(), "{field} in {refused}");
        }
    }
    let refused = server
        .post(&create)
        .token(&ana.token)
        .json(&json!({}))
        .expect(422)
        .await;
    for field in ["title", "starts_at", "ends_at"] {
        assert!(refused["errors"][field].is_array(), "{refused}");
    }
    for raw in ["", "{", "[]", "null"] {
        for call in [server.post(&create), server.put(&update)] {
            let status = call.token(&ana.token).raw(raw).answer().await.status;
            assert!(matches!(status, 400 | 422), "{raw}: {status}");
        }
    }
    let all = server
        .get("/api/v1/appointments")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(all["appointments"][0]["title"], "A");
    assert_eq!(all["meta"]["total_count"], 1);
    // The platform's owner needs no role to meet somebody.
    let owner = server.owner().await;
    make(&server, &owner, &lead, meeting("P", "01T10:00", "01T11:00")).await;
}

#[tokio::test]
async fn appointments_follow_the_lead() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let cas = server
        .member(company, &ana, Role::Agent, "Cas")
        .await
        .person;
    let analyst = server
        .member(company, &ana, Role::Analyst, "Lis")
        .await
        .person;
    let lead = server
        .lead(
            &ana,
            company,
            json!({"first_name": "A", "user_access_id": bob.access_id}),
        )
        .await;
    let body = meeting("A", "01T10:00", "01T11:00");
    let made = make(&server, &bob.person, &lead, body.clone()).await;
    assert_eq!(made["user"]["id"], bob.person.id);
    let one = format!("/api/v1/appointments/{}", made["id"]);
    let create = format!("/api/v1/leads/{}/appointments", lead["id"]);
    for (person, read, write) in [(&cas, 403, 403), (&analyst, 200, 403), (&eve, 404, 404)] {
        let token = &person.token;
        server.get(&one).token(token).expect(read).await;
        server
            .post(&create)
            .token(token)
            .json(&body)
            .expect(write)
            .await;
        server
            .put(&one)
            .token(token)
            .json(&body)
            .expect(write)
            .await;
        server
            .post(format!("{one}/cancel"))
            .token(token)
            .expect(write)
            .await;
    }
    for call in [
        server.get(&one),
        server.post(&create).json(&body),
        server.put(&one).json(&body),
        server.post(format!("{one}/cancel")),
    ] {
        call.expect(401).await;
    }
    for path in [
        "/api/v1/appointments/999",
        "/api/v1/appointments/999/cancel",
    ] {
        let method = if path.ends_with("cancel") {
            "POST"
        } else {
            "GET"
        };
        server
            .call(method.parse().unwrap(), path)
            .token(&ana.token)
            .expect(404)
            .await;
    }
    server
        .put("/api/v1/appointments/999")
        .token(&ana.token)
        .json(&body)
        .expect(404)
        .await;
    server
        .post("/api/v1/leads/999/appointments")
        .token(&ana.token)
        .json(&body)
        .expect(404)
        .await;
    server
        .get("/api/v1/appointments/x")
        .token(&ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn who_is_to_be_there_reads_it_whoever_works_on_the_lead() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let cas = server
        .member(company, &ana, Role::Agent, "Cas")
        .await
        .person;
    let lead = json!({"first_name": "A", "user_access_id": bob.access_id});
    let lead = server.lead(&ana, company, lead).await;
    let body = meeting("A", "01T10:00", "01T11:00");
    let made = make(&server, &bob.person, &lead, body.clone()).await;
    let one = format!("/api/v1/appointments/{}", made["id"]);
    server.get(&one).token(&cas.token).expect(403).await;
    let mut with = body.clone();
    with["user_id"] = json!(cas.id);
    server
        .put(&one)
        .token(&bob.person.token)
        .json(&with)
        .expect(200)
        .await;
    server.get(&one).token(&cas.token).expect(200).await;
    server
        .put(&one)
        .token(&cas.token)
        .json(&body)
        .expect(403)
        .await;
    server.get(&one).token(&bob.person.token).expect(200).await;
}
