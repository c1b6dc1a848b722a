//! An import as it is answered.

use std::collections::BTreeMap;

use aggregates::import::{DuplicatePolicy, ImportOptions};
use chrono::{DateTime, Utc};
use projections::imports::list::ImportRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::v1::users::PersonView;
use crate::import::decision;

/// An import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportFileView {
    id: i64,
    /// By which it is asked for.
    import_code: String,
    name: String,
    import_type: String,
    /// `pending`, `processing`, `completed`, `failed`, `cancelled`, `undoing` or `undone`.
    status: String,
    /// How many rows the file has; null until they were counted. Of a completed import it is the sum of imported, updated, skipped and
    /// failed rows; of a cancelled one that sum is `processed_rows`, and the rows after that have no outcome.
    total_rows: Option<i64>,
    /// At every moment the sum of imported, updated, skipped and failed rows.
    processed_rows: i64,
    /// Rows of which a lead came.
    imported_rows: i64,
    /// Rows that changed a lead.
    updated_rows: i64,
    /// Rows that were passed over, because a lead has it all.
    skipped_rows: i64,
    /// Rows that were refused.
    failed_rows: i64,
    /// Rows that were like a lead or a row before; each is counted by its outcome too.
    duplicate_rows: i64,
    /// The first 100 failed rows; all are in `GET /import/{import_code}/errors`.
    errors: Vec<RowErrorView>,
    /// Why it failed as a whole.
    failure: Option<String>,
    /// What is wrong with the file, and where.
    #[schema(example = "the file has more than 1001 columns in line 7")]
    failure_detail: Option<String>,
    company: ImportCompany,
    /// Null for a program.
    user: Option<PersonView>,
    /// How duplicates are treated: `create`, `skip` or `update`.
    duplicates: &'static str,
    /// With `update`: `fill` or `overwrite`.
    update: Option<&'static str>,
    source_id: Option<i64>,
    campaign_id: Option<i64>,
    mapping: BTreeMap<String, String>,
    /// What each column is taken for; empty until it has begun. A column without a name is `column 3`, the second extra field of a
    /// name `name (2)`.
    columns: serde_json::Value,
    file_size: i64,
    rows_per_second: Option<f64>,
    /// While it is processing.
    seconds_left: Option<i64>,
    /// Leads that undoing took away.
    removed_leads: i64,
    /// Leads that undoing brought back to what they were.
    restored_leads: i64,
    /// Leads that stayed as they were when it was undone: `GET /import/{import_code}/kept_leads` lists them.
    kept_leads: i64,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    undone_at: Option<DateTime<Utc>>,
}

/// A row that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowErrorView {
    /// The header is row 1; rows in which nothing stands are not counted.
    row: i64,
    message: String,
    code: String,
    column: Option<String>,
}

impl RowErrorView {
    /// With the code in words.
    pub fn new(row: i64, code: String, column: Option<String>) -> Self {
        Self {
            row,
            message: decision::message(&code, column.as_deref()),
            code,
            column,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct ImportCompany {
    id: i64,
    name: String,
    default: bool,
    parent_company_id: Option<i64>,
}

impl ImportFileView {
    /// As of now, which the rate depends on.
    pub fn new(row: ImportRow, now: DateTime<Utc>) -> Self {
        let options: ImportOptions =
            serde_json::from_value(row.options.clone()).unwrap_or_default();
        let processed = row.processed_rows();
        let rate = row.started_at.and_then(|started| {
            let until = row.finished_at.unwrap_or(now);
            let seconds = (until - started).as_seconds_f64();
            #[expect(clippy::cast_precision_loss, reason = "at most a million rows")]
            (seconds > 0.0 && processed > 0).then(|| processed as f64 / seconds)
        });
        let left = row.total_rows.filter(|_| row.status == "processing");
        let seconds_left = left.zip(rate).map(|(total, rate)| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "whole seconds of at most a million rows"
            )]
            let seconds = ((total - processed).max(0) as f64 / rate).ceil() as i64;
            seconds
        });
        let (duplicates, update) = policy_names(options.duplicates);
        let user = row.user_id.map(|id| {
            let name = row.user_full_name.unwrap_or_default();
            PersonView::new(id, name, row.user_email, row.user_avatar)
        });
        let errors = row.errors.0.into_iter();
        Self {
            id: row.id,
            import_code: row.import_code,
            name: row.name,
            import_type: row.import_type,
            status: row.status,
            total_rows: row.total_rows,
            processed_rows: processed,
            imported_rows: row.imported_rows,
            updated_rows: row.updated_rows,
            skipped_rows: row.skipped_rows,
            failed_rows: row.failed_rows,
            duplicate_rows: row.duplicate_rows,
            errors: errors
                .map(|error| RowErrorView::new(error.row, error.code, error.column))
                .collect(),
            failure: row.failure,
            failure_detail: row.failure_detail,
            company: ImportCompany {
                id: row.company_id,
                name: row.company_name,
                default: row.company_default,
                parent_company_id: row.company_parent_id,
            },
            user,
            duplicates,
            update,
            source_id: options.source_id.map(aggregates::ids::SourceId::get),
            campaign_id: options.campaign_id.map(aggregates::ids::CampaignId::get),
            mapping: options.mapping,
            columns: row.columns,
            file_size: row.file_size,
            rows_per_second: rate.map(|rate| (rate * 10.0).round() / 10.0),
            seconds_left,
            removed_leads: row.removed_leads,
            restored_leads: row.restored_leads,
            kept_leads: row.kept_leads,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            undone_at: row.undone_at,
        }
    }
}

fn policy_names(policy: DuplicatePolicy) -> (&'static str, Option<&'static str>) {
    match policy {
        DuplicatePolicy::Create => ("create", None),
        DuplicatePolicy::Skip => ("skip", None),
        DuplicatePolicy::Fill => ("update", Some("fill")),
        DuplicatePolicy::Overwrite => ("update", Some("overwrite")),
    }
}
