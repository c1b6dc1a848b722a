//! The only source of wall-clock time and of time-ordered ids. What needs the time takes a [`Clock`]; nothing else
//! may ask the system (`clippy.toml` enforces it). Durations are measured with `std::time::Instant` and need no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// Tells the time: the system's, or one that a test sets. Cheap to clone; clones share a set time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    /// Microseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `time` until it is told otherwise.
    #[must_use]
    pub fn fixed(time: DateTime<Utc>) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(
            time.timestamp_micros(),
        ))))
    }

    /// The time in whole microseconds: PostgreSQL keeps no more, so what is answered equals what is read back later.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System => system_time().timestamp_micros(),
            Source::Set(micros) => micros.load(Ordering::Relaxed),
        };
        DateTime::from_timestamp_micros(micros)
            .expect("microseconds came from a time in chrono's range")
    }

    /// Moves a fixed clock to `time`, for this and all its clones.
    ///
    /// # Panics
    /// On the system's clock, which nobody can set.
    pub fn set(&self, time: DateTime<Utc>) {
        match &self.0 {
            Source::Set(micros) => micros.store(time.timestamp_micros(), Ordering::Relaxed),
            Source::System => panic!("the system's clock cannot be set"),
        }
    }

    /// Moves a fixed clock by `delta`, for this and all its clones.
    ///
    /// # Panics
    /// On the system's clock, which nobody can set.
    pub fn advance(&self, delta: TimeDelta) {
        self.set(self.now() + delta);
    }

    /// A new uuid of version 7 (RFC 9562) carrying this clock's time: for requests, tokens and keys, never for a
    /// secret (its leading 48 bits are the time).
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(
            NoContext,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the system for the time"
)]
fn system_time() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_fixed_clock_move_together() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let other = clock.clone();
        clock.advance(TimeDelta::hours(3));
        assert_eq!(other.now(), DateTime::UNIX_EPOCH + TimeDelta::hours(3));
    }

    #[test]
    fn time_has_whole_microseconds() {
        assert_eq!(
            Clock::system().now().timestamp_subsec_nanos() % 1_000,
            0,
            "what PostgreSQL cannot keep must not be answered"
        );
    }

    #[test]
    fn ids_are_version_7_at_the_clocks_time() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000));
        let (first, second) = (clock.new_id(), clock.new_id());
        assert_eq!(first.get_version_num(), 7);
        assert_ne!(first, second);
        let (seconds, _) = first.get_timestamp().map_or((0, 0), |t| t.to_unix());
        assert_eq!(seconds, 1_700_000_000);
    }
}
