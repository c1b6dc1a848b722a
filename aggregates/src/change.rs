//! A three-state wish about one optional value: keep it, clear it, or set it.
//!
//! A partial update must tell "not mentioned" from "set to nothing"; `Option<Option<T>>` reads badly at every use.

/// What a partial update wants for one optional value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Not mentioned: leave it as it is.
    #[default]
    Keep,
    /// Explicitly nothing.
    Clear,
    /// This value.
    Set(T),
}

impl<T> Change<T> {
    /// The value after the wish is applied to `current`.
    #[must_use]
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The wish with its value mapped.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(map(value)),
        }
    }

    /// The wish with its value checked.
    ///
    /// # Errors
    /// What `check` answers for the value.
    pub fn try_map<U, E>(self, check: impl FnOnce(T) -> Result<U, E>) -> Result<Change<U>, E> {
        Ok(match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(check(value)?),
        })
    }
}
