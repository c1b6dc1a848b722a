//! What a lead takes from its company's catalogues, decided inside the commit: its answers in the wording of the day, a
//! campaign that is open, and the working period that it comes in.
//!
//! A company's catalogues serve the companies below it too, except for the cycles, which are each company's own.

use aggregates::Change;
use aggregates::company::answers::AnswerFault;
use aggregates::company::campaigns::CampaignError;
use aggregates::company::{Company, CompanyError};
use aggregates::ids::{CampaignId, QuestionId, SourceId};
use aggregates::lead::{Answer, Classification, CreateLead, Lead, UpdateLead};
use projections::campaigns;

use crate::app::App;
use crate::lead_routing;
use crate::ledger::{Refusal, Unit};

/// The source that a new lead will have: its own, or its campaign's as it is known now. Whose turn it is must be asked before
/// the decision; should the campaign's source change in between, the lead goes to the first of the new source's people.
///
/// # Errors
/// What the database answers.
pub async fn likely_source(
    app: &App,
    classification: Classification,
) -> Result<Option<SourceId>, sqlx::Error> {
    match (classification.source_id, classification.campaign_id) {
        (None, Some(campaign)) => {
            let mut connection = app.pool.acquire().await?;
            let row = campaigns::by_id(&mut connection, campaign).await?;
            Ok(row.and_then(|row| row.source_id).map(SourceId))
        }
        (own, _) => Ok(own),
    }
}

/// Whether the changes need the catalogues.
#[must_use]
pub fn refers(update: &UpdateLead) -> bool {
    !update.answers.is_empty() || matches!(update.campaign_id, Change::Set(_))
}

/// Stamps a new lead with the open cycle, gives it its campaign's source if it has none of its own, and words its answers.
///
/// # Errors
/// A campaign that takes no leads, an answer that does not fit.
pub fn settle_new(unit: &Unit<'_>, path: &[i64], create: &mut CreateLead) -> Result<(), Refusal> {
    let today = unit.now().date_naive();
    create.cycle_id = unit.look_at(create.company_id.get(), |company: &Company| {
        company.cycles().open_on(today)
    });
    let campaign = create.classification.campaign_id;
    if let Some(campaign) = campaign {
        let source = source_of_open(unit, path, campaign)?;
        let own = create.classification.source_id;
        // One that was removed since the campaign named it takes no more leads.
        let source = source.filter(|s| lead_routing::knows_source(unit, create.company_id, *s));
        create.classification.source_id = own.or(source);
    }
    let answers = std::mem::take(&mut create.answers);
    create.answers = worded(unit, path, campaign, answers, |_| None)?;
    Ok(())
}

/// Words the new answers of a lead; what it said before stands, also where the question is asked no more.
///
/// # Errors
/// A campaign that takes no leads, an answer that does not fit.
pub fn settle_update(
    unit: &Unit<'_>,
    path: &[i64],
    lead: i64,
    update: &mut UpdateLead,
) -> Result<(), Refusal> {
    if !refers(update) {
        return Ok(());
    }
    let before = unit.state::<Lead>(lead);
    let campaign = update.campaign_id.apply(before.campaign_id());
    if let Some(campaign) = campaign.filter(|_| campaign != before.campaign_id()) {
        source_of_open(unit, path, campaign)?;
    }
    let answers = std::mem::take(&mut update.answers);
    update.answers = worded(unit, path, campaign, answers, |question| {
        before.answer_to(question).cloned()
    })?;
    Ok(())
}

/// The source of a campaign that takes leads now.
fn source_of_open(
    unit: &Unit<'_>,
    path: &[i64],
    campaign: CampaignId,
) -> Result<Option<SourceId>, Refusal> {
    let today = unit.now().date_naive();
    let found = path.iter().rev().find_map(|company| {
        unit.look_at(*company, |company: &Company| {
            let known = company.campaigns().get(campaign)?;
            Some((known.takes_leads_on(today), known.source_id))
        })
    });
    let refused = match found {
        Some((true, source)) => return Ok(source),
        Some((false, _)) => CampaignError::NotOpen,
        None => CampaignError::NotOfCompany,
    };
    Err(CompanyError::from(refused).into())
}

fn worded(
    unit: &Unit<'_>,
    path: &[i64],
    campaign: Option<CampaignId>,
    answers: Vec<Answer>,
    before: impl Fn(QuestionId) -> Option<Answer>,
) -> Result<Vec<Answer>, Refusal> {
    let mut worded = Vec::with_capacity(answers.len());
    for (entry, answer) in answers.into_iter().enumerate() {
        if let Some(stands) = standing(&answer, before(answer.question_id)) {
            worded.push(stands);
            continue;
        }
        let found = path.iter().rev().find_map(|company| {
            unit.look_at(*company, |company: &Company| {
                let questions = company.questions();
                questions.get(answer.question_id)?;
                Some(questions.worded(&answer, campaign))
            })
        });
        let found = found.unwrap_or(Err(AnswerFault::NotAsked));
        worded.push(found.map_err(|fault| CompanyError::Answer { entry, fault })?);
    }
    Ok(worded)
}

/// What needs no look at the question: an answer that is repeated as it stands, or taken back.
fn standing(answer: &Answer, before: Option<Answer>) -> Option<Answer> {
    let before = before?;
    let says_nothing =
        answer.option_id.is_none() && answer.option_ids.is_empty() && answer.value.is_none();
    if says_nothing {
        return Some(answer.clone());
    }
    let same = answer.option_id == before.option_id
        && answer.option_ids == before.option_ids
        && answer.value == before.value;
    same.then_some(before)
}
