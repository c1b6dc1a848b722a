//! Files of leads, as people exchange them: the columns they have, the template of a company, and the export.
//!
//! Knows neither HTTP nor SQL. How a file is written and read at all is `tabular`'s.

pub mod export;
pub mod template;

/// The columns of the template, and of every export, that say what a lead is; an import reads them all. One column for each
/// question of the company follows, named by its text.
pub const LEAD_COLUMNS: [&str; 7] = [
    "first_name",
    "last_name",
    "email",
    "phone_number",
    "source",
    "campaign",
    "stage",
];

/// Further columns of an export that an import reads.
pub const MORE_COLUMNS: [&str; 4] = ["territory", "assignee", "estimated_value", "currency"];

/// Columns of an export that tell what only the ledger gives, and that an import therefore passes over.
pub const READ_ONLY_COLUMNS: [&str; 5] = [
    "lead_id",
    "duplicate_of_id",
    "cycle",
    "created_at",
    "updated_at",
];

/// The places (from 0) of the columns that an import of this header must pass over: the read-only ones, where all of them are
/// there as in an export. Somebody else's `created_at` is a field of theirs.
#[must_use]
pub fn read_only_places(header: &[String]) -> Vec<usize> {
    let place = |name| header.iter().position(|there| there == name);
    let places: Vec<usize> = READ_ONLY_COLUMNS.into_iter().filter_map(place).collect();
    if places.len() == READ_ONLY_COLUMNS.len() {
        places
    } else {
        Vec::new()
    }
}

/// The places (from 0) of the columns that say what a lead is, where the header is that of a template or an export, as people fill
/// it in and send it back; none where it is not. All other columns of such a file are questions, or somebody added them.
#[must_use]
pub fn own_places(header: &[String]) -> Vec<usize> {
    let place = |name: &&str| header.iter().position(|there| there == name);
    let places: Vec<usize> = LEAD_COLUMNS.iter().filter_map(place).collect();
    if places.len() < LEAD_COLUMNS.len() {
        return Vec::new();
    }
    // A template has none of these: there they are questions that read alike.
    let more = MORE_COLUMNS.iter().filter_map(place);
    let more = more.filter(|_| !read_only_places(header).is_empty());
    places.into_iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_only_the_ledger_gives_is_passed_over_in_an_export_and_nowhere_else() {
        let export = header(&[
            "lead_id",
            "email",
            "duplicate_of_id",
            "cycle",
            "created_at",
            "updated_at",
            "created_at",
        ]);
        assert_eq!(read_only_places(&export), [0, 2, 3, 4, 5]);
        assert!(read_only_places(&header(&["email", "created_at"])).is_empty());
    }
}
