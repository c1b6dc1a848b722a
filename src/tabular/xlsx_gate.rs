//! How much of workbooks is in memory at a time, whoever reads them: who comes when there is no room waits, in the order of coming.
//!
//! What a workbook weighs is known before it is opened (see `xlsx_bounds`); one of the largest that is allowed fits alone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The one gate of the process.
pub(super) static GATE: Gate = Gate::new(112 << 20);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Gate {
    most: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The number that the next who comes is given.
    next: u64,
    /// Whose turn it is.
    turn: u64,
    held: u64,
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room<'a> {
    gate: &'a Gate,
    weight: u64,
}

impl Gate {
    const fn new(most: u64) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                next: 0,
                turn: 0,
                held: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for so many bytes of room. What weighs more than there is at all waits until it is alone.
    pub(super) fn enter(&self, weight: u64) -> Room<'_> {
        let weight = weight.min(self.most);
        let mut state = self.state();
        let mine = state.next;
        state.next += 1;
        while state.turn != mine || state.held + weight > self.most {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.held += weight;
        drop(state);
        self.changed.notify_all();
        Room { gate: self, weight }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.gate.state().held -= self.weight;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_finds_no_room_waits_and_nobody_overtakes() {
        static SMALL: Gate = Gate::new(10);
        let first = SMALL.enter(6);
        let (told, order) = channel();
        let waiting = |weight: u64, name: &'static str| {
            let told = told.clone();
            let thread = thread::spawn(move || {
                let _room = SMALL.enter(weight);
                told.send(name).unwrap();
            });
            thread::sleep(Duration::from_millis(50));
            thread
        };
        let threads = [waiting(99, "large"), waiting(1, "small")];
        assert!(order.try_recv().is_err());
        drop(first);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(order.try_iter().collect::<Vec<_>>(), ["large", "small"]);
    }
}
