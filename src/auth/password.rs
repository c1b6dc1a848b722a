//! Passwords: hashed with Argon2id, off the asynchronous threads, a bounded number at once. What a password must look
//! like is the domain's rule.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory in KiB, passes and lanes as the OWASP Password Storage Cheat Sheet recommends for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How long a password waits for its turn where nothing else is set.
const PATIENCE: Duration = Duration::from_secs(5);

/// The hash of no known password, with the parameters of all others: what an unknown user's password is compared
/// with, so that it takes as long as a known one's.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$umyxeX9k6DiPYdUMI8qaGw$Ff30rAzD9RhakbQJQ5nCKHBNBOez7wkpJUuV+DF2mL4";

/// Hashes and compares passwords. Cheap to clone; clones share the bound.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// Why a password was neither hashed nor compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many before it. Answer 503 with `Retry-After`; nothing was decided.
    #[error("too many passwords are waiting")]
    Busy,
    /// The stored hash is not one, or the system gave no randomness. A fault of the server.
    #[error("cannot hash a password: {0}")]
    Hash(#[from] password_hash::Error),
    /// The hashing thread is gone. A fault of the server.
    #[error("a password's hashing was broken off")]
    BrokenOff,
}

impl Default for Passwords {
    /// As many at once as there are cores (each takes 19 MiB while it runs).
    fn default() -> Self {
        Self::with_limits(available_parallelism().map_or(1, usize::from), PATIENCE)
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

    /// Hashes a password with a new random salt, as a PHC string (`$argon2id$…`) to be stored.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        self.in_turn(move || {
            let hash: PasswordHash = hasher().hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password is the one that `stored` was made of. `None` is an unknown user, or one without a
    /// password: always `false`, after the same work.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        self.in_turn(move || {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(NOBODY))
                .map_err(password_hash::Error::from)?;
            match hasher().verify_password(password.expose_secret().as_bytes(), &hash) {
                Ok(()) => Ok(stored.is_some()),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Runs `work` on a blocking thread when it is its turn. The turn lasts until the work ends, also when the client
    /// that wanted it has gone.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turn().await?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        task.await.map_err(|_| PasswordError::BrokenOff)?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(PasswordError::Busy),
        }
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn a_password_is_recognised_and_no_other() {
        let passwords = Passwords::default();
        let stored = passwords.hash(secret("Correct-horse-9")).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let again = passwords.hash(secret("Correct-horse-9")).await.unwrap();
        assert_ne!(stored, again, "each has a salt of its own");
        let right = passwords
            .verify(secret("Correct-horse-9"), Some(stored.clone()))
            .await;
        assert!(right.unwrap());
        let wrong = passwords
            .verify(secret("correct-horse-9"), Some(stored))
            .await;
        assert!(!wrong.unwrap());
        assert!(
            !passwords
                .verify(secret("Correct-horse-9"), None)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        let passwords = Passwords::default();
        let stored = passwords.hash(secret("Correct-horse-9")).await.unwrap();
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..8 {
            for (which, stored) in [Some(stored.clone()), None].into_iter().enumerate() {
                let started = Instant::now();
                passwords.verify(secret("wrong"), stored).await.unwrap();
                fastest[which] = fastest[which].min(started.elapsed());
            }
        }
        let [known, unknown] = fastest.map(|time| time.as_secs_f64());
        assert!(
            (0.5..2.0).contains(&(known / unknown)),
            "{known} s, {unknown} s"
        );
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_back() {
        let passwords = Passwords::with_limits(1, Duration::from_millis(1));
        let busy = passwords.turn().await.unwrap();
        let refused = passwords.verify(secret("x"), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)));
        drop(busy);
        assert!(!passwords.verify(secret("x"), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_our_fault() {
        let stored = Some("nonsense".to_owned());
        let answer = Passwords::default().verify(secret("x"), stored).await;
        assert!(matches!(answer, Err(PasswordError::Hash(_))));
    }
}
