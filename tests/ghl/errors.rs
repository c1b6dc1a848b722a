//! Error bodies exactly of this dialect, for every error; rate limits; no 5xx for anything that a client sends.

use axum::http::Method;
use serde_json::{Value, json};

use crate::agency::{Agency, token};
use crate::server::Answer;

/// Never V1's problem, always this dialect's shape.
#[track_caller]
fn assert_shape(answer: &Answer) {
    let body = &answer.body;
    assert!(
        (400..500).contains(&answer.status),
        "{}: {body}",
        answer.status
    );
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json"),
        "{:?}",
        answer.headers
    );
    assert_eq!(body["statusCode"], answer.status, "{body}");
    assert_eq!(body["message"].is_array(), answer.status == 422, "{body}");
    for key in body.as_object().expect("an object").keys() {
        assert!(
            ["statusCode", "message", "error"].contains(&key.as_str()),
            "{body}"
        );
    }
    let bare = answer.status == 400 || answer.status == 404;
    assert_eq!(body["error"].is_null(), bare, "{body}");
}

#[tokio::test]
async fn versions_and_tokens_are_checked_in_the_dialects_words() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let path = format!("/users/search?companyId={}", agency.id);
    let unauthorized =
        |message: &str| json!({"statusCode": 401, "message": message, "error": "Unauthorized"});
    let call = server.get(&path).token(&agency.token);
    assert_eq!(
        call.expect(401).await,
        unauthorized("version header was not found.")
    );
    for version in ["2019-01-01", "bogus", ""] {
        let call = server
            .get(&path)
            .token(&agency.token)
            .header("version", version);
        assert_eq!(
            call.expect(401).await,
            unauthorized("version header is invalid")
        );
    }
    let call = server.get(&path).header("version", "v3");
    assert_eq!(
        call.expect(401).await,
        unauthorized("Invalid token: access token is invalid")
    );
    let unknown = "pit-9f0c9a52-4b6d-4a35-9a55-0e5a3d6c7b21";
    for wrong in [unknown, "pit-", "pit-%00"] {
        let call = server.get(&path).token(wrong).header("version", "v3");
        assert_eq!(
            call.expect(401).await,
            unauthorized("Invalid Private Integration token")
        );
    }
    for wrong in ["eyJhbGciOiJub25lIn0.e30.", agency.owner.token.as_str()] {
        let call = server.get(&path).token(wrong).header("version", "v3");
        assert_eq!(call.expect(401).await, unauthorized("Invalid JWT"));
    }
}

#[tokio::test]
async fn a_missing_scope_is_401() {
    let agency = Agency::start().await;
    let server = &agency.server;
    let reader = token(server, &agency.owner, agency.id, &["users.readonly"]).await;
    let writer = token(
        server,
        &agency.owner,
        agency.id,
        &["users.write", "leads.readonly"],
    )
    .await;
    let owner = format!("/users/{}", agency.owner.id);
    let search = format!("/users/search?companyId={}", agency.id);
    let by_location = format!("/users/?locationId={}", agency.north);
    let operations = [
        (Method::GET, search.as_str(), true),
        (Method::POST, "/users/search/filter-by-email", true),
        (Method::GET, owner.as_str(), true),
        (Method::GET, by_location.as_str(), true),
        (Method::POST, "/users/", false),
        (Method::PUT, owner.as_str(), false),
        (Method::DELETE, owner.as_str(), false),
    ];
    for (method, path, reads) in operations {
        for (token, allowed) in [(&reader, reads), (&writer, !reads)] {
            let call = server.call(method.clone(), path).token(token);
            let body = json!({"companyId": "x"});
            let answer = call.header("version", "v3").json(&body).answer().await;
            if allowed {
                assert_ne!(answer.status, 401, "{method} {path}: {}", answer.body);
            } else {
                assert_shape(&answer);
                assert_eq!(
                    answer.body["message"],
                    "The token is not authorized for this scope."
                );
            }
        }
    }
}

#[tokio::test]
async fn whatever_a_client_sends_is_answered_in_this_dialect() {
    let agency = Agency::start().await;
    let user = agency.create("Ana", json!({})).await;
    let path = Agency::path(&user);
    let raw = |method: Method, path: &str, body: &[u8]| agency.call(method, path).raw(body);
    let deep = "[".repeat(5_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"x\"",
        b"\xff\xfe",
        deep.as_bytes(),
        br#"{"email": {"a": 1}, "companyId": [1], "emails": 7, "firstName": 1e999}"#,
        br#"{"firstName": "\u0000", "companyId": "\u0000", "locationIds": [null], "emails": "\u0000"}"#,
    ];
    for prefix in ["", "/v3"] {
        for body in bodies {
            for (method, path) in [
                (Method::POST, "/users/"),
                (Method::POST, "/users"),
                (Method::POST, "/users/search/filter-by-email"),
                (Method::PUT, path.as_str()),
            ] {
                let answer = raw(method, &format!("{prefix}{path}"), body).answer().await;
                assert_shape(&answer);
            }
        }
        for (method, path, status) in [
            (Method::GET, "/users/%7BuserId%7D", 404),
            (Method::PUT, "/users/%7BuserId%7D", 400),
            (Method::DELETE, "/users/%7BuserId%7D", 404),
            (Method::GET, "/users/ve9EPM428h8vShlRW1KT", 404),
            (Method::GET, "/users/99999999999999999999999", 404),
            (Method::GET, "/users/-1", 404),
            (Method::GET, "/users/%00", 404),
            (Method::GET, "/users/%FF", 400),
            (Method::GET, "/users/1/more", 404),
            (Method::GET, "/users/search/else/where", 404),
            (Method::PATCH, "/users/1", 405),
            (Method::DELETE, "/users/", 405),
            (Method::PUT, "/users", 405),
            (Method::DELETE, "/users/search/filter-by-email", 405),
            (Method::GET, "/users/?locationId=%FF", 422),
            (Method::GET, "/users/", 422),
            (Method::GET, "/users/?locationId=x", 403),
        ] {
            let path = format!("{prefix}{path}");
            let answer = agency.call(method.clone(), &path).answer().await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
            assert_shape(&answer);
            assert_eq!(answer.header("allow").is_empty(), status != 405);
        }
    }
    let answer = agency.get("/v3/else").answer().await;
    assert_shape(&answer);
    assert_eq!(answer.status, 404);
    // Too large, a header out of form, a key used twice.
    let large = vec![b' '; 3 * 1024 * 1024];
    let answer = raw(Method::POST, "/users/", &large).answer().await;
    assert_eq!(answer.status, 413);
    assert_shape(&answer);
    for (name, value) in [
        ("if-match", "x"),
        ("idempotency-key", "a b"),
        ("x-reason", "a\u{1}"),
    ] {
        let Ok(_) = axum::http::HeaderValue::from_bytes(value.as_bytes()) else {
            continue;
        };
        let answer = agency
            .put(&path, &json!({}))
            .header(name, value)
            .answer()
            .await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.body);
        assert_shape(&answer);
    }
    let key = |body: Value| agency.put(&path, &body).header("idempotency-key", "once");
    key(json!({"firstName": "Anabel"})).expect(200).await;
    let answer = key(json!({"firstName": "Anabella"})).answer().await;
    assert_eq!(answer.status, 409);
    assert_shape(&answer);
    let answer = agency
        .put(&path, &json!({}))
        .header("if-match", "\"1\"")
        .answer()
        .await;
    assert_eq!(answer.status, 409);
    assert_shape(&answer);
}

#[tokio::test]
async fn nobody_without_a_token_gets_past_the_door() {
    let agency = Agency::start().await;
    for (method, path) in [
        (Method::GET, "/users/search"),
        (Method::POST, "/users/search/filter-by-email"),
        (Method::GET, "/users/1"),
        (Method::PUT, "/users/1"),
        (Method::DELETE, "/users/1"),
        (Method::POST, "/users"),
        (Method::GET, "/v3/users/"),
    ] {
        let answer = agency
            .server
            .call(method.clone(), path)
            .raw("{")
            .answer()
            .await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_shape(&answer);
        let call = agency
            .server
            .call(method.clone(), path)
            .header("idempotency-key", "k");
        let answer = call.token("junk").raw("{").answer().await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_shape(&answer);
    }
}

#[tokio::test]
async fn requests_are_counted_per_token_and_told() {
    let agency = Agency::start().await;
    let path = format!("/users/{}", agency.owner.id);
    let first = agency.get(&path).expect_answer(200).await;
    assert_eq!(first.header("x-ratelimit-limit-daily"), "200000");
    assert_eq!(first.header("x-ratelimit-daily-remaining"), "199999");
    assert_eq!(first.header("x-ratelimit-interval-milliseconds"), "10000");
    assert_eq!(first.header("x-ratelimit-max"), "100");
    assert_eq!(first.header("x-ratelimit-remaining"), "99");
    // Refusals count and tell too.
    let refused = agency.get("/users/0").expect_answer(404).await;
    assert_eq!(refused.header("x-ratelimit-remaining"), "98");
    let calls = (0..120).map(|_| agency.get(&path).answer());
    let answers = futures::future::join_all(calls).await;
    let passed = answers.iter().filter(|a| a.status == 200).count();
    let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
    // A slow machine may see the next window begin.
    assert!(
        passed >= 98 && passed + refused.len() == 120,
        "{passed} passed"
    );
    let refused = refused.first().expect("one too many");
    let body =
        json!({"statusCode": 429, "message": "Too Many Requests", "error": "Too Many Requests"});
    assert_eq!(refused.body, body);
    assert!((1..=10).contains(&refused.header("retry-after").parse::<i64>().unwrap()));
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    let other = token(
        &agency.server,
        &agency.owner,
        agency.id,
        &["users.readonly"],
    )
    .await;
    let call = agency
        .server
        .get(&path)
        .token(&other)
        .header("version", "v3");
    assert_eq!(
        call.expect_answer(200)
            .await
            .header("x-ratelimit-remaining"),
        "99"
    );
}
