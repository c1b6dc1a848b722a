//! What waits for the committer: the commands that came and are not yet decided, in the order in which they are.
//!
//! Commands go together as far as they can; those that sweep over streams yet to be found, such as the chunks of an import, go
//! each by itself, and whoever came meanwhile goes before the next one. Nothing is decided here.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::work::Job;

/// The most commands in one batch: beyond this, waiting commands gain nothing by travelling together.
const MOST_COMMANDS: usize = 1_000;

/// What a committer is told.
pub(super) enum Message {
    Commit(Box<Job>),
    /// A stock program appended something.
    CatchUp,
}

/// See the module's text.
pub(super) struct Inbox {
    queue: mpsc::Receiver<Message>,
    jobs: Vec<Job>,
    sweeping: VecDeque<Job>,
    catch_up: bool,
}

impl Inbox {
    pub fn new(queue: mpsc::Receiver<Message>) -> Self {
        Self {
            queue,
            jobs: Vec::new(),
            sweeping: VecDeque::new(),
            catch_up: false,
        }
    }

    /// Waits until something is there. Answers whether to catch up with others, and the commands that go together, which may be none;
    /// `None` when all senders are gone and nothing is left.
    pub async fn take_batch(&mut self) -> Option<(bool, Vec<Job>)> {
        if self.jobs.is_empty() && self.sweeping.is_empty() && !self.catch_up {
            let message = self.queue.recv().await?;
            self.put(message);
        }
        self.take_in();
        let catch_up = std::mem::take(&mut self.catch_up);
        Some((catch_up, std::mem::take(&mut self.jobs)))
    }

    /// The sweeping command that is due, if there is one.
    pub fn take_sweeping(&mut self) -> Option<Job> {
        self.sweeping.pop_front()
    }

    /// The command that will be the next, if it is a sweeping one.
    pub fn take_next(&mut self) -> Option<Job> {
        self.take_in();
        let alone = self.jobs.is_empty() && !self.catch_up;
        alone.then(|| self.sweeping.pop_front()).flatten()
    }

    /// Gives back what [`Inbox::take_next`] gave: it is the next again.
    pub fn put_back(&mut self, job: Job) {
        self.sweeping.push_front(job);
    }

    fn put(&mut self, message: Message) {
        match message {
            Message::CatchUp => self.catch_up = true,
            Message::Commit(job) if job.work.find_streams.is_some() => {
                self.sweeping.push_back(*job);
            }
            Message::Commit(job) => self.jobs.push(*job),
        }
    }

    /// Takes in what has come, and nothing more.
    fn take_in(&mut self) {
        while self.jobs.len() + self.sweeping.len() < MOST_COMMANDS
            && let Ok(message) = self.queue.try_recv()
        {
            self.put(message);
        }
    }
}
