//! Requests with the same idempotency key take turns on this node, in the order of their coming. Between nodes the ledger decides:
//! there the later one is answered anew from what was recorded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Turn = tokio::sync::Mutex<()>;

/// From so many names on, those that nobody holds are forgotten.
const FORGETS_FROM: usize = 1_024;

/// Who is at it, by owner of keys and key.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<(i64, String), Weak<Turn>>>);

impl Turns {
    /// Waits until nobody else is at this key; dropping what is answered ends the turn.
    pub async fn take(&self, owner: i64, key: &str) -> OwnedMutexGuard<()> {
        self.of(owner, key).lock_owned().await
    }

    fn of(&self, owner: i64, key: &str) -> Arc<Turn> {
        // Entries are only ever added, replaced or dropped whole: a panic elsewhere leaves the map sound.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= FORGETS_FROM {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let entry = turns.entry((owner, key.to_owned())).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let turn = Arc::new(Turn::default());
            *entry = Arc::downgrade(&turn);
            turn
        })
    }
}
