//! The API's own description: the OpenAPI document and a page to read it. The page's files are in the binary; nothing
//! is loaded from any other host, which its `Content-Security-Policy` also enforces. Operations are described where
//! they are written, not here.

mod shared;
mod words;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, Content, InfoBuilder, License, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::look_back;
use super::problem::Problem;

/// Where the document is served.
pub const DOCUMENT_PATH: &str = "/openapi.json";

/// The name of the security scheme that operations refer to.
pub const BEARER: &str = "bearer";

/// What Swagger UI needs: its own scripts and styles, inline styles, and images as `data:`. Nothing from elsewhere.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Completes the document that the routers collected: title and version; a problem as the `default` answer of every
/// operation under `/api/`, so that none has to list its refusals; and the scheme [`BEARER`], which operations name.
#[must_use]
pub fn describe(mut collected: OpenApi) -> OpenApi {
    collected.info = InfoBuilder::new()
        .title("leadledger")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("docs/guide.md")))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))))
        .build();
    for (path, item) in &mut collected.paths.paths {
        let ours = path.starts_with("/api/");
        let of_dialect = path.starts_with("/users/");
        if let Some(get) = item.get.as_mut().filter(|_| path.starts_with("/api/v1/")) {
            look_back::describe(get);
        }
        for (method, operation) in operations(item) {
            if ours {
                shared::complete(&method, path, operation);
            } else if of_dialect {
                shared::complete_dialect(&method, operation);
            }
            shared::describe_parameters(operation);
            let answers = &mut operation.responses.responses;
            if ours {
                let refusal = RefOr::Ref(Ref::from_response_name("Problem"));
                answers.entry("default".to_owned()).or_insert(refusal);
            }
            answers.values_mut().for_each(correct_media_type);
        }
    }
    let used = |tag: &str| {
        let operations = collected.paths.paths.values().flat_map(operations_of);
        let mut tags = operations.filter_map(|operation| operation.tags.as_ref());
        tags.any(|tags| tags.iter().any(|used| used == tag))
    };
    collected.tags = Some(words::tags(&used));
    let components = collected.components.get_or_insert_default();
    words::describe_fields(components);
    look_back::describe_meta(components);
    let name = <Problem as ToSchema>::name().into_owned();
    components
        .schemas
        .insert(name.clone(), <Problem as PartialSchema>::schema());
    let content = Content::new(Some(Ref::from_schema_name(&name)));
    let refusal = ResponseBuilder::new()
        .description("The request was refused.")
        .content("application/problem+json", content);
    components.responses.insert(name, refusal.build().into());
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The token of a login. It may be sent without the word `Bearer`.",
        ));
    components.add_security_scheme(BEARER, SecurityScheme::Http(token.build()));
    collected
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let by_method = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    let there = by_method.into_iter();
    there.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn operations_of(item: &PathItem) -> impl Iterator<Item = &Operation> {
    let by_method = [&item.get, &item.put, &item.post, &item.patch, &item.delete];
    by_method.into_iter().filter_map(Option::as_ref)
}

/// `body = Problem` alone is described as `application/json`, which it is not.
fn correct_media_type(answer: &mut RefOr<openapi::Response>) {
    if let RefOr::T(answer) = answer
        && let Some(RefOr::T(content)) = answer.content.get("application/json")
        && let Some(RefOr::Ref(schema)) = &content.schema
        && schema.ref_location == "#/components/schemas/Problem"
        && let Some(content) = answer.content.shift_remove("application/json")
    {
        answer
            .content
            .insert("application/problem+json".to_owned(), content);
    }
}

/// `GET /openapi.json` and the page at `/docs/` (`/docs` redirects there). `document` is complete already.
///
/// # Panics
/// Never: a document is made of texts, numbers and maps with text keys, which always serialise.
pub fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let json = document
        .to_pretty_json()
        .expect("texts, numbers and maps with text keys always serialise");
    let json = Bytes::from(json);
    let serve = || async move { ([(header::CONTENT_TYPE, JSON)], json) };
    // "none" keeps the page from sending the document's address to swagger.io's validator.
    let config = Config::from(DOCUMENT_PATH).validator_url("none");
    let page: Router<S> = SwaggerUi::new("/docs").config(config).into();
    Router::new()
        .route(DOCUMENT_PATH, get(serve))
        .merge(page.layer(map_response(keep_to_this_host)))
}

async fn keep_to_this_host(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderMap, Request, StatusCode};
    use serde_json::Value;
    use tower::ServiceExt;
    use utoipa_axum::router::OpenApiRouter;
    use utoipa_axum::routes as operations;

    use super::*;

    mod things {
        use super::super::Problem;

        #[utoipa::path(get, path = "/api/v1/things", responses((status = 404, body = Problem)))]
        pub async fn list_things() {}
    }

    fn document() -> OpenApi {
        let router: OpenApiRouter = OpenApiRouter::new().routes(operations!(things::list_things));
        describe(router.into_openapi())
    }

    async fn fetch(path: &str) -> (StatusCode, HeaderMap, String) {
        let app: Router = routes(&document());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, 10_000_000).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (parts.status, parts.headers, text)
    }

    #[tokio::test]
    async fn the_document_is_openapi_3_1_and_wants_a_bearer_token() {
        let (status, headers, text) = fetch(DOCUMENT_PATH).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert_eq!(
            document["components"]["securitySchemes"][BEARER]["scheme"],
            "bearer"
        );
        let answers = &document["paths"]["/api/v1/things"]["get"]["responses"];
        assert!(
            answers["404"]["content"]["application/problem+json"].is_object(),
            "{answers}"
        );
        assert_eq!(answers["default"]["$ref"], "#/components/responses/Problem");
        let refusal = document.pointer("/components/responses/Problem").unwrap();
        assert!(refusal["content"]["application/problem+json"].is_object());
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            let schema = &document["components"]["schemas"][name];
            assert!(schema.is_object(), "{name} is missing in {text}");
        }
    }

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let (status, headers, html) = fetch("/docs/").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], PAGE_POLICY);
        for attribute in html.split(['"', '\'']).skip(1).step_by(2) {
            assert!(
                !attribute.starts_with("//") && !attribute.starts_with("http"),
                "the page names another host: {attribute}"
            );
        }
        let (_, _, script) = fetch("/docs/swagger-initializer.js").await;
        assert!(script.contains(DOCUMENT_PATH), "{script}");
        assert!(!script.contains("://"), "{script}");
        for file in [
            "swagger-ui.css",
            "swagger-ui-bundle.js",
            "swagger-ui-standalone-preset.js",
        ] {
            assert!(html.contains(file), "{html}");
            assert_eq!(
                fetch(&format!("/docs/{file}")).await.0,
                StatusCode::OK,
                "{file}"
            );
        }
    }

    #[tokio::test]
    async fn the_page_is_found_without_its_slash_too() {
        let (status, headers, _) = fetch("/docs").await;
        assert!(status.is_redirection());
        assert_eq!(headers[header::LOCATION], "/docs/");
    }
}
