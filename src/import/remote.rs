//! `leadledger import` through a running server: the file is uploaded, and its import followed to the end.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use aggregates::import::{DuplicatePolicy, ImportOptions, RowCounts};
use anyhow::Context;
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::command::{Report, announce, at_the_console, progress_bar, why};
use crate::clock::Clock;
use crate::config::ImportArgs;

/// How often the status is asked for.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// How often a status is asked for in vain before the server counts as gone.
const ATTEMPTS: u32 = 20;

/// Uploads the file and follows its import.
///
/// # Errors
/// When the file cannot be read, the server refuses it, or cannot be reached.
pub async fn run(
    url: &str,
    token: &SecretString,
    args: &ImportArgs,
    options: &ImportOptions,
    reason: Option<&str>,
) -> anyhow::Result<Report> {
    let base = Url::parse(url).context("--url is not a URL")?;
    let client = Client::new();
    let path = format!("/api/v1/companies/{}/import/leads", args.company);
    let key = Clock::system().new_id().to_string();
    let upload = client
        .post(base.join(&path)?)
        .bearer_auth(token.expose_secret())
        .header("idempotency-key", key)
        .multipart(form(args, options).await?);
    let upload = match reason {
        Some(reason) => upload.header("x-reason", reason.as_bytes()),
        None => upload,
    };
    let answer = sent(upload).await?;
    if args.dry_run {
        return Ok(Report {
            status: "dry run".to_owned(),
            ..report(&answer)
        });
    }
    let code = answer["import_file"]["import_code"].as_str();
    let code = code.context("the server names no import")?;
    announce(code);
    let status = base.join(&format!("/api/v1/import/{code}"))?;
    let bar = progress_bar();
    let mut failures = 0;
    let ended = loop {
        tokio::time::sleep(ASK_EVERY).await;
        let asked = client
            .get(status.clone())
            .bearer_auth(token.expose_secret());
        let answer = match sent(asked).await {
            Ok(answer) => answer,
            Err(_) if failures < ATTEMPTS => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        let import = &answer["import_file"];
        bar.set_length(import["total_rows"].as_u64().unwrap_or(0));
        bar.set_position(import["processed_rows"].as_u64().unwrap_or(0));
        if !matches!(
            import["status"].as_str(),
            Some("pending" | "processing" | "undoing")
        ) {
            break import.clone();
        }
    };
    bar.finish_and_clear();
    if let Some(path) = &args.rejected {
        let errors = base.join(&format!("/api/v1/import/{code}/errors"))?;
        let errors = client.get(errors).bearer_auth(token.expose_secret());
        let answer = errors
            .send()
            .await
            .context("the server cannot be reached")?;
        let answer = answer
            .error_for_status()
            .map_err(reqwest::Error::without_url)?;
        let mut pieces = answer.bytes_stream();
        let created = std::fs::File::create(path);
        let mut file = created.with_context(|| format!("cannot write {}", path.display()))?;
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?)?;
        }
    }
    Ok(report(&ended))
}

async fn form(args: &ImportArgs, options: &ImportOptions) -> anyhow::Result<Form> {
    let open = part(&args.file).await;
    let file = open.with_context(|| format!("cannot open {}", args.file.display()))?;
    let (duplicates, update) = match options.duplicates {
        DuplicatePolicy::Create => ("create", ""),
        DuplicatePolicy::Skip => ("skip", ""),
        DuplicatePolicy::Fill => ("update", "fill"),
        DuplicatePolicy::Overwrite => ("update", "overwrite"),
    };
    let text = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
    Ok(Form::new()
        .text("source_id", text(args.source))
        .text("campaign_id", text(args.campaign))
        .text("duplicates", duplicates)
        .text("update", update)
        .text("mapping", serde_json::to_string(&options.mapping)?)
        .text("sheet", options.sheet.clone().unwrap_or_default())
        .text("dry_run", args.dry_run.to_string())
        .text("force", args.force.to_string())
        .part("file", file))
}

/// The file as a part of the form. What has no length of its own, such as a pipe, is sent until it ends.
async fn part(path: &Path) -> std::io::Result<Part> {
    if tokio::fs::metadata(path).await?.is_file() {
        return Part::file(path).await;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let open = tokio::fs::File::open(path).await?;
    Ok(Part::stream(open).file_name(name.into_owned()))
}

/// The answer's body; a refusal in the server's words.
async fn sent(request: RequestBuilder) -> anyhow::Result<Value> {
    let answer = request
        .send()
        .await
        .context("the server cannot be reached")?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    let detail = body["detail"].as_str().unwrap_or_default();
    if body["code"] == "imported_before" {
        anyhow::bail!(at_the_console(detail));
    }
    let errors = &body["errors"];
    anyhow::ensure!(
        status.is_success(),
        "the server answers {status}: {detail} {}",
        if errors.is_null() {
            String::new()
        } else {
            errors.to_string()
        }
    );
    Ok(body)
}

fn report(import: &Value) -> Report {
    let number = |name: &str| import[name].as_i64().unwrap_or_default();
    let counts = RowCounts {
        imported: number("imported_rows"),
        updated: number("updated_rows"),
        skipped: number("skipped_rows"),
        failed: number("failed_rows"),
        duplicates: number("duplicate_rows"),
    };
    let errors = import["errors"].as_array().into_iter().flatten();
    let dry = import["rows"].as_array().into_iter().flatten();
    let dry = dry
        .map(|row| &row["error"])
        .filter(|error| !error.is_null());
    let reason = |error: &Value| {
        let message = error["message"].as_str().unwrap_or_default();
        (
            error["row"].as_i64().unwrap_or_default(),
            message.to_owned(),
        )
    };
    let text = |name: &str| import[name].as_str();
    Report {
        code: text("import_code").map(str::to_owned),
        failure: why(text("failure"), text("failure_detail")),
        status: import["status"].as_str().unwrap_or_default().to_owned(),
        total: counts.processed(),
        counts,
        refused: errors.chain(dry).map(reason).collect(),
    }
}
