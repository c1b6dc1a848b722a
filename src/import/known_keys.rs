//! Which e-mails and phone numbers the leads of a company have, kept at hand while a long file goes in: most of its rows are like
//! nobody, and need not be looked for in the tables.
//!
//! A Bloom filter: it says "perhaps" or "surely not", in the same four megabytes whatever the size of the company. It is as of a ledger position
//! that was confirmed by a commit; whoever asks under the append lock brings it up to the ledger's end first.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use projections::imports::holders::{self, ContactKeys, Mark};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Mutex;

/// Of a million leads with both keys, one look in seventy is in vain.
const BITS: u64 = 1 << 25;
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
    marks: Mutex<Marks>,
}

struct Marks {
    /// Every lead that was touched up to here is in.
    confirmed: Mark,
    /// As of the commit that is under way.
    pending: Mark,
}

impl KnownKeys {
    /// Of the leads that the company has; `None` when the file is too short to be worth it.
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
        let known = Self(Arc::new(Inner {
            company,
            hasher: RandomState::new(),
            bits: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(),
            marks: Mutex::new(Marks {
                confirmed,
                pending: confirmed,
            }),
        }));
        holders::each_key(&mut transaction, company, None, |key| known.add(key)).await?;
        Ok(Some(known))
    }

    /// Takes in what was touched since the confirmed position. To be called under the append lock, before it is asked.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn catch_up(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut marks = self.0.marks.lock().await;
        let end = holders::end(&mut *connection).await?;
        let since = marks.confirmed;
        if end.position != since.position {
            let add = |key: &str| self.add(key);
            holders::each_key(connection, self.0.company, Some((since, end)), add).await?;
        }
        marks.pending = end;
        Ok(())
    }

    /// The commit before which it was brought up to date is on disk: it gave leads these keys, and the ledger ends at this position
    /// with it. Nothing else can have come in between under the append lock, so that nothing needs to be read again.
    pub async fn confirm<'a>(&self, position: i64, keys: impl Iterator<Item = &'a ContactKeys>) {
        let mut marks = self.0.marks.lock().await;
        for keys in keys {
            for key in keys.email.iter().chain(&keys.phone) {
                self.add(key);
            }
        }
        // The time is that of the ledger's end before: whoever walks the leads from there passes some that are known.
        marks.confirmed = Mark {
            position,
            ..marks.pending
        };
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

    fn places(&self, key: &str) -> [u64; 2] {
        let hash = self.0.hasher.hash_one(key);
        [hash % BITS, (hash >> 32) % BITS]
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
