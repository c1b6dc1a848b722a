//! Lists of leads that have changed many times since, or not at all, as of every moment: pages in all orders, walked to their end.

use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

const LEADS: i64 = 24;
/// How often every lead is changed; far more rows come to stand beside those that held at a moment than a page has.
const CHANGES: i64 = 8;
const ORDERS: [&str; 9] = [
    "per_page=2",
    "per_page=2&sort=created_at",
    "per_page=3&sort=full_name",
    "per_page=1&sort=-full_name",
    "per_page=2&sort=updated_at",
    "per_page=5&sort=-id",
    "per_page=2&stage_id=2",
    "per_page=2&search=r1&sort=full_name",
    "per_page=100",
];

/// The rows of each list, walked by cursor, and of the page in its middle, asked by its number.
async fn walked(server: &TestServer, who: &Person, leads: &str, moment: &str) -> Vec<Vec<Value>> {
    let mut lists = Vec::new();
    for (path, orders) in [
        (leads.to_owned(), &ORDERS[..]),
        (format!("{leads}/unassigned"), &ORDERS[..1]),
    ] {
        for order in orders {
            let mut rows = Vec::new();
            let mut from = "&page=3".to_owned();
            loop {
                let query = format!("{path}?{order}{from}{moment}");
                let page = server.get(query).token(&who.token).expect(200).await;
                rows.extend(page["leads"].as_array().expect("rows").iter().cloned());
                if from == "&page=3" {
                    from.clear();
                    continue;
                }
                let Some(next) = page["meta"]["next_cursor"].as_str() else {
                    break;
                };
                from = format!("&cursor={next}");
            }
            lists.push(rows);
        }
    }
    lists
}

#[tokio::test]
async fn every_list_is_what_it_was_however_often_its_leads_changed_since() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let leads = format!("/api/v1/companies/{company}/leads");
    let mut made = Vec::new();
    for n in 0..LEADS {
        let name = format!("R{}", (n * 7) % LEADS);
        let lead = server
            .lead(&ana, company, json!({"first_name": name}))
            .await;
        made.push(int(&lead["id"]));
    }
    let mut then = Vec::new();
    for change in 0..=CHANGES {
        let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
        then.push((position, walked(&server, &ana, &leads, "").await));
        for (n, lead) in made.iter().enumerate() {
            // The last change leaves half of them as they are.
            if change == CHANGES || (change == CHANGES - 1 && n % 2 == 0) {
                continue;
            }
            let turn = i64::try_from(n).unwrap() * 5 + change;
            let body =
                json!({"first_name": format!("R{}", turn % LEADS), "stage_id": 1 + turn % 4});
            let path = format!("/api/v1/leads/{lead}");
            server
                .put(path)
                .token(&ana.token)
                .json(&body)
                .expect(200)
                .await;
        }
    }
    for (position, lists) in then {
        let moment = format!("&as_of={position}");
        let found = walked(&server, &ana, &leads, &moment).await;
        for (n, (found, wanted)) in found.iter().zip(&lists).enumerate() {
            assert_eq!(found, wanted, "list {n} as of {position}");
        }
    }
    server.assert_sound().await;
}
