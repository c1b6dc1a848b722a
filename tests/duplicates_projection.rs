//! Duplicates on a real database: the rows after any history, how little an addition reads, and the list.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(
    dead_code,
    reason = "each test binary takes what it needs of what they share"
)]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use aggregates::Personal;
use aggregates::email::Email;
use aggregates::ids::{CompanyId, LeadId, UserAccessId};
use aggregates::lead::{Contact, ExtraFields, LeadEvent};
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use chrono::DateTime;
use projections::page::{PageFrom, PageRequest};
use projections::{Batch, DomainEvent, Recorded, Statement, duplicates};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::PgConnection;
use support::database::TestDatabase;

type Rows = BTreeMap<i64, (i64, i64, Vec<String>)>;

/// The leads of a test, and the events that made them.
#[derive(Default)]
struct Leads {
    contacts: Vec<(i64, Contact)>,
    position: i64,
}

impl Leads {
    fn create(&mut self, company: i64, contact: Contact, assignee: Option<i64>) -> Recorded {
        self.contacts.push((company, contact.clone()));
        let lead_id = i64::try_from(self.contacts.len()).unwrap();
        let event = LeadEvent::LeadCreated {
            lead_id: LeadId(lead_id),
            company_id: CompanyId(company),
            contact: contact.into(),
            stage_id: Stage::default(),
            source_id: None,
            campaign_id: None,
            cycle_id: None,
            territory_id: None,
            user_access_id: assignee.map(UserAccessId),
            answers: Vec::new().into(),
            extra: ExtraFields::new().into(),
            estimated_value: None,
            territory_match: None,
            routing: None,
        };
        self.record(lead_id, event)
    }

    fn change(&mut self, index: usize, contact: Option<Contact>) -> Recorded {
        let from = Personal::from(self.contacts[index].1.clone());
        let to = contact.clone().map_or(Personal::Erased, Personal::from);
        // Where the person is erased, a later reader of the ledger finds neither contact.
        let from = if contact.is_some() {
            from
        } else {
            Personal::Erased
        };
        self.contacts[index].1 = contact.unwrap_or_default();
        let lead_id = i64::try_from(index).unwrap() + 1;
        self.record(lead_id, LeadEvent::LeadContactChanged { from, to })
    }

    fn record(&mut self, lead_id: i64, event: LeadEvent) -> Recorded {
        self.position += 1;
        let index = usize::try_from(lead_id).unwrap() - 1;
        Recorded {
            position: self.position,
            recorded_at: DateTime::UNIX_EPOCH,
            aggregate_id: lead_id,
            sequence: self.position,
            company_id: Some(CompanyId(self.contacts[index].0)),
            event: DomainEvent::Lead(event),
        }
    }

    /// The rows by definition, from the present contacts alone.
    fn expected(&self) -> Rows {
        let keys: Vec<_> = self
            .contacts
            .iter()
            .map(|(company, contact)| {
                let email = contact.email.as_ref().map(|e| (*company, e.to_string()));
                let phone = contact.phone.as_ref();
                (email, phone.map(|p| (*company, p.e164().to_owned())))
            })
            .collect();
        let all = || 0..keys.len();
        let by_email = |a: usize, b: usize| a != b && keys[a].0.is_some() && keys[a].0 == keys[b].0;
        let by_phone = |a: usize, b: usize| a != b && keys[a].1.is_some() && keys[a].1 == keys[b].1;
        let mut groups: Vec<usize> = all().collect();
        loop {
            let old = groups.clone();
            for a in all() {
                for b in all().filter(|b| by_email(a, *b) || by_phone(a, *b)) {
                    groups[a] = groups[a].min(groups[b]);
                }
            }
            if groups == old {
                break;
            }
        }
        let id = |index: usize| i64::try_from(index).unwrap() + 1;
        let rows = all().map(|a| {
            let mut matched_on = Vec::new();
            if all().any(|b| by_email(a, b)) {
                matched_on.push("email".to_owned());
            }
            if all().any(|b| by_phone(a, b)) {
                matched_on.push("phone".to_owned());
            }
            (id(a), (self.contacts[a].0, id(groups[a]), matched_on))
        });
        rows.filter(|(_, (_, _, matched_on))| !matched_on.is_empty())
            .collect()
    }
}

fn contact(email: Option<u8>, phone: Option<u8>, extension: bool) -> Contact {
    let extension = if extension { " ext 12" } else { "" };
    Contact {
        email: email.map(|n| Email::parse(&format!("Lead{n}@example.com")).unwrap()),
        phone: phone.map(|n| {
            let raw = format!("+1 504 621 89{:02}{extension}", n % 100);
            Phone::parse(&raw, Region::US).unwrap()
        }),
        ..Contact::default()
    }
}

async fn apply(connection: &mut PgConnection, events: &[Recorded]) {
    let mut batch = Batch::default();
    for recorded in events {
        batch.fold(recorded);
    }
    batch.look_up(connection).await.unwrap();
    let mut statement = Statement::unguarded();
    batch.write(&mut statement);
    if statement.has_parts() {
        let (sql, arguments) = statement.finish();
        let done = sqlx::query_with(&sql, arguments).execute(connection).await;
        done.unwrap();
    }
}

async fn stored(connection: &mut PgConnection) -> Rows {
    let rows: Vec<(i64, i64, i64, Vec<String>)> =
        sqlx::query_as("SELECT lead_id, company_id, duplicate_group, matched_on FROM duplicates")
            .fetch_all(connection)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(lead, company, group, matched_on)| (lead, (company, group, matched_on)))
        .collect()
}

/// Every page of the company's list, two rows at a time, and its total.
async fn listed(
    connection: &mut PgConnection,
    company: CompanyId,
    only_of: Option<&[i64]>,
) -> Vec<(i64, i64)> {
    let mut request = PageRequest {
        per_page: 2,
        from: PageFrom::Offset(0),
    };
    let mut rows = Vec::new();
    loop {
        let page = duplicates::page(connection, company, only_of, &request)
            .await
            .unwrap();
        for row in &page.rows {
            assert!(!row.matched_on.clone().unwrap().is_empty());
            rows.push((row.duplicate_group.unwrap(), row.id));
        }
        if !page.more {
            break;
        }
        request.from = PageFrom::After(*rows.last().unwrap());
    }
    let total = duplicates::total(connection, company, only_of).await;
    let total = total.unwrap();
    assert_eq!(usize::try_from(total.count).unwrap(), rows.len());
    assert!(!total.is_estimate);
    rows
}

#[derive(Debug, Clone)]
enum Step {
    Create(i64, Contact),
    /// `None` erases. The lead is picked among those that there are by then.
    Change(usize, Option<Contact>),
    EndOfBatch,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || proptest::option::weighted(0.8, 0..7_u8);
    let contact = || (key(), key(), any::<bool>()).prop_map(|(e, p, x)| contact(e, p, x));
    prop_oneof![
        6 => (1..3_i64, contact()).prop_map(|(company, contact)| Step::Create(company, contact)),
        5 => (any::<usize>(), proptest::option::weighted(0.8, contact()))
            .prop_map(|(n, contact)| Step::Change(n, contact)),
        3 => Just(Step::EndOfBatch),
    ]
}

async fn run(connection: &mut PgConnection, steps: Vec<Step>) {
    sqlx::query("TRUNCATE leads, duplicates, duplicate_counts, stage_counts, stage_counts_daily")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut leads = Leads::default();
    let mut batch = Vec::new();
    for step in steps.into_iter().chain([Step::EndOfBatch]) {
        match step {
            Step::Create(company, contact) => batch.push(leads.create(company, contact, None)),
            Step::Change(n, contact) if !leads.contacts.is_empty() => {
                batch.push(leads.change(n % leads.contacts.len(), contact));
            }
            Step::Change(..) => {}
            Step::EndOfBatch => {
                apply(connection, &std::mem::take(&mut batch)).await;
                assert_eq!(stored(connection).await, leads.expected());
            }
        }
    }
    for company in [1, 2] {
        let of_company: BTreeSet<_> = leads
            .expected()
            .into_iter()
            .filter(|(_, (of, _, _))| *of == company)
            .map(|(lead, (_, group, _))| (group, lead))
            .collect();
        let listed = listed(connection, CompanyId(company), None).await;
        assert_eq!(listed, of_company.into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_batch_the_rows_are_those_of_the_present_keys() {
    let database = TestDatabase::create().await;
    let mut connection = database.pool().acquire().await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let connection = std::cell::RefCell::new(&mut connection);
        let tried = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(40)
        })
        .run(&proptest::collection::vec(step(), 1..50), |steps| {
            runtime.block_on(run(&mut connection.borrow_mut(), steps));
            Ok(())
        });
        tried.unwrap();
    });
}

#[tokio::test]
async fn an_addition_to_a_big_group_reads_a_few_rows() {
    const GROUP: usize = 20_000;
    const ADDED: usize = 50;
    let database = TestDatabase::create().await;
    let mut connection = database.pool().begin().await.unwrap();
    let mut leads = Leads::default();
    let switchboard = || contact(Some(7), Some(7), false);
    for _ in 0..GROUP / 1000 {
        let batch: Vec<_> = (0..1000)
            .map(|_| leads.create(1, switchboard(), None))
            .collect();
        apply(&mut connection, &batch).await;
    }
    connection.commit().await.unwrap();
    // Makes statistics by which any lead is likely to have the e-mail that is looked for.
    sqlx::query("ANALYZE")
        .execute(database.pool())
        .await
        .unwrap();

    let mut connection = database.pool().begin().await.unwrap();
    let batch: Vec<_> = (0..ADDED)
        .flat_map(|n| {
            let own = Some(u8::try_from(n + 10).unwrap());
            [switchboard(), contact(own, own, false)]
        })
        .map(|contact| leads.create(1, contact, None))
        .collect();
    apply(&mut connection, &batch).await;
    let read: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, coalesce(seq_tup_read, 0), coalesce(idx_tup_fetch, 0) \
         FROM pg_stat_xact_user_tables WHERE relname IN ('leads', 'duplicates')",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for (table, by_scan, by_index) in read {
        assert_eq!(by_scan, 0, "{table}");
        assert!(by_index <= 10, "{table}: {by_index}");
    }
    let company = CompanyId(1);
    let total = duplicates::total(&mut connection, company, None).await;
    assert_eq!(
        usize::try_from(total.unwrap().count).unwrap(),
        GROUP + ADDED
    );
    let total = duplicates::total(&mut connection, company, Some(&[])).await;
    let total = total.unwrap();
    assert!(total.is_estimate && total.count > 10_000);
}

#[tokio::test]
async fn a_restricted_list_has_own_and_unassigned_leads_of_all_groups() {
    let database = TestDatabase::create().await;
    let mut connection = database.pool().acquire().await.unwrap();
    let mut leads = Leads::default();
    let batch: Vec<_> = [Some(5), Some(6), None, Some(5), Some(7)]
        .into_iter()
        .zip([1, 1, 1, 2, 2])
        .map(|(assignee, email)| leads.create(1, contact(Some(email), None, false), assignee))
        .collect();
    apply(&mut connection, &batch).await;
    let company = CompanyId(1);
    assert_eq!(
        listed(&mut connection, company, Some(&[5])).await,
        [(1, 1), (1, 3), (4, 4)]
    );
    assert_eq!(listed(&mut connection, company, Some(&[])).await, [(1, 3)]);
    assert_eq!(listed(&mut connection, company, None).await.len(), 5);
}
