//! How a finished mail leaves: by SMTP, or, without a server configured, as a file in a folder of the data directory.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use super::compose::Mail;
use crate::config::Settings;

/// How long the SMTP server may take for each of its answers.
const SMTP_PATIENCE: Duration = Duration::from_secs(5);

/// The sender when none is configured; enough for files, never for a server.
const NOBODY: &str = "leadledger <no-reply@leadledger.example>";

/// The way out.
#[derive(Clone)]
pub enum Transport {
    /// To this server.
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    /// Into this folder, one `.eml` file a mail.
    Mailbox(PathBuf),
}

/// Why a mail did not leave. Says nothing of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The server refused it, with this code.
    #[error("the SMTP server answered {0}")]
    Refused(String),
    /// The server was not reached, or broke off.
    #[error("the SMTP server cannot be reached or broke off")]
    Unreachable,
    /// The file could not be written.
    #[error("writing the mail's file: {0}")]
    File(io::ErrorKind),
}

impl Transport {
    /// As configured.
    ///
    /// # Errors
    /// An address of the server that cannot be used.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let Some(url) = &settings.smtp_url else {
            return Ok(Self::Mailbox(settings.data_dir.join("mailbox")));
        };
        // The library's own message would repeat the address, and with it the password.
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| anyhow::anyhow!("LEADLEDGER_SMTP_URL is not an SMTP address: smtp://user:password@host:587?tls=required or smtps://…"))?
            .timeout(Some(SMTP_PATIENCE))
            .build();
        Ok(Self::Smtp(Box::new(smtp)))
    }

    /// Hands the mail over; `position` names the file, so that writing it twice is one file.
    ///
    /// # Errors
    /// See [`TransportError`].
    pub async fn deliver(&self, position: i64, message: Message) -> Result<(), TransportError> {
        match self {
            Self::Smtp(smtp) => match smtp.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.status().map_or(TransportError::Unreachable, |code| {
                    TransportError::Refused(code.to_string())
                })),
            },
            Self::Mailbox(folder) => {
                let folder = folder.clone();
                tokio::task::spawn_blocking(move || write(&folder, position, &message.formatted()))
                    .await
                    .map_err(|_| TransportError::File(io::ErrorKind::Other))?
                    .map_err(|error| TransportError::File(error.kind()))
            }
        }
    }
}

/// Complete under its name, or not there.
fn write(folder: &Path, position: i64, bytes: &[u8]) -> io::Result<()> {
    if let Some(data_dir) = folder.parent() {
        // PostgreSQL's user, when it is another, must be able to pass through.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(data_dir)?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let draft = folder.join(format!(".{position:010}.draft"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(format!("{position:010}.eml")))
}

/// The configured sender.
///
/// # Errors
/// One that is no mailbox, or none at all although a server is configured.
pub fn sender(settings: &Settings) -> anyhow::Result<Mailbox> {
    let text = match (&settings.mail_from, &settings.smtp_url) {
        (Some(from), _) => from.as_str(),
        (None, None) => NOBODY,
        (None, Some(_)) => anyhow::bail!(
            "LEADLEDGER_MAIL_FROM is needed with LEADLEDGER_SMTP_URL: the mailbox that mails come from"
        ),
    };
    text.parse()
        .context("LEADLEDGER_MAIL_FROM is not a mailbox such as CRM <no-reply@example.com>")
}

/// The message as it goes out; `None` when the address is none that SMTP takes.
#[must_use]
pub fn message(
    mail: Mail,
    from: &Mailbox,
    id: String,
    at: std::time::SystemTime,
) -> Option<Message> {
    let to: Address = mail.to.as_str().parse().ok()?;
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject)
        .message_id(Some(id))
        .date(at)
        .raw_header(automatic)
        .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))
        .ok()
}
