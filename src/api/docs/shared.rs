//! What follows from an operation's form and is therefore not written at each: the refusals of a missing token, of a body
//! that is no JSON, of a reused key; the headers that every write takes; what the ids in paths are. An operation's own words
//! go before these.

use axum::http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};

use crate::api::ghl::ErrorBody;
use crate::api::problem::Problem;

/// What a parameter is, by its name, where the operation does not say.
const PARAMETERS: [(&str, &str); 27] = [
    ("access_id", "Role: an id of `GET /api/v1/accesses`."),
    ("campaign_id", "Id of a campaign."),
    (
        "code",
        "The invitation's code: a secret that was mailed or handed on.",
    ),
    (
        "company_id",
        "Id of a company that the caller sees: one where they hold a role, or one below it.",
    ),
    ("cycle_id", "Id of a cycle of the company."),
    ("email", "A whole e-mail address, in any case."),
    (
        "file",
        "The last segment of an `avatar_route`: 64 hexadecimal digits and an extension.",
    ),
    ("hold_id", "Id of a legal hold on it."),
    ("upload_id", "Of an upload in parts."),
    ("part", "Number of the part, from 1."),
    (
        "import_code",
        "The import's code, as the upload of the file answered it.",
    ),
    (
        "signature",
        "Of the address that the upload gave; it stands in for a login.",
    ),
    ("id", "Id of what the path names before it."),
    ("lead_id", "Id of a lead."),
    (
        "parent_company_id",
        "Id of a company; only those right below it.",
    ),
    (
        "primary",
        "Whether only the primary access, or only the others.",
    ),
    ("source_id", "Id of a source."),
    ("stage_id", "Id of a stage: `GET /api/v1/stages`."),
    ("territory_id", "Id of a territory."),
    (
        "token",
        "The token of the link that was mailed; at most 200 characters.",
    ),
    (
        "user_access_id",
        "Id of a user access: a user's role in one company.",
    ),
    ("user_id", "Id of a user whom the caller sees."),
    // The second dialect's.
    (
        "Version",
        "Version of the dialect: `v3`, `2023-02-21`, `2021-07-28` or `2021-04-15`.",
    ),
    ("companyId", "Id of a company, as text."),
    ("locationId", "Id of a company below it, as text."),
    ("enabled2waySync", "Taken and ignored."),
    ("lang", "`es`, `en` or `pt`: the language of the page."),
];

/// Completes the description of an operation of API V1.
pub fn complete(method: &Method, path: &str, operation: &mut Operation) {
    let once = takes_a_key(method, path, operation);
    if !method.is_safe() && !takes_bytes(operation) {
        let parameters = operation.parameters.get_or_insert_default();
        let headers = WRITE_HEADERS.iter();
        for &(name, description, longest) in headers.filter(|(name, ..)| once || *name != KEY) {
            let text = ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(longest));
            let header = ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(text));
            parameters.push(RefOr::T(header.build()));
        }
    }
    let refusals = refusals(method, operation, once);
    let answers = &mut operation.responses.responses;
    for (status, description) in refusals {
        let refusal = || ResponseBuilder::new().description(description).build();
        answers
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(refusal()));
    }
    // Every refusal is a problem, whether its operation says so or not.
    let refused = answers
        .iter_mut()
        .filter(|(status, _)| status.starts_with('4'));
    for (_, answer) in refused {
        if let RefOr::T(answer) = answer
            && answer.content.is_empty()
        {
            let schema = Ref::from_schema_name(<Problem as ToSchema>::name());
            let problem = Content::new(Some(schema));
            answer
                .content
                .insert("application/problem+json".to_owned(), problem.into());
        }
    }
}

/// Says what the parameters are that an operation only names.
pub fn describe_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        if parameter.description.is_none() {
            let known = PARAMETERS.iter().find(|(name, _)| *name == parameter.name);
            parameter.description = known.map(|(_, what)| (*what).to_owned());
        }
        if parameter.parameter_in == ParameterIn::Path
            && let Some(RefOr::T(schema)) = &parameter.schema
            && *schema == utoipa::openapi::Schema::Object(i64_object())
        {
            let mut id = i64_object();
            id.minimum = Some(utoipa::Number::Int(1));
            parameter.schema = Some(RefOr::T(id.into()));
        }
    }
}

fn i64_object() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .build()
}

const KEY: &str = "Idempotency-Key";

const WRITE_HEADERS: [(&str, &str, usize); 2] = [
    (
        KEY,
        "1 to 255 visible ASCII characters. A repeat within 24 hours acts once and is answered as the first time, with \
         `Idempotency-Replayed: true`; as of now, where the caller's rights or who may see the lead have changed since. The same key \
         with another request is a 409.",
        255,
    ),
    (
        "X-Reason",
        "Why: up to 500 characters, kept with every event of the request.",
        500,
    ),
];

/// Whether the body is taken as it comes, whatever its type is said to be, and again if it is sent again: nothing is recorded of it.
fn takes_bytes(operation: &Operation) -> bool {
    let body = operation.request_body.as_ref();
    body.is_some_and(|body| match body {
        RefOr::T(body) => body.content.contains_key("application/octet-stream"),
        RefOr::Ref(_) => false,
    })
}

/// Whether a repeat with the same key acts once: every write but a sign-in, whose token is never kept.
fn takes_a_key(method: &Method, path: &str, operation: &Operation) -> bool {
    !method.is_safe() && !takes_bytes(operation) && !path.ends_with("/users/login")
}

/// What any operation of the second dialect may answer besides its own.
const OF_DIALECT: [(&str, &str); 7] = [
    ("400", "A malformed path or header"),
    (
        "401",
        "No or bad token, a bad `Version`, or a scope that is missing",
    ),
    ("403", "Another company or location"),
    (
        "409",
        "Not at the version of `If-Match`, or a reused `Idempotency-Key`",
    ),
    ("413", "A body of more than 2 MiB"),
    ("422", "Invalid"),
    (
        "429",
        "Too many requests of this token; `Retry-After` says when to go on",
    ),
];

/// Completes the description of an operation of the second dialect.
pub fn complete_dialect(method: &Method, operation: &mut Operation) {
    let body = operation.request_body.is_some();
    let answers = &mut operation.responses.responses;
    let refusal = |description: &str| {
        let schema = Ref::from_schema_name(<ErrorBody as ToSchema>::name());
        let content = Content::new(Some(schema));
        let answer = ResponseBuilder::new().description(description);
        RefOr::T(answer.content("application/json", content).build())
    };
    for (status, description) in OF_DIALECT {
        let fits = match status {
            "409" => !method.is_safe(),
            "413" => body,
            _ => true,
        };
        if fits {
            let answer = answers.entry(status.to_owned());
            answer.or_insert_with(|| refusal(description));
        }
    }
    let answer = answers.entry("default".to_owned());
    answer.or_insert_with(|| refusal("The request was refused."));
}

/// The refusals that the operation's form brings with it.
fn refusals(
    method: &Method,
    operation: &Operation,
    once: bool,
) -> Vec<(&'static str, &'static str)> {
    let asks_who_calls = operation
        .security
        .as_ref()
        .is_some_and(|asked| !asked.is_empty());
    let body = operation.request_body.is_some();
    let has = |place: fn(&ParameterIn) -> bool| {
        let given = operation.parameters.iter().flatten();
        given
            .filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(&parameter.parameter_in),
                RefOr::Ref(_) => None,
            })
            .any(place)
    };
    let mut all = Vec::new();
    let parameters = has(|place| !matches!(place, ParameterIn::Header));
    if body || parameters || !method.is_safe() {
        all.push((
            "400",
            "A body that is no JSON, or a parameter or header that is not of its form: `malformed_body`, \
             `malformed_path`, `malformed_query`, `malformed_header`; `errors` names it",
        ));
    }
    if asks_who_calls {
        all.push(("401", "No or bad token: `unauthorized`"));
        all.push((
            "403",
            "`forbidden`: the caller's role, or the scopes of an integration token, do not allow it",
        ));
        all.push((
            "429",
            "`too_many_requests`: an integration token made too many; `Retry-After` says when to go on",
        ));
    }
    if once {
        all.push((
            "409",
            "`idempotency_key_reused`: the key stands for another request",
        ));
    }
    if body {
        all.push(("413", "`too_large`: the body has more than 2 MiB"));
        if !takes_bytes(operation) {
            all.push((
                "415",
                "`unsupported_media_type`: the body is not of the type described",
            ));
        }
        all.push((
            "422",
            "`validation`: fields are missing or wrong; `errors` names them",
        ));
    }
    all
}
