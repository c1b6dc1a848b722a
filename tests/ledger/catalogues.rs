//! Catalogues, stages and appointments: the rows do not depend on which events shared a batch.

use aggregates::company::campaigns::{Campaign, CampaignChanges, CampaignCommand, CampaignStatus};
use aggregates::company::cycles::{Cycle, CycleCommand};
use aggregates::company::questions::{
    Question, QuestionCommand, QuestionOption, QuestionType, ShownOption,
};
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::ids::{
    AppointmentId, CampaignId, CompanyId, CycleId, OptionId, QuestionId, UserId,
};
use aggregates::lead::appointments::{
    Appointment, AppointmentChanges, AppointmentCommand, AppointmentStatus, AppointmentText,
    AppointmentWish,
};
use aggregates::lead::{Lead, LeadCommand, UpdateLead};
use aggregates::phone::Region;
use aggregates::stage::Stage;
use chrono::{Days, NaiveDate, TimeDelta};
use futures::future::join_all;
use leadledger::ledger::{
    CommitError, IdKind, Ledger, Provenance, Refusal, StreamKey, StreamKind, Unit, Work,
};

use crate::node::{assert_sound, contact, new_lead, open};
use crate::support::database::TestDatabase;

const COMPANY: i64 = 1;

fn question(unit: &mut Unit<'_>) -> QuestionCommand {
    let question_id = QuestionId(unit.next_id(IdKind::Question));
    let options = ["Yes", "No"].map(|value| QuestionOption {
        option_id: OptionId(unit.next_id(IdKind::Option)),
        value: value.to_owned(),
    });
    QuestionCommand::Create(Question {
        question_id,
        text: format!("Question {question_id}"),
        question_type: QuestionType::SingleChoice,
        required: false,
        campaign_id: None,
        options: options.into(),
    })
}

/// A wish for each number, made from what is there when it is decided.
fn wish(unit: &mut Unit<'_>, n: i64) -> CompanyCommand {
    let asked = unit.look_at(COMPANY, |company: &Company| {
        company.questions().asked().to_vec()
    });
    let picked = usize::try_from(n).ok().filter(|_| !asked.is_empty());
    let picked = picked.map(|n| asked[n % asked.len()].clone());
    let day = NaiveDate::default();
    match (n % 8, picked) {
        (0, Some(picked)) if n % 16 == 0 => {
            CompanyCommand::Questions(QuestionCommand::Archive(picked.question_id))
        }
        (1, _) => {
            let ids = asked.iter().rev().map(|known| known.question_id);
            CompanyCommand::Questions(QuestionCommand::Reorder(ids.collect()))
        }
        (2 | 3, Some(picked)) => {
            let shown = picked
                .options
                .iter()
                .rev()
                .take(usize::try_from(n % 3).unwrap_or(0));
            let shown = shown.map(|option| ShownOption {
                option_id: option.option_id,
                value: Some(format!("in words of {n}")),
            });
            CompanyCommand::Questions(QuestionCommand::ShowOptions {
                campaign_id: CampaignId(1),
                questions: vec![(picked.question_id, shown.collect())],
            })
        }
        (4, _) => CompanyCommand::Campaigns(CampaignCommand::Update {
            campaign_id: CampaignId(1),
            changes: CampaignChanges {
                name: Some(format!("Campaign {n}")),
                ..CampaignChanges::default()
            },
        }),
        (5, _) => CompanyCommand::Cycles(CycleCommand::Switch(n % 16 == 5)),
        (6, _) => CompanyCommand::Cycles(CycleCommand::Create(Cycle {
            cycle_id: CycleId(unit.next_id(IdKind::Cycle)),
            name: "Cycle".to_owned(),
            start_date: day + Days::new(n.unsigned_abs()),
            end_date: day + Days::new(n.unsigned_abs() + 1),
        })),
        _ => CompanyCommand::Questions(question(unit)),
    }
}

/// A lead that moves, with an appointment that moves: in one commit as far as `steps` goes, in others from there on.
fn steps(unit: &mut Unit<'_>, lead: i64, steps: std::ops::Range<i64>) -> Result<(), Refusal> {
    let starts_at = unit.now();
    if steps.contains(&0) {
        // As many are given as there are leads, whichever comes first.
        unit.next_id(IdKind::Appointment);
    }
    for step in steps {
        let wish = match step {
            0 => AppointmentWish::Schedule(Appointment {
                user_id: UserId(1),
                text: AppointmentText::default().into(),
                starts_at,
                ends_at: starts_at + TimeDelta::hours(1),
                status: AppointmentStatus::Scheduled,
            }),
            1 => AppointmentWish::Update(AppointmentChanges {
                title: Some("Visit".to_owned()),
                user_id: Some(UserId(2)),
                ..AppointmentChanges::default()
            }),
            _ => AppointmentWish::Cancel,
        };
        let command = AppointmentCommand {
            // One for each lead.
            appointment_id: AppointmentId(lead),
            only_of: None,
            wish,
        };
        unit.execute::<Lead>(lead, LeadCommand::Appointments(Box::new(command)))?;
        let stage = [Stage::Contacted, Stage::New, Stage::Won][usize::try_from(step).unwrap_or(2)];
        let update = UpdateLead {
            stage: Some(stage),
            ..UpdateLead::default()
        };
        unit.execute::<Lead>(lead, LeadCommand::Update(Box::new(update)))?;
    }
    Ok(())
}

async fn command(
    ledger: &Ledger,
    make: impl Fn(&mut Unit<'_>) -> CompanyCommand + Send + Sync + 'static,
) -> Result<(), CommitError> {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let command = make(unit);
        unit.execute::<Company>(COMPANY, command)?;
        Ok(COMPANY)
    });
    let work = work.on(StreamKey::new(StreamKind::Company, COMPANY));
    ledger.commit(work).await.map(|_| ())
}

/// Each command in a commit of its own.
async fn company(ledger: &Ledger) {
    let create = |unit: &mut Unit<'_>| CompanyCommand::Create {
        company_id: CompanyId(unit.next_id(IdKind::Company)),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    };
    command(ledger, create).await.unwrap();
    let campaign = |unit: &mut Unit<'_>| {
        CompanyCommand::Campaigns(CampaignCommand::Create {
            campaign_id: CampaignId(unit.next_id(IdKind::Campaign)),
            campaign: Campaign {
                name: "Spring".to_owned(),
                status: CampaignStatus::Active,
                source_id: None,
                start_date: None,
                end_date: None,
            },
        })
    };
    command(ledger, campaign).await.unwrap();
    for on in [true, false, true] {
        let switch = move |_: &mut Unit<'_>| CompanyCommand::Cycles(CycleCommand::Switch(on));
        command(ledger, switch).await.unwrap();
    }
    for _ in 0..3 {
        let create = |unit: &mut Unit<'_>| CompanyCommand::Questions(question(unit));
        command(ledger, create).await.unwrap();
    }
}

#[tokio::test]
async fn the_rows_do_not_depend_on_which_events_shared_a_batch() {
    let database = TestDatabase::create().await;
    let ledger = open(&database).await;
    company(&ledger).await;
    // What verify folds in one batch was many here.
    assert_sound(&database).await;
    let mut carried_out = 0;
    for n in 0..80 {
        let outcome = command(&ledger, move |unit| wish(unit, n * 7 % 160)).await;
        carried_out += i32::from(outcome.is_ok());
    }
    assert_sound(&database).await;
    let wishes = (80..160).map(|n| command(&ledger, move |unit| wish(unit, n * 7 % 160)));
    let outcomes = join_all(wishes).await;
    carried_out += outcomes
        .iter()
        .map(|outcome| i32::from(outcome.is_ok()))
        .sum::<i32>();
    assert!(carried_out > 120, "{carried_out}");

    let leads = (0..12).map(|n| {
        let work = Work::new(Provenance::system("test"), move |unit| {
            let lead = unit.next_id(IdKind::Lead);
            let create = new_lead(lead, COMPANY, contact(&format!("p{n}@example.com")));
            unit.execute::<Lead>(lead, LeadCommand::Create(Box::new(create)))?;
            steps(unit, lead, 0..n % 4)?;
            Ok(lead)
        });
        let ledger = &ledger;
        async move {
            let lead = ledger.commit(work).await.unwrap().resource_id;
            for step in n % 4..3 {
                let work = Work::new(Provenance::system("test"), move |unit| {
                    steps(unit, lead, step..step + 1)?;
                    Ok(lead)
                });
                let stream = StreamKey::new(StreamKind::Lead, lead);
                ledger.commit(work.on(stream)).await.unwrap();
            }
        }
    });
    join_all(leads).await;
    let found: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM lead_stages), (SELECT count(*) FROM appointments WHERE status = 'cancelled' AND title = 'Visit'), \
         (SELECT count(*) FROM questions), (SELECT max(priority) FROM questions)",
    )
    .fetch_one(database.pool())
    .await
    .unwrap();
    assert_eq!((found.0, found.1), (36, 12));
    assert!(found.2 > 10, "{found:?}");
    assert_eq!(found.2, found.3);
    assert_sound(&database).await;
}
