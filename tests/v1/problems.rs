//! Errors: RFC 9457 problems that name the field, and never a fault of the server for what a client sends.

use axum::http::Method;
use serde_json::json;

use crate::server::{Answer, TestServer, int};

/// An answer as RFC 9457 wants it, with the members that this API adds.
#[track_caller]
pub fn assert_problem(answer: &Answer) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{}",
        answer.body
    );
    let body = &answer.body;
    for key in ["type", "title", "detail", "code", "instance"] {
        assert!(
            body[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key} in {body}"
        );
    }
    assert_eq!(body["status"], answer.status);
    assert_eq!(
        body["instance"],
        format!("/requests/{}", answer.header("x-request-id"))
    );
    if answer.status == 422 {
        assert!(
            body["errors"].is_object() || body["code"] != "validation",
            "{body}"
        );
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for (call, status) in [
        (server.get("/api/v1/users"), 401),
        (server.get("/api/v1/nothing").token(&ana.token), 404),
        (server.get("/api/v1/leads/1").token(&ana.token), 404),
        (server.get("/api/v1/leads/x").token(&ana.token), 400),
        (server.get("/api/v1/users?page=x").token(&ana.token), 400),
        (
            server
                .call(Method::PATCH, "/api/v1/users")
                .token(&ana.token),
            405,
        ),
        (server.delete("/api/v1/stages").token(&ana.token), 405),
        (
            server.post("/api/v1/companies").token(&ana.token).raw("{"),
            400,
        ),
        (
            server
                .post("/api/v1/companies")
                .token(&ana.token)
                .json(&json!({})),
            422,
        ),
        (
            server
                .post("/api/v1/companies")
                .token(&ana.token)
                .header("content-type", "text/plain")
                .raw("{}"),
            415,
        ),
        (
            server
                .post("/api/v1/companies")
                .token(&ana.token)
                .raw(" ".repeat(3 * 1024 * 1024)),
            413,
        ),
    ] {
        assert_problem(&call.expect_answer(status).await);
    }
    let unauthorized = server.get("/api/v1/users").expect_answer(401).await;
    assert_eq!(unauthorized.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn a_malformed_body_is_refused_by_every_operation_that_takes_one() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server
        .member(company, &ana, aggregates::access::Role::Agent, "Bob")
        .await;
    let lead = server.lead(&ana, company, json!({"first_name": "A"})).await;
    let operations = [
        (Method::POST, "/api/v1/users".to_owned()),
        (Method::POST, "/api/v1/users/login".to_owned()),
        (Method::PUT, format!("/api/v1/users/{}", ana.id)),
        (
            Method::POST,
            format!("/api/v1/users/{}/user_access", bob.person.id),
        ),
        (
            Method::PUT,
            format!(
                "/api/v1/users/{}/user_access/{}",
                bob.person.id, bob.access_id
            ),
        ),
        (Method::POST, "/api/v1/companies".to_owned()),
        (Method::POST, format!("/api/v1/companies/{company}/leads")),
        (Method::PUT, format!("/api/v1/leads/{}", lead["id"])),
        (Method::POST, format!("/api/v1/leads/{}/notes", lead["id"])),
        (Method::POST, "/api/v1/invitations".to_owned()),
    ];
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies: [&[u8]; 13] = [
        b"",
        b"  ",
        b"{",
        b"not json",
        b"[]",
        b"7",
        b"null",
        b"\"text\"",
        b"{\"email\": \"\\u0000\"}",
        b"{\"\\u0000\": 1}",
        b"\xff\xfe{}",
        b"{\"email\":1e999}",
        deep.as_bytes(),
    ];
    for (method, path) in &operations {
        for body in bodies {
            let answer = server
                .call(method.clone(), path)
                .token(&ana.token)
                .raw(body)
                .answer()
                .await;
            let sent = String::from_utf8_lossy(&body[..body.len().min(30)]);
            assert!(
                matches!(answer.status, 400 | 422),
                "{method} {path} {sent}: {} {}",
                answer.status,
                answer.body
            );
            assert_problem(&answer);
            assert!(
                answer.body["errors"].is_object(),
                "{method} {path} {sent}: {}",
                answer.body
            );
        }
    }
}

#[tokio::test]
async fn odd_tokens_are_refused_and_not_ignored() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let path = "/api/v1/users/validate_jwt";
    let altered = format!("{}x", ana.token);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIiwiaXNzIjoibGVhZGxlZGdlciIsImV4cCI6OTk5OTk5OTk5OSwiaWF0IjoxLCJqdGkiOiJhIiwiZXBvY2giOjB9.";
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic b3duZXI6eA==",
        &format!("Token {}", ana.token),
        &altered,
        &format!("Bearer {altered}"),
        unsigned,
    ] {
        server
            .get(path)
            .header("authorization", value)
            .expect(401)
            .await;
    }
    for value in [
        format!("bearer {}", ana.token),
        format!("BEARER   {}", ana.token),
    ] {
        server
            .get(path)
            .header("authorization", &value)
            .expect(200)
            .await;
    }
    // Where no token is needed a bad one is refused all the same.
    let body = json!({"first_name": "A", "email": "a@example.com"});
    server
        .post("/api/v1/users")
        .token("bad")
        .json(&body)
        .expect(401)
        .await;
}

#[tokio::test]
async fn odd_queries_and_paths_are_no_fault_of_the_server() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lists = [
        "/api/v1/users".to_owned(),
        "/api/v1/companies".to_owned(),
        format!("/api/v1/users/{}/user_access", ana.id),
        format!("/api/v1/companies/{company}/users"),
        format!("/api/v1/companies/{company}/leads"),
        format!("/api/v1/companies/{company}/leads/duplicates"),
        format!("/api/v1/companies/{company}/leads/unassigned"),
        format!("/api/v1/companies/{company}/leads/metrics"),
    ];
    let long = format!("search={}", "x".repeat(5000));
    let odd = [
        "search=%00",
        "search=%FF",
        "search=%",
        "search=%5C",
        "search=''%3B--",
        "status=%00",
        "status=x",
        "page=1&page=2",
        "cursor=MQ",
        "cursor=W10",
        "cursor=eyJuYW1lIjpbIlx1MDAwMCIsMV19",
        "cursor=OTIyMzM3MjAzNjg1NDc3NTgwNw",
        "cursor=WzEsMl0",
        "cursor=%00",
        "per_page=1e3",
        "company_id=-1",
        "company_id=9223372036854775807",
        "created_from=0001-01-01",
        "created_to=9999-12-31",
        "=",
        "&&&",
        "a[b]=c",
        &long,
    ];
    for path in &lists {
        for query in odd {
            let answer = server
                .get(format!("{path}?{query}"))
                .token(&ana.token)
                .answer()
                .await;
            assert!(
                answer.status < 500,
                "{path}?{query}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    for path in [
        "/api/v1/leads/%00",
        "/api/v1/leads/%FF",
        "/api/v1/leads/-9223372036854775808",
        "/api/v1/leads/99999999999999999999",
        "/api/v1//leads",
        "/api/v1/leads/1/",
    ] {
        let answer = server.get(path).token(&ana.token).answer().await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
}

#[tokio::test]
async fn answers_to_a_caller_are_not_to_be_kept() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let answer = server
        .get("/api/v1/users/validate_jwt")
        .token(&ana.token)
        .expect_answer(200)
        .await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn answers_fit_the_document() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").expect(200).await;
    for path in ["/api/v1/users/password", "/api/v1/users/email/prove"] {
        let form = server.post(path).form("lang=es".to_owned());
        let answer = form.expect_answer(422).await;
        assert_problem(&answer);
        let described = &document["paths"][path]["post"]["responses"]["422"]["content"];
        for media_type in ["text/html", "application/problem+json"] {
            assert!(described[media_type].is_object(), "{path}: {described}");
        }
    }
    let schemas = &document["components"]["schemas"];
    // A form that is a part of another form cannot be one of two.
    assert_eq!(schemas["InviterView"]["type"], "object");
    // Both dialects have a `Message`; each must be described by its own.
    assert_eq!(schemas["Message"]["type"], "object");
    let texts = &schemas["UsersV3Message"]["oneOf"];
    assert_eq!(texts[0]["type"], "string", "{texts}");
    assert_eq!(texts[1]["type"], "array", "{texts}");
}

#[tokio::test]
async fn a_database_that_is_away_is_not_taken_for_a_thing_that_is_not_there() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server.lead(&ana, company, json!({"first_name": "L"})).await["id"]);
    // Whoever signs up ends what is remembered of companies; who Ana is, is remembered again, and her company is not.
    server.sign_up("Bea").await;
    let me = server.get("/api/v1/users/validate_jwt").token(&ana.token);
    me.expect(200).await;
    server.app.pool.today().close().await;
    for path in [
        format!("/api/v1/leads/{lead}"),
        format!("/api/v1/leads/{lead}/reads"),
        format!("/api/v1/leads/{lead}/history"),
        format!("/api/v1/leads/{lead}/evidence"),
        format!("/api/v1/leads/{lead}/legal_holds"),
    ] {
        let answer = server.get(&path).token(&ana.token).answer().await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.text);
    }
}
