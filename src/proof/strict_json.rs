//! JSON of evidence: read so that nobody can be shown other than what is signed.
//!
//! RFC 8259 leaves open what an object means that has a member twice, how deep a text may be nested and how exact a number is
//! read, and readers differ: here such a text is refused. So is what only some readers take for JSON.

use serde_json::{Map, Number, Value};

/// So many arrays and objects may stand in each other: what `serde_json` reads, with which a ledger is written.
const DEEPEST: usize = 127;

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON as RFC 8259 has it, in Unicode.
    #[error("is not JSON")]
    NotJson,
    /// An object has a member twice.
    #[error("has a member twice")]
    MemberTwice,
    /// Nested deeper than is read.
    #[error("is nested more than {DEEPEST} deep")]
    TooDeep,
    /// A number that would be told as another.
    #[error("has a number that cannot be told exactly")]
    InexactNumber,
}

/// The value of a text.
///
/// # Errors
/// The first thing for which it could be taken for another value, or for none.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.pass_space();
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(Unreadable::NotJson)
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// A value that stands in so many others.
    fn value(&mut self, depth: usize) -> Result<Value, Unreadable> {
        self.pass_space();
        match self.rest.as_bytes().first() {
            Some(b'{' | b'[') if depth == DEEPEST => Err(Unreadable::TooDeep),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut members = Map::new();
        self.expect('{')?;
        if self.take('}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.pass_space();
            let name = self.string()?;
            self.expect(':')?;
            let value = self.value(depth)?;
            if members.insert(name, value).is_some() {
                return Err(Unreadable::MemberTwice);
            }
            if !self.take(',') {
                self.expect('}')?;
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut items = Vec::new();
        self.expect('[')?;
        if self.take(']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if !self.take(',') {
                self.expect(']')?;
                return Ok(Value::Array(items));
            }
        }
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        let mut escaped = true;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let (text, rest) = self.rest.split_at(end.ok_or(Unreadable::NotJson)? + 1);
        self.rest = rest;
        serde_json::from_str(text).map_err(|_| Unreadable::NotJson)
    }

    /// What is neither a text nor in brackets.
    fn word(&mut self) -> Result<Value, Unreadable> {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let end = self.rest.bytes().position(|byte| !part(byte));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => number(word).map(Value::Number),
        }
    }

    fn pass_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether this mark is next, which is passed then.
    fn take(&mut self, mark: char) -> bool {
        self.pass_space();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), Unreadable> {
        if self.take(mark) {
            Ok(())
        } else {
            Err(Unreadable::NotJson)
        }
    }
}

/// An integer of 64 bits, or a decimal number that is told by the digits that it has.
fn number(text: &str) -> Result<Number, Unreadable> {
    let decimal = Decimal::of(text).ok_or(Unreadable::NotJson)?;
    let inexact = Unreadable::InexactNumber;
    if text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_digit())
    {
        // Some readers take it for an integer, and some for a decimal number that has a sign.
        let negative_zero = text == "-0";
        let signed = text.parse().ok().map(|whole: i64| whole.into());
        let whole = signed.or_else(|| text.parse().ok().map(|whole: u64| whole.into()));
        return whole.filter(|_| !negative_zero).ok_or(inexact);
    }
    let nearest: f64 = text.parse().map_err(|_| inexact)?;
    let number = Number::from_f64(nearest).ok_or(inexact)?;
    // Formatting by `{}` takes the upper of two that are as short and as near, where this and other programs take the even one.
    let shortest = number.to_string();
    let told = Decimal::of(&shortest);
    match (decimal.normal(), told.and_then(Decimal::normal)) {
        (Some(signed), Some(told)) if signed == told => Ok(number),
        _ => Err(inexact),
    }
}

/// A number as RFC 8259 writes it, without its sign.
struct Decimal<'t> {
    whole: &'t str,
    fraction: &'t str,
    exponent: &'t str,
}

impl<'t> Decimal<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let text = text.strip_prefix('-').unwrap_or(text);
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let is_number = digits(whole) && digits(fraction) && digits(power);
        let is_plain = whole == "0" || !whole.starts_with('0');
        (is_number && is_plain).then_some(Self {
            whole,
            fraction,
            exponent,
        })
    }

    /// Its digits without zeros at either end, and the power of ten of the last of them; the same for numbers that are equal. `None` when
    /// the power is beyond all numbers.
    fn normal(self) -> Option<(String, i64)> {
        let all = format!("{}{}", self.whole, self.fraction);
        let significant = all.trim_end_matches('0');
        let digits = significant.trim_start_matches('0');
        if digits.is_empty() {
            return Some((String::new(), 0));
        }
        let zeros = i64::try_from(all.len() - significant.len()).ok()?;
        let after_point = i64::try_from(self.fraction.len()).ok()?;
        let exponent: i64 = self.exponent.parse().ok()?;
        let power = exponent.checked_add(zeros)?.checked_sub(after_point)?;
        Some((digits.to_owned(), power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_twice_is_refused_however_deep() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert_eq!(read(text), Err(Unreadable::MemberTwice), "{text}");
        }
    }

    #[test]
    fn what_only_some_readers_take_for_json_is_refused() {
        for text in [
            "",
            "{",
            "[",
            "1 2",
            "nul",
            "NaN",
            "Infinity",
            "-Infinity",
            "True",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "[,]",
            "{,}",
            "'a'",
            "\"a",
            "\"\\\"",
            "\"a\nb\"",
            "\"\\x41\"",
            "\"\\u+041\"",
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
            r#""\udc00x""#,
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "-",
            "0x1",
            "1_0",
            "1\u{661}",
            "--1",
            "1e1e1",
            "1.1.1",
            "\u{a0}1",
            "\u{feff}1",
            "1//",
            "]",
            "}",
            "[}",
            "{\"a\":1]",
        ] {
            assert_eq!(read(text), Err(Unreadable::NotJson), "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_where_that_of_the_ledger_ends() {
        for (deep, read_at_all) in [(127, true), (128, false), (100_000, false)] {
            let text = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
            assert_eq!(read(&text).is_ok(), read_at_all, "{deep}");
            assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), read_at_all);
        }
    }

    #[test]
    fn a_number_is_told_as_it_stands_or_refused() {
        for (text, told) in [
            ("0", "0"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1e21", "1e+21"),
            ("1.5e-7", "1.5e-7"),
            ("5e-324", "5e-324"),
            ("2.9802322387695312e-8", "2.9802322387695312e-8"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("-0.0", "-0.0"),
            ("4.50", "4.5"),
            ("1E+2", "100.0"),
            ("0e99999999999999999999", "0.0"),
        ] {
            let value = read(text).map(|value| value.to_string().replace("e+", "e"));
            assert_eq!(value, Ok(told.replace("e+", "e")), "{text}");
        }
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "-0",
            "9007199254740993.0",
            "0.10000000000000000555",
            "2.9802322387695313e-8",
            "1e-400",
            "1e999",
            "-1e999",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1.7976931348623158e308",
        ] {
            assert_eq!(read(text), Err(Unreadable::InexactNumber), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_the_server_writes_is_what_it_says(
            numbers in proptest::collection::vec(any::<i64>(), 0..4),
            text in ".*",
            name in "[a-z]{1,3}",
            decimal in any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()),
        ) {
            let value = serde_json::json!({ "list": numbers, "of": { name: [text, null, true, decimal, u64::MAX] }, "": [{}, []] });
            prop_assert_eq!(read(&value.to_string()), Ok(value.clone()));
            prop_assert_eq!(read(&format!("\n{value:#}\t")), Ok(value));
        }

        #[test]
        fn any_text_is_read_as_by_others_or_refused(text in r#"([\[\]{},: ]|"[a-c\\]?"|-?[0-3]|\.5|e[0-2]|null|true){0,12}"#) {
            let others = serde_json::from_str::<Value>(&text).ok();
            match read(&text) {
                Ok(value) => prop_assert_eq!(Some(value), others),
                Err(Unreadable::NotJson) => prop_assert_eq!(others, None),
                Err(_) => {}
            }
        }
    }
}
