//! Duplicate leads: groups of one company's leads that share an e-mail or a phone.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

/// A company to make duplicates in.
struct Shop {
    server: TestServer,
    ana: Person,
    company: i64,
}

impl Shop {
    async fn open() -> Self {
        let server = TestServer::start().await;
        let ana = server.sign_up("Ana").await;
        let company = server.company(&ana, "Acme").await;
        Self {
            server,
            ana,
            company,
        }
    }

    async fn lead(&self, body: Value) -> i64 {
        int(&self.server.lead(&self.ana, self.company, body).await["id"])
    }

    async fn change(&self, lead: i64, body: Value) -> Value {
        let call = self
            .server
            .put(format!("/api/v1/leads/{lead}"))
            .token(&self.ana.token);
        call.json(&body).expect(200).await["lead"].take()
    }

    async fn duplicates(&self, query: &str) -> Value {
        let path = format!(
            "/api/v1/companies/{}/leads/duplicates?{query}",
            self.company
        );
        let answer = self
            .server
            .get(path)
            .token(&self.ana.token)
            .expect(200)
            .await;
        assert_as_in(
            "GET /api/v1/companies/{company_id}/leads/duplicates",
            &answer,
        );
        answer
    }

    /// The groups in order, each with its members in order.
    async fn groups(&self) -> Vec<Vec<i64>> {
        let answer = self.duplicates("per_page=100").await;
        let mut groups: Vec<(i64, Vec<i64>)> = Vec::new();
        for lead in answer["leads"].as_array().expect("leads") {
            let group = int(&lead["duplicate_group"]);
            match groups.last_mut() {
                Some((last, members)) if *last == group => members.push(int(&lead["id"])),
                _ => groups.push((group, vec![int(&lead["id"])])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }
}

#[tokio::test]
async fn leads_that_share_an_email_or_a_phone_are_a_group() {
    let shop = Shop::open().await;
    let a = shop
        .lead(json!({"first_name": "A", "email": "same@example.com"}))
        .await;
    let b = shop
        .lead(json!({"first_name": "B", "phone_number": "(415) 555-0100"}))
        .await;
    shop.lead(json!({"first_name": "Alone", "email": "alone@example.com"}))
        .await;
    assert_eq!(shop.groups().await, [[0; 0]; 0]);
    let c = shop
        .lead(json!({"first_name": "C", "email": " SAME@Example.com"}))
        .await;
    let d = shop
        .lead(json!({"first_name": "D", "phone_number": "+1 415 555 0100"}))
        .await;
    let mut groups = shop.groups().await;
    groups.sort();
    assert_eq!(groups, [[a, c], [b, d]]);
    let answer = shop.duplicates("").await;
    assert_eq!(answer["meta"]["total_count"], 4);
    for lead in answer["leads"].as_array().unwrap() {
        let id = int(&lead["id"]);
        let original = if id == a || id == c { a } else { b };
        assert_eq!(lead["duplicate"], id != original);
        assert_eq!(
            lead["duplicate_of_id"].as_i64(),
            (id != original).then_some(original)
        );
        assert_eq!(
            lead["matched_on"],
            if original == a {
                json!(["email"])
            } else {
                json!(["phone"])
            }
        );
        let one = shop
            .server
            .get(format!("/api/v1/leads/{id}"))
            .token(&shop.ana.token)
            .expect(200)
            .await;
        assert_eq!(one["lead"]["duplicate_of_id"], lead["duplicate_of_id"]);
    }
}

#[tokio::test]
async fn a_lead_that_matches_two_groups_joins_them_and_parts_them_when_it_changes() {
    let shop = Shop::open().await;
    let a = shop.lead(json!({"email": "a@example.com"})).await;
    let b = shop.lead(json!({"phone_number": "+14155550100"})).await;
    let bridge = shop
        .lead(json!({"email": "a@example.com", "phone_number": "+14155550100"}))
        .await;
    assert_eq!(shop.groups().await, [[a, b, bridge]]);
    let answer = shop.duplicates("").await;
    assert_eq!(answer["leads"][2]["matched_on"], json!(["email", "phone"]));
    assert_eq!(answer["leads"][2]["duplicate_of_id"], a);

    let changed = shop.change(bridge, json!({"email": null})).await;
    assert_eq!(changed["duplicate_of_id"], b);
    assert_eq!(shop.groups().await, [[b, bridge]]);
    let changed = shop
        .change(bridge, json!({"phone_number": "+14155550111"}))
        .await;
    assert_eq!(
        (&changed["duplicate"], &changed["duplicate_of_id"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(shop.groups().await, [[0; 0]; 0]);
    let changed = shop
        .change(a, json!({"phone_number": "+14155550111"}))
        .await;
    assert_eq!(changed["duplicate"], false);
    assert_eq!(shop.groups().await, [[a, bridge]]);
}

#[tokio::test]
async fn when_the_original_leaves_the_next_oldest_takes_its_place() {
    let shop = Shop::open().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(shop.lead(json!({"email": "same@example.com"})).await);
    }
    shop.change(made[0], json!({"email": "other@example.com"}))
        .await;
    let answer = shop.duplicates("").await;
    assert_eq!(ids(&answer["leads"]), made[1..]);
    assert_eq!(answer["leads"][0]["duplicate"], false);
    assert_eq!(answer["leads"][1]["duplicate_of_id"], made[1]);
}

#[tokio::test]
async fn leads_of_other_companies_are_no_duplicates() {
    let shop = Shop::open().await;
    let below = json!({"name": "Below", "parent_company_id": shop.company});
    let other = shop.server.company_with(&shop.ana, below).await;
    shop.lead(json!({"email": "same@example.com"})).await;
    let lead = shop
        .server
        .lead(&shop.ana, other, json!({"email": "same@example.com"}))
        .await;
    assert_eq!(lead["duplicate"], false);
    assert_eq!(shop.groups().await, [[0; 0]; 0]);
}

#[tokio::test]
async fn leads_that_come_in_at_once_are_still_found_to_be_duplicates() {
    let shop = Shop::open().await;
    let made =
        join_all((0..12).map(|n| {
            shop.lead(json!({"first_name": format!("L{n}"), "email": "rush@example.com"}))
        }))
        .await;
    let groups = shop.groups().await;
    assert_eq!(groups.len(), 1);
    let mut sorted = made.clone();
    sorted.sort_unstable();
    assert_eq!(groups[0], sorted);
    let answer = shop.duplicates("").await;
    let originals = answer["leads"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|lead| lead["duplicate"] == false);
    assert_eq!(originals.count(), 1);
}

#[tokio::test]
async fn the_groups_are_walked_by_cursor() {
    let shop = Shop::open().await;
    for n in 0..3 {
        for _ in 0..3 {
            shop.lead(json!({"email": format!("g{n}@example.com")}))
                .await;
        }
    }
    let all = ids(&shop.duplicates("").await["leads"]);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop.duplicates(&format!("per_page=2{cursor}")).await;
        found.extend(ids(&page["leads"]));
        let Some(next) = page["meta"]["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, all);
    assert_eq!(all.len(), 9);
    let groups = shop.groups().await;
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
}
