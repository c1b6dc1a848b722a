//! Cells that a spreadsheet program would run as formulas, made harmless in CSV.
//!
//! A CSV cannot say that a cell is text: `=HYPERLINK(…)` in somebody's name runs when the file is opened. OWASP's advice is to put an
//! apostrophe before every cell that begins with `=`, `+`, `-`, `@`, a tab or a line end. Followed to the letter it would
//! spoil every phone number in E.164 and every negative amount for the programs that read the file, and protect nobody:
//! a sign and digits are a number, not a formula. So **a sign with nothing but digits behind it, and at most one decimal point
//! or comma among them, is left as it is**; everything else that OWASP names, also in its full-width forms, gets the apostrophe.
//!
//! What was neutralised is restored exactly: [`super::Reader`] does so for every field of a CSV. A text that already reads as
//! neutralised gets one more apostrophe, so that no two texts are written alike.

use std::borrow::Cow;

const MARK: char = '\'';

/// The text as a CSV may hold it.
#[must_use]
pub fn neutralise(text: &str) -> Cow<'_, str> {
    if is_formula(text.trim_start_matches(MARK)) {
        Cow::Owned(format!("{MARK}{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that [`neutralise`] was given.
#[must_use]
pub fn restore(text: &str) -> &str {
    match text.strip_prefix(MARK) {
        Some(rest) if is_formula(rest.trim_start_matches(MARK)) => rest,
        _ => text,
    }
}

fn is_formula(text: &str) -> bool {
    let mut chars = text.chars();
    match chars.next() {
        Some('+' | '-') => !is_number(chars.as_str()),
        Some('=' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => true,
        _ => false,
    }
}

fn is_number(digits: &str) -> bool {
    let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_are_neutralised_and_numbers_and_phones_are_not() {
        for formula in [
            "=1+1",
            "+1+1",
            "-2-3",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "+cmd|' /C calc'!A0",
            "-",
            "＝1",
            "+1-800-555",
        ] {
            assert_eq!(neutralise(formula), format!("'{formula}"));
        }
        for harmless in ["+525512345678", "-12.50", "-3,5", "Ana", "'tis", "a=b", ""] {
            assert_eq!(neutralise(harmless), harmless);
        }
    }

    #[test]
    fn a_text_that_reads_as_neutralised_is_not_lost() {
        assert_eq!(neutralise("'=1"), "''=1");
        assert_eq!(restore("''=1"), "'=1");
        assert_eq!(restore("'tis"), "'tis");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "['=+@-]{0,4}[0-9.a]{0,3}") {
            let written = neutralise(&text);
            prop_assert_eq!(restore(&written), &text);
            prop_assert!(!is_formula(&written));
        }
    }
}
