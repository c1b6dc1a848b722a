//! Text as it is searched: without regard to case and accents.

pub use aggregates::text::fold;

/// The pattern for `LIKE` that finds the folded text anywhere; the text's own wildcards mean themselves.
#[must_use]
pub fn contains_pattern(text: &str) -> String {
    let folded = fold(text);
    let mut pattern = String::with_capacity(folded.len() + 2);
    pattern.push('%');
    for c in folded.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The digits of a text that looks like a part of a phone number as people write it, `(55) 1234-5678`; `None` for any
/// other text and for bare digits, which need no second look.
#[must_use]
pub fn phone_digits(text: &str) -> Option<String> {
    const BETWEEN: &str = " ()-./+\u{a0}";
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_phone = text
        .chars()
        .all(|c| c.is_ascii_digit() || BETWEEN.contains(c));
    (is_phone && digits.len() >= 3 && digits.len() < text.len()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_spacing_do_not_matter() {
        assert_eq!(fold("  José   MUÑOZ Conceição "), "jose munoz conceicao");
    }

    #[test]
    fn a_phone_is_known_however_it_is_written() {
        assert_eq!(
            phone_digits("(55) 1234-5678").as_deref(),
            Some("5512345678")
        );
        assert_eq!(phone_digits("+52 55").as_deref(), Some("5255"));
        assert_eq!(phone_digits("5512345678"), None);
        assert_eq!(phone_digits("apt. 12-34"), None);
        assert_eq!(phone_digits("1-2"), None);
    }

    #[test]
    fn wildcards_in_the_text_mean_themselves() {
        assert_eq!(contains_pattern("50%_a\\"), "%50\\%\\_a\\\\%");
    }
}
