//! A JSON body with a file in base64: one is in memory at a time, once, and the file in it goes to the disk piece by piece.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use garde::Validate;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::parts;
use super::upload::ImportFields;
use crate::api::extract::json;
use crate::api::field_errors::FieldErrors;
use crate::api::layers::IMPORT_JSON_LIMIT;
use crate::api::problem::Problem;
use crate::app::App;
use crate::import::files::{FileError, Spooled};

/// A file in base64.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct FileInBase64 {
    /// A CSV or XLSX file up to 16 MB, in base64, with or without line breaks; larger files come as a form or in parts.
    file_base64: String,
}

/// How many files in base64 are in memory at a time.
static DECODING: Semaphore = Semaphore::const_new(1);
/// So many letters of base64 are decoded together: a multiple of four.
const DECODED_AT_ONCE: usize = 64 * 1024;

/// Takes the body in, to the disk first: a client that is slow to send keeps nobody waiting.
pub(super) async fn receive(
    app: &App,
    request: Request,
) -> Result<(Spooled, ImportFields), Problem> {
    let body = parts::spooled(app, request, IMPORT_JSON_LIMIT).await?;
    // It is never closed; were it, reading on would be right.
    let _decoding = DECODING.acquire().await;
    let mut json = Vec::with_capacity(usize::try_from(body.size).unwrap_or_default());
    let mut file = tokio::fs::File::from_std(body.open().map_err(FileError::from)?);
    let read = file.read_to_end(&mut json).await;
    read.map_err(FileError::from)?;
    let (fields, text) = taken_apart(&json)?;
    Ok((decoded(app, &text).await?, fields))
}

/// The fields of a body, and the text of its file as it stands there, which is not copied: it may be all that there is room for.
fn taken_apart(body: &[u8]) -> Result<(ImportFields, Cow<'_, str>), Problem> {
    let members = serde_json::from_slice::<BTreeMap<String, &RawValue>>(body);
    let mut members = members.unwrap_or_default();
    let file = members.remove("file_base64").map(RawValue::get);
    let text = file.and_then(|file| file.strip_prefix('"')?.strip_suffix('"'));
    let Some(text) = text else {
        // It is not JSON, or has no such text: said as of any other body.
        let fields = json::decode(body)?;
        let FileInBase64 { file_base64 } = json::decode(body)?;
        return Ok((fields, file_base64.into()));
    };
    let others = serde_json::to_vec(&members).map_err(Problem::internal)?;
    let text = text.trim();
    let text = match text.split_once(";base64,") {
        Some((kind, data)) if kind.starts_with("data:") => data,
        _ => text,
    };
    Ok((json::decode(&others)?, text.into()))
}

/// The characters of a JSON text that may stand in base64; for all other escapes one that may not.
fn unescaped(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'\\' => Some(match bytes.next()? {
            b'n' | b'r' | b't' => b'\n',
            b'/' => b'/',
            _ => b'?',
        }),
        byte => Some(byte),
    })
}

/// The file that a JSON text in base64 is. Line breaks, as many programs write them, are no part of it.
async fn decoded(app: &App, text: &str) -> Result<Spooled, Problem> {
    let refused = || Problem::unprocessable(FieldErrors::of("file_base64", "is not valid base64"));
    let mut spool = app.imports.files.spool()?;
    let mut letters = unescaped(text).filter(|byte| !byte.is_ascii_whitespace());
    let mut piece: Vec<u8> = Vec::with_capacity(DECODED_AT_ONCE);
    let mut padded = false;
    loop {
        piece.clear();
        piece.extend(letters.by_ref().take(DECODED_AT_ONCE));
        if piece.is_empty() {
            return Ok(spool.finish().await?);
        }
        // Padding ends the text.
        if padded {
            return Err(refused());
        }
        padded = piece.ends_with(b"=");
        let bytes = STANDARD.decode(&piece).map_err(|_| refused())?;
        spool.write(&bytes).await?;
    }
}
