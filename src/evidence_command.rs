//! `leadledger verify-evidence`: checks an evidence pack with nothing but the file and a key: no server, no database.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;

use crate::proof::checkpoint::Checkpoint;
use crate::proof::evidence::EvidencePack;
use crate::proof::history;
use crate::proof::keys::{TrustedKey, ambiguous, keys_in, narrowed};
use crate::proof::note::VerifierKey;

/// The largest file that is read.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// What the check came to.
pub struct Verdict {
    /// Whether the pack is to be believed.
    pub holds: bool,
    /// The history, if it is, and the verdict in words.
    pub text: String,
}

/// Checks the pack in a file against these keys, each a key or the name of a file of keys.
///
/// # Errors
/// A file that cannot be read, or a key that is none.
pub fn check(file: &Path, keys: &[String]) -> anyhow::Result<Verdict> {
    let keys = trusted(keys)?;
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    open.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| file.display().to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Ok(refused("the file is larger than any pack"));
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(refused("the file is not text in UTF-8"));
    };
    let checked = EvidencePack::parse(&text).and_then(|pack| {
        let checkpoint = pack.check(&keys)?;
        let story = history::tell(&pack)?;
        Ok((pack, checkpoint, story))
    });
    Ok(match checked {
        Ok((pack, checkpoint, story)) => Verdict {
            holds: true,
            text: story + &verdict(&pack, &checkpoint),
        },
        Err(error) => refused(&error.to_string()),
    })
}

fn refused(why: &str) -> Verdict {
    Verdict {
        holds: false,
        text: format!("NOT PROVED: {}\n", history::visible(why)),
    }
}

fn verdict(pack: &EvidencePack, checkpoint: &Checkpoint) -> String {
    let mut text = format!(
        "\nPROVED: this is the whole history of {} {}: {} events, each as the ledger {} has it, and no more of them \
         among its first {} events, by the checkpoint of {}.\n",
        history::visible(&pack.aggregate_type),
        history::visible(&pack.aggregate_id),
        pack.events.len(),
        history::visible(&checkpoint.origin),
        checkpoint.size,
        checkpoint.time.format("%Y-%m-%d %H:%M:%S UTC"),
    );
    if let Some(nth) = pack.later_than(checkpoint) {
        writeln!(
            text,
            "DOUBTFUL: event {nth} says that it was recorded after the checkpoint was made: a clock was wrong, or the times were chosen."
        )
        .expect("writing into a String cannot fail");
    }
    if pack.subject_key.is_none() {
        text +=
            "The pack has no key: personal data, if there are any, were erased or are withheld.\n";
    }
    text
}

/// The keys that are given as text or as files, each with the times that one of the files says.
///
/// # Errors
/// A file that cannot be read, a key that is none, or two that cannot be told apart.
pub fn trusted(given: &[String]) -> anyhow::Result<Vec<TrustedKey>> {
    let mut keys = Vec::new();
    for one in given {
        let text = match VerifierKey::parse(one) {
            Ok(key) => {
                keys.push(key.into());
                continue;
            }
            Err(error) => std::fs::read_to_string(one)
                .with_context(|| format!("--key {one:?} {error}, and no file that can be read"))?,
        };
        let found = keys_in(&text).map_err(|error| anyhow::anyhow!("--key {one}: {error}"))?;
        anyhow::ensure!(!found.is_empty(), "--key {one}: there is no key in it");
        keys.extend(found);
    }
    if let Some(found) = ambiguous(&keys) {
        anyhow::bail!("--key: another key has the name and hash of {}", found.key);
    }
    Ok(narrowed(&keys, &[]))
}
