//! The request bodies as the description shows them. They are read field by field (see [`super::fields`]); nothing here
//! decides anything.

#![expect(dead_code, reason = "describes what is read one by one")]
#![expect(non_snake_case, reason = "named as on the wire")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A user to create.
#[derive(ToSchema)]
#[schema(as = UsersV3NewUser)]
pub struct NewUser {
    companyId: String,
    email: String,
    firstName: String,
    lastName: String,
    /// At least 12 characters with upper, lower, digit and special.
    password: String,
    /// E.164, or as it is dialled in the company's region.
    phone: Option<String>,
    /// Added: at most 9 digits, together with `phone`.
    extension: Option<String>,
    /// `account` or `agency`.
    r#type: String,
    /// `admin` or `user`.
    role: String,
    /// The company itself or companies below it; may be empty for `agency`.
    locationIds: Vec<String>,
    /// Flags to set; the others have their defaults.
    permissions: Option<BTreeMap<String, bool>>,
    /// Exactly the scopes that are enabled.
    scopes: Option<Vec<String>>,
    scopesAssignedToOnly: Option<Vec<String>>,
    /// An address of the web.
    profilePhoto: Option<String>,
    /// Number by location id.
    twilioPhone: Option<BTreeMap<String, String>>,
    platformLanguage: Option<String>,
}

/// What to change of a user; what is absent or null stays.
#[derive(ToSchema)]
#[schema(as = UsersV3UserChanges)]
pub struct UserChanges {
    /// The company that the request speaks of; the token's own when absent.
    companyId: Option<String>,
    firstName: Option<String>,
    lastName: Option<String>,
    password: Option<String>,
    /// Empty for none.
    phone: Option<String>,
    extension: Option<String>,
    r#type: Option<String>,
    role: Option<String>,
    locationIds: Option<Vec<String>>,
    /// Merged with the flags that were set.
    permissions: Option<BTreeMap<String, bool>>,
    scopes: Option<Vec<String>>,
    scopesAssignedToOnly: Option<Vec<String>>,
    /// Empty for none.
    profilePhoto: Option<String>,
    /// Replaces the whole map; an empty number clears that location's.
    twilioPhone: Option<BTreeMap<String, String>>,
    platformLanguage: Option<String>,
    /// Only the user's own; any other is refused.
    #[schema(deprecated)]
    email: Option<String>,
}

/// Which e-mails to find.
#[derive(ToSchema)]
#[schema(as = UsersV3EmailFilter)]
pub struct EmailFilter {
    companyId: String,
    /// Separated by commas.
    emails: String,
    /// Those who are deleted instead.
    deleted: Option<bool>,
    skip: Option<String>,
    limit: Option<String>,
    /// `all`, or field names separated by commas; without it, id and e-mail.
    projection: Option<String>,
}
