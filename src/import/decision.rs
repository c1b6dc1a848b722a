//! The decision about rows that follow each other: one command, one commit. Each row on a layer of its own, so that a refused one
//! fails alone; what became of them is an event of the import in the same commit. So counts, leads and progress are never apart.
//!
//! Runs in the commit, and for a dry run in a [rehearsal](crate::ledger::rehearsal).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aggregates::Change;
use aggregates::company::questions::Question;
use aggregates::company::{Company, CompanyError};
use aggregates::ids::{LeadId, OptionId};
use aggregates::import::{DuplicatePolicy, Import, ImportCommand, RowOutcomes};
use aggregates::lead::{Answer, CreateLead, Lead, LeadCommand, LeadError, UpdateLead};
use projections::companies::CompanyRow;
use projections::imports::holders::{self, ContactKeys, Holders};
use projections::search;

use super::known_keys::{Chunk, KnownKeys};
use super::rows::{ReadyRow, RowFault, RowLead, extra_changes};
use crate::lead_answers;
use crate::lead_routing;
use crate::ledger::{IdKind, Provenance, Refusal, StreamKey, StreamKind, Unit, Work};
use crate::lineage;
use crate::plan_limits::PlanLimits;

/// What all rows of an import have in common.
#[derive(Debug, Clone)]
pub struct Common {
    /// The import.
    pub import_id: i64,
    /// Its code, which every event names.
    pub code: Arc<str>,
    /// Where the leads go.
    pub company: Arc<CompanyRow>,
    /// What happens to duplicates.
    pub policy: DuplicatePolicy,
    /// Who began it, and through what.
    pub provenance: Provenance,
}

/// Where the decision leaves what it decided; the last time counts, since it may be taken again.
pub type Decided = Arc<Mutex<Option<RowOutcomes>>>;

/// What a rehearsal keeps from chunk to chunk.
#[derive(Debug, Default)]
pub struct Rehearsed {
    /// Leads that no table knows, because the chunk before was rehearsed and not committed.
    pub fresh: Holders,
    /// The rows that a lead or an earlier row is like, and that lead.
    pub like: BTreeMap<i64, i64>,
}

/// See [`Rehearsed`].
pub type Imagined = Arc<Mutex<Rehearsed>>;

/// The command that processes these rows. With `imagined` it is for a rehearsal, of an import that is not on record; with `known` rows
/// that are like nobody are not looked for.
#[must_use]
pub fn work(
    common: Common,
    this: Chunk,
    imagined: Option<Imagined>,
    known: Option<KnownKeys>,
) -> Work {
    let Chunk { rows, decided } = this.clone();
    let found: Arc<Mutex<Holders>> = Arc::default();
    let keys: Vec<ContactKeys> = leads(&rows).map(|lead| lead.keys.clone()).collect();
    let limits = PlanLimits::of(&common.company);
    let provenance = common.provenance.clone();
    let (company, policy) = (common.company.clone(), common.policy);
    let import_id = common.import_id;
    let rehearsed = imagined.is_some();
    let mut work = Work::new(provenance, {
        let (rows, found) = (rows.clone(), found.clone());
        move |unit| {
            let first = rows.first().map_or(0, |row| row.row);
            if !rehearsed {
                unit.look_at(common.import_id, |import: &Import| import.expects(first))?;
            }
            let chunk = Deciding {
                common: &common,
                limits,
            };
            let mut known = locked(&found).clone();
            let mut fresh = imagined
                .as_ref()
                .map(|imagined| std::mem::take(&mut locked(imagined).fresh))
                .unwrap_or_default();
            let mut outcomes = RowOutcomes::from(first);
            let mut like = Vec::new();
            for row in rows.iter() {
                let lead = chunk.decide(unit, row, (&mut known, &mut fresh), &mut outcomes);
                like.extend(lead.map(|lead| (row.row, lead)));
            }
            if let Some(imagined) = &imagined {
                let mut imagined = locked(imagined);
                imagined.fresh = fresh;
                imagined.like.extend(like);
            }
            *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcomes.clone());
            if !rehearsed {
                unit.set_provenance(&common.provenance);
                let process = ImportCommand::Process(Box::new(outcomes));
                unit.execute::<Import>(common.import_id, process)?;
            }
            Ok(common.import_id)
        }
    });
    if !rehearsed {
        work = work.on(StreamKey::new(StreamKind::Import, import_id));
    }
    let mut sources: Vec<_> = leads(&rows)
        .filter(|lead| lead.assignee.is_none())
        .filter_map(|lead| lead.likely_source)
        .collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        work = work.reading(lead_routing::turns_of(source));
    }
    for user in leads(&rows).filter_map(|lead| lead.assignee) {
        work = work.on(StreamKey::new(StreamKind::User, user));
    }
    let mut work = limits
        .watch_leads(lineage::reading(work, &company))
        .of_file();
    if let Some(known) = &known {
        let unheld = known.clone();
        work = work.knowing(Arc::new(move |company, key| unheld.is_unheld(company, key)));
        let (known, this) = (known.clone(), this.clone());
        work = work.foreseeing(Arc::new(move || known.foresees(&this)));
    }
    work.sweeping(Arc::new(move |connection| {
        let (found, keys, company) = (found.clone(), keys.clone(), company.id);
        let (known, this) = (known.clone(), this.clone());
        Box::pin(async move {
            let keys = match known {
                Some(known) => {
                    known.catch_up(&mut *connection, &this).await?;
                    keys.iter().filter_map(|keys| known.perhaps(keys)).collect()
                }
                None => keys,
            };
            let holders = if keys.is_empty() {
                Holders::default()
            } else {
                holders::of_keys(connection, company, &keys).await?
            };
            let streams = if policy.updates() {
                let lead = |id| StreamKey::new(StreamKind::Lead, id);
                holders.leads().map(lead).collect()
            } else {
                Vec::new()
            };
            *locked(&found) = holders;
            Ok(streams)
        })
    }))
}

fn leads(rows: &[ReadyRow]) -> impl Iterator<Item = &RowLead> {
    let leads = rows.iter().filter_map(|row| row.lead.as_ref().ok());
    leads.map(Box::as_ref)
}

fn locked<T>(kept: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in it is only ever replaced as a whole: a panic elsewhere leaves it sound.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A chunk being decided.
struct Deciding<'a> {
    common: &'a Common,
    limits: PlanLimits,
}

/// What came of a row that was not refused.
enum Outcome {
    Created(LeadId),
    Updated(LeadId, i64, i64),
    Skipped(LeadId),
}

impl Deciding<'_> {
    /// The lead that the row is like, unless it is refused.
    fn decide(
        &self,
        unit: &mut Unit<'_>,
        row: &ReadyRow,
        (known, fresh): (&mut Holders, &mut Holders),
        outcomes: &mut RowOutcomes,
    ) -> Option<i64> {
        let lead = match &row.lead {
            Ok(lead) => lead,
            Err(fault) => {
                outcomes.push_failed(fault.code, fault.column.clone());
                return None;
            }
        };
        let source = format!("import {} row {}", self.common.code, row.row);
        unit.set_provenance(&Provenance {
            source,
            ..self.common.provenance.clone()
        });
        let like = known.like(fresh, &lead.keys);
        let outcome = unit.attempt(|unit| match (like, self.common.policy) {
            (Some(id), DuplicatePolicy::Skip) => Ok(Outcome::Skipped(LeadId(id))),
            (Some(id), policy) if policy.updates() => self.update(unit, id, lead),
            _ => self.create(unit, lead),
        });
        match outcome {
            Ok(Outcome::Created(id)) => {
                outcomes.push_created(id);
                fresh.add(&lead.keys, id.get());
            }
            Ok(Outcome::Updated(id, from, to)) => {
                outcomes.push_updated(id, from, to);
                // As the next chunk would find it.
                let keys = unit.look_at(id.get(), |lead: &Lead| {
                    lead.contact()
                        .plain()
                        .map(ContactKeys::of)
                        .unwrap_or_default()
                });
                known.forget(id.get());
                fresh.forget(id.get());
                fresh.add(&keys, id.get());
            }
            Ok(Outcome::Skipped(id)) => outcomes.push_skipped(id),
            Err(refusal) => {
                let fault = fault_of(&refusal, lead);
                outcomes.push_failed(fault.code, fault.column);
                return None;
            }
        }
        outcomes.duplicates += i64::from(like.is_some());
        like
    }

    fn create(&self, unit: &mut Unit<'_>, lead: &RowLead) -> Result<Outcome, Refusal> {
        let company = &self.common.company;
        lead_routing::check_assignee(unit, lead.assignee, lead.create.user_access_id, company)?;
        self.limits.add_lead(unit)?;
        let lead_id = LeadId(unit.next_id(IdKind::Lead));
        let mut create = CreateLead {
            lead_id,
            answers: chosen(unit, &company.path, &lead.create.answers),
            ..lead.create.clone()
        };
        lead_answers::settle_new(unit, &company.path, &mut create)?;
        lead_routing::settle(unit, &mut create)?;
        unit.execute::<Lead>(lead_id.get(), LeadCommand::Create(Box::new(create)))?;
        Ok(Outcome::Created(lead_id))
    }

    fn update(&self, unit: &mut Unit<'_>, id: i64, lead: &RowLead) -> Result<Outcome, Refusal> {
        let company = &self.common.company;
        let mut update = changes(lead);
        update.answers = chosen(unit, &company.path, &update.answers);
        if self.common.policy == DuplicatePolicy::Fill {
            update = unit.look_at(id, |lead: &Lead| lead.lacking(update));
        }
        if let Change::Set(access) = update.user_access_id {
            lead_routing::check_assignee(unit, lead.assignee, Some(access), company)?;
        }
        lead_routing::check_changes(unit, id, &update)?;
        lead_answers::settle_update(unit, &company.path, id, &mut update)?;
        let stream = StreamKey::new(StreamKind::Lead, id);
        let before = unit.version(stream);
        unit.execute::<Lead>(id, LeadCommand::Update(Box::new(update)))?;
        let after = unit.version(stream);
        Ok(if after == before {
            Outcome::Skipped(LeadId(id))
        } else {
            Outcome::Updated(LeadId(id), before, after)
        })
    }
}

/// All that the row says, as changes. What holds for rows that say nothing, such as the import's source, changes no lead.
fn changes(lead: &RowLead) -> UpdateLead {
    fn set<T>(value: Option<T>) -> Change<T> {
        value.map_or(Change::Keep, Change::Set)
    }
    let create = &lead.create;
    let contact = create.contact.clone();
    UpdateLead {
        first_name: set(contact.first_name),
        last_name: set(contact.last_name),
        email: set(contact.email),
        phone: set(contact.phone),
        stage: lead.stage,
        source_id: set(lead.named.source_id),
        campaign_id: set(lead.named.campaign_id),
        territory_id: set(lead.named.territory_id),
        user_access_id: set(create.user_access_id),
        answers: create.answers.clone(),
        extra: extra_changes(&create.extra),
        estimated_value: set(create.estimated_value),
        only_of: None,
    }
}

/// What stands between options.
const SEPARATORS: [char; 3] = [',', ';', '|'];

/// Answers to questions of choice with the options that their words name, without regard to case and accents; several are
/// separated by `,`, `;` or `|`, of which the longest are taken that name options to the end. What names none stays as it is, to be refused.
fn chosen(unit: &Unit<'_>, path: &[i64], answers: &[Answer]) -> Vec<Answer> {
    let options = |answer: &Answer| -> Option<Vec<OptionId>> {
        path.iter().rev().find_map(|company| {
            unit.look_at(*company, |company: &Company| {
                let question = company.questions().get(answer.question_id)?;
                named_options(question, answer.value.as_deref()?)
            })
        })
    };
    let answers = answers.iter().map(|answer| match options(answer) {
        Some(option_ids) => Answer {
            option_ids,
            value: None,
            ..answer.clone()
        },
        None => answer.clone(),
    });
    answers.collect()
}

fn named_options(question: &Question, text: &str) -> Option<Vec<OptionId>> {
    if !question.question_type.is_choice() {
        return None;
    }
    let find = |words: &str| {
        let wanted = search::fold(words);
        let mut options = question.options.iter();
        let option = options.find(|option| search::fold(&option.value) == wanted);
        option.map(|option| option.option_id)
    };
    // Where the pieces begin, and where one more would: separators stand in the texts of options too.
    let mut begins = vec![0];
    begins.extend(text.match_indices(SEPARATORS).map(|(at, _)| at + 1));
    begins.push(text.len() + 1);
    let pieces = begins.len() - 1;
    let in_options = question
        .options
        .iter()
        .map(|option| option.value.matches(SEPARATORS).count() + 1);
    let most = in_options.max()?;
    // For each piece, from the last on, the option that begins with it and the piece after that, if options go on to the end from there.
    let mut named: Vec<Option<(OptionId, usize)>> = vec![None; pieces];
    for first in (0..pieces).rev() {
        let longest = most.min(pieces - first);
        named[first] = (1..=longest).rev().find_map(|count| {
            let next = first + count;
            if next < pieces && named[next].is_none() {
                return None;
            }
            Some((find(&text[begins[first]..begins[next] - 1])?, next))
        });
    }
    let mut options = Vec::new();
    let mut piece = 0;
    while piece < pieces {
        let (option, next) = named[piece]?;
        options.push(option);
        piece = next;
    }
    Some(options)
}

/// The code of a refusal, and the column that is to blame.
fn fault_of(refusal: &Refusal, lead: &RowLead) -> RowFault {
    let mut column = None;
    let code = match refusal {
        Refusal::Lead(LeadError::NoContact) => "no_contact",
        Refusal::Lead(LeadError::Erased) => "erased",
        Refusal::Lead(LeadError::TooManyExtraFields) => "too_many_extra_fields",
        Refusal::Lead(LeadError::TooManyAnswers) => "too_many_answers",
        Refusal::PlanLimit { .. } => "plan_limit",
        Refusal::UnknownReference {
            thing: "territory", ..
        } => "unknown_territory",
        Refusal::UnknownReference { .. } => "unknown_source",
        Refusal::Company(CompanyError::Campaign(_)) => "campaign_takes_no_leads",
        Refusal::Company(CompanyError::Answer { entry, .. }) => {
            column = lead.answer_columns.get(*entry).cloned();
            "invalid_answer"
        }
        Refusal::Rule(code) => code,
        _ => "refused",
    };
    RowFault { code, column }
}

/// What a code means, for people.
#[must_use]
pub fn message(code: &str, column: Option<&str>) -> String {
    let text = match code {
        "too_many_fields" => "the row has more fields than the header",
        "invalid_name" => "is not a name",
        "invalid_email" => "is not an e-mail address",
        "invalid_phone_number" => "is not a phone number",
        "formula_error" => "holds the error of a formula",
        "invalid_text" => "is too long or has control characters",
        "invalid_estimated_value" => "is not an amount with a currency, such as 1200.50 MXN",
        "invalid_answer" => "is not an answer to this question",
        "unknown_stage" => "is not a stage",
        "unknown_source" => "is not a source of this company",
        "unknown_campaign" => "is not a campaign of this company",
        "unknown_territory" => "is not a territory of this company",
        "unknown_assignee" => "is nobody with an access in this company",
        "ambiguous_assignee" => {
            "is the name of several people: give the e-mail, or the id of the access"
        }
        "ambiguous_name" => "is the name of several: give the id",
        "assignee_has_no_access" => "the assignee has no access in this company",
        "campaign_takes_no_leads" => "the campaign takes no leads now",
        "no_contact" => "the row has neither a name nor an e-mail nor a phone number",
        "plan_limit" => "the plan allows no more leads",
        "erased" => "the data of the lead that the row is like is erased",
        "too_many_extra_fields" => "the lead would have too many extra fields",
        "too_many_answers" => "the lead would have too many answers",
        _ => "the row is refused",
    };
    match column {
        Some(column) => format!("{column}: {text}"),
        None => text.to_owned(),
    }
}
