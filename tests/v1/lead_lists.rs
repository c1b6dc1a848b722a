//! The list of leads: filters, search, order, pages.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

/// A company with these leads, and their ids in order.
async fn with_leads(server: &TestServer, leads: Vec<Value>) -> (Person, i64, Vec<i64>) {
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut made = Vec::new();
    for lead in leads {
        made.push(int(&server.lead(&ana, company, lead).await["id"]));
    }
    (ana, company, made)
}

/// The ids that the list answers, in its order; the count must agree.
async fn list(server: &TestServer, who: &Person, company: i64, query: &str) -> Vec<i64> {
    let path = format!("/api/v1/companies/{company}/leads?{query}");
    let answer = server.get(path).token(&who.token).expect(200).await;
    assert_as_in("GET /api/v1/companies/{company_id}/leads", &answer);
    let found = ids(&answer["leads"]);
    assert_eq!(
        answer["meta"]["total_count"].as_i64(),
        i64::try_from(found.len()).ok(),
        "{query}"
    );
    found
}

#[tokio::test]
async fn a_lead_is_found_by_part_of_its_name_email_or_phone() {
    let server = TestServer::start().await;
    let (ana, company, made) = with_leads(&server, vec![
        json!({"first_name": "José", "last_name": "Muñoz", "email": "pepe@correo.example", "phone_number": "+52 55 1234 5678"}),
        json!({"first_name": "Ana_María", "email": "am@other.example", "phone_number": "+14155550123"}),
        json!({"first_name": "100% Sure"}),
    ]).await;
    let (jose, maria, sure) = (made[0], made[1], made[2]);
    for (text, expected) in [
        ("jose", vec![jose]),
        ("MUNOZ", vec![jose]),
        ("Jos%C3%A9", vec![jose]),
        ("jose+mu%C3%B1", vec![jose]),
        ("PEPE%40", vec![jose]),
        ("1234567", vec![jose]),
        ("5550123", vec![maria]),
        ("example", vec![maria, jose]),
        ("_", vec![maria]),
        ("%25", vec![sure]),
        ("%5C", vec![]),
        ("nobody", vec![]),
        ("%20", vec![sure, maria, jose]),
        ("", vec![sure, maria, jose]),
    ] {
        assert_eq!(
            list(&server, &ana, company, &format!("search={text}")).await,
            expected,
            "{text}"
        );
    }
    server
        .get(format!("/api/v1/companies/{company}/leads?search=%00"))
        .token(&ana.token)
        .expect(400)
        .await;
}

#[tokio::test]
async fn a_lead_is_found_by_its_phone_as_people_write_it() {
    let server = TestServer::start().await;
    let (ana, company, made) = with_leads(
        &server,
        vec![
            json!({"phone_number": "+14155550123"}),
            json!({"first_name": "B"}),
        ],
    )
    .await;
    for text in [
        "%2B14155550123",
        "4155550123",
        "415+555+0123",
        "415-555-0123",
        "%28415%29+555-0123",
    ] {
        assert_eq!(
            list(&server, &ana, company, &format!("search={text}")).await,
            made[..1],
            "{text}"
        );
    }
}

#[tokio::test]
async fn leads_are_filtered_by_everything_that_classifies_them() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let campaign = server.campaign(&ana, company, json!({"name": "C"})).await;
    let (web, fair) = (
        server.source(&ana, company, "Web").await,
        server.source(&ana, company, "Fair").await,
    );
    let north = server.territory(&ana, company, "North").await;
    let mut made = Vec::new();
    for body in [
        json!({"first_name": "A", "stage_id": 2, "source_id": web, "campaign_id": campaign, "territory_id": north}),
        json!({"first_name": "B", "stage_id": 2, "source_id": fair, "user_access_id": bob.access_id}),
        json!({"first_name": "C"}),
    ] {
        made.push(int(&server.lead(&ana, company, body).await["id"]));
    }
    let today = server.app.clock.now().date_naive();
    let (yesterday, tomorrow) = (today.pred_opt().unwrap(), today.succ_opt().unwrap());
    let access = bob.access_id;
    for (query, expected) in [
        ("stage_id=2".to_owned(), vec![1, 0]),
        ("stage_id=1".into(), vec![2]),
        ("stage_id=99".into(), vec![]),
        (format!("source_id={web}"), vec![0]),
        (format!("campaign_id={campaign}"), vec![0]),
        (format!("territory_id={north}"), vec![0]),
        ("territory_id=99".into(), vec![]),
        ("cycle_id=1".into(), vec![]),
        (format!("user_access_id={access}"), vec![1]),
        (format!("stage_id=2&source_id={fair}"), vec![1]),
        (format!("stage_id=1&source_id={fair}"), vec![]),
        (
            format!("created_from={yesterday}&created_to={tomorrow}"),
            vec![2, 1, 0],
        ),
        (format!("created_to={yesterday}"), vec![]),
        (format!("created_from={tomorrow}"), vec![]),
        ("stage_id=2&search=b".into(), vec![1]),
    ] {
        let expected: Vec<i64> = expected.into_iter().map(|n: usize| made[n]).collect();
        assert_eq!(
            list(&server, &ana, company, &query).await,
            expected,
            "{query}"
        );
    }
    for (field, value) in [
        ("stage_id", "x"),
        ("created_from", "yesterday"),
        ("created_to", "%2B262142-12-31"),
        ("created_from", "-262143-01-01"),
        ("created_to", "2024-02-30"),
        ("sort", "color"),
        ("user_access_id", "9223372036854775808"),
    ] {
        let path = format!("/api/v1/companies/{company}/leads?{field}={value}");
        let refused = server.get(path).token(&ana.token).expect(400).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
}

#[tokio::test]
async fn every_order_is_walked_by_cursor_and_by_page_without_gap_or_repeat() {
    let server = TestServer::start().await;
    let names = [
        "delta", "Álvaro", "bravo", "bravo", "Zulu", "charlie", "echo",
    ];
    let (ana, company, made) = with_leads(
        &server,
        names
            .iter()
            .map(|name| json!({"first_name": name}))
            .collect(),
    )
    .await;
    server
        .put(format!("/api/v1/leads/{}", made[2]))
        .token(&ana.token)
        .json(&json!({"stage_id": 2}))
        .expect(200)
        .await;
    for sort in [
        "created_at",
        "-created_at",
        "updated_at",
        "-updated_at",
        "id",
        "-id",
        "full_name",
        "-full_name",
    ] {
        let all = list(&server, &ana, company, &format!("sort={sort}")).await;
        let get = |query: String| {
            server
                .get(format!(
                    "/api/v1/companies/{company}/leads?sort={sort}&per_page=2{query}"
                ))
                .token(&ana.token)
                .expect(200)
        };
        let (mut by_cursor, mut by_page) = (Vec::new(), Vec::new());
        let mut cursor = String::new();
        loop {
            let page = get(cursor).await;
            by_cursor.extend(ids(&page["leads"]));
            let Some(next) = page["meta"]["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        for number in 1..=4 {
            let page = get(format!("&page={number}")).await;
            assert_eq!(page["meta"]["current_page"], number);
            assert_eq!(
                page["meta"]["prev_page"].as_i64(),
                (number > 1).then_some(number - 1)
            );
            assert_eq!(
                page["meta"]["next_page"].as_i64(),
                (number < 4).then_some(number + 1)
            );
            assert_eq!(page["meta"]["total_pages"], 4);
            by_page.extend(ids(&page["leads"]));
        }
        assert_eq!(by_cursor, all, "{sort}");
        assert_eq!(by_page, all, "{sort}");
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, made, "{sort}");
        if let Some(column) = sort.strip_prefix('-') {
            let mut up = list(&server, &ana, company, &format!("sort={column}")).await;
            up.reverse();
            assert_eq!(up, all, "{sort}");
        }
    }
    assert_eq!(
        list(&server, &ana, company, "sort=-updated_at").await[0],
        made[2]
    );
    assert_eq!(list(&server, &ana, company, "sort=id").await, made);
}

#[tokio::test]
async fn pages_have_limits() {
    let server = TestServer::start().await;
    let (ana, company, _) = with_leads(&server, vec![json!({"first_name": "A"}); 3]).await;
    let get = |query: &str| {
        server
            .get(format!("/api/v1/companies/{company}/leads?{query}"))
            .token(&ana.token)
    };
    let page = get("").expect(200).await;
    assert_eq!(page["meta"]["per_page"], 25);
    assert_eq!(page["meta"]["total_is_estimate"], false);
    assert_eq!(page["meta"]["next_cursor"], Value::Null);
    assert_eq!(
        get("per_page=100").expect(200).await["leads"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(get("page=2").expect(200).await["leads"], json!([]));
    get("page=9223372036854775807&per_page=1").expect(200).await;
    get("cursor=").expect(200).await;
    for (field, query) in [
        ("per_page", "per_page=0"),
        ("per_page", "per_page=101"),
        ("per_page", "per_page=-1"),
        ("per_page", "per_page=x"),
        ("page", "page=0"),
        ("page", "page=-1"),
        ("page", "page=9223372036854775807"),
        ("page", "page=1.5"),
        ("cursor", "cursor=rubbish"),
        ("cursor", "cursor=eyJpZCI6MX0"),
        (
            "cursor",
            "cursor=eyJ0aW1lIjpbLTgzMzQ2MDEyMjg4MDAwMDAwMDAsMV19",
        ),
    ] {
        let refused = get(query).expect(400).await;
        assert!(refused["errors"][field].is_array(), "{query}: {refused}");
    }
}

/// What a search shows is of one moment, whatever changes while it is answered: each lead contains the text and meets the filter.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_shows_nothing_that_it_was_not_for() {
    const LEADS: usize = 24;
    let server = TestServer::start().await;
    let lead = |_| json!({"first_name": "Ana", "last_name": "Toggle"});
    let (ana, company, made) = with_leads(&server, (0..LEADS).map(lead).collect()).await;
    let (server, ana) = (&server, &ana);
    let change = async |leads: &[i64]| {
        for round in 0..12 {
            for lead in leads {
                let (name, stage) = [("Plain", 2), ("Toggle", 3)][round % 2];
                let path = format!("/api/v1/leads/{lead}");
                let call = server.put(path).token(&ana.token);
                let body = json!({"last_name": name, "stage_id": stage});
                call.json(&body).expect(200).await;
            }
        }
    };
    let read = async |query: &str| {
        for _ in 0..120 {
            let path = format!("/api/v1/companies/{company}/leads?search=toggle&{query}");
            let answer = server.get(path).token(&ana.token).expect(200).await;
            let leads = answer["leads"].as_array().expect("leads");
            for lead in leads {
                assert_eq!(lead["last_name"], "Toggle", "{query}: {answer}");
                if query.contains("stage_id") {
                    assert_eq!(lead["stage"]["id"], 3, "{query}: {answer}");
                }
            }
            let all = usize::try_from(int(&answer["meta"]["total_count"]));
            assert_eq!(Ok(leads.len()), all, "{query}: {answer}");
        }
    };
    let (one, other) = made.split_at(LEADS / 2);
    tokio::join!(
        change(one),
        change(other),
        read("per_page=100"),
        read("per_page=100&sort=full_name"),
        read("per_page=100&stage_id=3"),
    );
}
