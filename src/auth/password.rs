//! Argon2id, off the async threads and bounded in parallel: hashing takes memory and a core for tens of milliseconds.
//!
//! Parameters are the crate's defaults, which follow OWASP: 19 MiB, two passes, one lane.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// How long a request waits for its turn before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an unknown user's password is compared with, so that the answer takes as long as a known one's.
static NOBODYS_HASH: LazyLock<String> = LazyLock::new(|| {
    Argon2::default()
        .hash_password(b"nobody's password")
        .expect("default parameters and a short password always hash")
        .to_string()
});

/// Too many passwords are being checked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// The one place that hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    /// As many at once as the machine has cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

impl Passwords {
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
            let text = hash.as_deref().unwrap_or(&NOBODYS_HASH);
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
        let turn = tokio::time::timeout(PATIENCE, self.0.clone().acquire_owned()).await;
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
}
