//! `leadledger serve`: opens the database and the ledger, serves until it is told to stop, and leaves nothing half done.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceExt;

use crate::api::problem::Problem;
use crate::api::{self, layers};
use crate::app::{App, Parts, SharedReads, Stopping};
use crate::auth::invitation_code::InvitationCodes;
use crate::auth::password::Passwords;
use crate::auth::rate_limits::RateLimits;
use crate::auth::token::Tokens;
use crate::avatars::Avatars;
use crate::clock::Clock;
use crate::config::Settings;
use crate::database::Database;
use crate::first_run::{self, FirstLogin};
use crate::import::engine::Imports;
use crate::import::files::ImportFiles;
use crate::ledger::moment::Reader;
use crate::ledger::zone_maps::ZoneMaps;
use crate::ledger::{Ledger, LedgerTasks, Secrets, answers, checkpoints};
use crate::mail::delivery::{self, Delivery};
use crate::mail::links::Links;
use crate::objects::Objects;
use crate::providers::Issuers;
use crate::trusted_proxies::TrustedProxies;
use crate::witness::Witness;
use crate::{import, observability, worker};

/// Runs the server.
///
/// # Errors
/// With a message that an operator can act on.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let metrics = observability::start_metrics()?;
    let stop = stop_signal()?;
    let stopping = Stopping::default();
    // Bound first: a taken port is said before anything is started, and whoever asks early is told 503.
    let listener = listen(settings.listen).await?;
    let address = listener.local_addr()?;
    let opened: Arc<OnceLock<Router>> = Arc::default();
    let service = door(opened.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let (told, stops) = (stopping.clone(), stopping.clone());
    let mut serving = tokio::spawn(
        axum::serve(listener, service)
            .with_graceful_shutdown(async move {
                stop.await;
                // Answers without an end end now.
                told.tell();
            })
            .into_future(),
    );
    let database = Database::open(settings).await?;
    let (app, tasks, first) =
        build_app(&database.pool, &database.options, settings, metrics).await?;
    let app = app.stopped_by(stopping);
    // The first phone number costs 60 ms of reading tables: not on a client's time.
    tokio::task::spawn_blocking(aggregates::phone::warm);
    let importing = import::runner::run(app.imports.clone(), database.options.clone());
    let importing = tokio::spawn(importing);
    let upkeep = tokio::spawn(upkeep(app.clone()));
    let worker = tokio::spawn(worker::run(app.clone(), database.options.clone()));
    let mails = Delivery::of(
        settings,
        &format!("http://{address}"),
        &app.secrets,
        app.ledger.clone(),
        database.options.clone(),
    )?;
    let (stop_mails, mails_stopped) = tokio::sync::oneshot::channel::<()>();
    let mails = tokio::spawn(delivery::run(mails, mails_stopped.map(drop)));
    // Nobody else sets it: the door was made above, for this run alone.
    let _ = opened.set(api::service(app));
    print_banner(address, settings, first.as_ref());
    let in_time = async {
        stops.told().await;
        tokio::time::sleep(GRACE).await;
    };
    let cut_off = tokio::select! {
        ended = &mut serving => {
            ended??;
            tracing::info!("stopping: every request is answered");
            false
        }
        () = in_time => {
            tracing::warn!("stopping: requests that did not come or were not read to their end are cut off");
            true
        }
    };
    drop(opened);
    upkeep.abort();
    let _ = upkeep.await;
    worker.abort();
    let _ = worker.await;
    importing.abort();
    let _ = importing.await;
    drop(stop_mails);
    let _ = mails.await;
    if cut_off {
        // Who was cut off holds the ledger to the end. What was not committed was not answered either.
        let _ = tokio::time::timeout(LAST_COMMITS, tasks.finished()).await;
    } else {
        tasks.finished().await;
    }
    database.close().await;
    Ok(())
}

/// For how long a server that stops waits for requests that have begun: somebody may never send the rest.
const GRACE: Duration = Duration::from_secs(20);
/// And then for what is being committed.
const LAST_COMMITS: Duration = Duration::from_secs(2);

/// Where it listens when nothing is said.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How many ports are tried from there on, so that copies can run beside each other; the banner says which it became.
const DEFAULT_PORTS: u16 = 20;

async fn listen(address: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let mut at = address.unwrap_or(DEFAULT_ADDRESS);
    loop {
        match TcpListener::bind(at).await {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && address.is_none()
                    && at.port() < DEFAULT_ADDRESS.port() + DEFAULT_PORTS =>
            {
                at.set_port(at.port() + 1);
            }
            bound => return bound.with_context(|| format!("cannot listen on {at}")),
        }
    }
}

/// Answers that the server is alive and not ready, until it is opened.
fn door(opened: Arc<OnceLock<Router>>) -> Router {
    Router::new().fallback(move |request: Request| {
        let opened = opened.get().cloned();
        async move {
            match opened {
                Some(service) if request.method() == Method::HEAD => {
                    layers::of_unknown_length(service.oneshot(request).await.into_response())
                }
                Some(service) => service.oneshot(request).await.into_response(),
                None if request.uri().path() == "/health/live" => StatusCode::OK.into_response(),
                None => {
                    let problem = Problem::unavailable(1);
                    api::ghl::translate(request.uri().path(), &problem)
                        .unwrap_or_else(|| problem.into_response())
                }
            }
        }
    })
}

/// Puts the server's parts together on a migrated database, and prepares the first run.
///
/// # Errors
/// With a message that an operator can act on.
pub async fn build_app(
    pool: &PgPool,
    options: &PgConnectOptions,
    settings: &Settings,
    metrics: PrometheusHandle,
) -> anyhow::Result<(App, LedgerTasks, Option<FirstLogin>)> {
    build_app_by(Clock::system(), pool, options, settings, metrics).await
}

/// [`build_app`] with another clock than the system's.
///
/// # Errors
/// With a message that an operator can act on.
pub async fn build_app_by(
    clock: Clock,
    pool: &PgPool,
    options: &PgConnectOptions,
    settings: &Settings,
    metrics: PrometheusHandle,
) -> anyhow::Result<(App, LedgerTasks, Option<FirstLogin>)> {
    let secrets = Secrets::load(&mut *pool.acquire().await?).await?;
    let (ledger, tasks) = Ledger::open(pool, options, &secrets, clock.clone()).await?;
    let passwords = Passwords::default();
    let first = first_run::prepare(&ledger, &passwords, settings).await?;
    checkpoints::ensure_key(pool, clock.now()).await?;
    let token_key = settings.jwt_secret.as_ref().map_or_else(
        || secrets.tokens().to_vec(),
        |secret| secret.expose_secret().as_bytes().to_vec(),
    );
    let links = Links::new(&secrets);
    let objects = Objects::open(settings.object_store.as_deref(), &settings.data_dir)?;
    let imports = Imports {
        pool: pool.clone(),
        ledger: ledger.clone(),
        clock: clock.clone(),
        files: ImportFiles::new(objects.clone(), &settings.data_dir),
        wake: Arc::default(),
    };
    let parts = Parts {
        pool: Reader::new(pool.clone(), options),
        ledger,
        tokens: Tokens::new(&token_key, clock.clone()),
        invitation_codes: InvitationCodes::new(secrets.invitations()),
        passwords,
        clock,
        region: settings.region,
        secrets,
        metrics,
        reads: SharedReads::new(options),
        authority: Arc::default(),
        links,
        avatars: Avatars::new(objects),
        imports,
        stopping: Stopping::default(),
        issuers: Issuers::open(settings.oidc.as_deref())?,
        witness: Witness::open(settings.witness.as_deref(), &settings.data_dir)?,
        token_uses: Arc::default(),
        zone_maps: ZoneMaps::start(pool),
        past_totals: Arc::default(),
        turns: Arc::default(),
        rate_limits: Arc::new(RateLimits::new(settings.token_rate)),
        proxies: TrustedProxies::parse(settings.trusted_proxies.as_deref())?,
        today: None,
    };
    Ok((parts.into(), tasks, first))
}

/// Resolves on SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What has to be done now and then: metrics' histograms are condensed, old idempotency keys forgotten, old files removed.
async fn upkeep(app: App) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    for minute in 0_u64.. {
        minutes.tick().await;
        app.metrics.run_upkeep();
        if let Err(error) = answers::forget_old(app.pool.today(), app.clock.now()).await {
            tracing::warn!(%error, "old idempotency keys were not forgotten");
        }
        if minute % 60 == 0
            && let Err(error) = app.imports.files.sweep(app.clock.now()).await
        {
            tracing::warn!(%error, "old files of imports were not removed");
        }
    }
}

/// Tells where it serves and who can sign in. Whoever started the server may have closed its output: that must not stop it.
fn print_banner(address: SocketAddr, settings: &Settings, first: Option<&FirstLogin>) {
    let login = match first {
        Some(FirstLogin {
            email,
            generated_password: Some(password),
        }) => format!(
            "first login           {email}\npassword              {password}   (shown this once)"
        ),
        Some(FirstLogin { email, .. }) => {
            format!("first login           {email}   (password as configured)")
        }
        None => format!(
            "platform owner        {}   (made at first run)",
            settings.owner_email
        ),
    };
    let banner = format!(
        "leadledger serves at  http://{address}\ndocumentation         http://{address}/docs\n{login}\n"
    );
    let _ = std::io::stdout().write_all(banner.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, OnceLock};

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::Request;
    use axum::http::header::CONTENT_LENGTH;
    use axum::routing::get;
    use futures::stream;
    use tower::ServiceExt;

    use super::door;
    use crate::api::layers::{Layers, wrap};
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_head_tells_the_length_of_the_get_or_none() {
        let streamed = || async {
            Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from("four"))]))
        };
        let routes = Router::new().route("/streamed", get(streamed));
        let routes = routes.route("/known", get(|| async { "four" }));
        let opened = Arc::new(OnceLock::new());
        let layers = Layers::new(Clock::system());
        opened.set(wrap(routes, layers)).expect("not opened before");
        for (path, length) in [("/streamed", None), ("/known", Some("4"))] {
            let request = Request::head(path).body(Body::empty()).unwrap();
            let answer = door(opened.clone()).oneshot(request).await.unwrap();
            let told = answer.headers().get(CONTENT_LENGTH);
            assert_eq!(
                told.map(|length| length.to_str().unwrap()),
                length,
                "{path}"
            );
        }
    }
}
