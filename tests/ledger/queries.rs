//! Every query of the read models runs on the schema, with each of its conditions.

use aggregates::ids::{CompanyId, LeadId, UserId};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use leadledger::ledger::moment::{self, Asked};
use projections::companies::{self, Visible, moves};
use projections::facts::{Fact, FactKind};
use projections::leads::counts::{self, LeadFilter};
use projections::leads::list::{self, Cursor, Sort, SortColumn};
use projections::page::{PageFrom, PageRequest};
use projections::users::list as users;
use projections::{
    duplicates, facts, invitations, lead_notes, sources, subscriptions, territories,
};

use crate::node::{add_note, contact, create, open};
use crate::support::database::TestDatabase;

const COMPANY: CompanyId = CompanyId(1);

fn pages<C>(after: C) -> [PageRequest<C>; 3] {
    [
        PageFrom::Offset(0),
        PageFrom::Offset(1),
        PageFrom::After(after),
    ]
    .map(|from| PageRequest { per_page: 1, from })
}

fn filters() -> [LeadFilter; 4] {
    let day = NaiveDate::from_ymd_opt(2026, 1, 31);
    let all = LeadFilter {
        stage_id: Some(1),
        source_id: Some(1),
        campaign_id: Some(1),
        cycle_id: Some(1),
        territory_id: Some(1),
        user_access_ids: Some(vec![1, 2]),
        or_unassigned: true,
        created_from: day,
        created_to: day,
    };
    let assigned = LeadFilter {
        or_unassigned: false,
        ..all.clone()
    };
    [
        LeadFilter::default(),
        LeadFilter::unassigned(),
        all,
        assigned,
    ]
}

#[tokio::test]
async fn every_list_of_leads_runs_in_every_order_with_every_filter() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for email in ["a@example.com", "a@example.com", "b@example.com"] {
        create(&ledger, 1, contact(email)).await.unwrap();
    }
    let mut connection = database.pool().acquire().await.unwrap();
    let now = ledger.clock().now();
    for column in [
        SortColumn::CreatedAt,
        SortColumn::UpdatedAt,
        SortColumn::Id,
        SortColumn::FullName,
    ] {
        for descending in [false, true] {
            let sort = Sort { column, descending };
            let cursor = match column {
                SortColumn::CreatedAt | SortColumn::UpdatedAt => Cursor::Time(now, 1),
                SortColumn::Id => Cursor::Id(1),
                SortColumn::FullName => Cursor::Name("A".to_owned(), 1),
            };
            for request in pages(cursor) {
                for filter in filters() {
                    for text in [None, Some("ana_%\\")] {
                        let wanted = list::Wanted {
                            company: COMPANY,
                            filter: &filter,
                            text,
                            sort,
                        };
                        list::page(&mut connection, wanted, &request).await.unwrap();
                    }
                }
            }
        }
    }
    for filter in filters() {
        counts::by_stage(&mut connection, COMPANY, &filter)
            .await
            .unwrap();
    }
    for only_of in [None, Some([1_i64, 2].as_slice())] {
        for request in pages((1, 1)) {
            duplicates::page(&mut connection, COMPANY, only_of, &request)
                .await
                .unwrap();
        }
        duplicates::total(&mut connection, COMPANY, only_of)
            .await
            .unwrap();
    }
    let younger = duplicates::list::duplicates_among(&mut connection, &[1, 2, 3]).await;
    assert_eq!(younger.unwrap(), 1);
}

#[tokio::test]
async fn following_the_cursor_lists_every_lead_once() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for n in 0..7 {
        // Some share a name and, in one batch, a time: only the id tells them apart.
        let new = contact(&format!("p{n}@example.com"));
        let other = contact(&format!("q{n}@example.com"));
        let (one, two) = tokio::join!(create(&ledger, 1, new), create(&ledger, 1, other));
        assert!(one.is_ok() && two.is_ok());
    }
    let mut connection = database.pool().acquire().await.unwrap();
    for column in [
        SortColumn::CreatedAt,
        SortColumn::UpdatedAt,
        SortColumn::Id,
        SortColumn::FullName,
    ] {
        for descending in [false, true] {
            let sort = Sort { column, descending };
            let mut from = PageFrom::Offset(0);
            let mut seen = Vec::new();
            loop {
                let request = PageRequest { per_page: 3, from };
                let filter = LeadFilter::default();
                let wanted = list::Wanted {
                    company: COMPANY,
                    filter: &filter,
                    text: None,
                    sort,
                };
                let (_, page) = list::page(&mut connection, wanted, &request).await.unwrap();
                seen.extend(page.rows.iter().map(|row| row.id));
                let Some(last) = page.rows.last().filter(|_| page.more) else {
                    break;
                };
                from = PageFrom::After(sort.cursor_after(last));
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..=14).collect::<Vec<_>>(), "{sort:?}");
        }
    }
}

#[tokio::test]
async fn every_other_query_runs() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    add_note(&ledger, 1, "hello").await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    let c = &mut *connection;
    assert!(list::by_id(c, LeadId(1)).await.unwrap().is_some());
    let rows = list::by_ids(c, &[LeadId(2), LeadId(1)]).await.unwrap();
    assert!(rows[0].is_none() && rows[1].as_ref().is_some_and(|row| row.id == 1));
    let notes = lead_notes::of_leads(c, &[LeadId(2), LeadId(1)]).await;
    assert_eq!(
        notes.unwrap().iter().map(Vec::len).collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(lead_notes::by_id(c, 1).await.unwrap().is_some());

    companies::by_id(c, COMPANY).await.unwrap();
    users::by_id(c, UserId(1)).await.unwrap();
    users::by_email(c, "a@example.com").await.unwrap();
    users::credentials(c, "a@example.com").await.unwrap();
    users::access_by_id(c, 1).await.unwrap();
    users::company_paths(c, UserId(1)).await.unwrap();
    users::authority(c, UserId(1)).await.unwrap();
    for but_in in [None, Some(COMPANY)] {
        let assigned = users::leads_assigned_to(c, COMPANY, but_in, 1).await;
        assert!(assigned.unwrap().is_empty());
    }

    let turns = Fact {
        kind: &sources::TURNS,
        id: 1,
    };
    assert!(facts::read(c, [turns]).await.unwrap()[&turns].is_empty());
    for request in pages(1) {
        sources::page(c, COMPANY, &request).await.unwrap();
        for text in [None, Some("a_%\\")] {
            territories::page(c, COMPANY, text, &request).await.unwrap();
        }
    }
    for (to, becomes_default) in [
        (None, true),
        (Some(None), false),
        (Some(Some(CompanyId(2))), false),
        (Some(Some(CompanyId(2))), true),
    ] {
        let touched = moves::touched_by_update(c, COMPANY, to, becomes_default).await;
        assert!(touched.unwrap().leads.is_empty());
    }

    let text = Some("ana_%\\".to_owned());
    let user_filter = users::UserFilter {
        text: text.clone(),
        status: Some("active".to_owned()),
        company_id: Some(1),
        role: Some("owner".to_owned()),
    };
    let access_filter = users::AccessFilter {
        user_id: Some(1),
        company_id: Some(1),
        role: Some("owner".to_owned()),
        is_primary: Some(true),
        text: text.clone(),
        status: Some("active".to_owned()),
    };
    for visible in [Visible::All, Visible::Under(vec![1, 2])] {
        users::shares_company(c, &visible, UserId(1)).await.unwrap();
        for request in pages(1) {
            for (text, parent) in [(None, None), (text.as_deref(), Some(1))] {
                companies::page(c, &visible, text, parent, &request)
                    .await
                    .unwrap();
            }
            for filter in [users::UserFilter::default(), user_filter.clone()] {
                users::page(c, &visible, UserId(1), &filter, &request)
                    .await
                    .unwrap();
            }
            for filter in [users::AccessFilter::default(), access_filter.clone()] {
                users::access_page(c, &visible, &filter, &request)
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn every_query_of_invitations_and_subscriptions_runs() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    let now = ledger.clock().now();
    for request in pages(1) {
        invitations::pending_page(&mut connection, COMPANY, now, &request)
            .await
            .unwrap();
    }
    invitations::by_id(&mut connection, 1).await.unwrap();
    invitations::by_code_hash(&mut connection, "h")
        .await
        .unwrap();
    invitations::pending_of_email(&mut connection, "a@example.com", now)
        .await
        .unwrap();
    invitations::not_ended(&mut connection, COMPANY, "a@example.com")
        .await
        .unwrap();
    invitations::due(&mut connection, now, 1).await.unwrap();
    subscriptions::of_company(&mut connection, COMPANY)
        .await
        .unwrap();
    subscriptions::due(&mut connection, now, 1).await.unwrap();
    let kinds: [&'static FactKind; 3] = [
        &subscriptions::GOVERNED_LEADS,
        &subscriptions::GOVERNED_COMPANIES,
        &subscriptions::GOVERNED_USERS,
    ];
    let wanted = kinds.map(|kind| Fact { kind, id: 1 });
    let read = facts::read(&mut connection, wanted).await.unwrap();
    // Nobody has subscribed, so that nothing is governed.
    assert!(read.values().all(std::collections::BTreeMap::is_empty));
}

#[tokio::test]
async fn an_instant_means_the_last_commit_that_was_recorded_until_then() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    for n in 0..45 {
        // Several at once, which may share a commit and its time.
        let emails = [0, 1, 2, 3].map(|m| format!("p{n}.{m}@example.com"));
        let created = emails.map(|email| create(&ledger, 1, contact(&email)));
        for created in futures::future::join_all(created).await {
            created.unwrap();
        }
    }
    let mut connection = database.pool().acquire().await.unwrap();
    let recorded: Vec<(i64, DateTime<Utc>)> = sqlx::query_as(
        "SELECT ledger_commit_end(position), recorded_at FROM events ORDER BY position",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert!(recorded.len() >= 180, "{}", recorded.len());
    let instants: Vec<DateTime<Utc>> = recorded
        .iter()
        .flat_map(|(_, at)| [-1, 0, 1].map(|micros| *at + TimeDelta::microseconds(micros)))
        .collect();
    for instant in instants {
        let last = recorded.iter().rev().find(|(_, at)| *at <= instant);
        let last = last.map_or(0, |(position, _)| *position);
        let found = moment::position_of(&mut connection, Asked::Instant(instant)).await;
        assert_eq!(found.unwrap(), last, "{instant:?}");
    }
}
