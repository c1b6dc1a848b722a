//! What a part of `verify` tells of one table: the first differences by name, and how many more there are.

/// How many are named.
pub(super) const NAMED: usize = 100;

/// The differences of one table.
#[derive(Debug)]
pub(super) struct Told {
    table: &'static str,
    named: Vec<String>,
    more: usize,
}

impl Told {
    /// None yet, of the table of this name.
    pub const fn of(table: &'static str) -> Self {
        Self {
            table,
            named: Vec::new(),
            more: 0,
        }
    }

    /// One more, in words that follow the name of the table: `id=7: is missing`.
    pub fn tell(&mut self, what: impl std::fmt::Display) {
        if self.named.len() < NAMED {
            self.named.push(format!("{}: {what}", self.table));
        } else {
            self.more += 1;
        }
    }

    /// A line each, and one for those that are not named.
    pub fn into_lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.named
                .push(format!("{}: and {} more", self.table, self.more));
        }
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_not_named_are_counted() {
        let mut told = Told::of("claims");
        for n in 0..NAMED + 2 {
            told.tell(format_args!("{n}: is missing"));
        }
        let lines = told.into_lines();
        assert_eq!(lines[0], "claims: 0: is missing");
        assert_eq!(lines.len(), NAMED + 1);
        assert_eq!(lines[NAMED], "claims: and 2 more");
    }
}
