//! The private PostgreSQL through starts, stops and crashes. Each test has a cluster of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use leadledger::embedded::{EmbeddedError, EmbeddedPostgres, Settings};
use rustix::process::{Pid, Signal, geteuid, getpgid, kill_process, test_kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// A temporary directory that PostgreSQL's user can pass through, too.
fn directory() -> TempDir {
    let dir = TempDir::with_prefix("leadledger-").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

fn settings(data_dir: impl Into<PathBuf>) -> Settings {
    Settings {
        durable: false,
        max_connections: 20,
        supervise: false,
        ..Settings::new(data_dir)
    }
}

async fn start(data_dir: impl Into<PathBuf>) -> EmbeddedPostgres {
    EmbeddedPostgres::start(settings(data_dir)).await.unwrap()
}

async fn refusal(settings: Settings) -> EmbeddedError {
    EmbeddedPostgres::start(settings).await.unwrap_err()
}

async fn connect(server: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&server.connect_options("postgres"))
        .await
        .unwrap()
}

/// A commit that survives the server's death, which a volatile cluster does not promise by itself.
async fn write_a_note(server: &EmbeddedPostgres) {
    let mut connection = connect(server).await;
    sqlx::raw_sql(
        "SET synchronous_commit = on; CREATE TABLE notes (text text); \
         INSERT INTO notes VALUES ('kept')",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

async fn note(server: &EmbeddedPostgres) -> String {
    let mut connection = connect(server).await;
    let text = sqlx::query_scalar("SELECT text FROM notes")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    text
}

async fn setting(server: &EmbeddedPostgres, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(&mut connect(server).await)
        .await
        .unwrap()
}

fn postmaster(cluster: &Path) -> Pid {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
}

fn runs(cluster: &Path) -> bool {
    cluster.join("postmaster.pid").exists()
}

#[tokio::test]
async fn a_first_start_makes_a_durable_cluster_that_only_a_socket_reaches() {
    let dir = directory();
    let server = EmbeddedPostgres::start(Settings::new(dir.path().join("data")))
        .await
        .unwrap();
    assert!(!server.adopted());
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("jit", "off"),
        ("server_encoding", "UTF8"),
        ("max_connections", "100"),
    ] {
        assert_eq!(setting(&server, name).await, value, "{name}");
    }
    let socket_dir = fs::metadata(server.socket_dir()).unwrap();
    assert_eq!(socket_dir.mode() & 0o777, 0o700);
    let pid = postmaster(server.cluster_dir());
    assert_eq!(getpgid(Some(pid)), Ok(pid));

    server.ensure_database("leads").await.unwrap();
    server.ensure_database("leads").await.unwrap();
    let mut connection = PgConnection::connect(&server.url("leads")).await.unwrap();
    let letters: String = sqlx::query_scalar("SELECT upper('äß')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(letters.starts_with('Ä'), "{letters}");
    connection.close().await.unwrap();
    let cluster = server.cluster_dir().to_owned();
    server.stop().await.unwrap();
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn a_restart_keeps_the_data() {
    let dir = directory();
    let server = start(dir.path()).await;
    write_a_note(&server).await;
    server.stop().await.unwrap();
    let server = start(dir.path()).await;
    assert!(!server.adopted());
    assert_eq!(note(&server).await, "kept");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_running_server_is_adopted_and_the_last_one_out_stops_it() {
    let dir = directory();
    let one = start(dir.path()).await;
    let begun = Instant::now();
    let other = start(dir.path()).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(other.adopted());
    let cluster = one.cluster_dir().to_owned();
    one.stop().await.unwrap();
    connect(&other).await.close().await.unwrap();
    other.stop().await.unwrap();
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn racing_starts_make_one_server() {
    let dir = directory();
    let servers = futures::future::join_all((0..5).map(|_| start(dir.path()))).await;
    assert_eq!(servers.iter().filter(|server| !server.adopted()).count(), 1);
    let cluster = servers[0].cluster_dir().to_owned();
    futures::future::join_all(servers.into_iter().map(EmbeddedPostgres::stop)).await;
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn a_dropped_guard_stops_the_server() {
    let dir = directory();
    let server = start(dir.path()).await;
    let cluster = server.cluster_dir().to_owned();
    drop(server);
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn a_server_kept_running_is_adopted_and_can_be_stopped() {
    let dir = directory();
    let kept = Settings {
        keep_running: true,
        ..settings(dir.path())
    };
    let server = EmbeddedPostgres::start(kept.clone()).await.unwrap();
    assert!(!EmbeddedPostgres::stop_unused(kept.clone()).await.unwrap());
    server.stop().await.unwrap();
    let server = EmbeddedPostgres::start(kept.clone()).await.unwrap();
    assert!(server.adopted());
    let cluster = server.cluster_dir().to_owned();
    server.stop().await.unwrap();
    assert!(EmbeddedPostgres::stop_unused(kept).await.unwrap());
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn a_killed_server_starts_again() {
    let dir = directory();
    let server = start(dir.path()).await;
    write_a_note(&server).await;
    let _session = connect(&server).await;
    kill_process(postmaster(server.cluster_dir()), Signal::KILL).unwrap();
    let next = start(dir.path()).await;
    assert!(!next.adopted());
    assert_eq!(note(&next).await, "kept");
    next.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_killed_in_use_comes_back_by_itself() {
    let dir = directory();
    let supervised = Settings {
        supervise: true,
        ..settings(dir.path())
    };
    let one = EmbeddedPostgres::start(supervised.clone()).await.unwrap();
    let other = EmbeddedPostgres::start(supervised).await.unwrap();
    write_a_note(&one).await;
    for _ in 0..2 {
        let killed = postmaster(one.cluster_dir());
        kill_process(killed, Signal::KILL).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while PgConnection::connect_with(&one.connect_options("postgres"))
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "it did not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_ne!(postmaster(one.cluster_dir()), killed);
    }
    assert_eq!(note(&other).await, "kept");
    let cluster = one.cluster_dir().to_owned();
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    assert!(!runs(&cluster));
}

#[tokio::test]
async fn a_process_that_took_a_dead_servers_number_is_left_alone() {
    let dir = directory();
    let server = start(dir.path()).await;
    let cluster = server.cluster_dir().to_owned();
    let (pid_file, socket_lock) = (
        cluster.join("postmaster.pid"),
        server.socket_dir().join(".s.PGSQL.5432.lock"),
    );
    let old = fs::read_to_string(&pid_file).unwrap();
    let old_lock = fs::read_to_string(&socket_lock).unwrap();
    server.stop().await.unwrap();

    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    for (file, text) in [(&pid_file, old), (&socket_lock, old_lock)] {
        let rest = text.split_once('\n').unwrap().1;
        fs::write(file, format!("{}\n{rest}", stranger.id())).unwrap();
        let owner = fs::metadata(&cluster).unwrap();
        std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let server = start(dir.path()).await;
    assert!(!server.adopted());
    connect(&server).await.close().await.unwrap();
    server.stop().await.unwrap();
    let pid = Pid::from_child(&stranger);
    assert!(test_kill_process(pid).is_ok());
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn long_paths_with_spaces_and_quotes_will_do() {
    let dir = directory();
    let data_dir = dir
        .path()
        .join("a directory, with \"quotes\" & 'more' %41")
        .join("long ".repeat(20).trim_end());
    let server = start(&data_dir).await;
    assert!(server.socket_dir().as_os_str().len() < 80);
    assert_eq!(
        fs::metadata(server.socket_dir()).unwrap().mode() & 0o777,
        0o700
    );
    let socket_dir = server.socket_dir().to_owned();
    write_a_note(&server).await;
    server.stop().await.unwrap();
    fs::remove_dir_all(socket_dir).unwrap();

    let spaced = dir.path().join("it's \"a, b\"");
    let server = start(&spaced).await;
    assert!(server.socket_dir().starts_with(&spaced));
    PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn root_may_keep_its_data_where_postgres_cannot_go() {
    if !geteuid().is_root() {
        return;
    }
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = dir.path().join("data");
    let server = start(&data_dir).await;
    write_a_note(&server).await;
    let home = server.cluster_dir().parent().unwrap().to_owned();
    assert!(!home.starts_with(dir.path()));
    server.stop().await.unwrap();
    let server = start(&data_dir).await;
    assert_eq!(note(&server).await, "kept");
    server.stop().await.unwrap();

    fs::remove_file(data_dir.join("postgres.location")).unwrap();
    let server = start(&data_dir).await;
    let next_home = server.cluster_dir().parent().unwrap().to_owned();
    assert_ne!(next_home, home);
    server.stop().await.unwrap();
    fs::remove_dir_all(&home).unwrap();
    fs::remove_dir_all(next_home).unwrap();
    let error = refusal(settings(&data_dir)).await;
    assert!(
        matches!(error, EmbeddedError::LostCluster { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew() {
    let dir = directory();
    let draft = dir.path().join("postgres.new");
    fs::create_dir_all(draft.join("base")).unwrap();
    fs::write(draft.join("PG_VERSION"), "15\n").unwrap();
    let server = start(dir.path()).await;
    connect(&server).await.close().await.unwrap();
    assert!(!draft.exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_directory_of_programs_is_named() {
    let dir = directory();
    let error = refusal(Settings {
        binaries: Some("/nowhere/bin".into()),
        ..settings(dir.path())
    })
    .await
    .to_string();
    assert!(error.contains("/nowhere/bin"), "{error}");
    assert!(error.contains("apt-get install postgresql"), "{error}");
}

#[tokio::test]
async fn data_of_another_version_is_refused_with_both_named() {
    let dir = directory();
    let server = start(dir.path()).await;
    let version = server.cluster_dir().join("PG_VERSION");
    server.stop().await.unwrap();
    let installed = fs::read_to_string(&version).unwrap();
    fs::write(&version, "9.6\n").unwrap();
    let error = refusal(settings(dir.path())).await.to_string();
    assert!(error.contains("PostgreSQL 9,"), "{error}");
    assert!(
        error.contains(&format!("PostgreSQL {}", installed.trim())),
        "{error}"
    );
    assert!(error.contains("pg_upgrade"), "{error}");
}

#[tokio::test]
async fn somebody_elses_data_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let dir = directory();
    let cluster = dir.path().join("postgres");
    fs::DirBuilder::new().mode(0o700).create(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "15\n").unwrap();
    std::os::unix::fs::chown(&cluster, Some(12345), None).unwrap();
    let error = refusal(settings(dir.path())).await;
    assert!(
        matches!(error, EmbeddedError::OtherOwner { owner: 12345, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_directory_of_other_things_is_not_touched() {
    let dir = directory();
    let server = start(dir.path()).await;
    let version = server.cluster_dir().join("PG_VERSION");
    server.stop().await.unwrap();
    fs::remove_file(version).unwrap();
    let error = refusal(settings(dir.path())).await;
    assert!(
        matches!(error, EmbeddedError::NotACluster { .. }),
        "{error}"
    );
}
