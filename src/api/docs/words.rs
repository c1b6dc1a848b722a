//! What tags are about, and what fields are that many requests and answers share: the words of the description that belong
//! to no single operation.

use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, RefOr, Tag};

const TAGS: [(&str, &str); 29] = [
    (
        "Erasure",
        "Blocking and erasing a person's data, the certificate of it, and everything that is held on a person.",
    ),
    (
        "Legal Holds",
        "What must not be erased, undone or deleted while the hold stands.",
    ),
    ("Lead Reads", "Who saw a lead's personal data, and when."),
    (
        "Users",
        "Sign-up, sign-in, passwords, proofs of e-mail, profiles and pictures.",
    ),
    (
        "User Onboarding",
        "A user's first steps: legal terms and the end of onboarding.",
    ),
    (
        "User Company Relation",
        "User accesses: which role a user holds in which company. One of a user's is primary.",
    ),
    (
        "User Providers",
        "What a user can be known by: their password, and linked OpenID Connect identities.",
    ),
    ("Accesses", "The catalogue of roles; it is fixed."),
    (
        "Companies",
        "Companies and their tree. A role above holds below.",
    ),
    ("Company Users", "The people of a company."),
    (
        "Invitations",
        "Offers of a role by mail: pending, then accepted, revoked or expired after seven days.",
    ),
    (
        "Memberships",
        "The catalogue of plans, with prices and limits.",
    ),
    (
        "Membership",
        "A company's subscription to a plan, which governs the companies below it too.",
    ),
    (
        "Legal Terms",
        "Numbered texts that never change; a new one asks for approval again.",
    ),
    (
        "Leads",
        "People who might buy: lists, filters, duplicates, metrics by stage.",
    ),
    ("Lead Notes", "What was noted about a lead."),
    (
        "Stages",
        "The catalogue of stages; it is fixed. A lead is always in one.",
    ),
    (
        "Sources",
        "Where leads come from, in order of priority, and whom they go to in turn.",
    ),
    (
        "Territories",
        "Rules by address: the first that matches takes the lead.",
    ),
    (
        "Questions",
        "What leads are asked, in order, and what campaigns show of it.",
    ),
    ("Campaigns", "What leads answer to, from a day to a day."),
    (
        "Cycles",
        "Dated working periods that do not overlap; new leads are stamped with the open one.",
    ),
    ("Appointments", "Meetings with leads."),
    ("Import", "Leads from files: CSV and XLSX."),
    (
        "Integration Tokens",
        "Tokens by which programs act for a company, each with its scopes.",
    ),
    (
        "Proofs",
        "That the ledger was not changed: checkpoints and proofs that anybody can check.",
    ),
    ("History", "What was, and when it changed."),
    (
        "Operations",
        "For operators: is it alive, is it ready, what does it measure.",
    ),
    (
        "Users v3",
        "The GoHighLevel (LeadConnector) Users API, for its unmodified clients; see `docs/gohighlevel.md`.",
    ),
];

/// Name, what it is, and an example in JSON.
const FIELDS: &[(&str, &str, &str)] = &[
    ("dry_run", "Only tell what would happen.", "true"),
    (
        "duplicates",
        "What happens to a row that is like a lead or a row before: `create` (the lead is flagged), `skip` or `update`.",
        "\"skip\"",
    ),
    (
        "file",
        "A .csv or .xlsx file.",
        "\"(the bytes of leads.csv)\"",
    ),
    (
        "force",
        "Also when the company imported the same file before.",
        "false",
    ),
    ("mapping", "Header to field, as a JSON object.", "\"{}\""),
    ("sheet", "The name of a workbook's sheet.", "\"Leads\""),
    (
        "update",
        "With `duplicates` of `update`: `fill` what is empty, or `overwrite`.",
        "\"fill\"",
    ),
    (
        "until",
        "When it ends by itself; without it, when it is released.",
        "\"2027-12-31T00:00:00Z\"",
    ),
    (
        "amount",
        "A decimal number as text, with a point.",
        "\"1250.00\"",
    ),
    ("birthdate", "The day of birth.", "\"1990-01-31\""),
    ("id", "Its id.", "5"),
    ("priority", "1 is first.", "1"),
    ("question_type", "The kind of answer.", "\"text\""),
    (
        "required",
        "For forms; a lead without an answer is still taken.",
        "true",
    ),
    ("title", "One line, up to 200 characters.", "\"Visit\""),
    ("type", "The kind.", "\"image/png\""),
    ("user_id", "Id of a user.", "3"),
    ("value", "The words.", "\"Two bedrooms\""),
    (
        "version",
        "What people call it; counted up when absent.",
        "\"2\"",
    ),
    ("extra", "Fields of your own: at most 100 texts.", ""),
    ("access_id", "Role: an id of `GET /api/v1/accesses`.", "4"),
    (
        "answers",
        "To the company's questions. Answers that are not sent stand; one without an option and a value is taken back.",
        "",
    ),
    (
        "avatar_base64",
        "A PNG, JPEG, GIF or WebP picture up to 2 MiB, in base64.",
        "\"iVBORw0KGgo=\"",
    ),
    (
        "campaign_id",
        "Id of a campaign of the company or of one above it.",
        "3",
    ),
    (
        "city",
        "Matched without regard to case and accents.",
        "\"Monterrey\"",
    ),
    (
        "code",
        "A short name of your own, up to 50 characters.",
        "\"north\"",
    ),
    ("company_id", "Id of a company that the caller sees.", "2"),
    (
        "content",
        "The text.",
        "\"Called; wants an offer by Friday.\"",
    ),
    (
        "country",
        "As leads name it, in words or as a code; matched without regard to case and accents.",
        "\"MX\"",
    ),
    ("currency", "ISO 4217 code.", "\"MXN\""),
    (
        "cycles",
        "Whether new leads are stamped with the open cycle.",
        "true",
    ),
    (
        "default",
        "Whether users land here; one company a tree.",
        "false",
    ),
    ("description", "For people.", "\"The second visit.\""),
    (
        "email",
        "An e-mail address; kept trimmed and in lower case.",
        "\"ana@example.com\"",
    ),
    ("end_date", "The last day.", "\"2026-03-31\""),
    (
        "ends_at",
        "When it ends: at most 31 days later.",
        "\"2026-03-01T11:00:00Z\"",
    ),
    ("estimated_value", "What the lead may bring.", ""),
    (
        "expires_at",
        "Until when it holds.",
        "\"2026-12-31T00:00:00Z\"",
    ),
    ("first_name", "1 to 100 characters.", "\"Ana\""),
    (
        "id_token",
        "The OpenID Connect identity token that the provider gave.",
        "\"eyJhbGciOi…\"",
    ),
    ("immediately", "Whether it ends at once.", "false"),
    (
        "invitation_code",
        "Of a pending invitation of this e-mail.",
        "\"b1Zt…\"",
    ),
    (
        "lang",
        "`es`, `en` or `pt`, with or without a region.",
        "\"es-MX\"",
    ),
    ("last_name", "1 to 100 characters.", "\"Gómez\""),
    ("legal_term_id", "Id of the current terms.", "1"),
    ("location", "Where.", "\"At the office\""),
    ("name", "What people call it.", "\"Spring\""),
    ("option_id", "The chosen option of the question.", "5"),
    ("parent_company_id", "The company above.", "1"),
    (
        "password",
        "At least 12 characters with upper, lower, digit and special.",
        "\"Sunny-day-2026\"",
    ),
    (
        "phone_number",
        "Read in the company's region, kept as E.164.",
        "\"+525512345678\"",
    ),
    (
        "postal_codes",
        "Whole ones, or beginnings that end in `*`.",
        "",
    ),
    (
        "primary",
        "Whether it becomes the user's primary access; the others are then not.",
        "true",
    ),
    (
        "provider",
        "The name of a provider that the installation is configured for.",
        "\"google\"",
    ),
    ("question_id", "Id of a question.", "7"),
    (
        "questions",
        "Each with what the campaign is to show of it.",
        "",
    ),
    (
        "region",
        "ISO 3166 code of the country that phone numbers are read in.",
        "\"MX\"",
    ),
    (
        "source_id",
        "Id of a source of the company or of one above it.",
        "6",
    ),
    ("stage_id", "Id of a stage: `GET /api/v1/stages`.", "2"),
    ("start_date", "The first day.", "\"2026-01-01\""),
    ("starts_at", "When it begins.", "\"2026-03-01T10:00:00Z\""),
    (
        "state",
        "Matched without regard to case and accents.",
        "\"Nuevo León\"",
    ),
    ("status", "How it stands.", ""),
    (
        "territory_id",
        "Id of a territory of the company or of one above it.",
        "8",
    ),
    ("text", "The wording.", "\"When do you want to move?\""),
    (
        "theme",
        "A name of the client's own, up to 50 characters.",
        "\"dark\"",
    ),
    ("token", "Of the link that was mailed.", "\"AAAA…\""),
    (
        "user_access_id",
        "Id of a user access that holds in the company.",
        "9",
    ),
];

/// The tags that the document uses, with what they are about.
pub fn tags(used: &dyn Fn(&str) -> bool) -> Vec<Tag> {
    let described = TAGS.iter().filter(|(name, _)| used(name));
    let tag = |(name, about): &(&str, &str)| {
        let tag = TagBuilder::new().name(*name).description(Some(*about));
        tag.build()
    };
    described.map(tag).collect()
}

/// Says what fields are whose own schema does not.
pub fn describe_fields(components: &mut Components) {
    for schema in components.schemas.values_mut() {
        let RefOr::T(Schema::Object(object)) = schema else {
            continue;
        };
        for (name, field) in &mut object.properties {
            if let Some((_, what, example)) = FIELDS.iter().find(|(known, ..)| known == name) {
                describe(field, what, example);
            }
        }
    }
}

fn describe(field: &mut RefOr<Schema>, what: &str, example: &str) {
    match field {
        RefOr::T(Schema::Object(object)) => {
            object.description.get_or_insert_with(|| what.to_owned());
            let example = serde_json::from_str::<serde_json::Value>(example).ok();
            let fits = |example: &serde_json::Value| {
                let wanted = match example {
                    serde_json::Value::Bool(_) => Type::Boolean,
                    serde_json::Value::Number(_) => Type::Integer,
                    _ => Type::String,
                };
                match &object.schema_type {
                    SchemaType::Type(one) => *one == wanted,
                    SchemaType::Array(several) => several.contains(&wanted),
                    SchemaType::AnyValue => false,
                }
            };
            if object.examples.is_empty()
                && object.example.is_none()
                && let Some(example) = example.filter(fits)
            {
                object.example = Some(example);
            }
        }
        RefOr::T(Schema::Array(array)) => {
            array.description.get_or_insert_with(|| what.to_owned());
        }
        RefOr::T(Schema::OneOf(either)) => {
            either.description.get_or_insert_with(|| what.to_owned());
        }
        _ => {}
    }
}
