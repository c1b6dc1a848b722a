//! Checkpoints (C2SP `tlog-checkpoint`): what the whole ledger was at one size, to be signed as a note.
//!
//! Three lines that the format prescribes (origin, tree size, root), and two lines of extension: the root of the map of
//! streams, and when the checkpoint was made.

use chrono::{DateTime, SecondsFormat, Utc};

use super::keys::TrustedKey;
use super::note::{self, NoteError, Signer};
use super::{Hash, hash_from_base64, rfc3339, to_base64};

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
    /// A line of ours stands in it twice: it could be told to say either.
    #[error("the checkpoint has more than one {0}")]
    Repeated(&'static str),
    /// Another ledger's.
    #[error("the checkpoint is of {0}, which is not the name of the key that signed it")]
    OtherOrigin(String),
    /// Its time is after the end of the key that signed it.
    #[error("the checkpoint is of {0}, and the key that signed it ended at {1}")]
    KeyEnded(DateTime<Utc>, DateTime<Utc>),
    /// Its time is before the beginning of the key that signed it.
    #[error("the checkpoint is of {0}, and the key that signed it began at {1}")]
    KeyNotBegun(DateTime<Utc>, DateTime<Utc>),
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

    /// The checkpoint in a note that one of the keys signed, at a time at which that key held: whoever keeps the secret of a key that
    /// was retired must not go on with it. At a change of keys both sign, at the end of the one and the beginning of the other.
    /// Unknown lines of extension are passed over.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn open(note: &str, keys: &[TrustedKey]) -> Result<Self, CheckpointError> {
        let (text, by) = note::open_by_all(note, keys.iter().map(|trusted| &trusted.key))?;
        let checkpoint = Self::parse(&text)?;
        let mut refused = CheckpointError::OtherOrigin(checkpoint.origin.clone());
        let signed = keys.iter().filter(|trusted| by.contains(&&trusted.key));
        for key in signed.filter(|trusted| trusted.key.name == checkpoint.origin) {
            match checkpoint.in_time_of(key) {
                Ok(()) => return Ok(checkpoint),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn in_time_of(&self, key: &TrustedKey) -> Result<(), CheckpointError> {
        if let Some(until) = key.until.filter(|_| key.ended_before(self.time)) {
            return Err(CheckpointError::KeyEnded(self.time, until));
        }
        if let Some(from) = key.from.filter(|_| key.begins_after(self.time)) {
            return Err(CheckpointError::KeyNotBegun(self.time, from));
        }
        Ok(())
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
        let after = |start: &str, what| {
            let mut found = extensions
                .iter()
                .filter_map(|line| line.strip_prefix(start));
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(CheckpointError::Repeated(what)),
                (first, None) => Ok(first),
            }
        };
        let (map, time) = ("root of the map of streams", "time");
        let (streams, made) = (after(STREAMS, map)?, after(TIME, time)?);
        let made = made.and_then(rfc3339::read);
        let missing = CheckpointError::Missing;
        Ok(Self {
            origin: origin.ok_or(missing("origin"))?.to_owned(),
            size: size
                .and_then(|line| line.parse().ok())
                .ok_or(missing("tree size"))?,
            root: root.ok_or(missing("root"))?,
            streams: streams.and_then(hash_from_base64).ok_or(missing(map))?,
            time: made.ok_or(missing(time))?,
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
        for (line, what) in [(STREAMS, "root of the map of streams"), (TIME, "time")] {
            let twice = format!("{text}{line}anything\n");
            let refused = Checkpoint::parse(&twice);
            assert_eq!(refused, Err(CheckpointError::Repeated(what)), "{twice}");
        }
    }

    #[test]
    fn a_key_of_another_name_signs_nothing_for_this_ledger() {
        let signer = Signer::from_seed("leadledger/a1", &[3; 32]).unwrap();
        let other = Signer::from_seed("leadledger/b2", &[3; 32]).unwrap();
        let note = checkpoint().signed_by(&[&signer]);
        let keys = [
            signer.public().clone().into(),
            other.public().clone().into(),
        ];
        assert_eq!(Checkpoint::open(&note, &keys), Ok(checkpoint()));
        let note = checkpoint().signed_by(&[&other]);
        assert!(matches!(
            Checkpoint::open(&note, &keys),
            Err(CheckpointError::OtherOrigin(_))
        ));
    }

    #[test]
    fn a_key_signs_nothing_after_its_end_and_nothing_before_its_beginning() {
        let [old, new] = [[3; 32], [4; 32]].map(|seed| Signer::from_seed("leadledger/a1", &seed));
        let (old, new) = (old.unwrap(), new.unwrap());
        let change = DateTime::from_timestamp(1_000, 900_000_000);
        let keys = [
            TrustedKey {
                until: change,
                ..old.public().clone().into()
            },
            TrustedKey {
                from: change,
                ..new.public().clone().into()
            },
        ];
        let signed = |time, signers: &[&Signer]| {
            let time = DateTime::from_timestamp(time, 0).unwrap();
            let checkpoint = Checkpoint {
                time,
                ..checkpoint()
            };
            Checkpoint::open(&checkpoint.signed_by(signers), &keys)
        };
        for time in [999, 1_000, 1_001] {
            assert_eq!(signed(time, &[&old]).is_ok(), time <= 1_000, "{time}");
            assert_eq!(signed(time, &[&new]).is_ok(), time >= 1_000, "{time}");
            assert!(signed(time, &[&old, &new]).is_ok(), "{time}");
        }
        let told = |refused: Result<Checkpoint, CheckpointError>| refused.unwrap_err().to_string();
        assert_eq!(
            told(signed(1_001, &[&old])),
            "the checkpoint is of 1970-01-01 00:16:41 UTC, and the key that signed it ended at 1970-01-01 00:16:40.900 UTC"
        );
        assert!(told(signed(999, &[&new])).contains(" began at "));
    }
}
