//! The languages that people are written to in.

/// A language of the mails and of the pages that their links open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// The default.
    #[default]
    Spanish,
    /// English.
    English,
    /// Portuguese.
    Portuguese,
}

impl Language {
    /// The language of a user's tag, such as `pt-BR`; Spanish for anything else.
    #[must_use]
    pub fn of(tag: Option<&str>) -> Self {
        match tag.and_then(|tag| tag.get(..2)) {
            Some("en") => Self::English,
            Some("pt") => Self::Portuguese,
            _ => Self::Spanish,
        }
    }

    /// `es`, `en` or `pt`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Spanish => "es",
            Self::English => "en",
            Self::Portuguese => "pt",
        }
    }
}
