//! What a refusal says of values that are written as texts: the form that is wanted, and never why the text is not of it.

/// The form of what chrono names with these words.
#[must_use]
pub fn form_of(kind: &str) -> Option<&'static str> {
    match kind {
        "an RFC 3339 formatted date and time string" => {
            Some("an RFC 3339 time such as 2026-01-31T23:59:59Z")
        }
        "a formatted date string" => Some("a date such as 2026-01-31"),
        _ => None,
    }
}
