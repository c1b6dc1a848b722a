//! The database of this run: the embedded PostgreSQL, or the one that `DATABASE_URL` names; migrated and connected.

use std::str::FromStr;

use anyhow::Context;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;

use crate::config::Settings;
use crate::connection_pool;
use crate::embedded::{self, EmbeddedPostgres};
use crate::ledger::tree;

/// The schema, forward only.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The name of the database inside the embedded PostgreSQL.
const EMBEDDED_DATABASE: &str = "leadledger";

/// What a command wants of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A ledger, made where there is none.
    Any,
    /// A ledger that is there.
    Existing,
    /// A ledger that is there, with everything in it that is missing still missing.
    AsItIs,
}

/// A migrated database.
pub struct Database {
    /// For reads; the committer has a connection of its own.
    pub pool: PgPool,
    /// How to open further connections.
    pub options: PgConnectOptions,
    embedded: Option<EmbeddedPostgres>,
}

impl Database {
    /// Starts or adopts the embedded PostgreSQL unless another is named, brings the schema up to date, and connects.
    ///
    /// # Errors
    /// With a message that an operator can act on.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::connect(settings, Wanted::Any).await
    }

    /// [`Database::open`] for a command that works on a ledger: a mistyped directory or name is no ledger, and none is made there.
    ///
    /// # Errors
    /// As [`Database::open`], and where there is no ledger.
    pub async fn existing(settings: &Settings) -> anyhow::Result<Self> {
        Self::connect(settings, Wanted::Existing).await
    }

    /// [`Database::existing`] for a command that looks for what is missing: nodes of the tree that somebody took away stay away.
    ///
    /// # Errors
    /// As [`Database::existing`].
    pub async fn as_it_is(settings: &Settings) -> anyhow::Result<Self> {
        Self::connect(settings, Wanted::AsItIs).await
    }

    async fn connect(settings: &Settings, wanted: Wanted) -> anyhow::Result<Self> {
        let existing = wanted != Wanted::Any;
        let (options, embedded) = if let Some(url) = &settings.database_url {
            let options =
                PgConnectOptions::from_str(url).context("DATABASE_URL is not a PostgreSQL URL")?;
            (options, None)
        } else {
            anyhow::ensure!(
                !existing || embedded::has_cluster(&settings.data_dir)?,
                "there is no ledger in {}: name its data directory (--data-dir, LEADLEDGER_DATA_DIR) or its database (DATABASE_URL)",
                settings.data_dir.display()
            );
            let postgres = EmbeddedPostgres::start(embedded::Settings {
                binaries: settings.pg_bin.clone(),
                ..embedded::Settings::new(settings.data_dir.clone())
            })
            .await?;
            postgres.ensure_database(EMBEDDED_DATABASE).await?;
            let url = postgres.url(EMBEDDED_DATABASE);
            tracing::info!(%url, "the embedded PostgreSQL runs; psql and pg_dump take this address");
            (postgres.connect_options(EMBEDDED_DATABASE), Some(postgres))
        };
        let pool = connection_pool::settings(32)
            .connect_with(options.clone())
            .await
            .context("the database cannot be reached")?;
        check_version(&pool).await?;
        if existing && !is_there(&pool, "public.ledger_head").await? {
            if let Some(postgres) = embedded {
                postgres.stop().await?;
            }
            anyhow::bail!("the database holds no ledger");
        }
        // A ledger from before there was a tree lacks it rightly.
        let has_tree = is_there(&pool, "public.tree_nodes").await?;
        MIGRATIONS
            .run(&pool)
            .await
            .context("the database's schema could not be brought up to date")?;
        if wanted != Wanted::AsItIs || !has_tree {
            tree::complete(&mut *pool.acquire().await?)
                .await
                .context("the tree over the ledger's events could not be filled in")?;
        }
        Ok(Self {
            pool,
            options,
            embedded,
        })
    }

    /// Closes every connection and stops the embedded PostgreSQL, unless somebody else still uses it.
    pub async fn close(self) {
        self.pool.close().await;
        if let Some(postgres) = self.embedded
            && let Err(error) = postgres.stop().await
        {
            tracing::error!(%error, "the embedded PostgreSQL did not stop");
        }
    }
}

async fn is_there(pool: &PgPool, table: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(pool)
        .await
}

async fn check_version(pool: &PgPool) -> anyhow::Result<()> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(pool)
        .await?;
    anyhow::ensure!(
        version >= 140_000,
        "PostgreSQL 14 or newer is needed; this one is {}",
        version / 10_000
    );
    Ok(())
}
