//! Argon2id, off the async threads and bounded in parallel: hashing takes memory and a core for tens of milliseconds.
//!
//! Parameters are the crate's defaults, which follow OWASP: 19 MiB, two passes, one lane. What a password must look like
//! is the domain's rule.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// How long a request waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an unknown user's password is compared with, so that the answer takes as long as a known one's, the first time
/// too. It has the parameters of all others, and random bytes in place of a password's hash.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$umyxeX9k6DiPYdUMI8qaGw$Ff30rAzD9RhakbQJQ5nCKHBNBOez7wkpJUuV+DF2mL4";

/// Too many passwords are being checked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// The one place that hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Passwords {
    /// As many at once as the machine has cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_limits(cores, PATIENCE)
    }
}

impl Passwords {
    /// At most `at_once` (at least one) run; a further one waits for `patience` and is then refused.
    #[must_use]
    pub fn with_limits(at_once: usize, patience: Duration) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once.max(1))),
            patience,
        }
    }

    /// The PHC text of a new hash. The policy is the caller's to check first.
    ///
    /// # Errors
    /// [`Busy`] when no turn came in time.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        self.run(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .expect("default parameters hash any password of the policy's length")
                .to_string()
        })
        .await
    }

    /// Whether the password is the hash's. Takes as long for `None`, an unknown user, as for a known one.
    ///
    /// # Errors
    /// [`Busy`] when no turn came in time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        self.run(move || {
            let text = hash.as_deref().unwrap_or(NOBODYS_HASH);
            let Ok(parsed) = PasswordHash::new(text) else {
                return false;
            };
            let matches = Argon2::default().verify_password(password.as_bytes(), &parsed);
            matches.is_ok() && hash.is_some()
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Busy> {
        let turn = tokio::time::timeout(self.patience, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Busy);
        };
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_matches() {
        let passwords = Passwords::default();
        let hash = passwords.hash("Sunny-day-2026".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let verify = |password: &str, hash: Option<String>| passwords.verify(password.into(), hash);
        assert!(verify("Sunny-day-2026", Some(hash.clone())).await.unwrap());
        assert!(!verify("Sunny-day-2027", Some(hash)).await.unwrap());
        assert!(!verify("nobody's password", None).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        let passwords = Passwords::default();
        let hash = passwords.hash("Sunny-day-2026".into()).await.unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(NOBODYS_HASH), parameters(&hash));
        assert_eq!(NOBODYS_HASH.len(), hash.len());
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..8 {
            for (which, hash) in [Some(hash.clone()), None].into_iter().enumerate() {
                let started = std::time::Instant::now();
                passwords.verify("wrong".into(), hash).await.unwrap();
                fastest[which] = fastest[which].min(started.elapsed());
            }
        }
        let [known, unknown] = fastest.map(|time| time.as_secs_f64());
        let ratio = known / unknown;
        assert!((0.5..2.0).contains(&ratio), "{known} s, {unknown} s");
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_back() {
        let passwords = Passwords::with_limits(1, Duration::from_millis(1));
        let turn = passwords.turns.clone().acquire_owned().await.unwrap();
        assert_eq!(passwords.verify("x".into(), None).await, Err(Busy));
        drop(turn);
        assert_eq!(passwords.verify("x".into(), None).await, Ok(false));
    }
}
