//! Whoever is blocked or erased today is like nobody as of any moment: else those who were found to be like them would tell their e-mail
//! and telephone.

use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// Groups of duplicates of which some members are to be blocked, and some others to look at beside them.
struct Shop {
    server: TestServer,
    ana: Person,
    company: i64,
    moment: i64,
}

/// A lead's id, the group that it is shown in, and what it was found by.
type Shown = (i64, i64, Vec<String>);

impl Shop {
    async fn open(leads: &[(&str, &str)]) -> (Self, Vec<i64>) {
        let server = TestServer::start().await;
        let ana = server.sign_up("Ana").await;
        let company = server.company(&ana, "Acme").await;
        let mut made = Vec::new();
        for (email, phone) in leads {
            let mut body = json!({"first_name": "Lead"});
            for (field, value) in [("email", email), ("phone_number", phone)] {
                if !value.is_empty() {
                    body[field] = json!(value);
                }
            }
            made.push(int(&server.lead(&ana, company, body).await["id"]));
        }
        let moment = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(server.database.pool())
            .await
            .expect("the ledger's end");
        let shop = Self {
            server,
            ana,
            company,
            moment,
        };
        (shop, made)
    }

    async fn step(&self, lead: i64, step: &str) {
        let path = format!("/api/v1/leads/{lead}/erasure");
        let body = json!({"step": step, "reason": "subject_request"});
        let call = self.server.post(path).token(&self.ana.token);
        call.json(&body).expect(200).await;
    }

    async fn get(&self, who: &Person, path: String) -> Value {
        self.server.get(path).token(&who.token).expect(200).await
    }

    /// The list as of the moment, walked by pages of so many, which its own number of rows has to agree with.
    async fn walked(&self, who: &Person, per_page: i64) -> Vec<Shown> {
        let list = format!(
            "/api/v1/companies/{}/leads/duplicates?as_of={}&per_page={per_page}",
            self.company, self.moment
        );
        let mut shown = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.get(who, format!("{list}{next}")).await;
            let rows = page["leads"].as_array().expect("rows");
            shown.extend(rows.iter().map(|lead| {
                let matched = serde_json::from_value(lead["matched_on"].clone()).expect("kinds");
                (int(&lead["id"]), int(&lead["duplicate_group"]), matched)
            }));
            let total = int(&page["meta"]["total_count"]);
            let Some(cursor) = page["meta"]["next_cursor"].as_str() else {
                assert_eq!(i64::try_from(shown.len()).expect("a number"), total);
                break;
            };
            next = format!("&cursor={cursor}");
        }
        for (n, one) in (1..).zip(&shown).filter(|_| per_page == 1) {
            let page = self.get(who, format!("{list}&page={n}")).await;
            assert_eq!(page["leads"][0]["id"], one.0, "page {n}");
        }
        shown
    }

    /// The originals that single reads, the list of leads and the export name, which have to agree.
    async fn originals(&self, leads: &[i64]) -> Vec<Option<i64>> {
        let as_of = format!("as_of={}", self.moment);
        let leads_of = format!("/api/v1/companies/{}/leads", self.company);
        let list = self
            .get(&self.ana, format!("{leads_of}?per_page=100&{as_of}"))
            .await;
        let path = format!("{leads_of}/export?format=jsonl&{as_of}");
        let export = self.server.get(path).token(&self.ana.token);
        let export = export.expect_answer(200).await.text;
        let exported: Vec<Value> = export
            .lines()
            .map(|line| serde_json::from_str(line).expect("a lead"))
            .collect();
        let mut originals = Vec::new();
        for id in leads {
            let path = format!("/api/v1/leads/{id}?{as_of}");
            let one = self.get(&self.ana, path).await["lead"].take();
            for rows in [list["leads"].as_array().expect("rows"), &exported] {
                let row = rows.iter().find(|row| row["id"] == *id).expect("listed");
                assert_eq!(row["duplicate_of_id"], one["duplicate_of_id"], "{id}");
                assert_eq!(row["duplicate"], one["duplicate"], "{id}");
            }
            originals.push(one["duplicate_of_id"].as_i64());
        }
        originals
    }
}

fn by(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn who_is_blocked_or_erased_is_like_nobody_as_of_any_moment() {
    let (shop, leads) =
        Shop::open(&[("same@people.example", ""), ("same@people.example", "")]).await;
    let [a, b] = leads[..] else { panic!("two") };
    let then = [(a, a, by(&["email"])), (b, a, by(&["email"]))];
    assert_eq!(shop.walked(&shop.ana, 10).await, then);
    assert_eq!(shop.originals(&leads).await, [None, Some(a)]);
    shop.step(b, "block").await;
    assert_eq!(shop.walked(&shop.ana, 10).await, []);
    assert_eq!(shop.originals(&leads).await, [None, None]);
    let path = format!("/api/v1/leads/{b}/erasure");
    let back = shop.server.delete(&path).token(&shop.ana.token);
    back.expect(200).await;
    assert_eq!(shop.walked(&shop.ana, 10).await, then);
    assert_eq!(shop.originals(&leads).await, [None, Some(a)]);
    shop.step(b, "block").await;
    shop.step(b, "erase").await;
    assert_eq!(shop.walked(&shop.ana, 10).await, []);
    assert_eq!(shop.originals(&leads).await, [None, None]);
}

#[tokio::test]
async fn those_who_are_left_are_grouped_as_if_the_hidden_had_never_been() {
    let (shop, leads) = Shop::open(&[
        // Four of one e-mail; the original is to be hidden.
        ("one@people.example", ""),
        // The hidden one is what joins these two pairs, of an e-mail and of a telephone.
        ("two@people.example", ""),
        ("two@people.example", "+14155550100"),
        ("", "+14155550100"),
        // Nobody's business.
        ("three@people.example", ""),
        ("one@people.example", "+14155550101"),
        ("three@people.example", ""),
        ("one@people.example", "+14155550101"),
        ("two@people.example", ""),
        ("", "+14155550100"),
        ("one@people.example", ""),
    ])
    .await;
    for hidden in [leads[0], leads[2]] {
        shop.step(hidden, "block").await;
        shop.step(hidden, "erase").await;
    }
    let wanted = [
        (leads[1], leads[1], by(&["email"])),
        (leads[8], leads[1], by(&["email"])),
        (leads[3], leads[3], by(&["phone"])),
        (leads[9], leads[3], by(&["phone"])),
        (leads[4], leads[4], by(&["email"])),
        (leads[6], leads[4], by(&["email"])),
        (leads[5], leads[5], by(&["email", "phone"])),
        (leads[7], leads[5], by(&["email", "phone"])),
        (leads[10], leads[5], by(&["email"])),
    ];
    let of = |id: i64| {
        let row = wanted.iter().find(|row| row.0 == id);
        row.map(|row| row.1).filter(|group| *group != id)
    };
    let originals: Vec<Option<i64>> = leads.iter().map(|id| of(*id)).collect();
    for how in ["as a whole", "by maps"] {
        for per_page in [1, 2, 4, 100] {
            let shown = shop.walked(&shop.ana, per_page).await;
            assert_eq!(shown, wanted, "{how}, {per_page} a page");
        }
        assert_eq!(shop.originals(&leads).await, originals, "{how}");
        shop.server.map_zones(shop.company).await;
    }
    shop.server.assert_sound().await;
}
