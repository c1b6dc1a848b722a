//! The installation's own secrets: made at first run, kept in the database, so that every node has the same.

use sqlx::PgConnection;

/// Random keys of this installation.
#[derive(Clone)]
pub struct Secrets {
    tokens: Vec<u8>,
    claims: Vec<u8>,
    responses: Vec<u8>,
    invitations: Vec<u8>,
}

impl Secrets {
    /// Reads the secrets, making those that are missing. Safe to run on several nodes at once.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn load(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Ok(Self {
            tokens: secret(connection, "tokens").await?,
            claims: secret(connection, "claims").await?,
            responses: secret(connection, "responses").await?,
            invitations: secret(connection, "invitations").await?,
        })
    }

    /// What signs tokens, unless the configuration names another.
    #[must_use]
    pub fn tokens(&self) -> &[u8] {
        &self.tokens
    }

    /// What hashes claims.
    #[must_use]
    pub fn claims(&self) -> &[u8] {
        &self.claims
    }

    /// What seals the answers kept for idempotency keys; 32 bytes.
    #[must_use]
    pub fn responses(&self) -> &[u8] {
        &self.responses
    }

    /// What the codes of invitations are derived from.
    #[must_use]
    pub fn invitations(&self) -> &[u8] {
        &self.invitations
    }
}

async fn secret(connection: &mut PgConnection, name: &str) -> Result<Vec<u8>, sqlx::Error> {
    let mut fresh = vec![0; 32];
    aws_lc_rs::rand::fill(&mut fresh).expect("the system's random source answers");
    sqlx::query("INSERT INTO server_secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(fresh)
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar("SELECT value FROM server_secrets WHERE name = $1")
        .bind(name)
        .fetch_one(connection)
        .await
}
