//! Users: create, login, validate JWT, show, show all, find by e-mail, update.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn nobody_grants_themselves_access() {
    let server = TestServer::start().await;
    let grant = json!([{"company_id": 1, "access_id": 1, "primary": true}]);
    let body =
        json!({"first_name": "Eve", "email": "eve@example.com", "user_accesses_attributes": grant});
    let refused = server.post("/api/v1/users").json(&body).expect(422).await;
    assert!(
        refused["errors"]["user_accesses_attributes"].is_array(),
        "{refused}"
    );
    // A user without a role there sees no such company.
    let eve = server.sign_up("Eve").await;
    let body =
        json!({"first_name": "E", "email": "e2@example.com", "user_accesses_attributes": grant});
    let refused = server
        .post("/api/v1/users")
        .token(&eve.token)
        .json(&body)
        .expect(422)
        .await;
    assert!(
        refused["errors"]["user_accesses_attributes[0].company_id"].is_array(),
        "{refused}"
    );
}

#[tokio::test]
async fn an_administrator_creates_users_with_roles_but_not_owners() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let admin = server
        .member(company, &ana, Role::Admin, "Adam")
        .await
        .person;
    let agent = server.member(company, &admin, Role::Agent, "Abel").await;
    let user = server
        .get(format!("/api/v1/users/{}", agent.person.id))
        .token(&admin.token)
        .expect(200)
        .await;
    assert_eq!(
        user["user"]["primary_access"]["access_id"],
        Role::Agent.id()
    );
    assert_eq!(user["user"]["primary_company"]["id"], company);

    for (granter, role) in [(&admin, Role::Owner), (&agent.person, Role::Agent)] {
        let body = json!({"first_name": "X", "email": "x@example.com", "user_accesses_attributes": [
            {"company_id": company, "access_id": role.id()}]});
        server
            .post("/api/v1/users")
            .token(&granter.token)
            .json(&body)
            .expect(403)
            .await;
    }
    let body = json!({"first_name": "X", "email": "x@example.com", "user_accesses_attributes": [
        {"company_id": company, "access_id": 7}]});
    let refused = server
        .post("/api/v1/users")
        .token(&ana.token)
        .json(&body)
        .expect(422)
        .await;
    assert!(
        refused["errors"]["user_accesses_attributes[0].access_id"].is_array(),
        "{refused}"
    );
    let twice = json!({"company_id": company, "access_id": 4});
    let body = json!({"first_name": "X", "email": "x@example.com", "user_accesses_attributes": [twice, twice]});
    server
        .post("/api/v1/users")
        .token(&ana.token)
        .json(&body)
        .expect(422)
        .await;
}

#[tokio::test]
async fn a_user_is_shown_to_those_who_share_a_company() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let stranger = server.sign_up("Eve").await;
    server.company(&stranger, "Elsewhere").await;
    let (show, find) = (
        format!("/api/v1/users/{}", bob.id),
        format!("/api/v1/users/find_by_email?email={}", bob.email),
    );
    for (path, operation) in [
        (&show, "GET /api/v1/users/{id}"),
        (&find, "GET /api/v1/users/find_by_email"),
    ] {
        for sees in [&ana, &bob, &server.owner().await] {
            let found = server.get(path).token(&sees.token).expect(200).await;
            assert_as_in(operation, &found);
            assert_eq!(found["user"]["id"], bob.id);
        }
        server.get(path).token(&stranger.token).expect(404).await;
        server.get(path).expect(401).await;
        server.get(path).token("no token").expect(401).await;
    }
    let get = |path: &str| server.get(path).token(&ana.token);
    get("/api/v1/users/999999").expect(404).await;
    get("/api/v1/users/find_by_email?email=nobody%40example.com")
        .expect(404)
        .await;
    get("/api/v1/users/find_by_email").expect(400).await;
    get("/api/v1/users/find_by_email?email=nothing")
        .expect(400)
        .await;
    get("/api/v1/users/abc").expect(400).await;
}

#[tokio::test]
async fn all_users_are_listed_with_filters() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let ines = server
        .member(other, &ana, Role::Analyst, "Inés")
        .await
        .person;
    server.sign_up("Eve").await;
    let list = async |query: &str| {
        let path = format!("/api/v1/users?{query}");
        let answer = server.get(path).token(&ana.token).expect(200).await;
        assert_as_in("GET /api/v1/users", &answer);
        let mut found = ids(&answer["users"]);
        assert_eq!(
            int(&answer["meta"]["total_count"]),
            i64::try_from(found.len()).unwrap()
        );
        found.sort_unstable();
        found
    };
    assert_eq!(list("").await, [ana.id, bob.id, ines.id]);
    assert_eq!(list("search=INES").await, [ines.id]);
    assert_eq!(list("search=bob%40people").await, [bob.id]);
    assert_eq!(list("search=%25").await, [0; 0]);
    assert_eq!(
        list(&format!("company_id={other}")).await,
        [ana.id, ines.id]
    );
    assert_eq!(list("access_id=4").await, [bob.id]);
    assert_eq!(list("access_id=99").await, [0; 0]);
    assert_eq!(list("status=active").await, [0; 0]);
    assert_eq!(list("status=pending").await.len(), 3);
    let everybody = server
        .get("/api/v1/users")
        .token(&server.owner().await.token)
        .expect(200)
        .await;
    assert_eq!(everybody["meta"]["total_count"], 5);
}

#[tokio::test]
async fn an_update_changes_only_what_it_names() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let path = format!("/api/v1/users/{}", ana.id);
    let put = |body: Value| server.put(&path).token(&ana.token).json(&body);
    let body = json!({"birthdate": "1990-01-31", "theme": "dark", "lang": "es-MX", "currency": "MXN", "phone_number": "+52 55 1234 5678"});
    let answer = put(body).expect(200).await;
    assert_as_in("PUT /api/v1/users/{id}", &answer);
    assert_eq!(answer["user"]["full_name"], "Ana Tester");
    assert_eq!(answer["user"]["phone_number"], "+525512345678");
    let answer = put(json!({"first_name": "Anna", "theme": null}))
        .expect(200)
        .await;
    assert_eq!(answer["user"]["full_name"], "Anna Tester");
    assert_eq!(answer["user"]["theme"], Value::Null);
    assert_eq!(answer["user"]["lang"], "es-MX");
    assert_eq!(
        server.get(&path).token(&ana.token).expect(200).await,
        answer
    );
    assert_eq!(put(json!({})).expect(200).await, answer);
    for (field, value) in [
        ("birthdate", json!("1990-02-31")),
        ("lang", json!("klingon")),
        ("currency", json!("XQQ")),
        ("phone_number", json!("12")),
        ("password", json!("weak")),
        ("first_name", json!("a\u{0}b")),
        ("theme", json!([1])),
        ("first_name", json!("x".repeat(5000))),
    ] {
        let refused = put(json!({field: value})).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
}

#[tokio::test]
async fn a_birthdate_is_of_a_year_that_can_be_stored() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let path = format!("/api/v1/users/{}", ana.id);
    let put = |date: &str| {
        server
            .put(&path)
            .token(&ana.token)
            .json(&json!({"birthdate": date}))
    };
    for date in [
        "+262142-12-31",
        "-262143-01-01",
        "0000-01-01",
        "+10000-01-01",
        "9999-12-31",
    ] {
        let refused = put(date).expect(422).await;
        assert!(refused["errors"]["birthdate"].is_array(), "{refused}");
    }
    put("0001-01-01").expect(200).await;
}

#[tokio::test]
async fn administrators_change_profiles_of_their_people_only_and_no_passwords() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server
        .member(company, &ana, Role::Agent, "Bob")
        .await
        .person;
    let mia = server
        .member(company, &ana, Role::Manager, "Mia")
        .await
        .person;
    let stranger = server.sign_up("Eve").await;
    let path = format!("/api/v1/users/{}", bob.id);
    let put = |token: &str, body: Value| server.put(&path).token(token).json(&body);
    put(&ana.token, json!({"first_name": "Robert"}))
        .expect(200)
        .await;
    put(&ana.token, json!({"password": "Another-one-22"}))
        .expect(403)
        .await;
    put(&mia.token, json!({"first_name": "Rob"}))
        .expect(403)
        .await;
    put(&stranger.token, json!({"first_name": "Rob"}))
        .expect(404)
        .await;
    // Once Bob works for a company that Ana does not administer, his profile is not hers to change.
    let elsewhere = server.company(&bob, "Bob's own").await;
    assert!(elsewhere > company);
    put(&ana.token, json!({"first_name": "Rob"}))
        .expect(403)
        .await;
}

#[tokio::test]
async fn a_version_that_is_gone_conflicts() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let path = format!("/api/v1/users/{}", ana.id);
    let before = server.get(&path).token(&ana.token).expect_answer(200).await;
    let put = |tag: &str, name: &str| {
        server
            .put(&path)
            .token(&ana.token)
            .header("if-match", tag)
            .json(&json!({"first_name": name}))
    };
    let after = put(before.header("etag"), "B").expect_answer(200).await;
    assert_ne!(before.header("etag"), after.header("etag"));
    let conflict = put(before.header("etag"), "C").expect(409).await;
    assert_eq!(conflict["code"], "version_conflict");
    put("nonsense", "D").expect(400).await;
}

/// A filter tells nothing of roles in companies that the reader does not see.
#[tokio::test]
async fn filters_tell_nothing_of_hidden_companies() {
    let server = TestServer::start().await;
    let (ana, bo) = (server.sign_up("Ana").await, server.sign_up("Bo").await);
    let seen = server.company(&ana, "Seen").await;
    let hidden = server.company(&bo, "Hidden").await;
    let mia = server.member(seen, &ana, Role::Agent, "Mia").await.person;
    let root = server.owner().await;
    let grant = server.post(format!("/api/v1/users/{}/user_access", mia.id));
    let admin = json!({"company_id": hidden, "access_id": Role::Admin.id()});
    grant.token(&root.token).json(&admin).expect(201).await;
    let listed = async |filter: String| {
        let call = server.get(format!("/api/v1/users?{filter}"));
        ids(&call.token(&ana.token).expect(200).await["users"])
    };
    assert_eq!(
        listed(format!("company_id={hidden}")).await,
        Vec::<i64>::new()
    );
    assert_eq!(listed("access_id=2".to_owned()).await, Vec::<i64>::new());
    assert_eq!(listed("access_id=4".to_owned()).await, [mia.id]);
    let refused = server.get("/api/v1/users?status=bogus").token(&ana.token);
    assert_eq!(
        refused.expect(400).await["errors"]["status"][0],
        "must be one of pending, active"
    );
}
