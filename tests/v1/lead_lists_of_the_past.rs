//! Lists of leads that have changed many times since, or not at all, as of every moment: pages in all orders, walked to their end,
//! in pieces and by zone maps.

use projections::zone_maps::build::ZONE_ROWS;
use projections::zone_maps::survey;
use serde_json::{Value, json};

use crate::imports::{Scene, people};
use crate::server::{Person, TestServer, int};

const LEADS: i64 = 24;
/// How often every lead is changed; far more rows come to stand beside those that held at a moment than a page has.
const CHANGES: i64 = 6;
const ORDERS: [&str; 14] = [
    "per_page=2",
    "per_page=2&sort=created_at",
    "per_page=3&sort=full_name",
    "per_page=1&sort=-full_name",
    "per_page=2&sort=updated_at",
    "per_page=5&sort=-id",
    "per_page=2&sort=id",
    "per_page=2&stage_id=2&sort=-updated_at",
    "per_page=2&stage_id=3&created_from=2020-01-01&sort=id",
    "per_page=2&stage_id=2",
    "per_page=1&stage_id=3&sort=full_name",
    "per_page=2&created_from=2020-01-01&created_to=2090-12-31&sort=-created_at",
    "per_page=2&search=r1&sort=full_name",
    "per_page=100",
];

/// The rows of each list, walked by cursor, and of the page in its middle, asked by its number.
async fn walked(server: &TestServer, who: &Person, leads: &str, moment: &str) -> Vec<Vec<Value>> {
    let mut lists = Vec::new();
    for (path, orders) in [
        (leads.to_owned(), &ORDERS[..]),
        (format!("{leads}/unassigned"), &ORDERS[..1]),
        (format!("{leads}/duplicates"), &ORDERS[..1]),
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

async fn assert_as_then(
    server: &TestServer,
    who: &Person,
    leads: &str,
    then: &[(i64, Vec<Vec<Value>>)],
    how: &str,
) {
    for (position, lists) in then {
        let found = walked(server, who, leads, &format!("&as_of={position}")).await;
        for (n, (found, wanted)) in found.iter().zip(lists).enumerate() {
            assert_eq!(found, wanted, "list {n} as of {position}, {how}");
        }
    }
}

#[tokio::test]
async fn every_list_is_what_it_was_however_often_its_leads_changed_since() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let leads = format!("/api/v1/companies/{company}/leads");
    let pool = server.database.pool();
    let mut made = Vec::new();
    for n in 0..LEADS {
        let body = json!({"first_name": format!("R{}", (n * 7) % LEADS), "email": format!("{}@people.example", n / 3)});
        made.push(int(&server.lead(&ana, company, body).await["id"]));
    }
    let mut then = Vec::new();
    for change in 0..=CHANGES {
        let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(pool)
            .await
            .unwrap();
        then.push((position, walked(&server, &ana, &leads, "").await));
        if change == CHANGES / 2 {
            server.map_zones(company).await;
        }
        for (n, lead) in made.iter().enumerate() {
            // The last change leaves half of them as they are.
            if change == CHANGES || (change == CHANGES - 1 && n % 2 == 0) {
                continue;
            }
            let turn = i64::try_from(n).unwrap() * 5 + change;
            let body = json!({"first_name": format!("R{}", turn % LEADS), "stage_id": 1 + turn % 4,
                "email": format!("{}@people.example", turn / 3)});
            let path = format!("/api/v1/leads/{lead}");
            server
                .put(path)
                .token(&ana.token)
                .json(&body)
                .expect(200)
                .await;
        }
    }
    let how = "by maps of the middle of its life";
    assert_as_then(&server, &ana, &leads, &then, how).await;
    server.assert_sound().await;
    sqlx::query("DELETE FROM past.zone_maps")
        .execute(pool)
        .await
        .unwrap();
    assert_as_then(&server, &ana, &leads, &then, "in pieces").await;
    server.map_zones(company).await;
    assert_as_then(&server, &ana, &leads, &then, "by maps").await;
    server.assert_sound().await;

    // What no map tells of is not found by it: maps were asked, and so it is looked at whether they tell of everything.
    let (middle, lists_of_middle) = &then[then.len() / 2];
    let as_of_middle = format!("&as_of={middle}");
    for (change, back) in [
        ("SET held = '{}'", "SET held = '{(,)}'"),
        ("SET last_id = last_id - 1", "SET last_id = last_id + 1"),
        ("SET begun = 0 || begun", "SET begun = begun[2:]"),
    ] {
        for change in [change, back] {
            let change = format!(
                "UPDATE past.zones {change} WHERE list = 'full_name' AND level = 1 AND zone = 0"
            );
            sqlx::query(&change).execute(pool).await.unwrap();
            if change.contains("'{}'") {
                let hidden = walked(&server, &ana, &leads, &as_of_middle).await;
                assert_ne!(hidden, *lists_of_middle, "no map was asked");
            }
            let found = server.differences().await;
            let zones = format!("past.zones: company_id={company} list=full_name:");
            assert!(found[0].starts_with(&zones), "{change}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_hits_that_is_estimated_is_the_one_of_then() {
    const THEN: usize = 10_500;
    let scene = Scene::start().await;
    let pool = scene.server.database.pool();
    let leads = format!("/api/v1/companies/{}/leads", scene.company);
    let estimated = async |moment: &str| {
        let path = format!("{leads}?search=.example{moment}");
        let page = scene.server.get(path).token(&scene.ana.token);
        let meta = page.expect(200).await["meta"].take();
        assert_eq!(meta["total_is_estimate"], true, "{meta}");
        int(&meta["total_count"])
    };
    scene.import(&people(THEN, "then.example"), &[]).await;
    let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(pool)
        .await
        .unwrap();
    let then = estimated("").await;
    let overwrite = [("duplicates", "update"), ("update", "overwrite")];
    let renamed = people(THEN, "then.example").replace("\nP", "\nQ");
    scene.import(&renamed, &overwrite).await;
    scene.import(&people(THEN, "later.example"), &[]).await;
    // Whatever the planner knows by now, it does not count.
    sqlx::query("ANALYZE leads").execute(pool).await.unwrap();
    assert_eq!(estimated(&format!("&as_of={position}")).await, then);
    for (guess, count) in [(then, THEN), (estimated("").await, 2 * THEN)] {
        let count = i64::try_from(count).unwrap();
        assert!((guess - count).abs() <= count / 50, "{guess} of {count}");
    }

    // Those who contain it lie together, behind as many who do not: a walk to the first page of them would go astray.
    let now: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(pool)
        .await
        .unwrap();
    let page = async |moment: &str| {
        let path = format!("{leads}?search=then.example{moment}");
        let page = scene.server.get(path).token(&scene.ana.token);
        page.expect(200).await["leads"].take()
    };
    let shown = page("").await;
    assert_eq!(shown.as_array().map(Vec::len), Some(25));
    let moment = format!("&as_of={now}");
    assert_eq!(page(&moment).await, shown, "without a map");
    scene.server.map_zones_of(scene.company, ZONE_ROWS).await;
    assert_eq!(page(&moment).await, shown, "by a map");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_very_many_contain_is_found_as_it_was_after_all_of_them_were_changed() {
    const LEADS: usize = 10_500;
    const DUPLICATES: usize = 1_200;
    // So few that they are looked through, whatever is searched for.
    const EARLY: usize = 2_500;
    const PAGES: [(&str, &str, &str); 11] = [
        ("", "search=then.example", ""),
        ("", "search=then.example&sort=full_name", "&page=3"),
        ("", "search=then.example&sort=-updated_at&per_page=100", ""),
        ("", "search=p1&sort=full_name", ""),
        // So many small zones that the walk goes on in groups of them.
        ("", "search=p7&sort=full_name&per_page=100", ""),
        // So deep that whole groups of zones are looked through.
        ("", "search=then.example&sort=-created_at", "&page=170"),
        ("", "search=then.example&sort=full_name", "&page=170"),
        ("", "sort=-created_at", "&page=400"),
        ("", "sort=full_name", "&page=300"),
        ("", "sort=-id&per_page=100", "&page=60"),
        ("/duplicates", "per_page=25", "&page=60"),
    ];
    let scene = Scene::start().await;
    let pool = scene.server.database.pool();
    let leads = format!("/api/v1/companies/{}/leads", scene.company);
    let pages = async |moment: &str| {
        let mut found = Vec::new();
        for (list, query, number) in PAGES {
            let from = async |from: &str| {
                let path = format!("{leads}{list}?{query}{from}{moment}");
                let call = scene.server.get(path).token(&scene.ana.token);
                call.expect(200).await
            };
            let mut page = from(number).await;
            let next = page["meta"]["next_cursor"].as_str().unwrap_or_default();
            let after = from(&format!("&cursor={next}")).await;
            let meta = &page["meta"];
            found.push((
                list,
                query,
                [&meta["total_count"], &meta["total_is_estimate"]].map(Value::clone),
                page["leads"].take(),
                after["leads"].clone(),
            ));
        }
        found
    };
    let end = async || {
        let end: Result<i64, _> = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(pool)
            .await;
        format!("&as_of={}", end.expect("the ledger's end"))
    };
    scene.import(&people(EARLY, "then.example"), &[]).await;
    let early = (end().await, pages("").await);
    scene.import(&people(LEADS, "then.example"), &[]).await;
    let again = people(DUPLICATES, "then.example");
    scene.import(&again, &[]).await;
    sqlx::query("ANALYZE leads").execute(pool).await.unwrap();
    let then = (end().await, pages("").await);
    for (list, query, _, page, _) in &then.1 {
        assert!(
            page.as_array().is_some_and(|page| page.len() >= 25),
            "{list}?{query}"
        );
    }
    let renamed = people(LEADS, "then.example").replace("\nP", "\nQ");
    let overwrite = [("duplicates", "update"), ("update", "overwrite")];
    scene.import(&renamed, &overwrite).await;
    let as_then = async |how: &str| {
        for (moment, told) in [&early, &then] {
            assert_eq!(pages(moment).await, *told, "{moment}, {how}");
        }
    };
    as_then("without a map").await;
    scene.server.map_zones_of(scene.company, ZONE_ROWS).await;
    block_and_unblock(&scene, &then.0).await;
    as_then("by maps").await;
    scene.server.map_zones_of(scene.company, 4).await;
    block_and_unblock(&scene, &then.0).await;
    as_then("by maps of small zones").await;
    scene.server.assert_sound().await;
}

/// What few contain is collected at once with its page, by whoever asks first, and remembered for the others: here for any page of it.
#[tokio::test(flavor = "multi_thread")]
async fn any_page_of_what_few_contain_can_be_the_first_that_is_asked_for() {
    // More than are looked through whatever is searched for.
    const LEADS: usize = 1_100;
    const SEARCHES: [&str; 6] = [
        "search=p7&per_page=40",
        "search=P77&sort=full_name&per_page=4",
        "search=p7&sort=-full_name&per_page=50&stage_id=1",
        "search=9@then&sort=updated_at&per_page=45",
        "search=p10&sort=-id&per_page=30",
        "search=p1099&per_page=1",
    ];
    let mut scene = Scene::start().await;
    let company = scene.company;
    // Others have leads that contain the same.
    scene.company = scene.server.company(&scene.ana, "Other").await;
    for tenant in [scene.company, company] {
        scene.company = tenant;
        scene.import(&people(LEADS, "then.example"), &[]).await;
    }
    let pool = scene.server.database.pool();
    let path =
        |search: &str, from: &str| format!("/api/v1/companies/{company}/leads?{search}{from}");
    let mut then = Vec::new();
    for search in SEARCHES {
        let mut from = "&page=2".to_owned();
        loop {
            let call = scene
                .server
                .get(path(search, &from))
                .token(&scene.ana.token);
            let page = call.expect(200).await;
            let next = page["meta"]["next_cursor"].as_str().map(str::to_owned);
            let was_second = from == "&page=2";
            then.push((search, from, page));
            from = match next {
                _ if was_second => String::new(),
                Some(next) => format!("&cursor={next}"),
                None => break,
            };
        }
    }
    let end: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(pool)
        .await
        .unwrap();
    let renamed = people(LEADS, "then.example").replace("\nP", "\nQ");
    let overwrite = [("duplicates", "update"), ("update", "overwrite")];
    scene.import(&renamed, &overwrite).await;
    sqlx::query("ANALYZE leads, past.leads")
        .execute(pool)
        .await
        .unwrap();
    let one = scene.server.beside().await;
    // By servers that remember nothing, and then, twice, by one that remembers.
    let alone = then.iter().map(|asked| (None, asked));
    let again = then.iter().rev().chain(&then);
    for (server, (search, from, wanted)) in alone.chain(again.map(|asked| (Some(&one), asked))) {
        let fresh = match server {
            None => Some(scene.server.beside().await),
            Some(_) => None,
        };
        let server = server.or(fresh.as_ref()).expect("one or the other");
        let moment = format!("{from}&as_of={end}");
        let call = server.get(path(search, &moment)).token(&scene.ana.token);
        let mut found = call.expect(200).await;
        let told = found["meta"].as_object_mut().expect("meta").remove("as_of");
        assert!(told.is_some(), "{found}");
        assert_eq!(found, *wanted, "{search}{from}");
    }
}

/// Hides a lead and shows it again: what was counted of the past is counted anew each time.
async fn block_and_unblock(scene: &Scene, moment: &str) {
    let Scene { server, ana, .. } = scene;
    let path = format!(
        "/api/v1/companies/{}/leads?search=p1&sort=full_name{moment}",
        scene.company
    );
    let found = async || server.get(&path).token(&ana.token).expect(200).await;
    let then = found().await;
    let lead = &then["leads"][0]["id"];
    let erasure = format!("/api/v1/leads/{lead}/erasure");
    let block = json!({"step": "block", "reason": "subject_request"});
    let call = server.post(&erasure).token(&ana.token).json(&block);
    call.expect(200).await;
    let hidden = found().await;
    let totals = [&then, &hidden].map(|page| int(&page["meta"]["total_count"]));
    assert_eq!(totals[1], totals[0] - 1, "{hidden}");
    let leads = hidden["leads"].as_array().expect("rows");
    assert!(leads.iter().all(|shown| shown["id"] != *lead), "{hidden}");
    server.delete(&erasure).token(&ana.token).expect(200).await;
    assert_eq!(found().await, then);
}

/// The lists that are to get maps before anybody asks, of those with at least so many rows and versions.
async fn wanted(server: &TestServer, least: i64) -> Vec<(i64, &'static str)> {
    let mut connection = server.database.pool().acquire().await.expect("connected");
    let wanted = survey::wanted(&mut connection, least)
        .await
        .expect("looking");
    let wanted = wanted.into_iter();
    wanted
        .map(|(company, list)| (company.get(), list.name))
        .collect()
}

#[tokio::test]
async fn lists_that_have_grown_get_their_maps_before_anybody_asks() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let small = server.company(&ana, "Small").await;
    server.lead(&ana, small, json!({"first_name": "One"})).await;
    let large = server.company(&ana, "Large").await;
    let mut leads = Vec::new();
    for n in 0..12 {
        let body = json!({"first_name": "Lead", "email": format!("{}@people.example", n / 6)});
        leads.push(int(&server.lead(&ana, large, body).await["id"]));
    }
    // Nothing has a source, campaign, territory or cycle.
    let every = [
        "created_at",
        "id",
        "updated_at",
        "full_name",
        "stage",
        "assignee",
        "duplicates",
    ];
    let of_large = |names: Vec<(i64, &'static str)>| {
        assert!(
            names.iter().all(|(company, _)| *company == large),
            "{names:?}"
        );
        names.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&server, 13).await, []);
    let names = of_large(wanted(&server, 12).await);
    assert_eq!(names, every);
    server.map_zones(large).await;
    assert_eq!(
        wanted(&server, 1).await.len(),
        6,
        "those of the small company"
    );
    // As many versions as rows: it has grown, though nobody came.
    for lead in &leads {
        let path = format!("/api/v1/leads/{lead}");
        let change = server.put(path).token(&ana.token);
        change
            .json(&json!({"first_name": "Other"}))
            .expect(200)
            .await;
    }
    assert_eq!(
        wanted(&server, 13).await,
        [],
        "the statistics do not tell of versions yet"
    );
    sqlx::raw_sql("ANALYZE past.leads")
        .execute(server.database.pool())
        .await
        .expect("analyzing");
    assert_eq!(wanted(&server, 13).await, [], "less than 13 came since");
    assert_eq!(of_large(wanted(&server, 12).await), every[..6]);
    server.map_zones(large).await;
    assert_eq!(wanted(&server, 12).await, []);

    // One that says it told of positions to come would hide what happens there.
    server.assert_sound().await;
    sqlx::query("UPDATE past.zone_maps SET as_of = as_of + 1000 WHERE list = 'full_name'")
        .execute(server.database.pool())
        .await
        .expect("a superuser's change");
    let found = server.differences().await;
    let told = format!("past.zones: company_id={large} list=full_name: is not a map of that list");
    assert_eq!(found, [told]);
}
