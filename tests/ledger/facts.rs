//! Facts: a decision may depend on what the read tables hold, also when many decide at once on several nodes.

use aggregates::lead::{Lead, LeadCommand};
use futures::future::join_all;
use leadledger::ledger::{CommitError, Committed, IdKind, Ledger, Provenance, Refusal, Work};
use projections::facts::{Fact, FactKind, FactValue};

use crate::node::{assert_sound, contact, new_lead, open};
use crate::support::database::TestDatabase;

static LEADS: FactKind = FactKind {
    name: "leads of a company",
    sql: "SELECT company_id, 0::bigint, sum(count)::bigint FROM stage_counts WHERE company_id = ANY($1) GROUP BY company_id",
};
const MOST: i64 = 7;

async fn create_below_the_limit(ledger: &Ledger, n: usize) -> Result<Committed, CommitError> {
    let fact = Fact {
        kind: &LEADS,
        id: 1,
    };
    let email = format!("lead{n}@example.com");
    let work = Work::new(Provenance::system("test"), move |unit| {
        let count = unit.fact(fact).get(&0).copied().unwrap_or(0);
        let lead_id = unit.next_id(IdKind::Lead);
        let create = new_lead(lead_id, 1, contact(&email));
        unit.execute::<Lead>(lead_id, LeadCommand::Create(Box::new(create)))?;
        unit.set_fact(fact, FactValue::from([(0, count + 1)]));
        // Refused after everything else was done: nothing of it may stay, the fact included.
        if count >= MOST {
            return Err(Refusal::Rule("full"));
        }
        Ok(lead_id)
    });
    ledger.commit(work.reading(fact)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_a_counted_table_holds_for_many_writers_on_two_nodes() {
    let database = TestDatabase::create().await;
    let nodes = [open(&database).await, open(&database).await];
    let outcomes = join_all((0..40_usize).map(|n| {
        let ledger = nodes[n % 2].clone();
        tokio::spawn(async move { create_below_the_limit(&ledger, n).await })
    }))
    .await;
    let mut made: Vec<i64> = Vec::new();
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(committed) => made.push(committed.resource_id),
            Err(error) => assert!(
                matches!(error, CommitError::Refused(Refusal::Rule("full"))),
                "{error}"
            ),
        }
    }
    made.sort_unstable();
    assert_eq!(made, (1..=MOST).collect::<Vec<_>>());
    assert_eq!(assert_sound(&database).await, MOST);
}
