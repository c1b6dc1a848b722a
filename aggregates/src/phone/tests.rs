//! Numbers as people write them, and what must not be one.

use super::*;
use proptest::prelude::*;

fn parsed(raw: &str, region: Region) -> String {
    match Phone::parse(raw, region) {
        Ok(phone) => phone.as_str().to_owned(),
        Err(error) => panic!("{raw} {error}"),
    }
}

#[test]
fn numbers_as_people_write_them_become_e164() {
    for (raw, expected) in [
        ("504-621-8927", "+15046218927"),
        ("(555) 123-4567", "+15551234567"),
        ("1 504 621 8927", "+15046218927"),
        ("+1.504.621.8927", "+15046218927"),
        ("tel:+1-504-621-8927", "+15046218927"),
        ("+52 55 1234 5678", "+525512345678"),
        ("00525512345678", "+525512345678"),
        ("011 52 55 1234 5678", "+525512345678"),
        ("52 55 1234 5678", "+525512345678"),
        ("+44 (0)20 7946 0018", "+442079460018"),
        ("+39 06 698 12345", "+390669812345"),
        (
            "\u{202a}+1 504\u{2011}621\u{2011}8927\u{202c}",
            "+15046218927",
        ),
        ("+١٥٠٤٦٢١٨٩٢٧", "+15046218927"),
    ] {
        assert_eq!(parsed(raw, Region::US), expected, "{raw}");
    }
}

#[test]
fn the_default_region_decides_for_national_numbers() {
    let region = |code| Region::parse(code).unwrap();
    for (raw, code, expected) in [
        ("55 1234 5678", "MX", "+525512345678"),
        ("+52 1 55 1234 5678", "MX", "+525512345678"),
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("01 55 1234 5678", "MX", "+525512345678"),
        ("5215512345678", "MX", "+525512345678"),
        ("+54 9 11 2345-6789", "AR", "+5491123456789"),
        ("011 15 2345-6789", "AR", "+5491123456789"),
        ("030/23125 000", "DE", "+493023125000"),
        ("612 34 56 78", "ES", "+34612345678"),
        ("06 698 12345", "IT", "+390669812345"),
        ("(11) 91234-5678", "BR", "+5511912345678"),
        ("504-621-8927", "US", "+15046218927"),
    ] {
        assert_eq!(parsed(raw, region(code)), expected, "{raw}");
    }
}

#[test]
fn an_extension_is_kept_apart_from_the_key() {
    for raw in [
        "504-621-8927 ext 12",
        "504-621-8927 Ext. 12",
        "504-621-8927x12",
        "504-621-8927 x 12",
        "504-621-8927 extension 12",
        "504-621-8927 #12",
        "504-621-8927 (ext 12)",
        "504-621-8927, ext. #12",
        "504-621-8927 EXTENSIÓN 12",
        "504-621-8927 int. 12",
        "tel:+1-504-621-8927;ext=12",
    ] {
        let phone = Phone::parse(raw, Region::US).unwrap_or_else(|e| panic!("{raw}: {e}"));
        assert_eq!(phone.as_str(), "+15046218927;ext=12", "{raw}");
        assert_eq!(phone.e164(), "+15046218927");
        assert_eq!(phone.extension(), Some("12"));
        assert_eq!(Phone::parse(phone.as_str(), Region::MX), Ok(phone), "{raw}");
    }
}

#[test]
fn garbage_is_refused_by_rule() {
    use PhoneError::{Blank, NotANumber, NotPossible};
    let long = "5".repeat(81);
    for (raw, error) in [
        ("", Blank),
        (" \t", Blank),
        ("unknown", NotANumber),
        ("n/a", NotANumber),
        ("+", NotANumber),
        ("---", NotANumber),
        ("ana@example.com", NotANumber),
        ("504-621-8927\0", NotANumber),
        ("5+5", NotANumber),
        ("ext 12", NotANumber),
        (long.as_str(), NotANumber),
        ("1", NotPossible),
        ("12345", NotPossible),
        ("621-8927", NotPossible),
        ("+999 123 456 789", NotPossible),
        ("+1 504 621 89271234", NotPossible),
        ("123456789012345678901234567890", NotPossible),
    ] {
        assert_eq!(Phone::parse(raw, Region::US), Err(error), "{raw}");
    }
}

#[test]
fn a_region_is_one_that_has_a_numbering_plan() {
    assert_eq!(Region::parse(" mx "), Ok(Region::MX));
    for raw in ["", "M", "MEX", "ZZ", "XX", "00", "é"] {
        assert_eq!(Region::parse(raw), Err(RegionError::UnknownCode), "{raw}");
    }
    for (a, b) in (b'A'..=b'Z').flat_map(|a| (b'A'..=b'Z').map(move |b| (a, b))) {
        let region = Region([a, b]);
        assert_eq!(
            region.country().is_some(),
            region.metadata().is_some(),
            "{region}"
        );
    }
    assert_eq!(serde_json::to_string(&Region::MX).unwrap(), r#""MX""#);
}

#[test]
fn a_stored_region_that_is_no_longer_known_still_takes_international_numbers() {
    let unknown: Region = serde_json::from_str(r#""QQ""#).unwrap();
    assert_eq!(parsed("+1 504 621 8927", unknown), "+15046218927");
    assert!(Phone::parse("504 621 8927", unknown).is_err());
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_idempotent(
        raw in "\\PC{0,20}|\\+?[0-9() .x-]{0,24}",
        region in prop::sample::select(vec!["US", "MX", "IT", "DE", "BR", "AR", "GB", "CI"]),
    ) {
        let region = Region::parse(region).unwrap();
        if let Ok(phone) = Phone::parse(&raw, region) {
            prop_assert_eq!(Phone::parse(phone.as_str(), Region::US), Ok(phone));
        }
    }
}
