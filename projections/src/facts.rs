//! Facts: numbers in read tables that a decision depends on, such as whose turn it is or how many there are already.
//!
//! Here: what a fact is and how a batch's facts are read. Not here: which facts there are (each is a constant beside its
//! projection), and when they hold (the committer reads them as of the ledger's end that the batch is guarded by).

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use sqlx::{PgConnection, Row};

/// A kind of fact, told apart by its name.
#[derive(Debug)]
pub struct FactKind {
    /// Unique among the kinds.
    pub name: &'static str,
    /// Takes the wanted ids as `$1 bigint[]` and answers rows `(id bigint, key bigint, number bigint)`.
    pub sql: &'static str,
}

/// One fact: a kind, and the id of what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// What is asked.
    pub kind: &'static FactKind,
    /// About which source, company, ….
    pub id: i64,
}

impl PartialEq for Fact {
    fn eq(&self, other: &Self) -> bool {
        self.kind.name == other.kind.name && self.id == other.id
    }
}

impl Eq for Fact {}

impl Hash for Fact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.name.hash(state);
        self.id.hash(state);
    }
}

/// The numbers of one fact by their keys; a single number has key 0. Empty when the tables hold nothing.
pub type FactValue = BTreeMap<i64, i64>;

/// Reads facts, one query a kind. Every wanted fact is in the answer.
///
/// # Errors
/// What the database answers.
pub async fn read(
    connection: &mut PgConnection,
    wanted: impl IntoIterator<Item = Fact>,
) -> Result<HashMap<Fact, FactValue>, sqlx::Error> {
    let mut values: HashMap<Fact, FactValue> = wanted
        .into_iter()
        .map(|fact| (fact, FactValue::new()))
        .collect();
    let mut ids_by_kind: BTreeMap<&str, (&'static FactKind, Vec<i64>)> = BTreeMap::new();
    for fact in values.keys() {
        let (_, ids) = ids_by_kind
            .entry(fact.kind.name)
            .or_insert_with(|| (fact.kind, Vec::new()));
        ids.push(fact.id);
    }
    for (kind, ids) in ids_by_kind.into_values() {
        for row in sqlx::query(kind.sql)
            .bind(ids)
            .fetch_all(&mut *connection)
            .await?
        {
            let fact = Fact {
                kind,
                id: row.try_get(0)?,
            };
            if let Some(value) = values.get_mut(&fact) {
                value.insert(row.try_get(1)?, row.try_get(2)?);
            }
        }
    }
    Ok(values)
}
