//! The small pages that the links in mails open in a browser: opening one changes nothing (programs look at links too), its
//! button does. Nothing is loaded from any other host.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::mail::language::Language;

/// Styles inside the page; the form posts to this host only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// A page.
#[derive(Template)]
#[template(path = "link_page.html")]
pub struct LinkPage {
    pub language: Language,
    pub heading: String,
    pub message: String,
    pub form: Option<LinkForm>,
}

/// What its button sends.
pub struct LinkForm {
    pub action: &'static str,
    pub token: String,
    /// The name's label, if the name is asked for.
    pub name: Option<&'static str>,
    /// The password's label, if a new one is asked for.
    pub password: Option<&'static str>,
    pub button: &'static str,
}

impl LinkPage {
    /// The page with this status.
    pub fn answer(self, status: StatusCode) -> Response {
        let html = self
            .render()
            .expect("a template of texts writes into a String, which cannot fail");
        let policy = [(header::CONTENT_SECURITY_POLICY, POLICY)];
        (status, policy, Html(html)).into_response()
    }
}

/// The text in the page's language.
pub const fn in_language(
    language: Language,
    [spanish, english, portuguese]: [&'static str; 3],
) -> &'static str {
    match language {
        Language::Spanish => spanish,
        Language::English => english,
        Language::Portuguese => portuguese,
    }
}

/// What is said of a link that does not hold.
pub const STALE: [&str; 3] = [
    "El enlace no es válido, ya venció o ya se usó.",
    "The link is not valid, has expired, or was used already.",
    "O link não é válido, expirou ou já foi usado.",
];
