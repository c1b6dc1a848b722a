//! What events say they came through, when an import made them or took something back: written and read here.

/// Of events that take back what this row did.
#[must_use]
pub fn undo_of_row(code: &str, row: i64) -> String {
    format!("import {code} row {row} undo")
}

/// An import as the way in of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Through<'a> {
    /// The import's code.
    pub code: &'a str,
    /// The row that made the event, or whose doing it takes back; where it says.
    pub row: Option<i64>,
}

impl<'a> Through<'a> {
    /// From `import <code>`, `import <code> row <n>`, and either with ` undo`; `None` for what came in by another way.
    #[must_use]
    pub fn parse(source: &'a str) -> Option<Self> {
        let mut words = source.strip_prefix("import ")?.split(' ');
        let code = words
            .next()
            .filter(|code| uuid::Uuid::try_parse(code).is_ok())?;
        let row = match words.next() {
            Some("row") => words.next().and_then(|row| row.parse().ok()),
            _ => None,
        };
        Some(Self { code, row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_row_are_read_from_every_way_in_of_an_import() {
        let code = "01890000-0000-7000-8000-000000000000";
        for (source, row) in [
            (format!("import {code} row 7"), Some(7)),
            (undo_of_row(code, 7), Some(7)),
            (format!("import {code} undo"), None),
            (format!("import {code}"), None),
        ] {
            assert_eq!(Through::parse(&source), Some(Through { code, row }));
        }
        for source in ["api", "import", "import command", "import 7 row 2"] {
            assert_eq!(Through::parse(source), None);
        }
    }
}
