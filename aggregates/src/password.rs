//! What a password must be (contract decision "Password"). Hashing is the server's business.

/// The most characters a password may have: enough for any passphrase, little enough to hash.
pub const MAX_LENGTH: usize = 128;
const MIN_LENGTH: usize = 12;

/// Checks the policy.
///
/// # Errors
/// Every rule that the password breaks, as messages for its owner.
pub fn check(password: &str) -> Result<(), Vec<&'static str>> {
    let length = password.chars().count();
    let has = |test: fn(char) -> bool| password.chars().any(test);
    let rules = [
        (length >= MIN_LENGTH, "must have at least 12 characters"),
        (length <= MAX_LENGTH, "must have at most 128 characters"),
        (has(char::is_uppercase), "must have an upper-case letter"),
        (has(char::is_lowercase), "must have a lower-case letter"),
        (has(|c| c.is_ascii_digit()), "must have a digit"),
        (
            has(|c| !c.is_alphanumeric() && !c.is_whitespace()),
            "must have a special character",
        ),
    ];
    let broken: Vec<_> = rules
        .into_iter()
        .filter_map(|(met, message)| (!met).then_some(message))
        .collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_rule_is_named_when_broken() {
        assert_eq!(check("Sunny-day-2026"), Ok(()));
        assert_eq!(check("Contraseña-más-1"), Ok(()));
        for (password, message) in [
            ("Short-1", "must have at least 12 characters"),
            ("lower-case-only-1", "must have an upper-case letter"),
            ("UPPER-CASE-ONLY-1", "must have a lower-case letter"),
            ("No-digits-at-all", "must have a digit"),
            ("NoSpecial12345", "must have a special character"),
        ] {
            assert_eq!(check(password), Err(vec![message]), "{password}");
        }
        assert!(check(&format!("Aa1-{}", "x".repeat(125))).is_err());
    }
}
