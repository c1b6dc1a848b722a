//! Headers as people write them.

use super::*;

fn understood(names: &[&str], mapping: &[(&str, &str)]) -> Result<Vec<String>, HeaderError> {
    let header: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mapping = mapping
        .iter()
        .map(|(column, field)| ((*column).to_owned(), (*field).to_owned()));
    let columns = Columns::understand(&header, &mapping.collect(), &Catalogue::default())?;
    let fields = columns.understood().into_iter().map(|column| column.field);
    Ok(fields.collect())
}

#[test]
fn everyday_headers_are_understood_in_three_languages_and_the_rest_is_kept() {
    for (names, fields) in [
        (
            [
                "First Name",
                "Last name",
                "E-mail",
                "phone1",
                "company_name",
            ],
            ["first_name", "last_name", "email", "phone_number", "extra"],
        ),
        (
            [
                "Nombre",
                "Apellidos",
                "Correo electrónico",
                "Teléfono",
                "Ciudad",
            ],
            ["first_name", "last_name", "email", "phone_number", "extra"],
        ),
        (
            [
                "Nome completo",
                "Estágio",
                "Origem",
                "Campanha",
                "Responsável",
            ],
            ["full_name", "stage", "source", "campaign", "assignee"],
        ),
    ] {
        assert_eq!(understood(&names, &[]).unwrap(), fields);
    }
}

#[test]
fn both_family_names_and_who_sells_are_understood() {
    let names = [
        "Nombre",
        "Apellido Paterno",
        "Apellido Materno",
        "Vendedor",
        "Etapa de venta",
    ];
    let fields = [
        "first_name",
        "last_name",
        "second_last_name",
        "assignee",
        "stage",
    ];
    assert_eq!(understood(&names, &[]).unwrap(), fields);
}

#[test]
fn an_amount_and_a_currency_mean_something_beside_each_other() {
    for (names, fields) in [
        (
            ["email", "Valor", "Moneda"],
            ["email", "estimated_value", "currency"],
        ),
        (
            ["email", "Currency", "Amount"],
            ["email", "currency", "estimated_value"],
        ),
        (["email", "Valor", "Color"], ["email", "extra", "extra"]),
        (["email", "Moneda", "Color"], ["email", "extra", "extra"]),
    ] {
        assert_eq!(understood(&names, &[]).unwrap(), fields, "{names:?}");
    }
    let names = ["email", "Moneda", "Amount"];
    let mapping = [("Amount", "extra"), ("Moneda", "currency")];
    assert_eq!(
        understood(&names, &mapping).unwrap(),
        ["email", "currency", "extra"]
    );
}

#[test]
fn the_reason_at_the_end_of_a_file_of_failed_rows_is_passed_over() {
    assert_eq!(
        understood(&["email", "import_failure_reason"], &[]).unwrap(),
        ["email", "ignore"]
    );
    let kept = [("import_failure_reason", "extra")];
    assert_eq!(
        understood(&["email", "import_failure_reason"], &kept).unwrap(),
        ["email", "extra"]
    );
    assert_eq!(
        understood(&["import_failure_reason", "email"], &[]).unwrap(),
        ["extra", "email"]
    );
}

#[test]
fn the_first_column_of_a_meaning_takes_it() {
    assert_eq!(
        understood(&["phone1", "mobile"], &[]).unwrap(),
        ["phone_number", "extra"]
    );
}

#[test]
fn a_mapping_overrides_and_refuses_what_is_not_there() {
    let names = ["Contacto", "Email"];
    assert_eq!(
        understood(&names, &[("contacto", "full_name"), ("Email", "ignore")]).unwrap(),
        ["full_name", "ignore"]
    );
    let refused = |mapping: &[(&str, &str)]| understood(&names, mapping).unwrap_err();
    assert_eq!(
        refused(&[("Phone", "email")]),
        HeaderError::NoSuchColumn("Phone".into())
    );
    assert_eq!(
        refused(&[("Email", "e-mail")]),
        HeaderError::NoSuchField("e-mail".into())
    );
    assert_eq!(
        refused(&[("Email", "email"), ("Contacto", "email")]),
        HeaderError::Twice("email".into())
    );
    assert_eq!(
        refused(&[("Email", "email"), ("EMAIL ", "extra")]),
        HeaderError::Contradiction("Email".into())
    );
    assert_eq!(
        understood(&names, &[("Email", "email"), ("EMAIL ", "email")]).unwrap(),
        ["extra", "email"]
    );
}

#[test]
fn a_file_without_any_contact_column_is_refused() {
    assert_eq!(
        understood(&["city"], &[]).unwrap_err(),
        HeaderError::NoContact(vec!["city".into()])
    );
}

fn named(names: &[&str], mapping: &[(&str, &str)]) -> Vec<(String, String)> {
    let header: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mapping = mapping
        .iter()
        .map(|(column, field)| ((*column).to_owned(), (*field).to_owned()));
    let columns = Columns::understand(&header, &mapping.collect(), &Catalogue::default());
    let columns = columns.unwrap().understood().into_iter();
    columns
        .map(|column| (column.header, column.field))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, field): &(&str, &str)| ((*name).to_owned(), (*field).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn no_two_extra_fields_have_one_name() {
    assert_eq!(
        named(&["email", "note", "note", "note", "note (2)", "email"], &[]),
        pairs(&[
            ("email", "email"),
            ("note", "extra"),
            ("note (3)", "extra"),
            ("note (4)", "extra"),
            ("note (2)", "extra"),
            ("email", "extra"),
        ])
    );
    assert_eq!(
        named(
            &["tel", "tel", "email"],
            &[("tel", "ignore"), ("tel (2)", "phone_number")]
        ),
        pairs(&[
            ("tel", "ignore"),
            ("tel", "phone_number"),
            ("email", "email")
        ])
    );
}

#[test]
fn a_column_without_a_name_is_named_by_its_number() {
    assert_eq!(
        named(&["", "", "email"], &[("column 2", "ignore")]),
        pairs(&[
            ("column 1", "extra"),
            ("column 2", "ignore"),
            ("email", "email")
        ])
    );
    assert_eq!(
        named(&["", "email"], &[("", "first_name")]),
        pairs(&[("column 1", "first_name"), ("email", "email")])
    );
}

#[test]
fn a_control_character_in_any_header_is_refused() {
    for names in [["em\0ail", "name"], ["email", "na\u{7}me"], ["email", "\0"]] {
        assert!(matches!(
            understood(&names, &[]).unwrap_err(),
            HeaderError::ControlCharacter(_)
        ));
    }
    assert_eq!(
        understood(&["email", "x\0"], &[("email", "email")]).unwrap_err(),
        HeaderError::ControlCharacter(2)
    );
    let long = "x".repeat(101);
    assert_eq!(
        understood(&["email", &long], &[]).unwrap_err(),
        HeaderError::NameTooLong(2)
    );
}

#[test]
fn further_usual_headers_are_known() {
    let fields = |names: &[&str]| understood(names, &[]).unwrap();
    assert_eq!(
        fields(&["Work Phone", "Email 1"]),
        ["phone_number", "email"]
    );
    assert_eq!(
        fields(&["Nombre del contacto", "Teléfono de contacto"]),
        ["full_name", "phone_number"]
    );
    assert_eq!(fields(&["Contact Number"]), ["phone_number"]);
    assert_eq!(fields(&["Fone"]), ["phone_number"]);
}
