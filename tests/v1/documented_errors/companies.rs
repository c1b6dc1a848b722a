//! Rules about companies: their tree, pictures, plans and integration tokens.

use serde_json::json;

use super::Row;
use super::scene::{PICTURE, Scene};
use crate::server::int;

pub async fn rows(scene: &Scene) -> Vec<Row> {
    let mut rows = tree(scene).await;
    rows.extend(plans(scene).await);
    rows
}

async fn tree(scene: &Scene) -> Vec<Row> {
    let (company, member) = (scene.company, &scene.place.member);
    let below = json!({"name": "Below", "parent_company_id": company});
    let below = int(&scene.made("/companies", &below).await["company"]["id"]);
    let here = format!("/companies/{company}");
    let (create, change) = ("POST /companies", "PUT /companies/{id}");
    vec![
        Row::new(
            create,
            403,
            "forbidden",
            &[],
            scene
                .server
                .post("/api/v1/companies")
                .token(&member.token)
                .json(&json!({"name": "B", "parent_company_id": company})),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["parent_company_id"],
            scene.post(
                "/companies",
                &json!({"name": "B", "parent_company_id": 999_999}),
            ),
        ),
        Row::new(
            create,
            422,
            "validation",
            &["region"],
            scene.post("/companies", &json!({"name": "B", "region": "XX"})),
        ),
        Row::new(
            change,
            422,
            "cycle",
            &["parent_company_id"],
            scene.put(&here, &json!({"parent_company_id": below})),
        ),
        Row::new(
            change,
            422,
            "no_owner",
            &["parent_company_id"],
            scene.put(
                format!("/companies/{below}"),
                &json!({"parent_company_id": null}),
            ),
        ),
        Row::new(
            "PUT /companies/avatar",
            404,
            "not_found",
            &[],
            scene.put(
                "/companies/avatar",
                &json!({"company_id": 999_999, "avatar_base64": PICTURE}),
            ),
        ),
        Row::new(
            "PUT /companies/avatar",
            422,
            "validation",
            &["avatar_base64"],
            scene.put(
                "/companies/avatar",
                &json!({"company_id": company, "avatar_base64": "AAAA"}),
            ),
        ),
        Row::new(
            "DELETE /companies/avatar",
            404,
            "not_found",
            &[],
            scene.delete("/companies/avatar?company_id=999999"),
        ),
        Row::new(
            "DELETE /companies/avatar",
            422,
            "validation",
            &["company_id"],
            scene.delete("/companies/avatar"),
        ),
    ]
}

async fn plans(scene: &Scene) -> Vec<Row> {
    let free = int(&scene.made("/companies", &json!({"name": "Free"})).await["company"]["id"]);
    let never = int(&scene.made("/companies", &json!({"name": "Never"})).await["company"]["id"]);
    let membership = format!("/companies/{free}/membership");
    scene
        .made(format!("{membership}?membership_id=1"), &json!({}))
        .await;
    let users = format!("/companies/{free}/users");
    let grant = |n: i32| {
        json!({"first_name": "N", "email": format!("free{n}@people.example"),
        "user_accesses_attributes": [{"company_id": free, "access_id": 5}]})
    };
    let plan = scene.get("/memberships/1").expect(200).await;
    let limit = int(&plan["membership"]["limits"]["users"]);
    for n in 1..limit {
        scene
            .made("/users", &grant(i32::try_from(n).expect("a small limit")))
            .await;
    }
    assert_eq!(
        scene.get(users).expect(200).await["meta"]["total_count"],
        limit
    );
    let tokens = format!("/companies/{free}/integration_tokens");
    let (attach, cancel) = (
        "POST /companies/{company_id}/membership",
        "POST /companies/{company_id}/membership/cancel",
    );
    vec![
        Row::new(
            attach,
            400,
            "malformed_query",
            &["membership_id"],
            scene.post(&membership, &json!({})),
        ),
        Row::new(
            attach,
            422,
            "validation",
            &["membership_id"],
            scene.post(format!("{membership}?membership_id=9"), &json!({})),
        ),
        Row::new(
            cancel,
            422,
            "not_subscribed",
            &[],
            scene.post(format!("/companies/{never}/membership/cancel"), &json!({})),
        ),
        Row::new(
            "GET /companies/{company_id}/membership",
            404,
            "not_found",
            &[],
            scene.get(format!("/companies/{never}/membership")),
        ),
        Row::new(
            "POST /users",
            422,
            "plan_limit",
            &["users"],
            scene.post("/users", &grant(1000)),
        ),
        Row::new(
            "POST /companies/{company_id}/integration_tokens",
            422,
            "validation",
            &["scopes[0]", "expires_at"],
            scene.post(
                tokens,
                &json!({"scopes": ["everything"], "expires_at": "2001-01-01T00:00:00Z"}),
            ),
        ),
    ]
}
