//! How many rows a chunk has: as many as keep others from waiting long while somebody writes beside the import, more when nobody
//! does.

use std::time::{Duration, Instant};

/// A chunk shall take so long while others write.
const BESIDE_OTHERS: Duration = Duration::from_millis(10);
/// A chunk shall take so long when nobody else writes: whoever comes first waits for one such chunk.
const ALONE: Duration = Duration::from_millis(30);
/// So long after somebody wrote, others are taken to write.
const OTHERS_STAY: Duration = Duration::from_secs(2);
const FEWEST: usize = 25;
const MOST: usize = 1_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Pace {
    /// Seconds that a row took lately.
    row: Option<f64>,
    others: Option<Instant>,
    position: i64,
    /// How many imports share it.
    imports: usize,
    /// How many chunks were sent.
    sent: u64,
    /// How many commands of others this node was given, when it was last looked at.
    seen: Option<u64>,
}

impl Pace {
    /// The size of the next chunk.
    #[must_use]
    pub fn rows(&self) -> usize {
        let target = match self.others {
            Some(at) if at.elapsed() < OTHERS_STAY => BESIDE_OTHERS,
            _ => ALONE,
        };
        let Some(row) = self.row else { return 200 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of rows, bounded right after"
        )]
        let rows = (target.as_secs_f64() / row) as usize;
        rows.clamp(FEWEST, MOST)
    }

    /// So many imports take turns.
    pub fn shared_by(&mut self, imports: usize) {
        self.imports = imports;
    }

    /// A chunk was sent.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// A chunk was committed.
    pub fn learn(&mut self, chunk: &Chunk) {
        #[expect(clippy::cast_precision_loss, reason = "a chunk has at most 1,000 rows")]
        let row = chunk.took.as_secs_f64() / chunk.rows.max(1) as f64;
        self.row = Some(self.row.map_or(row, |known| known.mul_add(0.7, row * 0.3)));
        // What other nodes append is only seen where no other import's chunks lie between this one's.
        let elsewhere = chunk.position - self.position - chunk.events;
        let elsewhere = self.imports == 1 && self.position > 0 && elsewhere > 0;
        let here = chunk.submitted.saturating_sub(self.sent);
        let came = self.seen.replace(here).is_some_and(|seen| here > seen);
        if elsewhere || came {
            self.others = Some(Instant::now());
        }
        self.position = chunk.position;
    }
}

/// What is known of a chunk that was committed.
#[derive(Debug)]
pub struct Chunk {
    /// How many rows it had.
    pub rows: usize,
    /// How long its commit took.
    pub took: Duration,
    /// How many events it appended.
    pub events: i64,
    /// Where the ledger ended with it.
    pub position: i64,
    /// How many commands this node was given so far.
    pub submitted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(rows: usize, millis: u64, position: i64) -> Chunk {
        Chunk {
            rows,
            took: Duration::from_millis(millis),
            events: 101,
            position,
            submitted: 0,
        }
    }

    #[test]
    fn chunks_are_small_beside_others_and_large_alone() {
        let mut pace = Pace::default();
        pace.shared_by(1);
        pace.learn(&chunk(100, 10, 101));
        let alone = pace.rows();
        assert!((275..=325).contains(&alone), "{alone}");
        pace.learn(&chunk(100, 10, 303));
        assert!((75..=125).contains(&pace.rows()), "{}", pace.rows());
        pace.learn(&chunk(100, 10_000, 404));
        assert_eq!(pace.rows(), FEWEST);
    }

    #[test]
    fn whoever_waits_is_noticed_before_their_command_is_committed() {
        let mut pace = Pace::default();
        for (submitted, position) in [(1, 101), (2, 202)] {
            pace.sent();
            let chunk = chunk(100, 10, position);
            pace.learn(&Chunk { submitted, ..chunk });
        }
        assert!(pace.rows() > 250, "{}", pace.rows());
        pace.learn(&Chunk {
            submitted: 3,
            ..chunk(100, 10, 303)
        });
        assert!((75..=125).contains(&pace.rows()), "{}", pace.rows());
    }
}
