//! The `OpenAPI` 3.1 document, made from the code, and its interactive page, which loads nothing from other hosts.

use axum::Router;
use utoipa::Modify;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;

/// The document before any operation is in it.
#[must_use]
pub fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("leadledger")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A multi-tenant lead CRM on an event ledger. Sign in with `POST /api/v1/users/login` and send the token as \
             `Authorization: Bearer <token>`. Any write takes `Idempotency-Key`, `If-Match` (the `ETag` of a single \
             object) and `X-Reason`. Errors are RFC 9457 problem details.",
        ))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    Bearer.modify(&mut document);
    document
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", scheme);
    }
}

/// `/openapi.json` and `/docs`.
pub fn routes(document: OpenApi) -> Router<App> {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .into()
}
