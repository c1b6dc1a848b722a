//! The three states, from the wire to the document.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::ComponentsBuilder;
use utoipa::{PartialSchema, ToSchema};

use super::*;
use crate::api::extract::json::{BodyError, decode};

#[derive(Debug, PartialEq, Deserialize, Validate, ToSchema)]
struct Address {
    #[garde(length(min = 2))]
    city: String,
}

#[derive(Debug, Default, PartialEq, Deserialize, Validate, ToSchema)]
struct Change {
    /// What people call it.
    #[garde(inner(length(chars, max = 3)))]
    #[serde(default)]
    name: Patch<String>,
    #[garde(dive)]
    #[serde(default)]
    address: Patch<Address>,
    #[garde(inner(range(min = 1)))]
    #[serde(default)]
    count: Patch<i64>,
}

#[test]
fn absent_null_and_a_value_are_three_things() {
    let change: Change = decode(br#"{"name": null, "count": 7}"#).unwrap();
    assert_eq!(
        change,
        Change {
            name: Patch::Null,
            address: Patch::Missing,
            count: Patch::Value(7),
        }
    );
    assert_eq!(change.name.change(), Some(None));
    assert_eq!(change.address.change(), None);
    assert_eq!(change.count.change(), Some(Some(7)));
}

#[test]
fn rules_hold_for_a_value_and_name_the_field() {
    let refusal = decode::<Change>(br#"{"name": "long", "address": {"city": ""}, "count": 0}"#);
    let Err(BodyError::Fields(errors)) = refusal else {
        panic!("the rules were not applied")
    };
    let fields: Vec<_> = errors.iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["address.city", "count", "name"]);
}

#[test]
fn a_wrong_type_names_the_field() {
    let refusal = decode::<Change>(br#"{"address": {"city": 7}}"#).unwrap_err();
    let Err(BodyError::Fields(errors)) = Err::<(), _>(refusal) else {
        panic!("a field is to blame")
    };
    assert_eq!(errors.iter().next().unwrap().0, "address.city");
}

#[test]
fn an_absent_field_can_be_left_out_again() {
    #[derive(Serialize)]
    struct Sent {
        #[serde(skip_serializing_if = "Patch::is_missing")]
        a: Patch<i64>,
        b: Patch<i64>,
    }
    let sent = Sent {
        a: Patch::Missing,
        b: Patch::Null,
    };
    assert_eq!(serde_json::to_value(sent).unwrap(), json!({"b": null}));
}

#[test]
fn the_document_says_optional_and_nullable_and_every_reference_resolves() {
    let mut schemas = vec![(Change::name().into_owned(), Change::schema())];
    Change::schemas(&mut schemas);
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).build();
    let document = json!({ "components": components });
    let change = &document["components"]["schemas"]["Change"];
    assert!(change.get("required").is_none(), "{change}");
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is missing in {document:#}"
        );
    }
    let name = resolve(&document, &change["properties"]["name"]);
    assert_eq!(name["type"], json!(["string", "null"]), "{document:#}");
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"]
        .as_str()
        .or_else(|| schema["allOf"][0]["$ref"].as_str());
    match reference {
        Some(path) => document.pointer(&path[1..]).unwrap(),
        None => schema,
    }
}
