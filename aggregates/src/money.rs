//! Amounts of money, exact.
//!
//! Invariants: an amount is an integer of minor units (cents) with its currency, never a float; parsing and printing
//! lose nothing; a parsed currency is a code of ISO 4217. There is no arithmetic and no conversion here: amounts of
//! different currencies must not meet.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The codes of ISO 4217 list one that name money (funds codes included, metals and test codes not). `ANG` and `BGN`
/// were withdrawn in 2025 and 2026 and stay, because records of those years use them.
const CODES: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT",
    "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD",
    "CAD", "CDF", "CHE", "CHF", "CHW", "CLF", "CLP", "CNY", "COP", "COU", "CRC", "CUP", "CVE",
    "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL",
    "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR",
    "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD",
    "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK",
    "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO",
    "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON",
    "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD",
    "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD",
    "TZS", "UAH", "UGX", "USD", "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV",
    "WST", "XAF", "XCD", "XCG", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

/// A currency of ISO 4217.
///
/// Input comes in by [`Currency::parse`]; deserialising is for stored values and takes any three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Why a text is no currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// Not a code of the list, in either case.
    #[error("is not an ISO 4217 currency code")]
    UnknownCode,
}

impl Currency {
    /// The Mexican peso.
    pub const MXN: Self = Self(*b"MXN");
    /// The dollar of the United States.
    pub const USD: Self = Self(*b"USD");

    /// The currency with this alphabetic code; small letters and surrounding space are forgiven.
    ///
    /// # Errors
    /// The code is not in the list.
    pub fn parse(raw: &str) -> Result<Self, CurrencyError> {
        let code = raw.trim().to_ascii_uppercase();
        match CODES.binary_search(&code.as_str()) {
            Ok(_) => Self::from_letters(&code).ok_or(CurrencyError::UnknownCode),
            Err(_) => Err(CurrencyError::UnknownCode),
        }
    }

    /// The alphabetic code, such as `MXN`.
    #[must_use]
    pub fn code(&self) -> &str {
        // Always three ASCII letters, see `from_letters`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many digits stand behind the decimal point (ISO 4217, column "minor unit").
    #[must_use]
    pub const fn minor_digits(self) -> usize {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    fn from_letters(code: &str) -> Option<Self> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(letters))
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_letters(&code)
            .ok_or_else(|| serde::de::Error::custom("a currency is three capital letters"))
    }
}

/// An amount in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Money {
    /// The amount in minor units: 120050 for 1200.50 MXN. Negative amounts exist; who does not want them refuses them.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `[-]digits[.digits]`: no grouping, no exponent, no currency sign.
    #[error("is not a decimal number such as 1200.50")]
    NotADecimal,
    /// Digits behind the point that the currency does not have (trailing zeros are forgiven).
    #[error("has more than {digits} decimal digits")]
    TooPrecise {
        /// What the currency has.
        digits: usize,
    },
    /// Beyond 64 bits of minor units.
    #[error("is out of range")]
    OutOfRange,
}

impl Money {
    /// Reads a decimal such as `1200.50` exactly.
    ///
    /// # Errors
    /// The first broken rule; nothing is ever rounded.
    pub fn parse(raw: &str, currency: Currency) -> Result<Self, MoneyError> {
        let raw = raw.trim();
        let unsigned = raw.strip_prefix(['-', '+']).unwrap_or(raw);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::NotADecimal);
        }
        let digits = currency.minor_digits();
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > digits {
            return Err(MoneyError::TooPrecise { digits });
        }
        let sign = if raw.starts_with('-') { "-" } else { "" };
        // One integer parse of the digits moved left: exact, and it knows its own overflow.
        format!("{sign}{whole}{fraction:0<digits$}")
            .parse()
            .map(|amount| Self { amount, currency })
            .map_err(|_| MoneyError::OutOfRange)
    }

    /// The amount as a decimal with the currency's digits: `1200.50`.
    #[must_use]
    pub fn amount_text(&self) -> String {
        let digits = self.currency.minor_digits();
        let sign = if self.amount < 0 { "-" } else { "" };
        let minor = format!(
            "{:0>width$}",
            self.amount.unsigned_abs(),
            width = digits + 1
        );
        let (whole, fraction) = minor.split_at(minor.len() - digits);
        let point = if digits == 0 { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.amount_text(), self.currency)
    }
}

/// The stored shape: a decimal text, which no JSON reader can round.
#[derive(Serialize, Deserialize)]
struct Written {
    amount: String,
    currency: Currency,
}

impl TryFrom<Written> for Money {
    type Error = MoneyError;

    fn try_from(written: Written) -> Result<Self, MoneyError> {
        Self::parse(&written.amount, written.currency)
    }
}

impl From<Money> for Written {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount_text(),
            currency: money.currency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn the_list_is_sorted_and_every_code_parses_to_itself() {
        assert!(CODES.is_sorted());
        for code in CODES {
            assert_eq!(currency(code).code(), *code);
        }
        assert_eq!(currency(" mxn ").code(), "MXN");
        for raw in ["", "MX", "XXX", "ZZZ", "MXNN", "€", "M\0N"] {
            assert_eq!(Currency::parse(raw), Err(CurrencyError::UnknownCode));
        }
    }

    #[test]
    fn amounts_follow_the_digits_of_their_currency() {
        for (raw, code, amount, text) in [
            ("1200.50", "MXN", 120_050, "1200.50"),
            ("1200.5", "MXN", 120_050, "1200.50"),
            ("1200", "MXN", 120_000, "1200.00"),
            ("1200.500", "MXN", 120_050, "1200.50"),
            ("0.05", "USD", 5, "0.05"),
            ("-0.05", "USD", -5, "-0.05"),
            ("-0", "USD", 0, "0.00"),
            ("1200.00", "JPY", 1200, "1200"),
            ("1.234", "KWD", 1234, "1.234"),
            (
                "92233720368547758.07",
                "USD",
                i64::MAX,
                "92233720368547758.07",
            ),
            (
                "-92233720368547758.08",
                "USD",
                i64::MIN,
                "-92233720368547758.08",
            ),
        ] {
            let money = Money::parse(raw, currency(code)).unwrap();
            assert_eq!(money.amount, amount, "{raw}");
            assert_eq!(money.amount_text(), text, "{raw}");
        }
    }

    #[test]
    fn nothing_is_rounded_and_nothing_overflows() {
        for raw in [
            "", ".", "1.", ".5", "1,200", "1e3", "$1", "1.2.3", "--1", "1 2", "NaN", "٣",
        ] {
            assert_eq!(
                Money::parse(raw, Currency::USD),
                Err(MoneyError::NotADecimal),
                "{raw}"
            );
        }
        assert_eq!(
            Money::parse("1.005", Currency::USD),
            Err(MoneyError::TooPrecise { digits: 2 })
        );
        assert_eq!(
            Money::parse("92233720368547758.08", Currency::USD),
            Err(MoneyError::OutOfRange)
        );
        assert_eq!(
            Money::parse(&"9".repeat(400), Currency::USD),
            Err(MoneyError::OutOfRange)
        );
    }

    #[test]
    fn the_stored_shape_is_a_decimal_text_and_a_code() {
        let money = Money::parse("1200.50", Currency::MXN).unwrap();
        let stored = serde_json::to_string(&money).unwrap();
        assert_eq!(stored, r#"{"amount":"1200.50","currency":"MXN"}"#);
        assert_eq!(money.to_string(), "1200.50 MXN");
    }

    proptest! {
        #[test]
        fn every_amount_survives_text_and_storage(amount: i64, index in 0..CODES.len()) {
            let money = Money { amount, currency: currency(CODES[index]) };
            prop_assert_eq!(Money::parse(&money.amount_text(), money.currency), Ok(money));
            let stored = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&stored).unwrap(), money);
        }
    }
}
