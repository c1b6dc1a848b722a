//! Rules about users: sign-up, sign-in, passwords, proofs of e-mail, user accesses, invitations, first steps, identities.

#![expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]

use aggregates::access::Role;
use serde_json::json;

use super::Row;
use super::scene::{PICTURE, Scene};
use crate::server::int;

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let mut rows = accounts(scene).await;
    rows.extend(accesses(scene).await);
    rows.extend(invitations(scene).await);
    rows
}

async fn accounts(scene: &Scene) -> Vec<Row> {
    let (server, company) = (&scene.server, scene.company);
    let analyst = &scene.place.member;
    let nobody = json!({"email": "nobody@people.example", "password": "Correct-horse-7"});
    let nobodys = server.post("/api/v1/users/login").json(&nobody);
    let malformed = server.post("/api/v1/users/login");
    let malformed = malformed.json(&json!({"email": "no", "password": "x"}));
    let reset = json!({"email": "ana@people.example"});
    let reset = || server.post("/api/v1/users/reset_password").json(&reset);
    reset().expect(200).await;
    let terms = format!("/users/{}/onboarding/terms_and_conditions", scene.ana.id);
    let wrong_terms = scene.put(terms, &json!({"legal_term_id": 999_999}));
    let identity = format!("/users/{}/providers", scene.ana.id);
    let identity = scene.post(
        identity,
        &json!({"provider": "nobody", "id_token": "x.y.z"}),
    );
    let link = json!({"token": "x", "password": "Correct-horse-7-battery"});
    let grant = json!([{"company_id": company, "access_id": 4}]);
    let with = |more: serde_json::Value| {
        let mut body = json!({"first_name": "B", "email": "b@people.example"});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("fields").clone());
        body
    };
    let sign_up = |more| server.post("/api/v1/users").json(&with(more));
    let (create, login) = ("POST /users", "POST /users/login");
    vec![
        Row::new(login, 401, "wrong_credentials", &[], nobodys),
        Row::new(login, 401, "wrong_credentials", &[], malformed),
        Row::new(
            "POST /users/reset_password",
            409,
            "requested_recently",
            &[],
            reset(),
        ),
        Row::new(
            "POST /users/email/prove/resend",
            409,
            "requested_recently",
            &[],
            scene.post("/users/email/prove/resend", &json!({})),
        ),
        Row::new(
            "PUT /users/email/prove",
            422,
            "invalid_token",
            &["token"],
            server.put("/api/v1/users/email/prove").json(&link),
        ),
        Row::new(
            "PUT /users/password",
            422,
            "invalid_token",
            &["token"],
            server.put("/api/v1/users/password").json(&link),
        ),
        Row::new(
            "PUT /users/{user_id}/onboarding/terms_and_conditions",
            422,
            "not_current_terms",
            &["legal_term_id"],
            wrong_terms,
        ),
        Row::new(
            "POST /users/{user_id}/providers",
            422,
            "validation",
            &["provider"],
            identity,
        ),
        Row::new(
            create,
            403,
            "forbidden",
            &[],
            sign_up(json!({"user_accesses_attributes": grant})).token(&analyst.token),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["user_accesses_attributes"],
            sign_up(json!({"user_accesses_attributes": grant})),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["user_accesses_attributes[0].company_id"],
            sign_up(json!({"user_accesses_attributes": grant})).token(&scene.eve.token),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["invitation_code"],
            sign_up(json!({"invitation_code": "x"})),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["password"],
            sign_up(json!({"password": "weak"})),
        ),
        Row::new(
            create,
            422,
            "email_taken",
            &["email"],
            sign_up(json!({"email": " ANA@people.example"})),
        ),
        Row::new(
            "GET /users/find_by_email",
            404,
            "not_found",
            &[],
            scene.get("/users/find_by_email?email=nobody@people.example"),
        ),
        Row::new(
            "GET /users/find_by_email",
            404,
            "not_found",
            &[],
            scene.get(format!("/users/find_by_email?email={}", scene.eve.email)),
        ),
        Row::new(
            "PUT /users/{id}",
            403,
            "forbidden",
            &[],
            scene.put(
                format!("/users/{}", analyst.id),
                &json!({"password": "Correct-horse-7-battery"}),
            ),
        ),
        Row::new(
            "PUT /users/{id}",
            422,
            "validation",
            &["lang", "phone_number", "currency"],
            scene.put(
                format!("/users/{}", scene.ana.id),
                &json!({"lang": "xx-!", "phone_number": "x", "currency": "x"}),
            ),
        ),
        Row::new(
            "PUT /users/avatar",
            404,
            "not_found",
            &[],
            scene.put(
                "/users/avatar",
                &json!({"user_id": scene.eve.id, "avatar_base64": PICTURE}),
            ),
        ),
        Row::new(
            "PUT /users/avatar",
            422,
            "validation",
            &["avatar_base64"],
            scene.put("/users/avatar", &json!({"avatar_base64": "AAAA"})),
        ),
        Row::new(
            "DELETE /users/avatar",
            422,
            "validation",
            &["user_id"],
            scene
                .delete(format!("/users/avatar?user_id={}", scene.ana.id))
                .json(&json!({"user_id": scene.eve.id})),
        ),
        Row::new(
            "DELETE /users/avatar",
            404,
            "not_found",
            &[],
            scene.delete(format!("/users/avatar?user_id={}", scene.eve.id)),
        ),
    ]
}

async fn accesses(scene: &Scene) -> Vec<Row> {
    let (ana, company, member) = (&scene.ana, scene.company, &scene.place.member);
    let held = scene
        .get(format!("/users/{}/user_access", ana.id))
        .expect(200)
        .await;
    let own = int(&held["user_accesses"][0]["id"]);
    let own = format!("/users/{}/user_access/{own}", ana.id);
    let of_member = format!("/users/{}/user_access", member.id);
    let again = json!({"company_id": company, "access_id": 4});
    let foreign = json!({"company_id": 999_999, "access_id": 4});
    let (create, change) = (
        "POST /users/{user_id}/user_access",
        "PUT /users/{user_id}/user_access/{user_access_id}",
    );
    vec![
        Row::new(
            create,
            422,
            "already_has_access",
            &["company_id"],
            scene.post(&of_member, &again),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["company_id"],
            scene.post(&of_member, &foreign),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["access_id"],
            scene.post(&of_member, &json!({"company_id": company, "access_id": 7})),
        ),
        Row::new(
            change,
            422,
            "last_owner",
            &[],
            scene.put(&own, &json!({"access_id": 2})),
        ),
        Row::new(
            "DELETE /users/{user_id}/user_access/{user_access_id}",
            422,
            "last_owner",
            &[],
            scene.delete(&own),
        ),
    ]
}

async fn invitations(scene: &Scene) -> Vec<Row> {
    let (server, company) = (&scene.server, scene.company);
    let body = |email: &str| json!({"email": email, "company_id": company, "access_id": 4});
    let code = |answer: serde_json::Value| {
        let code = answer["invitation"]["code"].as_str();
        code.expect("a code").to_owned()
    };
    let revoked = scene
        .made("/invitations", &body("gone@people.example"))
        .await;
    let id = int(&revoked["invitation"]["id"]);
    scene.delete(format!("/invitations/{id}")).expect(200).await;
    let revoked = code(revoked);
    let bob = server.sign_up("Bob").await;
    let for_bob = code(scene.made("/invitations", &body(&bob.email)).await);
    let used = server.sign_up("Cleo").await;
    let for_cleo = code(scene.made("/invitations", &body(&used.email)).await);
    let accept = |code: &str| server.post(format!("/api/v1/invitations/{code}/accept"));
    // Cleo becomes a member in another way before she accepts.
    let grant = json!({"company_id": company, "access_id": Role::Agent.id()});
    let cleo = format!("/api/v1/users/{}/user_access", used.id);
    server
        .post(cleo)
        .token(&scene.owner.token)
        .json(&grant)
        .expect(201)
        .await;
    let (create, show) = ("POST /invitations", "GET /invitations/{code}");
    let accepting = "POST /invitations/{code}/accept";
    vec![
        Row::new(
            create,
            404,
            "not_found",
            &[],
            scene.post(
                "/invitations",
                &json!({"email": "x@people.example", "company_id": 999_999, "access_id": 4}),
            ),
        ),
        Row::new(
            create,
            409,
            "already_invited",
            &[],
            scene.post("/invitations", &body(&bob.email)),
        ),
        Row::new(
            create,
            409,
            "already_member",
            &[],
            scene.post("/invitations", &body(&scene.place.member.email)),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["access_id", "email"],
            scene.post(
                "/invitations",
                &json!({"email": "no", "company_id": company, "access_id": 7}),
            ),
        ),
        Row::new(
            show,
            410,
            "invitation_revoked",
            &[],
            server.get(format!("/api/v1/invitations/{revoked}")),
        ),
        Row::new(
            accepting,
            403,
            "forbidden",
            &[],
            accept(&for_bob).token(&scene.eve.token),
        ),
        Row::new(
            accepting,
            410,
            "invitation_revoked",
            &[],
            accept(&revoked).token(&server.sign_up("Gone").await.token),
        ),
        Row::new(
            accepting,
            422,
            "already_has_access",
            &["company_id"],
            accept(&for_cleo).token(&used.token),
        ),
        Row::new(
            "GET /invitations/pending",
            403,
            "forbidden",
            &[],
            server
                .get(format!("/api/v1/invitations/pending?email={}", bob.email))
                .token(&bob.token),
        ),
    ]
}
