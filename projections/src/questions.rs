//! The questions that are asked now, and what of them a campaign shows.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::company::questions::{Question, QuestionOption, ShownOption};
use aggregates::ids::{CampaignId, CompanyId, QuestionId};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct NewQuestion {
    company_id: i64,
    question: Question,
    priority: i64,
    position: i64,
    created_at: DateTime<Utc>,
}

/// Owns `questions` and `campaign_question_options`.
#[derive(Default)]
pub struct Questions {
    new: BTreeMap<i64, NewQuestion>,
    archived: Vec<i64>,
    /// The last complete order of each company that the batch gives one; what is created later stands behind it already.
    orders: BTreeMap<i64, Vec<QuestionId>>,
    /// What a campaign shows of a question after the batch, and the position of the event that says so.
    shown: BTreeMap<(CampaignId, QuestionId), (Vec<ShownOption>, i64)>,
}

impl Projection for Questions {
    fn name(&self) -> &'static str {
        "questions"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "questions",
                key: &["id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "campaign_question_options",
                key: &["campaign_id", "question_id"],
                counts_when: "true",
                looked_up_by: &["campaign_question_options_question"],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Company(event) = &recorded.event else {
            return;
        };
        let company_id = recorded.aggregate_id;
        match event {
            CompanyEvent::QuestionCreated { question, priority } => {
                self.new.insert(
                    question.question_id.get(),
                    NewQuestion {
                        company_id,
                        question: question.clone(),
                        priority: *priority,
                        position: recorded.position,
                        created_at: recorded.recorded_at,
                    },
                );
            }
            CompanyEvent::QuestionsReordered { to, .. } => {
                self.orders.insert(company_id, to.clone());
            }
            CompanyEvent::QuestionArchived {
                question_id,
                remaining,
            } => {
                self.orders.insert(company_id, remaining.clone());
                self.shown.retain(|(_, known), _| known != question_id);
                self.new.remove(&question_id.get());
                self.archived.push(question_id.get());
            }
            CompanyEvent::CampaignOptionsChanged {
                campaign_id,
                question_id,
                to,
                ..
            } => {
                let shown = (to.clone(), recorded.position);
                self.shown.insert((*campaign_id, *question_id), shown);
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let archived = std::mem::take(&mut self.archived);
        if !archived.is_empty() {
            for (part, table, column) in [
                ("archived_questions", "questions", "id"),
                (
                    "archived_options",
                    "campaign_question_options",
                    "question_id",
                ),
            ] {
                statement.part(part, |s| {
                    s.sql(&format!(
                        "DELETE FROM {table} USING head WHERE {column} = ANY("
                    ))
                    .bind(archived.clone())
                    .sql(")");
                });
            }
        }
        let mut new = std::mem::take(&mut self.new);
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for order in std::mem::take(&mut self.orders).into_values() {
            for (question, place) in order.into_iter().zip(1_i64..) {
                if let Some(new) = new.get_mut(&question.get()) {
                    new.priority = place;
                } else {
                    ids.push(question.get());
                    places.push(place);
                }
            }
        }
        if !ids.is_empty() {
            statement.part("ordered_questions", |s| {
                s.sql("UPDATE questions q SET priority = r.place FROM head, unnest(")
                    .bind(ids)
                    .also(places)
                    .sql(") AS r(id, place) WHERE q.id = r.id AND q.priority <> r.place");
            });
        }
        if !new.is_empty() {
            write_new(statement, new);
        }
        write_shown(statement, std::mem::take(&mut self.shown));
    }
}

fn write_new(statement: &mut Statement, new: BTreeMap<i64, NewQuestion>) {
    let (mut ids, mut companies, mut campaigns) = (Vec::new(), Vec::new(), Vec::new());
    let (mut texts, mut types, mut required) = (Vec::new(), Vec::new(), Vec::new());
    let (mut priorities, mut options) = (Vec::new(), Vec::new());
    let (mut positions, mut times) = (Vec::new(), Vec::new());
    for (id, row) in new {
        ids.push(id);
        companies.push(row.company_id);
        campaigns.push(row.question.campaign_id.map(CampaignId::get));
        types.push(row.question.question_type.code());
        required.push(row.question.required);
        options.push(json(&row.question.options));
        texts.push(row.question.text);
        priorities.push(row.priority);
        positions.push(row.position);
        times.push(row.created_at);
    }
    statement.part("new_questions", |s| {
        s.sql(
            "INSERT INTO questions (id, company_id, campaign_id, text, question_type, required, priority, options, \
             position, created_at) \
             SELECT r.id, r.company_id, r.campaign_id, r.text, r.question_type, r.required, r.priority, \
             r.options::jsonb, r.position, r.created_at FROM head, unnest(",
        )
        .bind(ids)
        .also(companies)
        .also(campaigns)
        .also(texts)
        .also(types)
        .also(required)
        .also(priorities)
        .also(options)
        .also(positions)
        .also(times)
        .sql(
            ") AS r(id, company_id, campaign_id, text, question_type, required, priority, options, position, \
             created_at)",
        );
    });
}

fn write_shown(
    statement: &mut Statement,
    shown: BTreeMap<(CampaignId, QuestionId), (Vec<ShownOption>, i64)>,
) {
    let (mut campaigns, mut questions) = (Vec::new(), Vec::new());
    let (mut options, mut positions) = (Vec::new(), Vec::new());
    let (mut reset_campaigns, mut reset_questions) = (Vec::new(), Vec::new());
    for ((campaign, question), (shown, position)) in shown {
        if shown.is_empty() {
            reset_campaigns.push(campaign.get());
            reset_questions.push(question.get());
        } else {
            campaigns.push(campaign.get());
            questions.push(question.get());
            options.push(json(&shown));
            positions.push(position);
        }
    }
    if !reset_campaigns.is_empty() {
        statement.part("reset_options", |s| {
            s.sql("DELETE FROM campaign_question_options o USING head, unnest(")
                .bind(reset_campaigns)
                .also(reset_questions)
                .sql(
                    ") AS r(campaign_id, question_id) \
                     WHERE o.campaign_id = r.campaign_id AND o.question_id = r.question_id",
                );
        });
    }
    if !campaigns.is_empty() {
        statement.part("shown_options", |s| {
            s.sql(
                "INSERT INTO campaign_question_options (campaign_id, question_id, options, position) \
                 SELECT r.campaign_id, r.question_id, r.options::jsonb, r.position FROM head, unnest(",
            )
            .bind(campaigns)
            .also(questions)
            .also(options)
            .also(positions)
            .sql(
                ") AS r(campaign_id, question_id, options, position) \
                 ON CONFLICT (campaign_id, question_id) \
                 DO UPDATE SET options = excluded.options, position = excluded.position",
            );
        });
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of ids and texts always serialise")
}

/// A question as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "the columns of `questions`, by the same names")]
pub struct QuestionRow {
    pub id: i64,
    pub company_id: i64,
    pub campaign_id: Option<i64>,
    pub text: String,
    pub question_type: String,
    pub required: bool,
    pub priority: i64,
    pub options: Json<Vec<QuestionOption>>,
    /// What the campaign that was asked for shows of it; `None` for all options as they are.
    pub shown: Option<Json<Vec<ShownOption>>>,
}

const COLUMNS: &str =
    "q.id, q.company_id, q.campaign_id, q.text, q.question_type, q.required, q.priority, q.options";

/// One question.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    question: QuestionId,
) -> Result<Option<QuestionRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS}, NULL::jsonb AS shown FROM questions q WHERE q.id = $1"
    ))
    .bind(question.get())
    .fetch_optional(connection)
    .await
}

/// A page of the company's questions in their order; a cursor is the priority of the last one.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    request: &PageRequest<i64>,
) -> Result<(Page<QuestionRow>, Total), sqlx::Error> {
    // A company has some hundred questions at most; no two of them have one priority.
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" WHERE q.company_id = ")
            .push_bind(company.get());
    };
    let columns = format!("{COLUMNS}, NULL::jsonb AS shown");
    let list = Ascending {
        columns: &columns,
        table: "questions q",
        joins: "",
        key: "q.priority",
    };
    list.page(connection, request, conditions).await
}

/// Every question of the company, in order.
///
/// # Errors
/// What the database answers.
pub async fn of_company(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<Vec<QuestionRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS}, NULL::jsonb AS shown FROM questions q WHERE q.company_id = $1 ORDER BY q.priority, q.id"
    ))
    .bind(company.get())
    .fetch_all(connection)
    .await
}

/// What a campaign asks: its own questions and the company-wide ones, in order, with what it shows of them.
///
/// # Errors
/// What the database answers.
pub async fn of_campaign(
    connection: &mut PgConnection,
    company: CompanyId,
    campaign: CampaignId,
) -> Result<Vec<QuestionRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS}, o.options AS shown FROM questions q \
         LEFT JOIN campaign_question_options o ON o.question_id = q.id AND o.campaign_id = $2 \
         WHERE q.company_id = $1 AND (q.campaign_id IS NULL OR q.campaign_id = $2) ORDER BY q.priority, q.id"
    ))
    .bind(company.get())
    .bind(campaign.get())
    .fetch_all(connection)
    .await
}
