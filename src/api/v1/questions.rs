//! Questions: create, list, get, delete, reorder; what a campaign asks, and which options it shows.

use aggregates::access::Right;
use aggregates::company::questions::{
    Question, QuestionCommand, QuestionError, QuestionOption, QuestionType, ShownOption,
};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CampaignId, CompanyId, OptionId, QuestionId};
use aggregates::text;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use projections::legal_holds::Held;
use projections::questions::{self, QuestionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::campaigns::seen;
use super::pages::{Meta, PageQuery};
use super::users::checked;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use crate::legal_hold;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_question, list_questions))
        .routes(routes!(order_questions))
        .routes(routes!(delete_question))
        .routes(routes!(show_question))
        .routes(routes!(list_campaign_questions))
        .routes(routes!(show_options))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
struct NewQuestion {
    /// 1 to 500 characters.
    text: String,
    /// `single_choice`, `multiple_choice`, `text`, `number`, `date` or `boolean`.
    question_type: String,
    /// Whether a form should not be sent without an answer to it.
    #[serde(default)]
    required: Option<bool>,
    /// The campaign of this company that alone asks it.
    #[serde(default)]
    campaign_id: Option<i64>,
    /// 1 to 100 of a question of choice, in their order; none of any other.
    #[serde(default)]
    options: Option<Vec<NewOption>>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct NewOption {
    /// 1 to 200 characters.
    value: String,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct QuestionOrder {
    /// Every question of the company exactly once.
    #[garde(skip)]
    question_ids: Vec<i64>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct CampaignOptions {
    #[garde(length(max = 500))]
    questions: Vec<QuestionOptions>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct QuestionOptions {
    /// A question that the campaign asks.
    id: i64,
    /// What the campaign shows of it; an empty list shows all options again, as they are.
    options: Vec<CampaignOption>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct CampaignOption {
    /// An option of the question.
    id: i64,
    /// The campaign's own wording, 1 to 200 characters; the question's when absent.
    #[serde(default)]
    value: Option<String>,
    /// Its place; those without one stay in the order of the list, after the others.
    #[serde(default)]
    priority: Option<i64>,
}

/// A question.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuestionView {
    id: i64,
    company_id: i64,
    campaign_id: Option<i64>,
    text: String,
    question_type: String,
    required: bool,
    priority: i64,
    options: Vec<OptionView>,
}

/// A prepared answer.
#[derive(Debug, Serialize, ToSchema)]
struct OptionView {
    id: i64,
    value: String,
    priority: i64,
}

impl From<QuestionRow> for QuestionView {
    fn from(row: QuestionRow) -> Self {
        let own = row.options.0;
        let options: Vec<(OptionId, String)> = match row.shown {
            None => own.into_iter().map(|o| (o.option_id, o.value)).collect(),
            Some(shown) => {
                let shown = shown.0.into_iter();
                let worded = shown.filter_map(|shown| {
                    let known = own.iter().find(|o| o.option_id == shown.option_id)?;
                    let value = shown.value.unwrap_or_else(|| known.value.clone());
                    Some((shown.option_id, value))
                });
                worded.collect()
            }
        };
        let view = |((id, value), priority): ((OptionId, String), i64)| OptionView {
            id: id.get(),
            value,
            priority,
        };
        Self {
            id: row.id,
            company_id: row.company_id,
            campaign_id: row.campaign_id,
            text: row.text,
            question_type: row.question_type,
            required: row.required,
            priority: row.priority,
            options: options.into_iter().zip(1..).map(view).collect(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct QuestionEnvelope {
    question: QuestionView,
}

#[derive(Debug, Serialize, ToSchema)]
struct QuestionList {
    questions: Vec<QuestionView>,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
struct AllQuestions {
    questions: Vec<QuestionView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Nothing {}

/// How a rule of questions is answered.
pub fn refused(error: QuestionError) -> Problem {
    let (code, field) = match error {
        QuestionError::Unknown => return Problem::not_found("question"),
        QuestionError::TooMany => ("too_many_questions", "text".to_owned()),
        QuestionError::NoOptions => ("no_options", "options".to_owned()),
        QuestionError::TooManyOptions => ("too_many_options", "options".to_owned()),
        QuestionError::TakesNoOptions => ("takes_no_options", "options".to_owned()),
        QuestionError::SameOption { option } => ("same_option", format!("options[{option}].value")),
        QuestionError::IncompleteOrder => ("incomplete_order", "question_ids".to_owned()),
        QuestionError::NotOfCampaign { entry } => {
            ("not_of_campaign", format!("questions[{entry}].id"))
        }
        QuestionError::NotOfQuestion { entry, option_id } => {
            let detail = format!("{option_id} is not an option of the question, or is named twice");
            return Problem::refused("not_of_question", error.to_string())
                .with_error(format!("questions[{entry}].options"), detail);
        }
    };
    let detail = error.to_string();
    Problem::refused(code, detail.clone()).with_error(field, detail)
}

/// The body as a question whose ids are still to be given.
fn check(body: NewQuestion) -> Result<Question, Problem> {
    const TYPES: &str = "must be single_choice, multiple_choice, text, number, date or boolean";
    let mut errors = FieldErrors::default();
    let text = checked(&mut errors, "text", text::line(&body.text, 500)).map(str::to_owned);
    let question_type = QuestionType::from_code(&body.question_type).ok_or(TYPES);
    let question_type = checked(&mut errors, "question_type", question_type);
    let mut options = Vec::new();
    for (n, option) in body.options.unwrap_or_default().into_iter().enumerate() {
        let field = format!("options[{n}].value");
        let value = checked(&mut errors, &field, text::line(&option.value, 200));
        options.extend(value.map(|value| QuestionOption {
            option_id: OptionId(0),
            value: value.to_owned(),
        }));
    }
    match (text, question_type) {
        (Some(text), Some(question_type)) if errors.is_empty() => Ok(Question {
            question_id: QuestionId(0),
            text,
            question_type,
            required: body.required.unwrap_or(false),
            campaign_id: body.campaign_id.map(CampaignId),
            options,
        }),
        _ => Err(errors.into()),
    }
}

/// Create a question for company
///
/// It is asked after all others.
#[utoipa::path(post, path = "/companies/{company_id}/questions", tag = "Questions", security(("bearer" = [])),
    params(("company_id" = i64, Path)), request_body = NewQuestion,
    responses((status = 201, description = "Question created successfully", body = QuestionEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 422, description = "Invalid")))]
async fn create_question(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<NewQuestion>,
) -> Result<Response, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let question = check(body)?;
    let work = caller.work(move |unit| {
        let mut question = question.clone();
        question.question_id = QuestionId(unit.next_id(IdKind::Question));
        for option in &mut question.options {
            option.option_id = OptionId(unit.next_id(IdKind::Option));
        }
        let id = question.question_id.get();
        let create = CompanyCommand::Questions(QuestionCommand::Create(question));
        unit.execute::<Company>(company_id, create)?;
        Ok(id)
    });
    let work = work.on(StreamKey::new(StreamKind::Company, company_id));
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let row = questions::by_id(&mut connection, QuestionId(committed.resource_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("question"))?;
    let question = QuestionView::from(row);
    Ok((StatusCode::CREATED, Json(QuestionEnvelope { question })).into_response())
}

/// List questions for a company
///
/// In their order.
#[utoipa::path(get, path = "/companies/{company_id}/questions", tag = "Questions", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of questions", body = QuestionList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 404, description = "No such company")))]
async fn list_questions(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<QuestionList>, Problem> {
    let company = CompanyId(company_id);
    caller.scope(&app, company).await?;
    let wanted = page.check::<i64>()?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = questions::page(&mut connection, company, &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| row.priority);
    Ok(Json(QuestionList {
        meta: wanted.meta(total, next.as_ref()),
        questions: page.rows.into_iter().map(QuestionView::from).collect(),
    }))
}

/// Modify questions priority order for a company
#[utoipa::path(put, path = "/companies/{company_id}/questions/priority", tag = "Questions", security(("bearer" = [])),
    params(("company_id" = i64, Path), IfMatch), request_body = QuestionOrder,
    responses((status = 200, description = "Questions order updated successfully", body = AllQuestions),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such company"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Not every question exactly once")))]
async fn order_questions(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<QuestionOrder>,
) -> Result<Json<AllQuestions>, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let order: Vec<QuestionId> = body.question_ids.into_iter().map(QuestionId).collect();
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let reorder = CompanyCommand::Questions(QuestionCommand::Reorder(order.clone()));
        unit.execute::<Company>(company_id, reorder)?;
        Ok(company_id)
    });
    app.ledger.commit(work.on(stream)).await?;
    let mut connection = app.pool.acquire().await?;
    let rows = questions::of_company(&mut connection, company).await?;
    let questions = rows.into_iter().map(QuestionView::from).collect();
    Ok(Json(AllQuestions { questions }))
}

/// Delete a question for company
///
/// It is asked no more; answers that were given to it stay with their leads, in the wording under which they were given.
#[utoipa::path(delete, path = "/companies/{company_id}/questions/{id}", tag = "Questions", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("id" = i64, Path), IfMatch),
    responses((status = 200, description = "Question deleted successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company or question"),
        (status = 409, description = "Not at the version of If-Match"), (status = 422, description = "`legal_hold`: the company is held")))]
async fn delete_question(
    State(app): State<App>,
    caller: Caller,
    Path((company_id, id)): Path<(i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let archive = CompanyCommand::Questions(QuestionCommand::Archive(QuestionId(id)));
        unit.execute::<Company>(company_id, archive)?;
        legal_hold::refuse_if_company_held(unit, company)?;
        Ok(id)
    });
    let held = legal_hold::finding(vec![Held::Company(company)]);
    app.ledger.commit(work.on(stream).sweeping(held)).await?;
    Ok(Json(Nothing {}))
}

/// Get question for ID
#[utoipa::path(get, path = "/questions/{id}", tag = "Questions", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "Question found", body = QuestionEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such question")))]
async fn show_question(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<QuestionEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = questions::by_id(&mut connection, QuestionId(id)).await?;
    drop(connection);
    let row = row.ok_or_else(|| Problem::not_found("question"))?;
    let company = CompanyId(row.company_id);
    caller.scope_of(&app, company, "question").await?;
    let question = QuestionView::from(row);
    Ok(Json(QuestionEnvelope { question }))
}

async fn asked_by(app: &App, company: i64, campaign: i64) -> Result<Json<AllQuestions>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let (company, campaign) = (CompanyId(company), CampaignId(campaign));
    let rows = questions::of_campaign(&mut connection, company, campaign).await?;
    let questions = rows.into_iter().map(QuestionView::from).collect();
    Ok(Json(AllQuestions { questions }))
}

/// List questions for a campaign
///
/// Its own and the company-wide ones, in their order, each with the options that the campaign shows.
#[utoipa::path(get, path = "/campaigns/{campaign_id}/questions", tag = "Questions", security(("bearer" = [])),
    params(("campaign_id" = i64, Path)),
    responses((status = 200, description = "List of questions", body = AllQuestions), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such campaign")))]
async fn list_campaign_questions(
    State(app): State<App>,
    caller: Caller,
    Path(campaign_id): Path<i64>,
) -> Result<Json<AllQuestions>, Problem> {
    let (campaign, _) = seen(&app, &caller, campaign_id).await?;
    asked_by(&app, campaign.company_id, campaign_id).await
}

/// The body with every value checked, each list in the order of its priorities.
fn check_options(body: CampaignOptions) -> Result<Vec<(QuestionId, Vec<ShownOption>)>, Problem> {
    let mut errors = FieldErrors::default();
    let mut all = Vec::with_capacity(body.questions.len());
    for (n, mut question) in body.questions.into_iter().enumerate() {
        let mut shown = Vec::with_capacity(question.options.len());
        question
            .options
            .sort_by_key(|option| option.priority.unwrap_or(i64::MAX));
        for option in question.options {
            let field = format!("questions[{n}].options");
            let value = option.value.as_deref().and_then(|value| {
                let value = text::line(value, 200);
                let named = value.map_err(|error| format!("of {} {error}", option.id));
                checked(&mut errors, &field, named).map(str::to_owned)
            });
            shown.push(ShownOption {
                option_id: OptionId(option.id),
                value,
            });
        }
        all.push((QuestionId(question.id), shown));
    }
    if errors.is_empty() {
        Ok(all)
    } else {
        Err(errors.into())
    }
}

/// Bulk update question options for a campaign
///
/// Sets, for each question that is named, which of its options the campaign shows, in which order and wording. Others stay.
#[utoipa::path(put, path = "/campaigns/{campaign_id}/questions/options", tag = "Questions", security(("bearer" = [])),
    params(("campaign_id" = i64, Path), IfMatch), request_body = CampaignOptions,
    responses((status = 200, description = "Question options updated successfully", body = AllQuestions),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such campaign"), (status = 409, description = "Not at the version of If-Match"),
        (status = 422, description = "Not a question of the campaign, or not an option of the question")))]
async fn show_options(
    State(app): State<App>,
    caller: Caller,
    Path(campaign_id): Path<i64>,
    Json(body): Json<CampaignOptions>,
) -> Result<Json<AllQuestions>, Problem> {
    let (campaign, scope) = seen(&app, &caller, campaign_id).await?;
    scope.require(Right::Configure)?;
    let questions = check_options(body)?;
    let stream = StreamKey::new(StreamKind::Company, campaign.company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller.work(move |unit| {
        if_match.check(unit, stream)?;
        let show = QuestionCommand::ShowOptions {
            campaign_id: CampaignId(campaign_id),
            questions: questions.clone(),
        };
        unit.execute::<Company>(stream.id, CompanyCommand::Questions(show))?;
        Ok(campaign_id)
    });
    app.ledger.commit(work.on(stream)).await?;
    asked_by(&app, campaign.company_id, campaign_id).await
}
