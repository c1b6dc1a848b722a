//! Which e-mails and phone numbers the leads of a company have, kept at hand while a long file goes in: most of its rows are like
//! nobody, and need not be looked for in the tables.
//!
//! A Bloom filter: it says "perhaps" or "surely not", in sixteen megabytes at most whatever the size of the company. It is as of a ledger position
//! that is on disk; whoever asks under the append lock brings it up to the ledger's end first.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use aggregates::import::RowOutcomes;
use projections::imports::holders::{self, ContactKeys, Mark};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::decision::Decided;
use super::rows::ReadyRow;

/// The most bits: of a million leads with both keys, one look in a hundred thousand is in vain.
const MOST_BITS: u64 = 1 << 27;
/// So many bits for each lead and each row, as long as that is less.
const BITS_OF_A_LEAD: u64 = 128;
/// Megabytes that all filters of the process may take together; an import that finds none looks each row up.
static ROOM: Semaphore = Semaphore::const_new(33);
/// How many bits stand for a key.
const PLACES: usize = 4;
/// A file is short if it has fewer rows than this share of the company's leads: then looking for each row is less work than reading all
/// leads.
const SHORT: i64 = 10;

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct KnownKeys(Arc<Inner>);

struct Inner {
    company: i64,
    hasher: RandomState,
    bits: Vec<AtomicU64>,
    _room: SemaphorePermit<'static>,
    marks: Mutex<Marks>,
}

struct Marks {
    /// Every lead that was touched up to here is in.
    confirmed: Mark,
    /// The chunk that was asked about last, and the ledger's end before it.
    last: Option<(Chunk, Mark)>,
}

/// Rows that are imported in one commit.
#[derive(Clone)]
pub struct Chunk {
    /// The rows.
    pub rows: Arc<Vec<ReadyRow>>,
    /// What became of them, once that is decided.
    pub decided: Decided,
}

impl Chunk {
    fn keys(&self) -> impl Iterator<Item = &str> {
        let leads = self.rows.iter().filter_map(|row| row.lead.as_ref().ok());
        leads.flat_map(|lead| {
            lead.keys
                .email
                .iter()
                .chain(&lead.keys.phone)
                .map(String::as_str)
        })
    }

    /// How many events its commit appended.
    #[must_use]
    pub fn events(&self) -> Option<i64> {
        let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.as_ref().map(events_of)
    }
}

/// How many events a chunk appended.
fn events_of(outcomes: &RowOutcomes) -> i64 {
    let updates = outcomes.updated.iter();
    let updates: i64 = updates.map(|row| row.to_version - row.from_version).sum();
    outcomes.counts().imported + updates + 1
}

impl KnownKeys {
    /// Of the leads that the company has; `None` when the file is too short to be worth it, or other imports have what room there is.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn load(
        connection: &mut PgConnection,
        company: i64,
        rows: i64,
    ) -> Result<Option<Self>, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        transaction
            .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        let confirmed = holders::end(&mut transaction).await?;
        let leads = holders::leads_of(&mut transaction, company).await?;
        if rows.saturating_mul(SHORT) < leads {
            return Ok(None);
        }
        let keys = u64::try_from(leads.saturating_add(rows)).unwrap_or_default();
        let bits = keys.saturating_mul(BITS_OF_A_LEAD).min(MOST_BITS);
        let bits = bits.next_power_of_two().max(64);
        let megabytes = u32::try_from(bits >> 23).unwrap_or(u32::MAX);
        let Ok(room) = ROOM.try_acquire_many(megabytes.max(1)) else {
            return Ok(None);
        };
        let known = Self(Arc::new(Inner {
            company,
            hasher: RandomState::new(),
            bits: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(),
            _room: room,
            marks: Mutex::new(Marks {
                confirmed,
                last: None,
            }),
        }));
        holders::each_key(&mut transaction, company, None, |key| known.add(key)).await?;
        Ok(Some(known))
    }

    /// Takes in what was touched since it was asked last. To be called under the append lock, before it is asked about the chunk; of an
    /// import the chunks come in the order of their rows, each decided only when the one before is on disk.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn catch_up(
        &self,
        connection: &mut PgConnection,
        chunk: &Chunk,
    ) -> Result<(), sqlx::Error> {
        let mut marks = self.0.marks.lock().await;
        let end = holders::end(&mut *connection).await?;
        // The same chunk once more was not committed: what was read for it may be undone.
        let before = marks.last.take();
        if let Some((before, from)) =
            before.filter(|(last, _)| !Arc::ptr_eq(&last.rows, &chunk.rows))
        {
            before.keys().for_each(|key| self.add(key));
            marks.confirmed = from;
            // Nobody else came in between: what it touched is in without being read.
            if before
                .events()
                .is_some_and(|events| from.position + events == end.position)
            {
                marks.confirmed = end;
            }
        }
        let since = marks.confirmed;
        if end.position != since.position {
            let add = |key: &str| self.add(key);
            holders::each_key(connection, self.0.company, Some((since, end)), add).await?;
        }
        marks.last = Some((chunk.clone(), end));
        Ok(())
    }

    /// Whether surely no lead has a key of the chunk's, as of when it was brought up to date.
    #[must_use]
    pub fn foresees(&self, chunk: &Chunk) -> bool {
        chunk.keys().all(|key| !self.may_be_held(key))
    }

    /// Of these keys those that a lead may have; `None` when none may.
    #[must_use]
    pub fn perhaps(&self, keys: &ContactKeys) -> Option<ContactKeys> {
        let held = |key: &Option<String>| key.clone().filter(|key| self.may_be_held(key));
        let (email, phone) = (held(&keys.email), held(&keys.phone));
        let any = email.is_some() || phone.is_some();
        any.then_some(ContactKeys { email, phone })
    }

    /// Whether surely no lead of the company has this e-mail or phone number.
    #[must_use]
    pub fn is_unheld(&self, company: i64, key: &str) -> bool {
        company == self.0.company && !self.may_be_held(key)
    }

    fn places(&self, key: &str) -> [u64; PLACES] {
        // Two halves of one hash make as many as are wanted (Kirsch and Mitzenmacher 2006).
        let hash = self.0.hasher.hash_one(key);
        let (first, step) = (hash, (hash >> 32) | 1);
        let bits = 64 * self.0.bits.len() as u64;
        std::array::from_fn(|n| first.wrapping_add(step.wrapping_mul(n as u64)) % bits)
    }

    fn add(&self, key: &str) {
        for place in self.places(key) {
            self.word(place)
                .fetch_or(1 << (place % 64), Ordering::Relaxed);
        }
    }

    fn may_be_held(&self, key: &str) -> bool {
        let mut places = self.places(key).into_iter();
        places.all(|place| self.word(place).load(Ordering::Relaxed) & (1 << (place % 64)) != 0)
    }

    fn word(&self, place: u64) -> &AtomicU64 {
        let word = usize::try_from(place / 64).unwrap_or_default();
        &self.0.bits[word]
    }
}
