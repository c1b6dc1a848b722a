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
}

#[test]
fn a_file_without_any_contact_column_is_refused() {
    assert_eq!(
        understood(&["city"], &[]).unwrap_err(),
        HeaderError::NoContact(vec!["city".into()])
    );
}
