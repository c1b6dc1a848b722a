//! How many requests each integration token may make: so many in ten seconds, so many in a day. Kept by each node for
//! itself; how the state is told to clients is the dialect's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aggregates::ids::IntegrationTokenId;
use chrono::{DateTime, TimeDelta, Utc};

/// The length of the short window.
pub const INTERVAL: TimeDelta = TimeDelta::seconds(10);
/// Requests a day.
pub const PER_DAY: u32 = 200_000;

/// Counts requests by token.
#[derive(Debug)]
pub struct RateLimits {
    per_interval: u32,
    counts: Mutex<HashMap<IntegrationTokenId, Counts>>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    interval: Window,
    day: Window,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: DateTime<Utc>,
    used: u32,
}

impl Window {
    fn new(now: DateTime<Utc>) -> Self {
        Self {
            began: now,
            used: 0,
        }
    }

    fn roll(&mut self, now: DateTime<Utc>, length: TimeDelta) {
        // A clock that was set back begins anew rather than never ending.
        if now - self.began >= length || now < self.began {
            *self = Self::new(now);
        }
    }

    fn seconds_left(self, now: DateTime<Utc>, length: TimeDelta) -> u32 {
        let left = (self.began + length - now).num_milliseconds();
        u32::try_from((left + 999) / 1_000).unwrap_or(1)
    }
}

/// What a token may still do after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in ten seconds.
    pub per_interval: u32,
    /// Of these, how many are left.
    pub left_in_interval: u32,
    /// Of a day's, how many are left.
    pub left_today: u32,
    /// Milliseconds until a day's are all there again.
    pub day_ends_in: i64,
    /// Seconds to wait, when this request was one too many.
    pub refused_for: Option<u32>,
}

impl RateLimits {
    /// So many requests in ten seconds.
    #[must_use]
    pub fn new(per_interval: u32) -> Self {
        Self {
            per_interval,
            counts: Mutex::default(),
        }
    }

    /// Counts a request of this token.
    #[must_use]
    pub fn count(&self, token: IntegrationTokenId, now: DateTime<Utc>) -> Allowance {
        const DAY: TimeDelta = TimeDelta::days(1);
        // Counters are sound at every moment: a panic elsewhere changes nothing.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(token).or_insert_with(|| Counts {
            interval: Window::new(now),
            day: Window::new(now),
        });
        counts.interval.roll(now, INTERVAL);
        counts.day.roll(now, DAY);
        let refused_for = if counts.day.used >= PER_DAY {
            Some(counts.day.seconds_left(now, DAY))
        } else if counts.interval.used >= self.per_interval {
            Some(counts.interval.seconds_left(now, INTERVAL))
        } else {
            counts.interval.used += 1;
            counts.day.used += 1;
            None
        };
        Allowance {
            per_interval: self.per_interval,
            left_in_interval: self.per_interval.saturating_sub(counts.interval.used),
            left_today: PER_DAY - counts.day.used,
            day_ends_in: (counts.day.began + DAY - now).num_milliseconds(),
            refused_for,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_and_each_token_has_its_own() {
        let limits = RateLimits::new(2);
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let count = |token, seconds| {
            let now = start + TimeDelta::seconds(seconds);
            let allowance = limits.count(IntegrationTokenId(token), now);
            (allowance.left_in_interval, allowance.refused_for)
        };
        assert_eq!(count(1, 0), (1, None));
        assert_eq!(count(1, 1), (0, None));
        assert_eq!(count(1, 4), (0, Some(6)));
        assert_eq!(count(2, 4), (1, None));
        assert_eq!(count(1, 10), (1, None));
        let day = limits.count(IntegrationTokenId(1), start + TimeDelta::seconds(11));
        assert_eq!(day.left_today, PER_DAY - 4);
        assert_eq!(day.day_ends_in, (86_400 - 11) * 1_000);
    }
}
