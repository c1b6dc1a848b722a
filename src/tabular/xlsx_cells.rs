//! The values of a workbook as the texts that were typed.

use calamine::{DataRef, ExcelDateTime};

/// What stands in a cell: a date as `2024-05-01`, a number with all its digits and no exponent.
pub(super) fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.clone()
        }
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::Int(value) => value.to_string(),
        DataRef::Float(value) => number(*value),
        DataRef::DateTime(moment) => date_time(*moment),
        DataRef::Error(error) => error.to_string(),
    }
}

/// A whole number with all its digits, which is exact up to 2^53. Of others spreadsheets show 15 digits; what is beyond comes of binary
/// fractions (0.1 + 0.2).
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        return value.to_string();
    }
    let shown: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    // `Display` of a float never writes an exponent, and no fraction of a whole number.
    shown.to_string()
}

fn date_time(moment: ExcelDateTime) -> String {
    let days = moment.as_f64();
    if moment.is_duration() {
        return duration(days);
    }
    // A sheet knows no day before its first; what is below is a number with the wrong format.
    if !(0.0..2_958_466.0).contains(&days) {
        return number(days);
    }
    let (year, month, day, mut hour, mut minute, mut second, milli) = moment.to_ymd_hms_milli();
    if milli >= 500 && second < 59 {
        second += 1;
    } else if milli >= 500 && minute < 59 {
        (minute, second) = (minute + 1, 0);
    } else if milli >= 500 && hour < 23 {
        (hour, minute, second) = (hour + 1, 0, 0);
    }
    let time = format!("{hour:02}:{minute:02}:{second:02}");
    if days < 1.0 {
        return time;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if days.fract() == 0.0 {
        date
    } else {
        format!("{date} {time}")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of a float saturates, and nobody's duration is longer"
)]
fn duration(days: f64) -> String {
    let seconds = (days * 86_400.0).round() as i64;
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    fn shown(days: f64) -> String {
        date_time(ExcelDateTime::new(days, ExcelDateTimeType::DateTime, false))
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(number(5_512_345_678.0), "5512345678");
        assert_eq!(number(525_512_345_678_901.0), "525512345678901");
        assert_eq!(number(1_234_567_890_123_456.0), "1234567890123456");
        assert_eq!(number(9_007_199_254_740_991.0), "9007199254740991");
        assert_eq!(number(-9_007_199_254_740_991.0), "-9007199254740991");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(0.1 + 0.2 + 2.7), "3");
        assert_eq!(number(-1.5), "-1.5");
        assert_eq!(number(1e20), "100000000000000000000");
    }

    #[test]
    fn dates_are_dates_and_times_are_times() {
        assert_eq!(shown(45_413.0), "2024-05-01");
        assert_eq!(shown(45_413.5), "2024-05-01 12:00:00");
        assert_eq!(shown(0.75), "18:00:00");
        assert_eq!(shown(1e12), "1000000000000");
        assert_eq!(shown(-3.0), "-3");
        let mac = ExcelDateTime::new(43_951.0, ExcelDateTimeType::DateTime, true);
        assert_eq!(date_time(mac), "2024-05-01");
        assert_eq!(duration(1.5), "36:00:00");
    }
}
