//! Checkpoints (C2SP `tlog-checkpoint`): what the whole ledger was at one size, to be signed as a note.
//!
//! Three lines that the format prescribes (origin, tree size, root), and two lines of extension: the root of the map of
//! streams, and when the checkpoint was made.

use chrono::{DateTime, SecondsFormat, Utc};

use super::note::{self, NoteError, Signer, VerifierKey};
use super::{Hash, hash_from_base64, to_base64};

const STREAMS: &str = "leadledger-streams ";
const TIME: &str = "leadledger-time ";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name, which is also that of its keys.
    pub origin: String,
    /// How many events it had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The root of the map of streams as of these events.
    pub streams: Hash,
    /// When it was made, in whole seconds, by the clock of the server.
    pub time: DateTime<Utc>,
}

/// Why a note is no checkpoint to rely on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// See [`NoteError`].
    #[error("the checkpoint {0}")]
    Note(#[from] NoteError),
    /// The text of the note is not that of a checkpoint.
    #[error("the checkpoint has no {0}")]
    Missing(&'static str),
    /// Another ledger's.
    #[error("the checkpoint is of {0}, which is not the name of the key that signed it")]
    OtherOrigin(String),
}

impl Checkpoint {
    /// The text to sign.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n{STREAMS}{}\n{TIME}{}\n",
            self.origin,
            self.size,
            to_base64(&self.root),
            to_base64(&self.streams),
            self.time.to_rfc3339_opts(SecondsFormat::Secs, true)
        )
    }

    /// The signed note.
    #[must_use]
    pub fn signed_by(&self, signers: &[&Signer]) -> String {
        note::sign(&self.text(), signers)
    }

    /// The checkpoint in a note that one of the keys signed. Unknown lines of extension are passed over.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let (text, key) = note::open(note, keys)?;
        let checkpoint = Self::parse(&text)?;
        if checkpoint.origin != key.name {
            return Err(CheckpointError::OtherOrigin(checkpoint.origin));
        }
        Ok(checkpoint)
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|line| note::is_name(line));
        let size = lines.next().filter(|line| {
            let digits = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
            digits && (*line == "0" || !line.starts_with('0'))
        });
        let root = lines.next().and_then(hash_from_base64);
        let extensions: Vec<&str> = lines.collect();
        let after = |start: &str| extensions.iter().find_map(|line| line.strip_prefix(start));
        let time = after(TIME).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let missing = CheckpointError::Missing;
        Ok(Self {
            origin: origin.ok_or(missing("origin"))?.to_owned(),
            size: size
                .and_then(|line| line.parse().ok())
                .ok_or(missing("tree size"))?,
            root: root.ok_or(missing("root"))?,
            streams: after(STREAMS)
                .and_then(hash_from_base64)
                .ok_or(missing("root of the map of streams"))?,
            time: time.ok_or(missing("time"))?.to_utc(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "leadledger/a1".to_owned(),
            size: 20_852_163,
            root: [1; 32],
            streams: [2; 32],
            time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_text_is_that_of_the_format_with_two_more_lines() {
        let text = "leadledger/a1\n20852163\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
            leadledger-streams AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
            leadledger-time 1970-01-01T00:00:00Z\n";
        assert_eq!(checkpoint().text(), text);
        assert_eq!(Checkpoint::parse(text), Ok(checkpoint()));
        for (wrong, what) in [
            (text.replace("20852163", "020852163"), "tree size"),
            (
                text.replace("20852163", "99999999999999999999"),
                "tree size",
            ),
            (text.replace("AQEB", "AQE"), "root"),
            (text.replace("leadledger/a1", "leadledger a1"), "origin"),
            (text.replace("1970", "197"), "time"),
        ] {
            let refused = Checkpoint::parse(&wrong);
            assert_eq!(refused, Err(CheckpointError::Missing(what)), "{wrong}");
        }
    }

    #[test]
    fn a_key_of_another_name_signs_nothing_for_this_ledger() {
        let signer = Signer::from_seed("leadledger/a1", &[3; 32]).unwrap();
        let other = Signer::from_seed("leadledger/b2", &[3; 32]).unwrap();
        let note = checkpoint().signed_by(&[&signer]);
        let keys = [signer.public().clone(), other.public().clone()];
        assert_eq!(Checkpoint::open(&note, &keys), Ok(checkpoint()));
        let note = checkpoint().signed_by(&[&other]);
        assert!(matches!(
            Checkpoint::open(&note, &keys),
            Err(CheckpointError::OtherOrigin(_))
        ));
    }
}
