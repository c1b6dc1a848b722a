//! Create, get and update with everything that the documentation gives a user.

use aggregates::access::Role;
use aggregates::user::account_settings::{PERMISSIONS, USER_SCOPES};
use serde_json::{Value, json};

use crate::agency::{Agency, PASSWORD, token};
use crate::server::int;

/// The documented fields, and those that live answers have besides.
const FIELDS: [&str; 18] = [
    "id",
    "companyId",
    "name",
    "firstName",
    "lastName",
    "email",
    "phone",
    "extension",
    "permissions",
    "scopes",
    "scopesAssignedToOnly",
    "roles",
    "lcPhone",
    "platformLanguage",
    "profilePhoto",
    "deleted",
    "dateAdded",
    "dateUpdated",
];

fn assert_has_every_field(user: &Value) {
    for field in FIELDS {
        assert!(!user[field].is_null(), "{field} in {user}");
    }
}

#[tokio::test]
async fn a_user_has_everything_that_was_sent_and_defaults_for_the_rest() {
    let agency = Agency::start().await;
    let north = agency.north.to_string();
    let user = agency
        .create(
            "José",
            json!({
                "email": "Jose@People.example",
                "phone": "+1 (504) 621-8927", "extension": "12",
                "permissions": {"contactsEnabled": false, "botService": true},
                "scopes": ["blogs.write", "payments.write", "blogs.write"],
                "scopesAssignedToOnly": ["contacts.write"],
                "profilePhoto": "https://img.example/jose.png",
                "twilioPhone": {north.as_str(): "+15046218928"},
                "platformLanguage": "fr_CA",
                "unheardOf": {"a": 1},
            }),
        )
        .await;
    assert_has_every_field(&user);
    assert_eq!(user["name"], "José Tester");
    assert_eq!(user["email"], "jose@people.example");
    assert_eq!(user["phone"], "+15046218927");
    assert_eq!(user["extension"], "12");
    assert_eq!(user["companyId"], agency.id.to_string());
    let permissions = user["permissions"].as_object().unwrap();
    assert_eq!(permissions.len(), PERMISSIONS.len());
    for (flag, default) in PERMISSIONS {
        let wanted = match flag {
            "contactsEnabled" => false,
            "botService" => true,
            _ => default,
        };
        assert_eq!(permissions[flag], wanted, "{flag}");
    }
    assert_eq!(user["scopes"], json!(["blogs.write", "payments.write"]));
    assert_eq!(user["scopesAssignedToOnly"], json!(["contacts.write"]));
    assert_eq!(user["profilePhoto"], "https://img.example/jose.png");
    assert_eq!(user["lcPhone"], json!({north.as_str(): "+15046218928"}));
    assert_eq!(user["platformLanguage"], "fr_CA");
    assert_eq!(user["deleted"], false);
    let roles = json!({"type": "account", "role": "user", "locationIds": [north], "restrictSubAccount": true});
    assert_eq!(user["roles"], roles);
    assert_eq!(user["dateAdded"], user["dateUpdated"]);

    // The same fields everywhere.
    let path = Agency::path(&user);
    assert_eq!(agency.get(&path).expect(200).await, user);
    assert_eq!(agency.get(format!("/v3{path}")).expect(200).await, user);
    let search = format!("/v3/users/search?companyId={}&query=jose", agency.id);
    assert_eq!(agency.get(search).expect(200).await["users"][0], user);
    let plain = agency.create("Plain", json!({})).await;
    assert_has_every_field(&plain);
    assert_eq!(
        (&plain["phone"], &plain["scopes"]),
        (&json!(""), &json!([]))
    );
    assert_eq!(plain["platformLanguage"], "en_US");
    agency.assert_sound().await;
}

#[tokio::test]
async fn all_scopes_of_the_documentation_are_taken_and_no_other() {
    let agency = Agency::start().await;
    let user = agency
        .create("Ana", json!({"scopes": USER_SCOPES.as_slice()}))
        .await;
    assert_eq!(user["scopes"], json!(USER_SCOPES.as_slice()));
    assert_eq!(user["scopes"].as_array().unwrap().len(), 194);
    let mut body = agency.new_user("Bob");
    body["scopes"] = json!(["blogs.write", "users.readonly"]);
    body["scopesAssignedToOnly"] = json!("contacts.write");
    let refused = agency.post("/users/", &body).expect(422).await;
    let wanted = json!([
        "each value in scopes must be a known scope: users.readonly is none",
        "scopesAssignedToOnly must be an array",
    ]);
    assert_eq!(refused["message"], wanted);
}

#[tokio::test]
async fn every_path_of_the_collection_is_the_same() {
    let agency = Agency::start().await;
    for (n, path) in ["/users", "/users/", "/v3/users", "/v3/users/"]
        .iter()
        .enumerate()
    {
        let body = agency.new_user(&format!("Ana{n}"));
        agency.post(path, &body).expect(201).await;
        let list = format!("{path}?locationId={}", agency.north);
        let found = agency.get(list).expect(200).await;
        assert_eq!(found["users"].as_array().unwrap().len(), n + 1);
        assert!(found["count"].is_null());
    }
}

#[tokio::test]
async fn every_known_version_is_served() {
    let agency = Agency::start().await;
    let path = format!("/users/search?companyId={}", agency.id);
    for version in ["v3", "2023-02-21", "2021-07-28", "2021-04-15"] {
        let call = agency.server.get(&path).token(&agency.token);
        call.header("version", version).expect(200).await;
    }
    // Clients announce JSON with every request, also where there is none.
    let call = agency.get(&path).header("content-type", "application/json");
    call.expect(200).await;
    let call = agency.get(&path).header("content-type", "text/html");
    call.expect(200).await;
}

#[tokio::test]
async fn a_user_made_here_is_a_user_of_v1() {
    let agency = Agency::start().await;
    let created = agency.create("Ana", json!({"role": "admin"})).await;
    let credentials = json!({"email": "ana@people.example", "password": PASSWORD});
    let login = agency.server.post("/api/v1/users/login").json(&credentials);
    let session = login.expect(200).await;
    let user = &session["user"];
    assert_eq!(user["id"].to_string(), created["id"].as_str().unwrap());
    assert_eq!(user["full_name"], "Ana Tester");
    assert_eq!(user["primary_access"]["access_name"], "Admin");
    assert_eq!(int(&user["primary_access"]["company_id"]), agency.north);
    let token = session["token"].as_str().unwrap();
    let company = |id: i64| format!("/api/v1/companies/{id}");
    agency
        .server
        .get(company(agency.north))
        .token(token)
        .expect(200)
        .await;
    agency
        .server
        .get(company(agency.south))
        .token(token)
        .expect(404)
        .await;
    agency
        .server
        .get(company(agency.id))
        .token(token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn a_user_made_in_v1_is_a_user_here() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let mia = server
        .member(agency.id, &agency.owner, Role::Admin, "Mia")
        .await;
    let leo = server
        .member(agency.south, &agency.owner, Role::Analyst, "Leo")
        .await;
    let path = format!("/api/v1/users/{}", leo.person.id);
    let body = json!({"phone_number": "504-621-8927 ext. 7", "lang": "pt-BR"});
    server
        .put(&path)
        .token(&leo.person.token)
        .json(&body)
        .expect(200)
        .await;
    let seen = agency
        .get(format!("/users/{}", mia.person.id))
        .expect(200)
        .await;
    let roles =
        json!({"type": "agency", "role": "admin", "locationIds": [], "restrictSubAccount": false});
    assert_eq!(seen["roles"], roles);
    let seen = agency
        .get(format!("/users/{}", leo.person.id))
        .expect(200)
        .await;
    let south = agency.south.to_string();
    let roles = json!({"type": "account", "role": "user", "locationIds": [south], "restrictSubAccount": true});
    assert_eq!(seen["roles"], roles);
    assert_eq!(
        (&seen["phone"], &seen["extension"]),
        (&json!("+15046218927"), &json!("7"))
    );
    assert_eq!(seen["platformLanguage"], "pt_BR");
    // From the location itself, a role there is the agency's.
    let of_south = token(server, &agency.owner, agency.south, &["users.readonly"]).await;
    let call = server
        .get(format!("/users/{}", leo.person.id))
        .token(&of_south);
    let seen = call.header("version", "v3").expect(200).await;
    assert_eq!(seen["roles"]["type"], "agency");
    agency.assert_sound().await;
}

#[tokio::test]
async fn an_agency_user_holds_a_role_at_the_company() {
    let agency = Agency::start().await;
    let body = json!({"type": "agency", "role": "user", "locationIds": []});
    let user = agency.create("Ana", body).await;
    let roles =
        json!({"type": "agency", "role": "user", "locationIds": [], "restrictSubAccount": false});
    assert_eq!(user["roles"], roles);
    let path = format!("/api/v1/companies/{}/users", agency.id);
    let list = agency
        .server
        .get(path)
        .token(&agency.owner.token)
        .expect(200)
        .await;
    let held = list["users"].as_array().unwrap().iter();
    let codes: Vec<_> = held
        .map(|user| &user["user_access"]["access"]["code"])
        .collect();
    assert_eq!(codes, ["owner", "agent"]);
    // A company without locations is its own.
    let body = json!({"locationIds": [agency.id.to_string()]});
    let user = agency.create("Bob", body).await;
    let roles = json!({"type": "account", "role": "user", "locationIds": [agency.id.to_string()], "restrictSubAccount": true});
    assert_eq!(user["roles"], roles);
}

#[tokio::test]
async fn everything_wrong_with_a_new_user_is_told_at_once() {
    let agency = Agency::start().await;
    let refused = agency.post("/users/", &json!({})).expect(422).await;
    assert_eq!(refused["error"], "Unprocessable Entity");
    let told = refused["message"].to_string();
    for field in [
        "companyId",
        "email",
        "password",
        "type",
        "role",
        "locationIds",
        "firstName",
        "lastName",
    ] {
        assert!(told.contains(field), "{field} in {told}");
    }
    for (field, value, message) in [
        ("email", json!("no e-mail"), "email must be an email"),
        (
            "password",
            json!("short"),
            "password must have at least 12 characters",
        ),
        (
            "password",
            json!("lowercase-only-1"),
            "password must have an upper-case letter",
        ),
        ("phone", json!("call me"), "phone is not a phone number"),
        (
            "extension",
            json!("12"),
            "extension must be sent together with phone",
        ),
        (
            "type",
            json!("robot"),
            "type must be one of the following values: account, agency",
        ),
        (
            "role",
            json!("owner"),
            "role must be one of the following values: admin, user",
        ),
        (
            "locationIds",
            json!([]),
            "locationIds should not be empty for type account",
        ),
        ("locationIds", json!("1"), "locationIds must be an array"),
        (
            "permissions",
            json!({"moonEnabled": true}),
            "permissions.property moonEnabled should not exist",
        ),
        (
            "permissions",
            json!({"tagsEnabled": "yes"}),
            "permissions.tagsEnabled must be a boolean value",
        ),
        (
            "platformLanguage",
            json!("xx"),
            "platformLanguage must be one of the following values: en_US",
        ),
        (
            "profilePhoto",
            json!("not a url"),
            "profilePhoto must be a URL address",
        ),
        ("twilioPhone", json!([]), "twilioPhone must be an object"),
        ("firstName", json!(" "), "firstName should not be empty"),
        ("firstName", json!("a\u{0}"), "firstName must be a string"),
    ] {
        let mut body = agency.new_user("Ana");
        body[field] = value;
        let refused = agency.post("/users/", &body).expect(422).await;
        let told = refused["message"].as_array().expect("a list of messages");
        let told = told
            .iter()
            .any(|m| m.as_str().unwrap().starts_with(message));
        assert!(told, "{field}: {refused}");
    }
    assert_eq!(agency.search("query=ana").await.1, 0);
}

#[tokio::test]
async fn an_email_is_taken_once() {
    let agency = Agency::start().await;
    agency.create("Ana", json!({})).await;
    let mut body = agency.new_user("Ana");
    body["email"] = json!("ANA@people.example");
    let refused = agency.post("/users/", &body).expect(400).await;
    let wanted = json!({"statusCode": 400, "message": "A user with this email already exists"});
    assert_eq!(refused, wanted);
}

#[tokio::test]
async fn the_same_key_creates_once() {
    let agency = Agency::start().await;
    let body = agency.new_user("Ana");
    let post = || {
        agency
            .post("/users/", &body)
            .header("idempotency-key", "k-1")
    };
    let first = post().expect(201).await;
    let again = post().expect_answer(201).await;
    assert_eq!(again.body, first);
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_plan_limits_the_users_of_this_dialect_too() {
    let agency = Agency::start().await;
    let attach = format!("/api/v1/companies/{}/membership?membership_id=1", agency.id);
    let call = agency.server.post(attach).token(&agency.owner.token);
    let plan = call.expect(201).await;
    let most = int(&plan["company_membership"]["membership"]["max_users"]);
    // Olivia is one of them.
    for n in 1..most {
        agency.create(&format!("Ana{n}"), json!({})).await;
    }
    let refused = agency.post("/users/", &agency.new_user("Bob"));
    let refused = refused.expect(422).await;
    assert!(refused["message"].is_array(), "{refused}");
    assert_eq!(agency.search("query=bob").await.1, 0);
    // A further role of somebody who is there takes no more room.
    let found = agency
        .get(format!("/users/search?companyId={}&query=ana1", agency.id))
        .expect(200)
        .await;
    let both = json!({"locationIds": [agency.north.to_string(), agency.south.to_string()]});
    let path = Agency::path(&found["users"][0]);
    agency.put(path, &both).expect(200).await;
    agency.assert_sound().await;
}
