//! Which scope of an integration token each operation of API V1 takes: the one table, by operation tag and method.
//!
//! What is not in the table takes a person: an operation that nobody thought of here is closed to tokens, not open.

use std::collections::HashMap;
use std::sync::LazyLock;

use aggregates::company::integration_token::TokenScope;
use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;
use projections::integration_tokens::IntegrationTokenRow;

use super::problem::Problem;

/// Operation tag and the resource that its scopes name: `.readonly` for GET, `.write` for all else.
const RESOURCE_OF_TAG: [(&str, &str); 17] = [
    ("Accesses", "users"),
    ("Appointments", "appointments"),
    ("Campaigns", "campaigns"),
    ("Companies", "companies"),
    ("Company Users", "users"),
    ("Cycles", "cycles"),
    ("Import", "imports"),
    ("Invitations", "invitations"),
    ("Lead Notes", "leads"),
    ("Leads", "leads"),
    ("Membership", "memberships"),
    ("Memberships", "memberships"),
    ("Questions", "questions"),
    ("Sources", "sources"),
    ("Stages", "leads"),
    ("Territories", "territories"),
    ("User Company Relation", "users"),
];

/// Under the tag `Users` too, but for what is about the caller themself.
const USERS: (&str, &str) = ("Users", "users");

/// Operations about the caller as a person, whatever their tag.
const PERSONAL: [(&str, &str); 9] = [
    ("GET", "/api/v1/users/validate_jwt"),
    ("PUT", "/api/v1/users/avatar"),
    ("DELETE", "/api/v1/users/avatar"),
    // Whoever creates a company becomes its owner.
    ("POST", "/api/v1/companies"),
    ("PUT", "/api/v1/companies/avatar"),
    ("DELETE", "/api/v1/companies/avatar"),
    ("GET", "/api/v1/invitations/pending"),
    ("POST", "/api/v1/invitations/{code}/accept"),
    // An invitation names the person who invites.
    ("POST", "/api/v1/invitations"),
];

/// The tag of each operation, by method and path as declared.
static TAGS: LazyLock<HashMap<(Method, String), String>> = LazyLock::new(|| {
    let document = super::routes().1;
    let mut tags = HashMap::new();
    for (path, item) in document.paths.paths {
        for (method, operation) in [
            (Method::GET, item.get),
            (Method::PUT, item.put),
            (Method::POST, item.post),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ] {
            let tag = operation.and_then(|operation| operation.tags?.into_iter().next());
            if let Some(tag) = tag {
                tags.insert((method, path.clone()), tag);
            }
        }
    }
    tags
});

/// The scope that the operation takes; `None` when it takes a person.
fn scope_of(method: &Method, path: &str) -> Option<TokenScope> {
    if PERSONAL.contains(&(method.as_str(), path)) {
        return None;
    }
    let tag = TAGS.get(&(method.clone(), path.to_owned()))?;
    let resources = RESOURCE_OF_TAG.iter().chain([&USERS]);
    let (_, resource) = resources.into_iter().find(|(known, _)| known == tag)?;
    let what = if method.is_safe() {
        "readonly"
    } else {
        "write"
    };
    TokenScope::parse(&format!("{resource}.{what}")).ok()
}

/// Checks that the token may carry out the operation that the request was routed to.
///
/// # Errors
/// 403 naming the missing scope.
pub fn require(parts: &Parts, token: &IntegrationTokenRow) -> Result<(), Problem> {
    let path = parts.extensions.get::<MatchedPath>();
    let Some(scope) = path.and_then(|path| scope_of(&parts.method, path.as_str())) else {
        return Err(Problem::forbidden(
            "This operation takes a signed-in person, not an integration token.",
        ));
    };
    if token.has_scope(&scope) {
        return Ok(());
    }
    let detail = format!("The token lacks the scope {}.", scope.as_str());
    Err(Problem::forbidden(detail))
}

#[cfg(test)]
mod tests {
    use aggregates::company::integration_token::RESOURCES;

    use super::*;

    #[test]
    fn every_row_names_a_resource_and_the_method_decides() {
        for (_, resource) in RESOURCE_OF_TAG {
            assert!(RESOURCES.contains(&resource), "{resource}");
        }
        let scope = |method, path| scope_of(&method, path).map(|s| s.as_str().to_owned());
        let lead = "/api/v1/leads/{id}";
        assert_eq!(scope(Method::GET, lead).as_deref(), Some("leads.readonly"));
        assert_eq!(scope(Method::PUT, lead).as_deref(), Some("leads.write"));
        let users = "/api/v1/users";
        assert_eq!(scope(Method::POST, users).as_deref(), Some("users.write"));
        assert_eq!(scope(Method::GET, "/api/v1/users/validate_jwt"), None);
        assert_eq!(scope(Method::POST, "/api/v1/companies"), None);
        assert_eq!(scope(Method::GET, "/api/v1/nowhere"), None);
        let tokens = "/api/v1/companies/{company_id}/integration_tokens";
        assert_eq!(scope(Method::POST, tokens), None, "a token makes no token");
    }
}
