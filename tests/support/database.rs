//! A database of its own for each test, cloned from a template with all migrations applied.
//!
//! One volatile PostgreSQL serves all tests of this checkout, in however many processes they run.
//! It keeps running between runs; `cargo test --test databases -- --ignored` stops it.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::SystemTime,
};

use leadledger::embedded::{EmbeddedError, EmbeddedPostgres, Settings};
use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;

/// The databases of failed and killed tests stay this long, to be looked at.
const KEPT_FOR_SECONDS: u64 = 3 * 60 * 60;

/// However new, not more than this many of them stay.
const KEPT_AT_MOST: usize = 40;

/// Guards the making of templates and the sweeping of leftovers.
const LOCK: i64 = 0x6c65_6164_7465_7374;

/// A test's database. It is dropped with this value, unless the test fails.
#[derive(Debug)]
pub struct TestDatabase {
    server: &'static EmbeddedPostgres,
    name: String,
    pool: PgPool,
    dropped: bool,
}

impl TestDatabase {
    /// Clones the template. Takes some 25 ms, the very first call two seconds.
    pub async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let name = format!(
            "test_{}_{}_{}",
            seconds_since_1970(),
            process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let mut admin = admin(server).await;
        let mut attempts = 0;
        loop {
            let template = ready_template(server, &mut admin).await;
            let statement =
                format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY = FILE_COPY");
            match admin.execute(statement.as_str()).await {
                Ok(_) => break,
                // A run with other migrations has just dropped the template, or PostgreSQL is
                // busy cleaning it.
                Err(error) if attempts == 5 => panic!("cloning {template} failed: {error}"),
                Err(_) => attempts += 1,
            }
        }
        admin.close().await.expect("closing a connection");
        let pool = PgPoolOptions::new()
            .max_connections(5)
            .connect_lazy_with(server.connect_options(&name));
        Self {
            server,
            name,
            pool,
            dropped: false,
        }
    }

    /// Connections to the database.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// For a pool with other settings.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.server.connect_options(&self.name)
    }

    /// For the `DATABASE_URL` of a spawned server.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Where PostgreSQL's programs are.
    pub fn bin_dir(&self) -> &Path {
        self.server.bin_dir()
    }

    /// Drops the database now and tells of failure, which dropping the value does not.
    pub async fn drop_now(mut self) -> Result<(), sqlx::Error> {
        self.dropped = true;
        self.pool.close().await;
        drop_database(&self.server.connect_options("postgres"), &self.name).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.dropped {
            return;
        }
        if thread::panicking() {
            eprintln!("the database of this test is kept: psql '{}'", self.url());
            return;
        }
        let admin = self.server.connect_options("postgres");
        let name = self.name.clone();
        // A thread, since the test's own runtime may have one thread only, which is here.
        let dropping = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map(|runtime| runtime.block_on(drop_database(&admin, &name)))
        });
        match dropping.join() {
            Ok(Ok(Ok(()))) => {}
            failure => eprintln!("the database {} is left behind: {failure:?}", self.name),
        }
    }
}

/// Stops the cluster of this checkout, unless a test still uses it; answers whether it is stopped.
pub async fn stop_cluster() -> Result<bool, EmbeddedError> {
    EmbeddedPostgres::stop_unused(settings()).await
}

async fn server() -> &'static EmbeddedPostgres {
    static SERVER: OnceCell<EmbeddedPostgres> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let server = EmbeddedPostgres::start(settings())
                .await
                .expect("the tests need an installed PostgreSQL");
            sweep(&server).await;
            server
        })
        .await
}

fn settings() -> Settings {
    Settings {
        binaries: env::var_os("LEADLEDGER_PG_BIN").map(PathBuf::from),
        durable: false,
        max_connections: 300,
        keep_running: true,
        supervise: false,
        ..Settings::new(cluster_dir())
    }
}

/// In memory if there is room, where a clone takes a twentieth of the time.
fn cluster_dir() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let name = format!(
        "leadledger-tests-{user}-{:08x}",
        // The same toolchain builds all tests of a checkout; others need not agree.
        hash_of(env!("CARGO_MANIFEST_DIR")) & 0xffff_ffff
    );
    let memory = Path::new("/dev/shm");
    let in_memory = memory.join(&name);
    // Once there it stays there, or a full memory would part the processes of one run.
    if in_memory.exists() || has_room(memory) {
        assert_ours(&in_memory, user);
        return in_memory;
    }
    let on_disk = env::temp_dir().join(name);
    assert_ours(&on_disk, user);
    on_disk
}

fn has_room(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|free| free.f_bavail * free.f_frsize > 1 << 30)
}

/// Anybody could have made a directory of that name there.
fn assert_ours(dir: &Path, user: u32) {
    if let Ok(found) = fs::symlink_metadata(dir) {
        assert!(
            found.is_dir() && found.uid() == user,
            "{} is somebody else's",
            dir.display()
        );
    }
}

async fn admin(server: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&server.connect_options("postgres"))
        .await
        .expect("connecting to the tests' PostgreSQL")
}

/// The name of the template for the present migrations, built by whoever comes first.
async fn ready_template(server: &EmbeddedPostgres, admin: &mut PgConnection) -> String {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let name = format!("template_{:016x}", hash_of_files(&migrations));
    if exists(admin, &name).await {
        return name;
    }
    // The lock goes with the session, should this process be killed.
    run(admin, &format!("SELECT pg_advisory_lock({LOCK})")).await;
    if !exists(admin, &name).await {
        for template in databases(admin, "template\\_%").await {
            // It fails while a run with other migrations clones it. The next one will succeed.
            let statement = format!("DROP DATABASE IF EXISTS {template}");
            let _ = admin.execute(statement.as_str()).await;
        }
        run(admin, "DROP DATABASE IF EXISTS draft WITH (FORCE)").await;
        run(admin, "CREATE DATABASE draft").await;
        if migrations.exists() {
            let mut draft = PgConnection::connect_with(&server.connect_options("draft"))
                .await
                .expect("connecting to the template");
            Migrator::new(migrations)
                .await
                .expect("reading the migrations")
                .run(&mut draft)
                .await
                .expect("applying the migrations");
            draft.close().await.expect("closing a connection");
        }
        run(admin, &format!("ALTER DATABASE draft RENAME TO {name}")).await;
        // A template that accepts connections could be in use when it is cloned.
        run(
            admin,
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        )
        .await;
    }
    run(admin, &format!("SELECT pg_advisory_unlock({LOCK})")).await;
    name
}

/// Drops what failed and killed tests left. One process does it, the others do not wait for it.
async fn sweep(server: &EmbeddedPostgres) {
    let mut admin = admin(server).await;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut admin)
        .await
        .expect("locking");
    if !locked {
        return;
    }
    let mut leftovers: Vec<(u64, String)> = databases(&mut admin, "test\\_%")
        .await
        .into_iter()
        .filter_map(|name| {
            let mut parts = name.split('_').skip(1);
            let created = parts.next()?.parse().ok()?;
            let pid: i32 = parts.next()?.parse().ok()?;
            (!is_running(pid)).then_some((created, name))
        })
        .collect();
    leftovers.sort_by(|one, other| other.cmp(one));
    let oldest = seconds_since_1970().saturating_sub(KEPT_FOR_SECONDS);
    for (number, (created, name)) in leftovers.iter().enumerate() {
        if number >= KEPT_AT_MOST || *created < oldest {
            // What does not go now goes another time.
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = admin.execute(statement.as_str()).await;
        }
    }
    // Closing releases the lock.
    admin.close().await.expect("closing a connection");
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    !databases(admin, name).await.is_empty()
}

async fn databases(admin: &mut PgConnection, pattern: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE $1")
        .bind(pattern)
        .fetch_all(admin)
        .await
        .expect("listing the databases")
}

async fn run(admin: &mut PgConnection, statement: &str) {
    if let Err(error) = admin.execute(statement).await {
        panic!("{statement}: {error}");
    }
}

async fn drop_database(admin: &PgConnectOptions, name: &str) -> Result<(), sqlx::Error> {
    let mut admin = PgConnection::connect_with(admin).await?;
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    admin.execute(statement.as_str()).await?;
    admin.close().await
}

fn hash_of_files(dir: &Path) -> u64 {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    let contents: Vec<_> = files
        .iter()
        .map(|file| {
            (
                file.file_name(),
                fs::read(file).expect("reading a migration"),
            )
        })
        .collect();
    hash_of(&contents)
}

fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn is_running(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn seconds_since_1970() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock set after 1970")
        .as_secs()
}
