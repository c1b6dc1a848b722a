//! Phone numbers in the one form in which they are compared: E.164.
//!
//! Invariants: a parsed phone is `+` and at most 15 digits, with `;ext=` and an extension (as RFC 3966 writes it)
//! when one was given; [`Phone::e164`], the number without the extension, is the product's notion of "the same
//! phone" (contract decision "Duplicates"). Whether anybody answers is not judged: a number that could exist by
//! its length is kept, because a lead that is refused is a lead lost.

use std::str::FromStr;
use std::sync::{LazyLock, PoisonError};

use phonenumber::metadata::{DATABASE, Database, Descriptor, Metadata};
use phonenumber::{Mode, country};
use serde::{Deserialize, Deserializer, Serialize};

/// The longest text that is looked at.
const MAX_RAW_CHARS: usize = 80;
/// The most digits after the `+` (ITU-T E.164, 6.2.1).
const MAX_DIGITS: usize = 15;
/// The most digits of an extension that is told from a second number.
const MAX_EXTENSION_DIGITS: usize = 9;
/// Fewer digits than this without a `+` are not taken for a number of another country.
const MIN_DIGITS_WITHOUT_PLUS: usize = 11;
/// How many compiled patterns are kept; no more are made than numbers ask for.
const PATTERNS: usize = 5_000;
/// Words before an extension, each before its own beginnings.
const EXTENSION_WORDS: &[&str] = &[
    "extensión",
    "extension",
    "extensao",
    "extensão",
    "extn",
    "ext",
    "interno",
    "int",
    "anexo",
    "ramal",
    "x",
    "#",
];
const EXTENSION_MARK: &str = ";ext=";

/// A phone number.
///
/// Input comes in by [`Phone::parse`]; deserialising is for stored values and takes any string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);

/// Why a text is no phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Nothing is left after trimming.
    #[error("can't be blank")]
    Blank,
    /// Letters or other signs that no number has, or no digits.
    #[error("is not a phone number")]
    NotANumber,
    /// Digits, but too few or too many for a number of that country, or no such country code.
    #[error("is not a possible phone number")]
    NotPossible,
}

impl Phone {
    /// Reads a number as a person or a file writes it.
    ///
    /// Without `+`, `00` or the region's own international prefix it is a number of `default_region`; failing that,
    /// one whose `+` got lost is recognised when it is a number in use (`52 55 1234 5678` in the United States).
    ///
    /// # Errors
    /// The first broken rule. A number in no known range is accepted as long as its length fits its country.
    pub fn parse(raw: &str, default_region: Region) -> Result<Self, PhoneError> {
        let raw = raw.trim();
        if raw.is_empty() {
            return Err(PhoneError::Blank);
        }
        if raw.chars().count() > MAX_RAW_CHARS {
            return Err(PhoneError::NotANumber);
        }
        let raw = raw.strip_prefix("tel:").unwrap_or(raw).to_lowercase();
        let (number, extension) = split_extension(&raw);
        let dialled = dialled(number).ok_or(PhoneError::NotANumber)?;
        let e164 = to_e164(&dialled, default_region).ok_or(PhoneError::NotPossible)?;
        Ok(match extension {
            Some(extension) => Self(format!("{e164}{EXTENSION_MARK}{extension}")),
            None => Self(e164),
        })
    }

    /// The number with its extension, if any: `+15046218927;ext=12`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number alone, `+15046218927`: the key by which duplicates meet.
    #[must_use]
    pub fn e164(&self) -> &str {
        self.0.split_once(EXTENSION_MARK).map_or(&self.0, |it| it.0)
    }

    /// The extension's digits.
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.0.split_once(EXTENSION_MARK).map(|it| it.1)
    }
}

impl std::fmt::Display for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A country or territory: ISO 3166 alpha-2.
///
/// Input comes in by [`Region::parse`]; deserialising is for stored values and takes any two capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

/// Why a text is no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// Not a code with a numbering plan, in either case.
    #[error("is not an ISO 3166 alpha-2 country code")]
    UnknownCode,
}

impl Region {
    /// Mexico.
    pub const MX: Self = Self(*b"MX");
    /// The United States.
    pub const US: Self = Self(*b"US");

    /// The region with this code; small letters and surrounding space are forgiven.
    ///
    /// # Errors
    /// The code is none, or names a place without a numbering plan.
    pub fn parse(raw: &str) -> Result<Self, RegionError> {
        Self::from_letters(&raw.trim().to_ascii_uppercase())
            .filter(|region| region.country().is_some())
            .ok_or(RegionError::UnknownCode)
    }

    /// The code, such as `MX`.
    #[must_use]
    pub fn code(&self) -> &str {
        // Always two ASCII letters, see `from_letters`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn from_letters(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(letters))
    }

    fn country(self) -> Option<country::Id> {
        country::Id::from_str(self.code()).ok()
    }

    fn metadata(self) -> Option<&'static Metadata> {
        plans().by_id(self.code())
    }
}

impl Default for Region {
    /// The United States, for companies that name none.
    fn default() -> Self {
        Self::US
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_letters(&code)
            .ok_or_else(|| serde::de::Error::custom("a region is two capital letters"))
    }
}

/// Loads the numbering plans, which the first call would otherwise pay for (tens of milliseconds).
pub fn warm() {
    // A full parse also compiles the first patterns; its answer does not matter.
    let _ = Phone::parse("+1 504 621 8927", Region::US);
}

/// The numbering plans. Of their patterns as many stay compiled as the plans of all countries have: with the library's own hundred,
/// the plans of North America alone would drive each other out, and a number that none of them knows would compile all of them.
fn plans() -> &'static Database {
    static PLANS: LazyLock<&Database> = LazyLock::new(|| {
        let patterns = DATABASE.cache();
        let mut patterns = patterns.lock().unwrap_or_else(PoisonError::into_inner);
        patterns.set_capacity(PATTERNS);
        &DATABASE
    });
    *PLANS
}

/// Cuts `ext 12`, `x12`, `;ext=12`, `int. 12` and the like off the end of a lower-case text.
fn split_extension(raw: &str) -> (&str, Option<&str>) {
    let whole = (raw, None);
    let tail = raw.trim_end_matches(')');
    let before = tail.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &tail[before.len()..];
    if digits.is_empty() || digits.len() > MAX_EXTENSION_DIGITS {
        return whole;
    }
    let before = before.trim_end_matches([' ', '\u{a0}', '.', ':', '=', '#']);
    // `#` is both a mark of its own and a filler (`ext #12`).
    let hashed = &tail[before.len()..];
    let word = EXTENSION_WORDS.iter().find(|word| before.ends_with(**word));
    let number = match word {
        Some(word) => &before[..before.len() - word.len()],
        None if hashed.contains('#') => before,
        None => return whole,
    };
    let number = number.trim_end_matches([' ', '\u{a0}', ',', ';', '(', '-', '/', '.']);
    if number.is_empty() {
        whole
    } else {
        (number, Some(digits))
    }
}

/// Leaves the digits and a leading `+`; `None` when there is anything but a number's usual punctuation.
fn dialled(number: &str) -> Option<String> {
    let mut dialled = String::with_capacity(number.len());
    for c in number.chars() {
        match c {
            '+' | '\u{ff0b}' if dialled.is_empty() => dialled.push('+'),
            c if is_punctuation(c) => {}
            _ => dialled.push(digit(c)?),
        }
    }
    dialled
        .contains(|c: char| c.is_ascii_digit())
        .then_some(dialled)
}

/// What is written between the digits, and the marks of direction that address books leave around them.
fn is_punctuation(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '(' | ')' | '[' | ']' | '/' | '~' | '\u{a0}' | '\u{ad}' | '\u{2212}' | '\u{3000}'
            | '\u{200b}' | '\u{200e}'..='\u{2015}' | '\u{202a}'..='\u{202f}' | '\u{2060}'..='\u{2069}'
    )
}

/// A decimal digit, also as Arabic, Persian and full-width text writes it.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        '\u{ff10}'..='\u{ff19}' => '\u{ff10}',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

/// The most plausible reading of the digits: the first that is in use, else the first that is possible.
fn to_e164(dialled: &str, region: Region) -> Option<String> {
    let home = region.country().filter(|_| region.metadata().is_some());
    // Read by the plan of its own country code: with a region, the region's trunk prefix would be looked for.
    let abroad = |digits: &str| Reading::of(&format!("+{digits}"), None);
    if let Some(digits) = dialled.strip_prefix('+') {
        return abroad(digits).map(|reading| reading.e164);
    }
    let at_home = home.and_then(|home| Reading::of(dialled, Some(home)));
    let from_abroad = dialled.strip_prefix("00");
    let long = dialled.len() >= MIN_DIGITS_WITHOUT_PLUS && !dialled.starts_with('0');
    let reading = match at_home {
        Some(at_home) if from_abroad.is_none() && !long => Some(at_home),
        Some(at_home) if at_home.is_in_use() => Some(at_home),
        at_home => {
            let elsewhere = match from_abroad {
                Some(digits) => abroad(digits).filter(|it| at_home.is_none() || it.is_in_use()),
                None if long => abroad(dialled).filter(Reading::is_in_use),
                None => None,
            };
            elsewhere.or(at_home)
        }
    };
    reading.map(|reading| reading.e164)
}

/// One reading of the digits, of a possible length.
struct Reading {
    number: phonenumber::PhoneNumber,
    e164: String,
}

impl Reading {
    fn of(text: &str, country: Option<country::Id>) -> Option<Self> {
        let number = phonenumber::parse_with(plans(), country, text).ok()?;
        let e164 = number.format().mode(Mode::E164).to_string();
        if let Some(today) = without_former_mexican_prefix(&e164) {
            return Self::of(&today, None);
        }
        let reading = Self { number, e164 };
        (reading.e164.len() <= MAX_DIGITS + 1 && reading.is_possible()).then_some(reading)
    }

    /// By its length, which is quickly told; by the ranges in use only where that says no.
    fn is_possible(&self) -> bool {
        let digits = self.number.national().to_string().len();
        let plans = plans().by_code(&self.number.code().value());
        plans.is_some_and(|plans| plans.iter().any(|plan| fits(plan, digits))) || self.is_in_use()
    }

    /// Whether it lies in a range in use. Up to two hundred patterns are tried for that, a third of what reading a
    /// file of leads cost, so it is asked only where the answer decides.
    fn is_in_use(&self) -> bool {
        self.number.is_valid_with(plans())
    }
}

/// Mexico dialled `1` before mobiles from abroad, `01`, `044` and `045` at home, until August 2019. Address books
/// still have them, and they must meet the ten digits of today.
fn without_former_mexican_prefix(e164: &str) -> Option<String> {
    let national = e164.strip_prefix("+52")?;
    ["1", "01", "044", "045"]
        .iter()
        .filter_map(|prefix| national.strip_prefix(prefix))
        .find(|ten| ten.len() == 10 && !ten.starts_with('0'))
        .map(|ten| format!("+52{ten}"))
}

/// Whether a person's or a company's line of this plan can have so many digits. (The plan's general entry lists no
/// lengths; pagers and service numbers have short ones, with which anything would fit.)
fn fits(plan: &Metadata, digits: usize) -> bool {
    let kinds = plan.descriptors();
    [
        kinds.fixed_line(),
        kinds.mobile(),
        kinds.toll_free(),
        kinds.premium_rate(),
        kinds.shared_cost(),
        kinds.personal_number(),
        kinds.voip(),
    ]
    .into_iter()
    .flatten()
    .flat_map(Descriptor::possible_length)
    .any(|length| usize::from(*length) == digits)
}

#[cfg(test)]
mod tests;
