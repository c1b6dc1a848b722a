//! What the ledger knows of an avatar: which picture, of which type, how large. The picture itself is in the object store.

use serde::{Deserialize, Serialize};

/// The types that avatars are stored as, whatever was uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// `image/png`.
    #[serde(rename = "image/png")]
    Png,
    /// `image/jpeg`.
    #[serde(rename = "image/jpeg")]
    Jpeg,
}

impl MediaType {
    /// As in `Content-Type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// The ending of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }

    /// The type with this ending.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        [Self::Png, Self::Jpeg]
            .into_iter()
            .find(|known| known.extension() == extension)
    }
}

/// A stored picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Avatar {
    /// SHA-256 of owner and stored bytes, in hexadecimal: no two owners share an object.
    pub hash: String,
    /// What the stored bytes are.
    pub media_type: MediaType,
    /// How many they are.
    pub size: i64,
}

impl Avatar {
    /// The name of the object, and the last part of its path: `<hash>.png`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.hash, self.media_type.extension())
    }
}
