//! The check that every free text from outside passes: what PostgreSQL can hold and a screen can show.
//!
//! Invariants: a checked text is trimmed, not empty, within its limit in characters (Unicode scalar values, not
//! bytes), and free of NUL (which PostgreSQL's `text` cannot hold) and other control characters. What a text
//! means, and how long it may be, belongs to the type that asks.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("can't be blank")]
    Blank,
    /// More characters than allowed.
    #[error("is too long (maximum is {max} characters)")]
    TooLong {
        /// The limit, in characters.
        max: usize,
    },
    /// A control character, NUL among them.
    #[error("must not contain control characters")]
    ControlCharacter,
}

/// Checks a single line, such as a name or a title: no control character at all.
///
/// # Errors
/// The first broken rule.
pub fn line(raw: &str, max: usize) -> Result<&str, TextError> {
    checked(raw, max, char::is_control)
}

/// Checks text of several lines, such as a note: line feed, carriage return and tab are allowed.
///
/// # Errors
/// The first broken rule.
pub fn block(raw: &str, max: usize) -> Result<&str, TextError> {
    checked(raw, max, |c| {
        c.is_control() && !matches!(c, '\n' | '\r' | '\t')
    })
}

fn checked(raw: &str, max: usize, refused: fn(char) -> bool) -> Result<&str, TextError> {
    let text = raw.trim();
    if text.chars().all(is_invisible) {
        return Err(TextError::Blank);
    }
    if text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    if text.contains(refused) {
        return Err(TextError::ControlCharacter);
    }
    Ok(text)
}

/// White space, and what takes no room at all: a text of nothing else looks like none.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// For comparing and searching: lower case, accents taken off, runs of white space folded to one space.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)) {
        if c.is_whitespace() {
            if !folded.is_empty() && !folded.ends_with(' ') {
                folded.push(' ');
            }
        } else {
            folded.extend(c.to_lowercase());
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_counted_in_characters() {
        assert_eq!(line("  Íñigo\t", 5), Ok("Íñigo"));
        assert_eq!(line("Íñigos", 5), Err(TextError::TooLong { max: 5 }));
        assert_eq!(line(" \n ", 5), Err(TextError::Blank));
    }

    #[test]
    fn nul_is_refused_everywhere_and_line_breaks_only_in_a_line() {
        assert_eq!(line("a\0b", 9), Err(TextError::ControlCharacter));
        assert_eq!(block("a\0b", 9), Err(TextError::ControlCharacter));
        assert_eq!(line("a\nb", 9), Err(TextError::ControlCharacter));
        assert_eq!(block("a\r\n\tb", 9), Ok("a\r\n\tb"));
    }
}
