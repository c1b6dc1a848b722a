//! What is sent of a lead, to create one or to change it, and the checks of its values.
//!
//! Only what can be told of the values by themselves, and whom an access belongs to: whether questions, sources, campaigns and
//! territories are the company's is decided in the commit.

use std::collections::BTreeMap;

use aggregates::Change;
use aggregates::company::questions::MAX_OPTIONS;
use aggregates::email::Email;
use aggregates::ids::{CampaignId, OptionId, QuestionId, SourceId, TerritoryId, UserAccessId};
use aggregates::lead::{Answer, UpdateLead};
use aggregates::money::{Currency, Money};
use aggregates::person_name::PersonName;
use aggregates::phone::{Phone, Region};
use aggregates::stage::Stage;
use aggregates::text;
use garde::Validate;
use projections::users::list::access_by_id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::users::{checked, checked_change};
use crate::api::caller::Scope;
use crate::api::extract::Patch;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;

/// A lead to create, or the changes of one: what is absent stays, what is null is cleared.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
pub struct LeadBody {
    #[schema(value_type = Option<String>)]
    first_name: Patch<String>,
    #[schema(value_type = Option<String>)]
    last_name: Patch<String>,
    #[schema(value_type = Option<String>, example = "user@example.com")]
    email: Patch<String>,
    /// With country code, or as dialled in the company's region; kept as E.164.
    #[schema(value_type = Option<String>)]
    phone_number: Patch<String>,
    stage_id: Option<i64>,
    #[schema(value_type = Option<i64>)]
    source_id: Patch<i64>,
    #[schema(value_type = Option<i64>)]
    campaign_id: Patch<i64>,
    #[schema(value_type = Option<i64>)]
    territory_id: Patch<i64>,
    /// Who works on it: a user access that holds in the company.
    #[schema(value_type = Option<i64>)]
    user_access_id: Patch<i64>,
    #[garde(length(max = 200))]
    answers: Option<Vec<AnswerBody>>,
    /// Fields of the company's own; null takes one away.
    #[garde(length(max = 100))]
    extra: Option<BTreeMap<String, Option<String>>>,
    #[schema(value_type = Option<MoneyBody>)]
    estimated_value: Patch<MoneyBody>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct AnswerBody {
    question_id: i64,
    #[serde(default)]
    option_id: Option<i64>,
    /// Where several options may be chosen.
    #[serde(default)]
    option_ids: Vec<i64>,
    #[serde(default)]
    value: Option<String>,
}

/// An exact amount of a currency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MoneyBody {
    #[schema(example = "1200.50")]
    pub amount: String,
    #[schema(example = "MXN")]
    pub currency: String,
}

/// The body with every value checked, and the user whose access is to be assigned.
pub struct Checked {
    pub update: UpdateLead,
    pub assignee: Option<i64>,
}

/// Checks every value; phone numbers are read as in the company's region.
///
/// # Errors
/// 422 with every field that is refused.
pub async fn check(app: &App, scope: &Scope, body: LeadBody) -> Result<Checked, Problem> {
    let mut errors = FieldErrors::default();
    let region = Region::parse(&scope.company.region).unwrap_or(app.region);
    let name = |name: String| PersonName::parse(&name);
    let positive = |id: i64| {
        if id > 0 {
            Ok(id)
        } else {
            Err("must be a positive id")
        }
    };
    let stage = body
        .stage_id
        .map(|id| Stage::from_id(id).ok_or("is not a stage; see GET /api/v1/stages"));
    let update = UpdateLead {
        first_name: checked_change(
            &mut errors,
            "first_name",
            blank_is_null(body.first_name),
            name,
        ),
        last_name: checked_change(
            &mut errors,
            "last_name",
            blank_is_null(body.last_name),
            name,
        ),
        email: checked_change(&mut errors, "email", blank_is_null(body.email), |e| {
            Email::parse(&e)
        }),
        phone: checked_change(
            &mut errors,
            "phone_number",
            blank_is_null(body.phone_number),
            |p| Phone::parse(&p, region),
        ),
        stage: stage.and_then(|stage| checked(&mut errors, "stage_id", stage)),
        source_id: checked_change(&mut errors, "source_id", body.source_id, positive).map(SourceId),
        campaign_id: checked_change(&mut errors, "campaign_id", body.campaign_id, positive)
            .map(CampaignId),
        territory_id: checked_change(&mut errors, "territory_id", body.territory_id, positive)
            .map(TerritoryId),
        user_access_id: Change::from(body.user_access_id).map(UserAccessId),
        answers: check_answers(&mut errors, body.answers.unwrap_or_default()),
        extra: check_extra(&mut errors, body.extra.unwrap_or_default()),
        estimated_value: checked_change(
            &mut errors,
            "estimated_value",
            body.estimated_value,
            |value| money(&value),
        ),
        only_of: None,
    };
    let mut assignee = None;
    if let Change::Set(access) = update.user_access_id {
        let mut connection = app.pool.acquire().await?;
        match access_by_id(&mut connection, access.get()).await? {
            Some(row) if scope.company.path.contains(&row.company_id) => {
                assignee = Some(row.user_id);
            }
            _ => errors.add(
                "user_access_id",
                "is not a user access that holds in this company",
            ),
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(Checked { update, assignee })
}

/// Forms send an empty text for a field that was left alone: it means "nothing".
fn blank_is_null(patch: Patch<String>) -> Patch<String> {
    match patch {
        Patch::Value(text) if text.trim().is_empty() => Patch::Null,
        other => other,
    }
}

fn money(body: &MoneyBody) -> Result<Money, String> {
    let currency = Currency::parse(&body.currency).map_err(|error| error.to_string())?;
    Money::parse(&body.amount, currency).map_err(|error| error.to_string())
}

fn check_answers(errors: &mut FieldErrors, answers: Vec<AnswerBody>) -> Vec<Answer> {
    let mut checked_answers = Vec::with_capacity(answers.len());
    for (n, answer) in answers.into_iter().enumerate() {
        for (field, id) in [
            ("question_id", Some(answer.question_id)),
            ("option_id", answer.option_id),
        ] {
            if id.is_some_and(|id| id <= 0) {
                errors.add(format!("answers[{n}].{field}"), "must be a positive id");
            }
        }
        if answer.option_ids.iter().any(|id| *id <= 0) || answer.option_ids.len() > MAX_OPTIONS {
            let field = format!("answers[{n}].option_ids");
            errors.add(field, "must be positive ids, at most 100");
        }
        let value = answer.value.as_deref().filter(|value| !value.is_empty());
        let field = format!("answers[{n}].value");
        checked_answers.push(Answer {
            question_id: QuestionId(answer.question_id),
            option_id: answer.option_id.map(OptionId),
            option_ids: answer.option_ids.into_iter().map(OptionId).collect(),
            question_text: None,
            value: value
                .and_then(|value| checked(errors, &field, text::block(value, 10_000)))
                .map(str::to_owned),
        });
    }
    checked_answers
}

fn check_extra(
    errors: &mut FieldErrors,
    extra: BTreeMap<String, Option<String>>,
) -> BTreeMap<String, Option<String>> {
    let mut checked_extra = BTreeMap::new();
    for (name, value) in extra {
        let field = format!("extra.{name}");
        let Some(name) = checked(errors, "extra", text::line(&name, 100)).map(str::to_owned) else {
            continue;
        };
        let value = value.filter(|value| !value.trim().is_empty());
        let value = value
            .map(|value| checked(errors, &field, text::block(&value, 10_000)).map(str::to_owned));
        checked_extra.insert(name, value.flatten());
    }
    checked_extra
}
