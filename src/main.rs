//! The `leadledger` binary: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use leadledger::config::{
    Cli, Command, ProjectionArgs, ReplayCommand, Settings, TokenCommand, VerifyArgs,
};
use leadledger::database::Database;
use leadledger::ledger::verify::Depth;
use leadledger::ledger::verify_proofs::Witnessed;
use leadledger::ledger::{checkpoints, rebuild, verify};
use leadledger::proof::keys::TrustedKey;
use leadledger::witness::Witness;
use leadledger::{
    api, checkpoint_key_command, evidence_command, import, observability, replay_command, serve,
    token_command,
};
use secrecy::ExposeSecret;

/// Rows of a file are read on one thread and dropped on another, and a batch's many small texts come and go at once: the system's
/// allocator keeps three times the memory for that, and takes longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Free memory goes back to the system at once, and no huge page is held for the few bytes of it that are in use: an idle server takes
/// half as much, and the next file goes in as fast.
#[cfg(target_os = "linux")]
const ALLOCATOR_SETTINGS: [(&str, &str); 2] =
    [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")];

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    begin_anew_with_allocator_settings();
    begin()
}

/// The allocator reads its settings from the environment before `main`, so that the process begins once more with those that nobody has
/// given; the process id stays.
#[cfg(target_os = "linux")]
fn begin_anew_with_allocator_settings() {
    use std::os::unix::process::CommandExt as _;
    let not_given = |(name, _): &(&str, &str)| std::env::var_os(name).is_none();
    let missing: Vec<_> = ALLOCATOR_SETTINGS.into_iter().filter(not_given).collect();
    if let (false, Ok(program)) = (missing.is_empty(), std::env::current_exe()) {
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new(program);
        again.arg0(arguments.next().unwrap_or_default());
        // It answers only when nothing came of it: then more memory is taken, and nothing else.
        let _ = again.args(arguments).envs(missing).exec();
    }
}

#[tokio::main]
async fn begin() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("leadledger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = cli.settings.checked()?;
    observability::start_logging(&settings)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => Box::pin(serve::run(&settings)).await?,
        Command::Migrate => {
            Database::open(&settings).await?.close().await;
            println!("the schema is up to date");
        }
        Command::Openapi => println!("{}", api::routes().1.to_pretty_json()?),
        Command::Import(args) => {
            Box::pin(import::command::run(&settings, &args)).await?;
        }
        Command::Token(TokenCommand::Create(args)) => {
            let token = token_command::create(&settings, &args).await?;
            println!("{}", token.expose_secret());
        }
        Command::Replay(ReplayCommand::Lead(args)) => {
            print!("{}", replay_command::lead(&settings, &args).await?);
        }
        Command::Rebuild(args) => rebuild_tables(&settings, &args).await?,
        Command::Verify(args) => return verify_tables(&settings, &args).await,
        Command::VerifyEvidence(args) => {
            let verdict = evidence_command::check(&args.file, &args.keys)?;
            print!("{}", verdict.text);
            return Ok(if verdict.holds {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::CheckpointKey(command) => {
            print!(
                "{}",
                checkpoint_key_command::run(&settings, &command).await?
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn rebuild_tables(settings: &Settings, args: &ProjectionArgs) -> anyhow::Result<()> {
    let database = Database::existing(settings).await?;
    let bar = event_bar()?;
    let done = rebuild::run(&database.options, &args.projections, |position, end| {
        show(&bar, position, end);
    })
    .await;
    bar.finish_and_clear();
    database.close().await;
    println!("rebuilt from {} events", done?);
    Ok(())
}

async fn verify_tables(settings: &Settings, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let keys = evidence_command::trusted(&args.keys)?;
    let place = args.checkpoints.as_deref().map(Witness::existing);
    let place = place.transpose()?;
    let database = Database::as_it_is(settings).await?;
    let witnessed = match read_witnessed(&database, place, keys, args.partial).await {
        Ok(witnessed) => witnessed,
        Err(error) => {
            database.close().await;
            return Err(error);
        }
    };
    let bar = event_bar()?;
    let found = verify::run_with(
        &database.options,
        &args.projections,
        &witnessed,
        if args.every_version {
            Depth::EVERY_VERSION
        } else {
            Depth::USUAL
        },
        |position, end| {
            show(&bar, position, end);
        },
    )
    .await;
    bar.finish_and_clear();
    database.close().await;
    let found = found?;
    for difference in &found.differences {
        println!("{difference}");
    }
    if args.checkpoints.is_some() {
        println!("{} witnessed checkpoints", witnessed.notes.len());
    }
    if !found.sampled.is_empty() {
        println!(
            "of {} the past was looked at in four places only (--every-version looks at all)",
            found.sampled.join(", ")
        );
    }
    println!(
        "{} events, {} rows, {} differences",
        found.events,
        found.rows,
        found.differences.len()
    );
    Ok(if found.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What lies outside, after a look at which of it must be there.
async fn read_witnessed(
    database: &Database,
    place: Option<Witness>,
    keys: Vec<TrustedKey>,
    partial: bool,
) -> anyhow::Result<Witnessed> {
    let mut witnessed = Witnessed {
        keys,
        ..Witnessed::default()
    };
    if let Some(place) = place {
        let mut connection = database.pool.acquire().await?;
        let last = checkpoints::last_witnessed(&mut connection).await?;
        witnessed.complete_to = (!partial).then_some(last);
        witnessed.notes = place.read().await?;
    }
    Ok(witnessed)
}

fn event_bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {eta}")?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn show(bar: &ProgressBar, position: i64, end: i64) {
    bar.set_length(u64::try_from(end).unwrap_or_default());
    bar.set_position(u64::try_from(position).unwrap_or_default());
}
