//! The decisions on campaigns, one by one.

use cqrs_es::test::TestFramework;

use super::*;
use crate::company::{Company, CompanyCommand, CompanyName};
use crate::ids::CompanyId;
use crate::phone::Region;
use crate::testing::assert_survives_storage;

fn company() -> CompanyEvent {
    CompanyEvent::CompanyCreated {
        company_id: CompanyId(1),
        name: CompanyName::parse("Acme").unwrap(),
        default: false,
        parent_company_id: None,
        region: Region::US,
    }
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
}

fn campaign(status: CampaignStatus) -> Campaign {
    Campaign {
        name: "Spring".to_owned(),
        status,
        source_id: Some(SourceId(3)),
        start_date: Some(day(10)),
        end_date: Some(day(20)),
    }
}

fn created(status: CampaignStatus) -> CompanyEvent {
    CompanyEvent::CampaignCreated {
        campaign_id: CampaignId(9),
        campaign: campaign(status),
    }
}

fn create(campaign: Campaign) -> CampaignCommand {
    CampaignCommand::Create {
        campaign_id: CampaignId(9),
        campaign,
    }
}

fn update(changes: CampaignChanges) -> CampaignCommand {
    CampaignCommand::Update {
        campaign_id: CampaignId(9),
        changes,
    }
}

fn to_status(status: CampaignStatus) -> CampaignCommand {
    update(CampaignChanges {
        status: Some(status),
        ..CampaignChanges::default()
    })
}

fn expect(given: Vec<CompanyEvent>, command: CampaignCommand, events: Vec<CompanyEvent>) {
    TestFramework::<Company>::with(())
        .given(given)
        .when(CompanyCommand::Campaigns(command))
        .then_expect_events(events);
}

fn expect_error(given: Vec<CompanyEvent>, command: CampaignCommand, error: CampaignError) {
    TestFramework::<Company>::with(())
        .given(given)
        .when(CompanyCommand::Campaigns(command))
        .then_expect_error(error.into());
}

#[test]
fn a_campaign_begins_active_or_paused() {
    for status in [CampaignStatus::Active, CampaignStatus::Paused] {
        expect(
            vec![company()],
            create(campaign(status)),
            vec![created(status)],
        );
    }
    let ended = create(campaign(CampaignStatus::Ended));
    expect_error(vec![company()], ended, CampaignError::Ended);
    assert_survives_storage(&created(CampaignStatus::Active), &[]);
}

#[test]
fn a_campaign_does_not_end_before_it_starts() {
    let mut reversed = campaign(CampaignStatus::Active);
    reversed.end_date = Some(day(9));
    expect_error(
        vec![company()],
        create(reversed),
        CampaignError::EndsBeforeStart,
    );
    let later = update(CampaignChanges {
        start_date: Change::Set(day(21)),
        ..CampaignChanges::default()
    });
    expect_error(
        vec![company(), created(CampaignStatus::Active)],
        later,
        CampaignError::EndsBeforeStart,
    );
}

#[test]
fn what_is_not_mentioned_stays() {
    let from = campaign(CampaignStatus::Active);
    let to = Campaign {
        name: "Summer".to_owned(),
        source_id: None,
        ..from.clone()
    };
    let changes = CampaignChanges {
        name: Some("Summer".to_owned()),
        source_id: Change::Clear,
        ..CampaignChanges::default()
    };
    expect(
        vec![company(), created(CampaignStatus::Active)],
        update(changes),
        vec![CompanyEvent::CampaignChanged {
            campaign_id: CampaignId(9),
            from,
            to,
        }],
    );
    expect(
        vec![company(), created(CampaignStatus::Active)],
        update(CampaignChanges::default()),
        vec![],
    );
    expect_error(
        vec![company()],
        update(CampaignChanges::default()),
        CampaignError::Unknown,
    );
}

#[test]
fn ended_is_for_good() {
    use CampaignStatus::{Active, Ended, Paused};
    for (from, to, allowed) in [
        (Active, Paused, true),
        (Paused, Active, true),
        (Active, Ended, true),
        (Paused, Ended, true),
        (Ended, Active, false),
        (Ended, Paused, false),
    ] {
        let mut given = vec![company(), created(Active)];
        if from != Active {
            given.push(changed(Active, from));
        }
        if allowed {
            expect(given, to_status(to), vec![changed(from, to)]);
        } else {
            expect_error(given, to_status(to), CampaignError::Ended);
        }
    }
}

fn changed(from: CampaignStatus, to: CampaignStatus) -> CompanyEvent {
    CompanyEvent::CampaignChanged {
        campaign_id: CampaignId(9),
        from: campaign(from),
        to: campaign(to),
    }
}

#[test]
fn an_active_campaign_takes_leads_until_its_last_day() {
    let active = campaign(CampaignStatus::Active);
    assert!(active.takes_leads_on(day(1)));
    assert!(active.takes_leads_on(day(20)));
    assert!(!active.takes_leads_on(day(21)));
    assert!(!campaign(CampaignStatus::Paused).takes_leads_on(day(15)));
    assert!(!campaign(CampaignStatus::Ended).takes_leads_on(day(15)));
    let endless = Campaign {
        end_date: None,
        ..active
    };
    assert!(endless.takes_leads_on(day(31)));
}
