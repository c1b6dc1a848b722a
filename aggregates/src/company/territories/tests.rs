//! Which lead falls into which territory.

use cqrs_es::test::TestFramework;

use super::*;
use crate::company::{Company, CompanyCommand, CompanyName};
use crate::ids::CompanyId;
use crate::phone::Region;
use crate::testing::{assert_survives_storage, folded};

fn created() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    }
}

fn area(country: &str, state: &str, city: &str, postal_codes: &[&str]) -> Area {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Area {
        country: given(country),
        state: given(state),
        city: given(city),
        postal_codes: postal_codes.iter().map(|&code| code.to_owned()).collect(),
    }
}

fn added(id: i64, area: Area) -> CompanyEvent {
    CompanyEvent::TerritoryAdded {
        territory_id: TerritoryId(id),
        name: "North".to_owned(),
        code: Some("N".to_owned()),
        area,
        rule_version: 1,
    }
}

fn found(areas: Vec<Area>, fields: &[(&str, &str)]) -> Option<i64> {
    let added = (1..).zip(areas).map(|(id, area)| added(id, area));
    let events: Vec<_> = std::iter::once(created()).chain(added).collect();
    let fields = fields
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let address = Address::of(&fields.collect());
    let matched = folded::<Company>(&events).territories().matching(&address);
    matched.map(|(id, version)| {
        assert_eq!(version, 1);
        id.get()
    })
}

#[test]
fn territories_are_added_with_the_first_version_of_their_rule() {
    let new = |id| NewTerritory {
        territory_id: TerritoryId(id),
        name: "North".to_owned(),
        code: Some("N".to_owned()),
        area: area("MX", "", "", &[]),
    };
    TestFramework::<Company>::with(())
        .given(vec![created()])
        .when(CompanyCommand::AddTerritories(vec![new(1), new(2)]))
        .then_expect_events(vec![
            added(1, area("MX", "", "", &[])),
            added(2, area("MX", "", "", &[])),
        ]);
}

#[test]
fn every_field_that_a_rule_gives_has_to_match() {
    let rule = || vec![area("México", "Jalisco", "", &[])];
    assert_eq!(
        found(rule(), &[("País", "MEXICO"), ("estado", " jalisco ")]),
        Some(1)
    );
    assert_eq!(found(rule(), &[("País", "MEXICO")]), None);
    assert_eq!(
        found(rule(), &[("country", "Mexico"), ("state", "Puebla")]),
        None
    );
}

#[test]
fn the_first_that_matches_wins() {
    let rules = || {
        vec![
            area("", "", "", &[]),
            area("", "", "León", &[]),
            area("Mexico", "", "", &[]),
        ]
    };
    let fields = [("pais", "Mexico"), ("Ciudad", "Leon")];
    assert_eq!(found(rules(), &fields), Some(2));
    assert_eq!(found(rules(), &fields[..1]), Some(3));
}

#[test]
fn a_postal_code_is_one_of_them_or_begins_like_one() {
    let rule = || vec![area("", "", "", &["SW1A 1AA", "06*"])];
    for (code, expected) in [
        ("sw1a 1aa", Some(1)),
        ("SW1A 1A", None),
        ("06", Some(1)),
        ("06700", Some(1)),
        ("16700", None),
        ("*", None),
    ] {
        for name in ["zip", "C.P.", "Código Postal", "postal_code", "CEP"] {
            assert_eq!(found(rule(), &[(name, code)]), expected, "{name} {code}");
        }
    }
}

#[test]
fn without_an_address_there_is_no_territory() {
    let rules = vec![area("", "", "", &[]), area("MX", "", "", &[])];
    assert_eq!(found(rules.clone(), &[]), None);
    assert_eq!(found(rules, &[("shoe size", "42"), ("city", "  ")]), None);
}

#[test]
fn the_stored_form_does_not_change() {
    let event = added(3, area("MX", "", "", &["06*"]));
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"TerritoryAdded":{"territory_id":3,"name":"North","code":"N","area":{"country":"MX","state":null,"city":null,"postal_codes":["06*"]},"rule_version":1}}"#
    );
    assert_survives_storage(&event, &[]);
}
