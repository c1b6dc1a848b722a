//! Who is shown rows of a file that was imported, and whose they are: who may not see a blocked lead does not find it among the rows that failed, and of
//! every other whose row is shown the log of reads is told. Nothing of what stands in a row is kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aggregates::email::Email;
use aggregates::phone::{Phone, Region};
use projections::imports::holders;
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::blocked::BlockedLeads;

/// About how many addresses and numbers are looked up together.
const LOOKED_UP: usize = 500;
/// How long a database that does not answer is asked again, and how often.
const ATTEMPTS: u32 = 20;
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What becomes of the leads whose rows were shown, or of how many there may be, where the database did not tell which.
pub type Note = Arc<dyn Fn(Result<Vec<i64>, u64>) + Send + Sync>;

/// Who is shown the rows.
pub struct Audience {
    /// Those that are blocked.
    pub blocked: BlockedLeads,
    /// Whether their rows are left out.
    pub hides_blocked: bool,
    /// Where it is noted whose rows were shown; `None` at the console.
    pub noted: Option<Noted>,
}

/// Where it is noted whose rows were shown.
pub struct Noted {
    /// Of today's tables, whatever the moment that is asked for.
    pub pool: PgPool,
    /// The company of the leads.
    pub company: i64,
    /// Where numbers without a country code are of.
    pub region: Region,
    /// Takes the leads, each once in an answer.
    pub note: Note,
}

impl Audience {
    /// Whoever has the database itself.
    #[must_use]
    pub fn console() -> Self {
        Self {
            blocked: BlockedLeads::default(),
            hides_blocked: false,
            noted: None,
        }
    }

    /// Begins to look at rows, to be asked from a thread of its own.
    #[must_use]
    pub fn begin(self, handle: Handle) -> Watch {
        let noting = self.noted.map(|noted| {
            let (queue, waiting) = mpsc::channel(2);
            let region = noted.region;
            Noting {
                queue,
                region,
                task: handle.spawn(note_all(noted, waiting)),
            }
        });
        Watch {
            blocked: self.blocked,
            hides_blocked: self.hides_blocked,
            noting,
            named: Named::default(),
            handle,
        }
    }
}

/// What rows that were shown name.
#[derive(Default)]
struct Named {
    emails: Vec<String>,
    phones: Vec<String>,
    blocked: Vec<i64>,
}

impl Named {
    fn len(&self) -> usize {
        self.emails.len() + self.phones.len() + self.blocked.len()
    }
}

struct Noting {
    queue: mpsc::Sender<Named>,
    region: Region,
    task: JoinHandle<()>,
}

/// Looks at each row before it is shown. Whose it is is looked up beside the answer, which waits for that at its end only.
pub struct Watch {
    blocked: BlockedLeads,
    hides_blocked: bool,
    noting: Option<Noting>,
    named: Named,
    handle: Handle,
}

impl Watch {
    /// Whether the row is shown.
    pub fn shows<'c>(&mut self, cells: impl Iterator<Item = &'c str> + Clone) -> bool {
        let blocked = self.blocked.named_in(cells.clone());
        if self.hides_blocked && !blocked.is_empty() {
            return false;
        }
        let Some(noting) = &self.noting else {
            return true;
        };
        self.named.blocked.extend(blocked);
        for cell in cells {
            self.named.emails.extend(emails_in(cell));
            self.named.phones.extend(phone_in(cell, noting.region));
        }
        if self.named.len() >= LOOKED_UP {
            // Who notes is gone only when the server stops.
            let _ = noting.queue.blocking_send(std::mem::take(&mut self.named));
        }
        true
    }

    /// Waits until everything is noted: an answer that came to its end is in the log.
    pub fn finish(&mut self) {
        if let Some(Noting { queue, task, .. }) = self.noting.take() {
            let _ = queue.blocking_send(std::mem::take(&mut self.named));
            drop(queue);
            let _ = self.handle.block_on(task);
        }
    }
}

/// Every address in a cell, as leads have them.
fn emails_in(cell: &str) -> impl Iterator<Item = String> {
    let beside = |c: char| c.is_whitespace() || "<>()[],;:\"'".contains(c);
    let words = cell.split(beside).filter(|word| word.contains('@'));
    words.filter_map(|word| Some(Email::parse(word).ok()?.to_string()))
}

/// The number in a cell, as leads have it but for the extension.
fn phone_in(cell: &str, region: Region) -> Option<String> {
    if cell.chars().filter(char::is_ascii_digit).count() < 7 {
        return None;
    }
    let phone = Phone::parse(cell, region).ok()?.to_string();
    phone.split(';').next().map(str::to_owned)
}

async fn note_all(noted: Noted, mut waiting: mpsc::Receiver<Named>) {
    let mut told = HashSet::new();
    while let Some(named) = waiting.recv().await {
        let mut leads = match find(&noted, &named).await {
            Ok(leads) => leads,
            Err(error) => {
                tracing::warn!(%error, "whose failed rows were shown is not in the log of reads");
                let most = named.emails.len() + named.phones.len();
                (noted.note)(Err(most as u64));
                Vec::new()
            }
        };
        leads.extend(named.blocked);
        leads.retain(|lead| told.insert(*lead));
        (noted.note)(Ok(leads));
    }
}

async fn find(noted: &Noted, named: &Named) -> Result<Vec<i64>, sqlx::Error> {
    let mut attempt = 0;
    loop {
        let found = async {
            let mut connection = noted.pool.acquire().await?;
            holders::all_of(&mut connection, noted.company, &named.emails, &named.phones).await
        };
        match found.await {
            Err(error) if attempt < ATTEMPTS && !matches!(error, sqlx::Error::PoolClosed) => {
                attempt += 1;
                tracing::warn!(%error, "the log of reads waits for the database");
                tokio::time::sleep(ASK_EVERY).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_found_as_leads_have_them() {
        let emails = |cell| emails_in(cell).collect::<Vec<_>>();
        assert_eq!(
            emails("Zoe <ZOE@Example.com>; bo@example.com"),
            ["zoe@example.com", "bo@example.com"]
        );
        assert!(emails("@ no one").is_empty());
        assert_eq!(
            phone_in("(55) 1234-5678", Region::MX).as_deref(),
            Some("+525512345678")
        );
        assert_eq!(phone_in("12", Region::MX), None);
    }
}
