//! How many rows a chunk has: as many as keep others from waiting long while somebody writes beside the import, more when nobody
//! does.

use std::time::{Duration, Instant};

/// A chunk shall take so long while others write.
const BESIDE_OTHERS: Duration = Duration::from_millis(15);
/// A chunk shall take so long when nobody else writes: whoever comes first waits for one such chunk.
const ALONE: Duration = Duration::from_millis(150);
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

    /// A chunk of so many rows was committed: it took so long, appended so many events, and the ledger ends here now.
    pub fn learn(&mut self, rows: usize, took: Duration, events: i64, position: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a chunk has at most 1,000 rows")]
        let row = took.as_secs_f64() / rows.max(1) as f64;
        self.row = Some(self.row.map_or(row, |known| known.mul_add(0.7, row * 0.3)));
        let from_others = position - self.position - events;
        if self.position > 0 && from_others > 0 {
            self.others = Some(Instant::now());
        }
        self.position = position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_small_beside_others_and_large_alone() {
        let mut pace = Pace::default();
        let millisecond = Duration::from_millis(1);
        pace.learn(100, 10 * millisecond, 101, 101);
        let alone = pace.rows();
        assert_eq!(alone, 1_000);
        pace.learn(100, 10 * millisecond, 101, 303);
        assert!((100..=200).contains(&pace.rows()), "{}", pace.rows());
        pace.learn(100, 10_000 * millisecond, 101, 404);
        assert_eq!(pace.rows(), FEWEST);
    }
}
