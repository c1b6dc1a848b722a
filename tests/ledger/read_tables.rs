//! The read tables after many random commands are what a naive recount of the leads gives.

use std::collections::BTreeMap;

use aggregates::Change;
use aggregates::email::Email;
use aggregates::ids::{CampaignId, SourceId, UserAccessId};
use aggregates::lead::UpdateLead;
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use futures::future::join_all;
use leadledger::ledger::Ledger;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;

use crate::node::{add_note, assert_sound, contact, create, open, update};
use crate::support::database::TestDatabase;

#[derive(Debug, Clone)]
enum Wish {
    Create(i64, u8),
    /// Of the lead with this number, modulo those that are there.
    Update(i64, Box<UpdateLead>),
    AddNote(i64),
}

fn change<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Change<T>> {
    prop_oneof![
        Just(()).prop_map(|()| Change::Keep),
        Just(()).prop_map(|()| Change::Clear),
        value.prop_map(Change::Set),
    ]
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let email = (0..6_u8).prop_map(|n| Email::parse(&format!("p{n}@example.com")).unwrap());
    let phone = (10..15).prop_map(|n| Phone::parse(&format!("504-621-89{n}"), Region::US).unwrap());
    let changes = (
        change(email),
        change(phone),
        proptest::option::of(proptest::sample::select(Stage::ALL.to_vec())),
        change((1..3_i64).prop_map(SourceId)),
        change((1..3_i64).prop_map(CampaignId)),
        change((1..4_i64).prop_map(UserAccessId)),
    );
    let update = changes.prop_map(|(email, phone, stage, source_id, campaign_id, access)| {
        Box::new(UpdateLead {
            email,
            phone,
            stage,
            source_id,
            campaign_id,
            user_access_id: access,
            ..UpdateLead::default()
        })
    });
    let wish = prop_oneof![
        2 => (1..3_i64, 0..6_u8).prop_map(|(company, email)| Wish::Create(company, email)),
        5 => (any::<u32>(), update).prop_map(|(n, update)| Wish::Update(i64::from(n), update)),
        1 => any::<u32>().prop_map(|n| Wish::AddNote(i64::from(n))),
    ];
    proptest::collection::vec(wish, 30..200)
}

async fn carry_out(ledger: &Ledger, leads: i64, wish: Wish) {
    let picked = |n: i64| n % leads + 1;
    // What a rule refuses is fine here.
    let _ = match wish {
        Wish::Create(company, email) => {
            create(ledger, company, contact(&format!("p{email}@example.com"))).await
        }
        Wish::Update(n, changes) => update(ledger, picked(n), *changes).await,
        Wish::AddNote(n) => add_note(ledger, picked(n), "hello").await,
    };
}

const DIMENSIONS: &str = "coalesce(source_id, 0), coalesce(campaign_id, 0), coalesce(cycle_id, 0), \
     coalesce(territory_id, 0), coalesce(user_access_id, 0), count(*)";

async fn assert_same(pool: &PgPool, table: &str, recount: &str) {
    // By their key and count; since when they have it is not a matter of the leads.
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name = $1 AND column_name <> 'since'",
    )
    .bind(table)
    .fetch_one(pool)
    .await
    .unwrap();
    let live = format!("SELECT {columns} FROM {table} WHERE count <> 0");
    let differing: i64 = sqlx::query_scalar(&format!(
        "SELECT count(*) FROM (({live} EXCEPT {recount}) UNION ALL ({recount} EXCEPT {live})) AS d"
    ))
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(differing, 0, "{table}");
}

/// Lead to group, by joining whatever shares a key until nothing changes.
async fn expected_groups(pool: &PgPool) -> BTreeMap<i64, i64> {
    type Keys = (i64, i64, Option<String>, Option<String>);
    let leads: Vec<Keys> = sqlx::query_as("SELECT id, company_id, email, phone FROM leads")
        .fetch_all(pool)
        .await
        .unwrap();
    let alike = |a: &Keys, b: &Keys| {
        a.0 != b.0 && a.1 == b.1 && (a.2.is_some() && a.2 == b.2 || a.3.is_some() && a.3 == b.3)
    };
    let mut groups: BTreeMap<_, _> = leads
        .iter()
        .filter(|a| leads.iter().any(|b| alike(a, b)))
        .map(|lead| (lead.0, lead.0))
        .collect();
    loop {
        let before = groups.clone();
        for a in &leads {
            for b in leads.iter().filter(|b| alike(a, b)) {
                let least = groups[&a.0].min(groups[&b.0]);
                groups.insert(a.0, least);
            }
        }
        if groups == before {
            return groups;
        }
    }
}

async fn check(wishes: Vec<Wish>) {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = open(&database).await;
    for n in 0..5 {
        let email = format!("p{n}@example.com");
        create(&ledger, 1, contact(&email)).await.unwrap();
    }
    join_all(wishes.into_iter().map(|wish| carry_out(&ledger, 5, wish))).await;

    let recount = format!(
        "SELECT company_id, stage_id, {DIMENSIONS} FROM leads GROUP BY 1, 2, 3, 4, 5, 6, 7"
    );
    assert_same(pool, "stage_counts", &recount).await;
    let recount = format!(
        "SELECT company_id, (created_at AT TIME ZONE 'UTC')::date, stage_id, {DIMENSIONS} FROM leads \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    );
    assert_same(pool, "stage_counts_daily", &recount).await;
    let recount = "SELECT company_id, count(*) FROM duplicates GROUP BY 1";
    assert_same(pool, "duplicate_counts", recount).await;
    let groups: Vec<(i64, i64)> = sqlx::query_as("SELECT lead_id, duplicate_group FROM duplicates")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(
        groups.into_iter().collect::<BTreeMap<_, _>>(),
        expected_groups(pool).await
    );
    assert_sound(&database).await;
}

#[test]
fn any_commands_leave_the_counts_and_groups_that_the_leads_have() {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(12)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&wishes(), |wishes| {
            runtime.block_on(check(wishes));
            Ok(())
        })
        .unwrap();
}
