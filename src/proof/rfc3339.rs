//! Times in texts of evidence: RFC 3339 in the one spelling that a ledger writes, so that all who read one read the same.

use chrono::{DateTime, Utc};

/// The time in a text `YYYY-MM-DDTHH:MM:SS[.digits](Z|±HH:MM)`, of the years 0001 to 9999 and without leap seconds; `None` when it is
/// spelled otherwise, or is none.
#[must_use]
pub fn read(text: &str) -> Option<DateTime<Utc>> {
    let (second, rest) = text.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    let fraction = rest.strip_prefix('.').unwrap_or(rest);
    let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_fraction = fraction.len() < rest.len();
    let has_digits = zone.len() < fraction.len();
    let is_spelled_so = is_like(second, "0000-00-00T00:00:00")
        && !second.starts_with("0000")
        && !second.ends_with(":60")
        && has_fraction == has_digits
        && (zone == "Z" || is_like(zone, "+00:00") || is_like(zone, "-00:00"));
    let time = DateTime::parse_from_rfc3339(text);
    time.ok()
        .filter(|_| is_spelled_so)
        .map(|time| time.to_utc())
}

/// Whether a text is this pattern, with any digit for each `0`.
fn is_like(text: &str, pattern: &str) -> bool {
    let same = |(byte, like): (u8, u8)| match like {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_is_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.9Z", 1),
            ("1970-01-01T02:00:00.123456789012+02:00", 0),
            ("1969-12-31T23:30:00-00:30", 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59-23:59", 253_402_300_799 + 86_340),
        ] {
            assert_eq!(
                read(text).map(|time| time.timestamp()),
                Some(seconds),
                "{text}"
            );
        }
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01t00:00:00Z",
            "1970-01-01T00:00:00z",
            "1970-01-01 00:00:00Z",
            "1970-01-01x00:00:00Z",
            "19700101T000000Z",
            "1970-W01-4T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-02-30T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00,5Z",
            "1970-01-01T00:00:00+02",
            "1970-01-01T00:00:00+0200",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:60",
            "1970-01-01T00:00:00+00:00:30",
            "1970-01-01T00:00:00\u{2212}00:00",
            "1970-01-01T00:00:0\u{661}Z",
            "0000-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z ",
            "1970-01-01T00:00:00Z\r",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
