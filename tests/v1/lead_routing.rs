//! Where new leads go: to the people of their source in turn, and into the territory of their address.

use std::collections::BTreeMap;

use aggregates::access::Role;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// A source with so many agents.
async fn source_with(server: &TestServer, owner: &Person, company: i64, people: usize) -> i64 {
    let source = server.source(owner, company, "Web").await;
    for n in 0..people {
        let name = format!("Agent{n}");
        let agent = server.member(company, owner, Role::Agent, &name).await;
        assign(server, owner, company, source, agent.access_id).await;
    }
    source
}

async fn assign(server: &TestServer, owner: &Person, company: i64, source: i64, access: i64) {
    let path = format!("/api/v1/companies/{company}/sources/{source}/user_access");
    let call = server.post(path).token(&owner.token);
    let body = json!({"user_access_id": access});
    call.json(&body).expect(201).await;
}

fn assignee(lead: &Value) -> i64 {
    int(&lead["user_access"]["id"])
}

fn counts(leads: &[Value]) -> Vec<usize> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for lead in leads {
        *counts.entry(assignee(lead)).or_default() += 1;
    }
    counts.into_values().collect()
}

#[track_caller]
fn assert_fair(leads: &[Value], people: usize) {
    let counts = counts(leads);
    assert_eq!(counts.len(), people, "{counts:?}");
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(
        most.zip(least).is_some_and(|(m, l)| m - l <= 1),
        "{counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_leads_at_once_go_to_five_people_fairly() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = source_with(&server, &ana, company, 5).await;
    let leads = join_all((0..64).map(|n| {
        let body = json!({"first_name": format!("L{n}"), "source_id": source});
        server.lead(&ana, company, body)
    }))
    .await;
    assert_fair(&leads, 5);
    let id = int(&leads[0]["id"]);
    let created = &server.payloads("lead", id).await[0]["LeadCreated"];
    assert_eq!(created["routing"]["source_id"], source);
    assert_eq!(created["routing"]["user_access_id"], assignee(&leads[0]));
    assert_eq!(created["routing"]["chosen_as"], "least_recently_served");
    let mut turns = Vec::new();
    for lead in &leads {
        let events = server.payloads("lead", int(&lead["id"])).await;
        turns.push(int(&events[0]["LeadCreated"]["routing"]["turn"]));
    }
    turns.sort_unstable();
    assert_eq!(turns, (1..=64).collect::<Vec<_>>());
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_serve_the_same_people_fairly() {
    let server = TestServer::start().await;
    let other = server.beside().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = source_with(&server, &ana, company, 5).await;
    let leads = join_all((0..64).map(|n| {
        let node = if n % 2 == 0 { &server } else { &other };
        let body = json!({"first_name": format!("L{n}"), "source_id": source});
        node.lead(&ana, company, body)
    }))
    .await;
    assert_fair(&leads, 5);
    server.assert_sound().await;
}

#[tokio::test]
async fn people_are_served_in_order_of_assignment_and_a_new_one_first() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = server.source(&ana, company, "Web").await;
    let mut people = Vec::new();
    for name in ["A", "B", "C"] {
        let agent = server.member(company, &ana, Role::Agent, name).await;
        people.push(agent.access_id);
    }
    let [a, b, c] = people[..] else {
        panic!("three people")
    };
    assign(&server, &ana, company, source, b).await;
    assign(&server, &ana, company, source, a).await;
    let next = async || {
        let body = json!({"first_name": "L", "source_id": source});
        assignee(&server.lead(&ana, company, body).await)
    };
    assert_eq!([next().await, next().await, next().await], [b, a, b]);
    assign(&server, &ana, company, source, c).await;
    assert_eq!([next().await, next().await], [c, a]);
    let one = format!("/api/v1/companies/{company}/sources/{source}/user_access/{b}");
    server.delete(one).token(&ana.token).expect(200).await;
    assert_eq!([next().await, next().await, next().await], [c, a, c]);
}

#[tokio::test]
async fn a_lead_is_not_routed_when_somebody_is_named_or_nobody_serves() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = source_with(&server, &ana, company, 2).await;
    let lonely = server.source(&ana, company, "Nobody's").await;
    let own = server.member(company, &ana, Role::Agent, "Own").await;
    for (person, body, expected) in [
        (&ana, json!({"first_name": "A"}), Value::Null),
        (
            &ana,
            json!({"first_name": "A", "source_id": lonely}),
            Value::Null,
        ),
        (
            &ana,
            json!({"first_name": "A", "source_id": source, "user_access_id": own.access_id}),
            json!(own.access_id),
        ),
        // An agent's leads are the agent's.
        (
            &own.person,
            json!({"first_name": "A", "source_id": source}),
            json!(own.access_id),
        ),
    ] {
        let lead = server.lead(person, company, body.clone()).await;
        assert_eq!(lead["user_access"]["id"], expected, "{body}");
        let created = &server.payloads("lead", int(&lead["id"])).await[0]["LeadCreated"];
        assert!(created.get("routing").is_none(), "{created}");
    }
}

#[tokio::test]
async fn a_leads_source_and_territory_are_the_companys_or_one_aboves() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let child = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": root}))
        .await;
    let other = server.company(&ana, "Other").await;
    let source = server.source(&ana, root, "Web").await;
    let territory = server.territory(&ana, root, "North").await;
    let below = server.source(&ana, child, "Below").await;
    let foreign = (
        server.source(&ana, other, "Foreign").await,
        server.territory(&ana, other, "Foreign").await,
    );
    let agent = server.member(root, &ana, Role::Agent, "Abel").await;
    assign(&server, &ana, root, source, agent.access_id).await;
    let body = json!({"first_name": "A", "source_id": source, "territory_id": territory});
    let lead = server.lead(&ana, child, body).await;
    assert_eq!(lead["source"], json!({"id": source, "name": "Web"}));
    assert_eq!(lead["territory"], json!({"id": territory, "name": "North"}));
    assert_eq!(assignee(&lead), agent.access_id);
    let create = format!("/api/v1/companies/{root}/leads");
    let update = server.lead(&ana, root, json!({"first_name": "B"})).await;
    let update = format!("/api/v1/leads/{}", update["id"]);
    for (field, id) in [
        ("source_id", foreign.0),
        ("source_id", below),
        ("source_id", 999_999),
        ("territory_id", foreign.1),
        ("territory_id", 999_999),
    ] {
        let body = json!({"first_name": "X", field: id});
        for call in [server.post(&create), server.put(&update)] {
            let refused = call.token(&ana.token).json(&body).expect(422).await;
            assert!(refused["errors"][field].is_array(), "{field}: {refused}");
        }
    }
}

#[tokio::test]
async fn leads_keep_a_deleted_source_and_show_its_name() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = source_with(&server, &ana, company, 1).await;
    let body = json!({"first_name": "A", "source_id": source});
    let lead = server.lead(&ana, company, body.clone()).await;
    let path = format!("/api/v1/leads/{}", lead["id"]);
    let one = format!("/api/v1/companies/{company}/sources/{source}");
    server.delete(one).token(&ana.token).expect(200).await;
    let shown = server.get(&path).token(&ana.token).expect(200).await;
    let expected = json!({"id": source, "name": "Web"});
    assert_eq!(shown["lead"]["source"], expected);
    assert_eq!(assignee(&shown["lead"]), assignee(&lead));
    let list = server
        .get(format!(
            "/api/v1/companies/{company}/leads?source_id={source}"
        ))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(list["leads"][0]["source"], expected);
    // A client that sends back what it read changes nothing by it; a lead without it cannot get it any more.
    let put = server.put(&path).token(&ana.token).json(&body);
    assert_eq!(put.expect(200).await["lead"]["source"], expected);
    let create = server.post(format!("/api/v1/companies/{company}/leads"));
    let refused = create.token(&ana.token).json(&body).expect(422).await;
    assert!(refused["errors"]["source_id"].is_array(), "{refused}");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_lead_falls_into_the_oldest_territory_that_matches() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let company = server
        .company_with(&ana, json!({"name": "Acme", "parent_company_id": root}))
        .await;
    let create = async |company: i64, territories: Value| {
        let call = server.post(format!("/api/v1/companies/{company}/territories"));
        let call = call.token(&ana.token);
        call.json(&json!({"territories": territories}))
            .expect(201)
            .await;
    };
    create(root, json!([{"name": "World", "country": "Mexico"}])).await;
    create(
        company,
        json!([
            {"name": "By hand"},
            {"name": "Centre", "country": "MEXICO", "postal_codes": ["06*", "11000"]},
            {"name": "Capital", "country": "México", "city": "Ciudad de México"},
            {"name": "Never", "country": "México", "city": "ciudad de mexico"},
        ]),
    )
    .await;
    for (extra, expected) in [
        (json!({"País": "méxico", "CP": "06700"}), Some("Centre")),
        (json!({"country": "Mexico", "zip": "11000"}), Some("Centre")),
        (
            json!({"country": "Mexico", "city": "CIUDAD DE MEXICO", "Código postal": "11001"}),
            Some("Capital"),
        ),
        (
            json!({"pais": "Mexico", "ciudad": "Ciudad  de México", "postal_code": "06"}),
            Some("Centre"),
        ),
        (
            json!({"pais": "Mexico", "estado": "Jalisco"}),
            Some("World"),
        ),
        (json!({"country": "Chile"}), None),
        (json!({"zip": "06700"}), None),
        (json!({}), None),
    ] {
        let body = json!({"first_name": "A", "extra": extra});
        let lead = server.lead(&ana, company, body).await;
        let found = lead["territory"]["name"].as_str();
        assert_eq!(found, expected, "{extra}");
        let created = &server.payloads("lead", int(&lead["id"])).await[0]["LeadCreated"];
        match expected {
            Some(_) => {
                let id = &lead["territory"]["id"];
                let matched = json!({"territory_id": id, "rule_version": 1});
                assert_eq!(created["territory_match"], matched);
            }
            None => assert!(created.get("territory_match").is_none(), "{created}"),
        }
    }
    // What is named stays.
    let named = server.territory(&ana, company, "Named").await;
    let body = json!({"first_name": "A", "territory_id": named, "extra": {"pais": "Mexico"}});
    let lead = server.lead(&ana, company, body).await;
    assert_eq!(lead["territory"]["name"], "Named");
    let created = &server.payloads("lead", int(&lead["id"])).await[0]["LeadCreated"];
    assert!(created.get("territory_match").is_none(), "{created}");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_lead_with_its_campaigns_source_is_routed_in_turn_too() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = source_with(&server, &ana, company, 3).await;
    let campaign = json!({"name": "Spring", "source_id": source});
    let campaign = server.campaign(&ana, company, campaign).await;
    let leads = join_all((0..16).map(|n| {
        let body = json!({"first_name": format!("L{n}"), "campaign_id": campaign});
        server.lead(&ana, company, body)
    }))
    .await;
    assert!(leads.iter().all(|lead| lead["source"]["id"] == source));
    assert_fair(&leads, 3);
    // With its source removed, the campaign goes on without.
    let one = format!("/api/v1/companies/{company}/sources/{source}");
    server.delete(one).token(&ana.token).expect(200).await;
    let body = json!({"first_name": "L", "campaign_id": campaign});
    let lead = server.lead(&ana, company, body).await;
    assert_eq!(
        (&lead["source"], &lead["user_access"]),
        (&Value::Null, &Value::Null)
    );
    server.assert_sound().await;
}
