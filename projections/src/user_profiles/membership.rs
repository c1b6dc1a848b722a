//! How a user looks from each company that sees them.

use std::collections::BTreeMap;

use aggregates::access::Role;
use aggregates::user::account_settings::AccountKind;

/// A role held in a company whose way from the root is known.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where.
    pub company_id: i64,
    /// What.
    pub role: Role,
    /// From the root down to the company itself.
    pub path: Vec<i64>,
}

/// A user as seen from one company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The agency's own, or of some locations.
    pub kind: AccountKind,
    /// `admin` or `user`.
    pub role: &'static str,
    /// The companies they belong to, ascending.
    pub location_ids: Vec<i64>,
}

/// The word of the dialect for a role.
#[must_use]
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Owner | Role::Admin => "admin",
        Role::Manager | Role::Agent | Role::Analyst | Role::Auditor => "user",
    }
}

/// The user as seen from every company where they hold a role and from all above. `stated` is what the account was said to be.
#[must_use]
pub fn seen_from(held: &[Held], stated: Option<AccountKind>) -> BTreeMap<i64, Seen> {
    let mut views = BTreeMap::new();
    for viewer in held.iter().flat_map(|held| &held.path) {
        views.entry(*viewer).or_insert_with(|| {
            let within: Vec<_> = held.iter().filter(|h| h.path.contains(viewer)).collect();
            let at_home = within.iter().any(|h| h.company_id == *viewer);
            let kind = if at_home {
                stated.unwrap_or(AccountKind::Agency)
            } else {
                AccountKind::Account
            };
            let mut location_ids: Vec<_> = within
                .iter()
                .map(|h| h.company_id)
                .filter(|id| id != viewer || kind == AccountKind::Account)
                .collect();
            location_ids.sort_unstable();
            let is_admin = within.iter().any(|h| role_word(h.role) == "admin");
            Seen {
                kind,
                role: if is_admin { "admin" } else { "user" },
                location_ids,
            }
        });
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(path: &[i64], role: Role) -> Held {
        Held {
            company_id: *path.last().unwrap(),
            role,
            path: path.to_vec(),
        }
    }

    #[test]
    fn a_role_below_is_a_location_and_one_at_home_the_agencys() {
        let roles = [held(&[1, 2], Role::Agent), held(&[1, 3], Role::Manager)];
        let views = seen_from(&roles, None);
        assert_eq!(views.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let from_root = Seen {
            kind: AccountKind::Account,
            role: "user",
            location_ids: vec![2, 3],
        };
        assert_eq!(views[&1], from_root);
        assert_eq!(views[&2].kind, AccountKind::Agency);
        assert_eq!(views[&2].location_ids, [0_i64; 0]);
    }

    #[test]
    fn an_account_of_the_very_company_has_it_as_its_location() {
        let roles = [held(&[1], Role::Admin)];
        let stated = seen_from(&roles, Some(AccountKind::Account));
        assert_eq!(stated[&1].kind, AccountKind::Account);
        assert_eq!(stated[&1].location_ids, [1]);
        assert_eq!(stated[&1].role, "admin");
        assert_eq!(seen_from(&roles, None)[&1].location_ids, [0_i64; 0]);
    }
}
