//! Calendar days on the wire.

use chrono::{Datelike, NaiveDate};

/// A [`day`] that is over or has begun.
///
/// # Errors
/// The message for the field.
pub fn past_day(date: NaiveDate, today: NaiveDate) -> Result<NaiveDate, &'static str> {
    if date > today {
        return Err("must not be in the future");
    }
    day(date)
}

/// A day that every part of the system can hold: of the years 1 to 9999.
///
/// # Errors
/// The message for the field.
pub fn day(date: NaiveDate) -> Result<NaiveDate, &'static str> {
    if (1..=9999).contains(&date.year()) {
        Ok(date)
    } else {
        Err("must be a day of the years 1 to 9999")
    }
}
