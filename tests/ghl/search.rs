//! Search by everything, alone and together; filter by e-mail with its projection.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agency::Agency;

/// Ana, Bea, Cäcilie and Dan: two in the north, one in both, one at the agency.
async fn four() -> (Agency, Vec<String>) {
    let agency = Agency::start().await;
    let (north, south) = (agency.north.to_string(), agency.south.to_string());
    let mut ids = Vec::new();
    for (name, changes) in [
        (
            "Dan",
            json!({"type": "agency", "role": "admin", "locationIds": [], "email": "dan@agency.example"}),
        ),
        (
            "Bea",
            json!({"role": "admin", "phone": "+15046218927", "lastName": "Zorn"}),
        ),
        (
            "Cäcilie",
            json!({"locationIds": [north, south], "email": "cc@people.example", "lastName": "Ärger"}),
        ),
        (
            "Ana",
            json!({"locationIds": [south], "phone": "+15046210000", "lastName": "Muñoz Ibarra"}),
        ),
    ] {
        let user = agency.create(name, changes).await;
        ids.push(user["id"].as_str().expect("an id").to_owned());
    }
    (agency, ids)
}

#[tokio::test]
async fn each_parameter_narrows_and_all_together() {
    let (agency, ids) = four().await;
    let (north, south) = (agency.north, agency.south);
    let [dan, bea, cac, ana] = <[String; 4]>::try_from(ids).unwrap();
    for (query, wanted) in [
        (
            String::new(),
            &["Ana", "Bea", "Cäcilie", "Dan", "Olivia"][..],
        ),
        ("query=CACILIE".into(), &["Cäcilie"]),
        ("query=c%C3%A4c".into(), &["Cäcilie"]),
        ("query=munoz+ib".into(), &["Ana"]),
        ("query=ana%20mu%C3%B1oz".into(), &["Ana"]),
        ("query=AGENCY.example".into(), &["Dan"]),
        ("query=6218927".into(), &["Bea"]),
        ("query=621-89".into(), &["Bea"]),
        ("query=%2B1504621".into(), &["Ana", "Bea"]),
        ("query=%25".into(), &[]),
        ("query=nobody".into(), &[]),
        (format!("locationId={north}"), &["Bea", "Cäcilie"]),
        (format!("locationId={south}"), &["Ana", "Cäcilie"]),
        ("type=agency".into(), &["Dan", "Olivia"]),
        ("type=account".into(), &["Ana", "Bea", "Cäcilie"]),
        ("role=admin".into(), &["Bea", "Dan", "Olivia"]),
        ("role=user".into(), &["Ana", "Cäcilie"]),
        (format!("ids={ana},{dan}"), &["Ana", "Dan"]),
        (format!("ids={bea}%2C{cac}"), &["Bea", "Cäcilie"]),
        ("ids=ve9EPM428h8vShlRW1KT,999999".into(), &[]),
        ("enabled2waySync=true".into(), &[]),
        (
            "enabled2waySync=false&type=agency".into(),
            &["Dan", "Olivia"],
        ),
        (
            "sort=dateAdded".into(),
            &["Olivia", "Dan", "Bea", "Cäcilie", "Ana"],
        ),
        (
            "sort=dateAdded&sortDirection=desc".into(),
            &["Ana", "Cäcilie", "Bea", "Dan", "Olivia"],
        ),
        (
            "sort=email&sortDirection=ASC".into(),
            &["Ana", "Bea", "Cäcilie", "Dan", "Olivia"],
        ),
        (
            "sort=lastName&type=account".into(),
            &["Cäcilie", "Ana", "Bea"],
        ),
        (
            "sortDirection=desc&type=account".into(),
            &["Cäcilie", "Bea", "Ana"],
        ),
        (
            format!(
                "query=people&locationId={north}&type=account&role=user&ids={cac},{bea}&sort=dateAdded&sortDirection=desc&skip=0&limit=5"
            ),
            &["Cäcilie"],
        ),
    ] {
        let (found, count) = agency.search(&query).await;
        assert_eq!(count, i64::try_from(wanted.len()).unwrap(), "{query}");
        assert_eq!(found, wanted, "{query}");
    }
}

#[tokio::test]
async fn skip_and_limit_walk_and_the_count_is_of_all() {
    let (agency, _) = four().await;
    assert_eq!(
        agency.search("limit=2").await,
        (vec!["Ana".into(), "Bea".into()], 5)
    );
    assert_eq!(
        agency.search("skip=3&limit=2").await,
        (vec!["Dan".into(), "Olivia".into()], 5)
    );
    assert_eq!(agency.search("skip=9").await, (vec![], 5));
    assert_eq!(agency.search("skip=&limit=").await.1, 5);
    let many = format!("ids={}", vec!["1"; 501].join(","));
    for (query, message) in [
        (many.as_str(), "ids must contain no more than 500 elements"),
        ("skip=-1", "skip must not be less than 0"),
        ("limit=0", "limit must not be less than 1"),
        ("limit=101", "limit must not be greater than 100"),
        ("limit=many", "limit must be a number string"),
        (
            "sort=shoeSize",
            "sort must be one of the following values: name, firstName, lastName, email, dateAdded, dateUpdated",
        ),
        (
            "sortDirection=up",
            "sortDirection must be one of the following values: asc, desc",
        ),
        (
            "type=x",
            "type must be one of the following values: account, agency",
        ),
        (
            "enabled2waySync=maybe",
            "enabled2waySync must be a boolean value",
        ),
    ] {
        let path = format!("/users/search?companyId={}&{query}", agency.id);
        let refused = agency.get(path).expect(422).await;
        assert_eq!(refused["message"], json!([message]), "{query}");
    }
    let refused = agency.get("/users/search").expect(422).await;
    let told = json!([
        "companyId must be a string",
        "companyId should not be empty"
    ]);
    assert_eq!(refused["message"], told);
    let twice = format!("/users/search?companyId={0}&companyId={0}", agency.id);
    agency.get(twice).expect(422).await;
    agency.get("/users/search?companyId=%FF").expect(422).await;
}

#[tokio::test]
async fn filter_by_email_answers_what_was_asked_for() {
    let (agency, ids) = four().await;
    let filter = async |changes: Value| {
        let mut body = json!({"companyId": agency.id.to_string(), "emails": "Dan@agency.example, cc@people.example,nobody@x.example"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        agency
            .post("/users/search/filter-by-email", &body)
            .expect(200)
            .await
    };
    let found = filter(json!({})).await;
    assert_eq!(found["count"], 2);
    assert_eq!(
        found["users"][1],
        json!({"id": ids[0], "email": "dan@agency.example"})
    );
    let found = filter(json!({"projection": "firstName,roles", "limit": "1", "skip": 1})).await;
    let users = found["users"].as_array().unwrap();
    assert_eq!((users.len(), &found["count"]), (1, &json!(2)));
    let keys: Vec<_> = users[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(users[0]["firstName"], "Dan");
    let found =
        filter(json!({"projection": "all", "emails": "cc@people.example", "limit": 5})).await;
    let path = format!("/users/{}", ids[2]);
    assert_eq!(found["users"][0], agency.get(path).expect(200).await);
    for body in [
        json!({}),
        json!({"companyId": "1"}),
        json!({"companyId": agency.id, "emails": ["dan@agency.example"]}),
        json!({"companyId": agency.id, "emails": "not an e-mail"}),
        json!({"companyId": agency.id, "emails": "a@b.example", "deleted": "perhaps"}),
        json!({"companyId": agency.id, "emails": "a@b.example", "limit": 101}),
    ] {
        let refused = agency
            .post("/users/search/filter-by-email", &body)
            .expect(422)
            .await;
        assert!(refused["message"].is_array(), "{refused}");
    }
}

#[tokio::test]
async fn searching_a_hundred_thousand_users_stays_cheap() {
    let agency = Agency::start().await;
    let pool = agency.server.database.pool();
    // Rows alone: what is measured is reading, and signing up so many would take an hour.
    let profiles = "INSERT INTO user_profiles SELECT n, 'First' || n, 'Last' || n, 'First' || n || ' Last' || n, \
         'u' || n || '@people.example', '+1504' || lpad(n::text, 7, '0'), NULL, NULL, false, \
         '{\"kind\": null, \"permissions\": {}, \"scopes\": [], \"scopes_assigned_to_only\": [], \"language\": null}', NULL, '{}', '[]', \
         1, 1, now(), now(), NULL FROM generate_series(1000000, 1099999) AS n";
    let memberships = "INSERT INTO user_memberships SELECT $1, user_id, 'account', 'user', ARRAY[$2::bigint], false, \
         lower(name), 'last', email, lower(name) || ' ' || email || ' ' || phone, 1, created_at - user_id * interval '1 second' \
         FROM user_profiles WHERE user_id >= 1000000";
    sqlx::query(profiles).execute(pool).await.unwrap();
    sqlx::query(memberships)
        .bind(agency.id)
        .bind(agency.north)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("VACUUM ANALYZE user_memberships")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("VACUUM ANALYZE user_profiles")
        .execute(pool)
        .await
        .unwrap();
    for (query, count) in [
        ("limit=100", 100_001),
        ("sort=dateAdded&sortDirection=desc", 100_001),
        ("query=u1054321", 1),
        ("query=1054321&role=user&type=account", 1),
        ("skip=90000", 100_001),
        ("ids=1000005,1000006", 2),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(agency.search(query).await.1, count, "{query}");
            best = best.min(began.elapsed());
        }
        assert!(best < Duration::from_millis(150), "{query} took {best:?}");
    }
}
