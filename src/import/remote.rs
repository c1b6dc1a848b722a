//! Importing through a running server: many requests at once, each with its own idempotency key, so that one that has to be
//! sent again never creates twice.

use std::time::Duration;

use aggregates::phone::Region;
use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use indicatif::ProgressBar;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::columns::Columns;
use super::{Destination, NewLead, Report, Row};
use crate::clock::Clock;

/// How many requests are under way: where the server's batches begin to pay.
const AT_ONCE: usize = 64;
/// How often a request is sent before the import gives up on the server.
const ATTEMPTS: u32 = 8;

struct Remote {
    client: Client,
    leads: Url,
    source: Option<i64>,
    token: SecretString,
    run: String,
}

enum Answer {
    Created { duplicate: bool },
    Refused(String),
}

/// Sends every row as a lead to create.
pub async fn run(
    url: &str,
    token: &SecretString,
    to: Destination,
    columns: Columns,
    mut rows: mpsc::Receiver<Row>,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let base = Url::parse(url).context("--url is not a URL")?;
    let remote = Remote {
        client: Client::new(),
        leads: base.join(&format!("/api/v1/companies/{}/leads", to.company))?,
        source: to.source,
        token: token.clone(),
        run: Clock::system().new_id().to_string(),
    };
    let region = remote.region(&base, to.company).await?;
    let mut report = Report::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        let more = under_way.len() < AT_ONCE;
        tokio::select! {
            row = rows.recv(), if more => {
                let Some(row) = row else { break };
                report.total += 1;
                match columns.lead(&row, region) {
                    Ok(lead) => under_way.push(remote.create(row, lead)),
                    Err(reason) => report.rejected.push((row.number, row.fields, reason)),
                }
            }
            Some(done) = under_way.next(), if !under_way.is_empty() => {
                settle(&mut report, done?);
                bar.inc(1);
            }
        }
    }
    while let Some(done) = under_way.next().await {
        settle(&mut report, done?);
        bar.inc(1);
    }
    Ok(report)
}

fn settle(report: &mut Report, (row, answer): (Row, Answer)) {
    match answer {
        Answer::Created { duplicate } => {
            report.created += 1;
            report.duplicates += u64::from(duplicate);
        }
        Answer::Refused(reason) => report.rejected.push((row.number, row.fields, reason)),
    }
}

impl Remote {
    /// The company's phone region, which also tells whether server, token and company are right before any row is sent.
    async fn region(&self, base: &Url, company: i64) -> anyhow::Result<Region> {
        let answer = self
            .client
            .get(base.join(&format!("/api/v1/companies/{company}"))?)
            .bearer_auth(self.token.expose_secret())
            .send()
            .await
            .context("the server cannot be reached")?;
        let status = answer.status();
        anyhow::ensure!(
            status.is_success(),
            "the server answers {status} to company {company}"
        );
        let body: Value = answer.json().await?;
        let region = body["company"]["region"].as_str().unwrap_or_default();
        Ok(Region::parse(region).unwrap_or_default())
    }

    async fn create(&self, row: Row, lead: NewLead) -> anyhow::Result<(Row, Answer)> {
        let contact = lead.contact;
        let body = json!({
            "first_name": contact.first_name,
            "last_name": contact.last_name,
            "email": contact.email,
            "phone_number": contact.phone,
            "extra": lead.extra,
            "source_id": self.source,
        });
        let key = format!("import-{}-{}", self.run, row.number);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sent = self
                .client
                .post(self.leads.clone())
                .bearer_auth(self.token.expose_secret())
                .header("idempotency-key", &key)
                .header("x-reason", format!("import row {}", row.number))
                .json(&body)
                .send()
                .await;
            let again = match sent {
                Ok(answer) if answer.status() == StatusCode::CREATED => {
                    let body: Value = answer.json().await?;
                    let duplicate = body["lead"]["duplicate"] == true;
                    return Ok((row, Answer::Created { duplicate }));
                }
                Ok(answer) if answer.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                    let body: Value = answer.json().await?;
                    let reason = body["detail"].as_str().unwrap_or("refused").to_owned();
                    return Ok((row, Answer::Refused(reason)));
                }
                Ok(answer)
                    if answer.status().is_server_error()
                        || answer.status() == StatusCode::TOO_MANY_REQUESTS =>
                {
                    format!("the server answers {}", answer.status())
                }
                Ok(answer) => {
                    anyhow::bail!("row {}: the server answers {}", row.number, answer.status())
                }
                Err(_) => "the server cannot be reached".to_owned(),
            };
            anyhow::ensure!(attempt < ATTEMPTS, "row {}: {again}", row.number);
            tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
        }
    }
}
