//! Update: partial, merged where the documentation says so, and within the token's reach.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::agency::{ALL, Agency, PASSWORD, token};
use crate::server::int;

#[tokio::test]
async fn only_what_is_sent_changes() {
    let agency = Agency::start().await;
    let (north, south) = (agency.north.to_string(), agency.south.to_string());
    let user = agency
        .create(
            "Ana",
            json!({"phone": "+15046218927", "permissions": {"tagsEnabled": false}, "scopes": ["blogs.write"],
            "locationIds": [north, south], "twilioPhone": {north.as_str(): "+15046218928", south.as_str(): "+15046218929"}}),
        )
        .await;
    let path = Agency::path(&user);
    let mut wanted = user.clone();
    let change = async |body: Value| {
        let mut changed = agency.put(&path, &body).expect(200).await;
        assert_eq!(agency.get(&path).expect(200).await, changed);
        changed["dateUpdated"].take();
        changed
    };
    wanted["dateUpdated"].take();
    assert_eq!(change(json!({})).await, wanted);
    assert_eq!(
        change(json!({"phone": null, "email": "Ana@people.example"})).await,
        wanted
    );

    wanted["firstName"] = json!("Anabel");
    wanted["name"] = json!("Anabel Tester");
    wanted["permissions"]["botService"] = json!(true);
    let body = json!({"firstName": "Anabel", "permissions": {"botService": true}});
    assert_eq!(change(body).await, wanted);

    wanted["scopes"] = json!([]);
    wanted["scopesAssignedToOnly"] = json!(["contacts.write"]);
    wanted["phone"] = json!("");
    let body = json!({"scopes": [], "scopesAssignedToOnly": ["contacts.write"], "phone": ""});
    assert_eq!(change(body).await, wanted);

    // The map is replaced; an empty number clears its location.
    wanted["lcPhone"] = json!({south.as_str(): "+15046218930"});
    let numbers = json!({"twilioPhone": {south.as_str(): "+15046218930", north.as_str(): ""}});
    assert_eq!(change(numbers).await, wanted);
    wanted["lcPhone"] = json!({});
    assert_eq!(change(json!({"twilioPhone": {}})).await, wanted);
    agency.assert_sound().await;
}

#[tokio::test]
async fn roles_follow_type_role_and_locations() {
    let agency = Agency::start().await;
    let (north, south) = (agency.north.to_string(), agency.south.to_string());
    let user = agency.create("Ana", json!({})).await;
    let path = Agency::path(&user);
    let roles = async |body: Value| agency.put(&path, &body).expect(200).await["roles"].take();
    let account = |role: &str, locations: &[&String]| json!({"type": "account", "role": role, "locationIds": locations, "restrictSubAccount": true});
    let body = json!({"locationIds": [north, south]});
    assert_eq!(roles(body).await, account("user", &[&north, &south]));
    assert_eq!(
        roles(json!({"role": "admin"})).await,
        account("admin", &[&north, &south])
    );
    assert_eq!(
        roles(json!({"locationIds": [south]})).await,
        account("admin", &[&south])
    );
    let body = json!({"type": "agency", "role": "user", "locationIds": [], "companyId": agency.id.to_string()});
    let wanted =
        json!({"type": "agency", "role": "user", "locationIds": [], "restrictSubAccount": false});
    assert_eq!(roles(body).await, wanted);
    // Back again takes locations.
    let refused = agency
        .put(&path, &json!({"type": "account"}))
        .expect(422)
        .await;
    assert_eq!(
        refused["message"],
        json!(["locationIds should not be empty for type account"])
    );
    let body = json!({"type": "account", "locationIds": [north]});
    assert_eq!(roles(body).await, account("user", &[&north]));
    agency.assert_sound().await;
}

#[tokio::test]
async fn a_role_that_means_the_same_stays_and_a_lost_one_unassigns_its_leads() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let leo = server
        .member(agency.north, &agency.owner, Role::Manager, "Leo")
        .await;
    let body = json!({"email": "lead@example.com", "user_access_id": leo.access_id});
    let lead = server.lead(&agency.owner, agency.north, body).await;
    let path = format!("/users/{}", leo.person.id);
    let (north, south) = (agency.north.to_string(), agency.south.to_string());
    let body = json!({"role": "user", "locationIds": [north, south]});
    agency.put(&path, &body).expect(200).await;
    let accesses = format!("/api/v1/users/{}/user_access", leo.person.id);
    let list = server
        .get(&accesses)
        .token(&agency.owner.token)
        .expect(200)
        .await;
    let codes = list["user_accesses"].as_array().unwrap().iter();
    let codes: Vec<_> = codes.map(|access| &access["access"]["code"]).collect();
    assert_eq!(codes, ["manager", "agent"]);

    agency
        .put(&path, &json!({"locationIds": [south]}))
        .expect(200)
        .await;
    let lead = format!("/api/v1/leads/{}", int(&lead["id"]));
    let seen = server
        .get(lead)
        .token(&agency.owner.token)
        .expect(200)
        .await;
    assert!(seen["lead"]["user_access"].is_null(), "{seen}");
    agency.assert_sound().await;
}

#[tokio::test]
async fn a_password_is_changed_and_ends_sessions() {
    let agency = Agency::start().await;
    let user = agency.create("Ana", json!({})).await;
    let sign_in = |password: &str| {
        let body = json!({"email": "ana@people.example", "password": password});
        agency.server.post("/api/v1/users/login").json(&body)
    };
    let session = sign_in(PASSWORD).expect(200).await;
    let body = json!({"password": "Another-one-22"});
    agency.put(Agency::path(&user), &body).expect(200).await;
    let me = agency.server.get("/api/v1/users/validate_jwt");
    me.token(session["token"].as_str().unwrap())
        .expect(401)
        .await;
    sign_in(PASSWORD).expect(401).await;
    sign_in("Another-one-22").expect(200).await;
}

#[tokio::test]
async fn an_email_cannot_be_changed() {
    let agency = Agency::start().await;
    let user = agency.create("Ana", json!({})).await;
    let body = json!({"email": "other@people.example", "scopes": ["x"]});
    let refused = agency.put(Agency::path(&user), &body).expect(422).await;
    let told = json!([
        "email can not be updated",
        "each value in scopes must be a known scope: x is none"
    ]);
    assert_eq!(refused["message"], told);
}

#[tokio::test]
async fn who_is_out_of_reach_is_not_changed() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let eve = server.sign_up("Eve").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    // A stranger is not there at all.
    let path = format!("/users/{}", eve.id);
    for answer in [
        agency.get(&path).expect(404).await,
        agency
            .put(&path, &json!({"firstName": "X"}))
            .expect(404)
            .await,
        agency.delete(&path).expect(404).await,
    ] {
        assert_eq!(
            answer,
            json!({"statusCode": 404, "message": "The user does not exist."})
        );
    }
    // Somebody who belongs to another company too is seen and not changed.
    let ana = agency.create("Ana", json!({})).await;
    let owner = server.owner().await;
    let body = json!({"company_id": elsewhere, "access_id": 4});
    let share = format!("/api/v1/users/{}/user_access", ana["id"].as_str().unwrap());
    let call = server.post(share).token(&owner.token);
    call.json(&body).expect(201).await;
    let path = Agency::path(&ana);
    agency.get(&path).expect(200).await;
    let change = json!({"password": "Taken-over-2026"});
    agency.put(&path, &change).expect(403).await;
    let refused = agency.delete(&path).expect(403).await;
    assert_eq!(
        (&refused["statusCode"], &refused["error"]),
        (&json!(403), &json!("Forbidden"))
    );
}

#[tokio::test]
async fn an_owner_keeps_their_roles_and_password() {
    let agency = Agency::start().await;
    let path = format!("/users/{}", agency.owner.id);
    agency
        .put(&path, &json!({"firstName": "Liv"}))
        .expect(200)
        .await;
    agency
        .put(&path, &json!({"role": "admin"}))
        .expect(200)
        .await;
    agency
        .put(&path, &json!({"password": "Taken-over-2026"}))
        .expect(403)
        .await;
    // The last owner of a company cannot be demoted by anybody.
    let refused = agency
        .put(&path, &json!({"role": "user"}))
        .expect(422)
        .await;
    let told = json!(["the last owner of a company cannot be removed or demoted"]);
    assert_eq!(refused["message"], told);
    // Nor another one by a token.
    let server = &agency.server;
    server
        .member(agency.id, &agency.owner, Role::Owner, "Second")
        .await;
    server
        .member(agency.north, &agency.owner, Role::Owner, "North")
        .await;
    server
        .member(agency.south, &agency.owner, Role::Owner, "South")
        .await;
    agency
        .put(&path, &json!({"role": "user"}))
        .expect(403)
        .await;
    let company = format!("/users/search?companyId={}&role=admin&query=liv", agency.id);
    assert_eq!(agency.get(company).expect(200).await["count"], 1);
}

#[tokio::test]
async fn locations_must_be_the_companys() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let eve = server.sign_up("Eve").await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let user = agency.create("Ana", json!({})).await;
    for foreign in [
        elsewhere.to_string(),
        "999999".to_owned(),
        "ve9EPM428h8vShlRW1KT".to_owned(),
    ] {
        for body in [
            json!({"locationIds": [foreign]}),
            json!({"twilioPhone": {foreign.as_str(): "+15046218927"}}),
        ] {
            let refused = agency.put(Agency::path(&user), &body).expect(403).await;
            assert_eq!(
                refused["message"],
                "The token does not have access to this location."
            );
        }
        let mut body = agency.new_user("Bob");
        body["companyId"] = json!(foreign);
        let refused = agency.post("/users/", &body).expect(403).await;
        assert_eq!(
            refused["message"],
            "This company is not accessible from this token!"
        );
    }
    // Within the token's reach, but not below the company that is spoken of.
    let body =
        json!({"companyId": agency.north.to_string(), "locationIds": [agency.south.to_string()]});
    agency.put(Agency::path(&user), &body).expect(422).await;
    // A token of the location reaches the location alone.
    let of_north = token(server, &agency.owner, agency.north, &ALL).await;
    let call = server.get(format!("/users/search?companyId={}", agency.id));
    call.token(&of_north)
        .header("version", "v3")
        .expect(403)
        .await;
    let call = server.get(format!("/users/search?companyId={}", agency.north));
    let found = call
        .token(&of_north)
        .header("version", "v3")
        .expect(200)
        .await;
    // Olivia made the company below hers and holds no role of its own there.
    assert_eq!(found["count"], 1);
}
