//! Imports: how far each is, what became of its rows, and what undoing left alone.

pub mod catalogue;
pub mod holders;
pub mod kept;
pub mod list;

use std::collections::BTreeMap;

use aggregates::ids::UserId;
use aggregates::import::{
    FailedRow, ImportEvent, ImportStatus, KeptReason, RowCounts, RowOutcomes,
};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::facts::FactKind;
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// How many failed rows an import's own row names.
const NAMED_ERRORS: usize = 100;

/// What the batch does to an import's row. `None` leaves a column as it is.
#[derive(Default, Serialize)]
struct Row {
    id: i64,
    #[serde(flatten)]
    new: Option<New>,
    status: Option<&'static str>,
    columns: Option<serde_json::Value>,
    total_rows: Option<i64>,
    #[serde(flatten)]
    counts: RowCounts,
    errors: Vec<FailedRow>,
    failure: Option<String>,
    failure_detail: Option<String>,
    removed: i64,
    restored: i64,
    kept: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    undone_at: Option<DateTime<Utc>>,
    version: i64,
    position: i64,
}

#[derive(Serialize)]
struct New {
    import_code: String,
    company_id: i64,
    user_id: Option<i64>,
    name: String,
    import_type: String,
    file_hash: String,
    file_key: i64,
    file_size: i64,
    options: serde_json::Value,
    created_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct Chunk {
    import_id: i64,
    first_row: i64,
    last_row: i64,
    outcomes: RowOutcomes,
}

#[derive(Serialize)]
struct Kept {
    import_id: i64,
    lead_id: i64,
    row_number: i64,
    reason: Option<&'static str>,
}

/// Owns `imports`, `import_chunks` and `import_kept_leads`.
#[derive(Default)]
pub struct Imports {
    rows: BTreeMap<i64, Row>,
    chunks: Vec<Chunk>,
    kept: Vec<Kept>,
}

impl Projection for Imports {
    fn name(&self) -> &'static str {
        "imports"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "imports",
                key: &["id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "import_chunks",
                key: &["import_id", "first_row"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "import_kept_leads",
                key: &["import_id", "lead_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Import(event) = &recorded.event else {
            return;
        };
        let id = recorded.aggregate_id;
        let at = recorded.recorded_at;
        let row = self.rows.entry(id).or_default();
        row.id = id;
        row.version = recorded.sequence;
        row.position = recorded.position;
        match event {
            ImportEvent::ImportRequested {
                import_code,
                company_id,
                user_id,
                name,
                import_type,
                file,
                options,
                ..
            } => {
                row.status = Some(ImportStatus::Pending.code());
                row.new = Some(New {
                    import_code: import_code.clone(),
                    company_id: company_id.get(),
                    user_id: user_id.map(UserId::get),
                    name: name.plain().cloned().unwrap_or_default(),
                    import_type: import_type.clone(),
                    file_hash: file.hash.clone(),
                    file_key: file_key(&file.hash),
                    file_size: file.size,
                    options: json(options),
                    created_at: at,
                });
            }
            ImportEvent::ImportStarted {
                total_rows,
                columns,
            } => {
                row.status = Some(ImportStatus::Processing.code());
                row.total_rows = Some(*total_rows);
                row.columns = Some(json(columns));
                row.started_at = Some(at);
            }
            ImportEvent::ImportRowsProcessed { rows } => {
                let counts = rows.counts();
                row.counts.imported += counts.imported;
                row.counts.updated += counts.updated;
                row.counts.skipped += counts.skipped;
                row.counts.failed += counts.failed;
                row.counts.duplicates += counts.duplicates;
                let room = NAMED_ERRORS.saturating_sub(row.errors.len());
                row.errors.extend(rows.failed.iter().take(room).cloned());
                self.chunks.push(Chunk {
                    import_id: id,
                    first_row: rows.first_row,
                    last_row: rows.last_row,
                    outcomes: rows.clone(),
                });
            }
            ImportEvent::ImportCompleted { .. } => {
                row.status = Some(ImportStatus::Completed.code());
                row.finished_at = Some(at);
            }
            ImportEvent::ImportFailed { reason, detail } => {
                row.status = Some(ImportStatus::Failed.code());
                row.failure = Some(reason.clone());
                row.failure_detail.clone_from(detail);
                row.finished_at = Some(at);
            }
            ImportEvent::ImportCancelled { .. } => {
                row.status = Some(ImportStatus::Cancelled.code());
                row.finished_at = Some(at);
            }
            ImportEvent::ImportUndoRequested { .. } => {
                row.status = Some(ImportStatus::Undoing.code());
            }
            ImportEvent::ImportLeadsUndone { leads } => {
                row.removed += leads.removed;
                row.restored += leads.restored;
                row.kept += i64::try_from(leads.kept.len()).unwrap_or(i64::MAX);
                self.kept.extend(leads.kept.iter().map(|kept| Kept {
                    import_id: id,
                    lead_id: kept.lead_id.get(),
                    row_number: kept.row,
                    reason: kept.reason.map(KeptReason::code),
                }));
            }
            ImportEvent::ImportUndone {} => {
                row.status = Some(ImportStatus::Undone.code());
                row.undone_at = Some(at);
            }
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows: Vec<Row> = std::mem::take(&mut self.rows).into_values().collect();
        let (new, changed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.new.is_some());
        if !new.is_empty() {
            write_new(statement, &new);
        }
        if !changed.is_empty() {
            write_changed(statement, &changed);
        }
        let chunks = std::mem::take(&mut self.chunks);
        if !chunks.is_empty() {
            statement.part("new_import_chunks", |s| {
                s.sql("INSERT INTO import_chunks (import_id, first_row, last_row, outcomes) SELECT r.* FROM head, jsonb_to_recordset(")
                    .bind(json(&chunks))
                    .sql(") AS r(import_id bigint, first_row bigint, last_row bigint, outcomes jsonb)");
            });
        }
        let kept = std::mem::take(&mut self.kept);
        if !kept.is_empty() {
            statement.part("new_import_kept_leads", |s| {
                s.sql("INSERT INTO import_kept_leads (import_id, lead_id, row_number, reason) SELECT r.* FROM head, jsonb_to_recordset(")
                    .bind(json(&kept))
                    .sql(") AS r(import_id bigint, lead_id bigint, row_number bigint, reason text)");
            });
        }
    }
}

fn write_new(statement: &mut Statement, rows: &[Row]) {
    statement.part("new_imports", |s| {
        s.sql(
            "INSERT INTO imports (id, import_code, company_id, user_id, name, import_type, status, file_hash, file_key, \
             file_size, options, columns, total_rows, imported_rows, updated_rows, skipped_rows, failed_rows, duplicate_rows, \
             errors, failure, failure_detail, removed_leads, restored_leads, kept_leads, version, position, created_at, started_at, \
             finished_at, undone_at) \
             SELECT r.id, r.import_code, r.company_id, r.user_id, r.name, r.import_type, r.status, r.file_hash, r.file_key, \
             r.file_size, r.options, coalesce(r.columns, '[]'), r.total_rows, r.imported, r.updated, r.skipped, r.failed, \
             r.duplicates, r.errors, r.failure, r.failure_detail, r.removed, r.restored, r.kept, r.version, r.position, r.created_at, \
             r.started_at, r.finished_at, r.undone_at FROM head, jsonb_to_recordset(",
        )
        .bind(json(&rows))
        .sql(") AS r(")
        .sql(NEW_FIELDS)
        .sql(", ")
        .sql(FIELDS)
        .sql(")");
    });
}

fn write_changed(statement: &mut Statement, rows: &[Row]) {
    statement.part("changed_imports", |s| {
        s.sql(&format!(
            "UPDATE imports i SET status = coalesce(r.status, i.status), columns = coalesce(r.columns, i.columns), \
             total_rows = coalesce(r.total_rows, i.total_rows), imported_rows = i.imported_rows + r.imported, \
             updated_rows = i.updated_rows + r.updated, skipped_rows = i.skipped_rows + r.skipped, \
             failed_rows = i.failed_rows + r.failed, duplicate_rows = i.duplicate_rows + r.duplicates, \
             errors = jsonb_path_query_array(i.errors || r.errors, '$[0 to {}]'), \
             failure = coalesce(r.failure, i.failure), failure_detail = coalesce(r.failure_detail, i.failure_detail), \
             removed_leads = i.removed_leads + r.removed, \
             restored_leads = i.restored_leads + r.restored, kept_leads = i.kept_leads + r.kept, \
             version = r.version, position = r.position, started_at = coalesce(r.started_at, i.started_at), \
             finished_at = coalesce(r.finished_at, i.finished_at), undone_at = coalesce(r.undone_at, i.undone_at) \
             FROM head, jsonb_to_recordset(",
            NAMED_ERRORS - 1
        ))
        .bind(json(&rows))
        .sql(") AS r(")
        .sql(FIELDS)
        .sql(") WHERE i.id = r.id");
    });
}

const NEW_FIELDS: &str = "import_code text, company_id bigint, user_id bigint, name text, import_type text, file_hash text, \
     file_key bigint, file_size bigint, options jsonb, created_at timestamptz";
const FIELDS: &str = "id bigint, status text, columns jsonb, total_rows bigint, imported bigint, updated bigint, \
     skipped bigint, failed bigint, duplicates bigint, errors jsonb, failure text, failure_detail text, removed bigint, restored bigint, kept bigint, \
     version bigint, position bigint, started_at timestamptz, finished_at timestamptz, undone_at timestamptz";

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value)
        .expect("structs of text, numbers and lists with text keys always serialise")
}

/// The number by which a decision asks for earlier imports of a file with this hash: its first 64 bits.
#[must_use]
pub fn file_key(hash: &str) -> i64 {
    let digits = hash.get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16)
        .unwrap_or_default()
        .cast_signed()
}

/// Earlier imports of a file, by [`file_key`]: the key of the answer is the import, unless nothing is left of it.
pub const IMPORTS_OF_FILE: FactKind = FactKind {
    name: "imports_of_file",
    sql: "SELECT i.file_key, i.id, 1::bigint FROM imports i WHERE i.file_key = ANY($1) \
          AND i.status <> 'undone' AND NOT (i.status IN ('failed', 'cancelled') AND i.imported_rows + i.updated_rows = 0)",
};

/// How many imports the companies that a subscription governs have begun, by calendar month (UTC); see [`month`].
pub const GOVERNED_IMPORTS: FactKind = FactKind {
    name: "governed_imports",
    sql: "SELECT w.id, (extract(year FROM i.created_at AT TIME ZONE 'UTC') * 12 \
          + extract(month FROM i.created_at AT TIME ZONE 'UTC') - 1)::bigint, count(*)::bigint \
          FROM unnest($1::bigint[]) AS w(id) \
          JOIN companies c ON c.path @> ARRAY[w.id] JOIN imports i ON i.company_id = c.id \
          WHERE (SELECT p.id FROM unnest(c.path) WITH ORDINALITY AS p(id, n) JOIN subscriptions s ON s.company_id = p.id \
          ORDER BY p.n DESC LIMIT 1) = w.id GROUP BY 1, 2",
};

/// The calendar month (UTC) of a time, as [`GOVERNED_IMPORTS`] counts them: months since the year 0.
#[must_use]
pub fn month(time: DateTime<Utc>) -> i64 {
    use chrono::Datelike;
    i64::from(time.year()) * 12 + i64::from(time.month0())
}
