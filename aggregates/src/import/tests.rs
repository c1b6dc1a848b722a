//! The import's decisions, one by one and in any order.

use cqrs_es::test::TestFramework;
use proptest::prelude::*;

use super::*;
use crate::ids::{ImportId, UserId};
use crate::testing::{assert_survives_storage, carry_out, folded};

type Given = TestFramework<Import>;

fn file() -> ImportedFile {
    ImportedFile {
        hash: "ab".to_owned(),
        size: 12,
    }
}

fn request() -> ImportCommand {
    ImportCommand::Request(Box::new(RequestImport {
        import_id: ImportId(1),
        import_code: "c".to_owned(),
        company_id: CompanyId(2),
        user_id: Some(UserId(3)),
        name: "Clients of Ana".to_owned(),
        import_type: "leads".to_owned(),
        file: file(),
        options: ImportOptions::default(),
    }))
}

fn requested() -> ImportEvent {
    ImportEvent::ImportRequested {
        import_id: ImportId(1),
        import_code: "c".to_owned(),
        company_id: CompanyId(2),
        user_id: Some(UserId(3)),
        name: "Clients of Ana".to_owned().into(),
        import_type: "leads".to_owned(),
        file: file(),
        options: ImportOptions::default(),
    }
}

fn started() -> ImportEvent {
    ImportEvent::ImportStarted {
        total_rows: 3,
        columns: vec![],
    }
}

/// Two created leads and a refused row.
fn outcomes(first_row: i64) -> RowOutcomes {
    let mut outcomes = RowOutcomes::from(first_row);
    outcomes.push_created(LeadId(10));
    outcomes.push_created(LeadId(11));
    outcomes.push_failed("invalid_email", Some("E-mail".to_owned()));
    outcomes
}

fn processed() -> ImportEvent {
    ImportEvent::ImportRowsProcessed { rows: outcomes(2) }
}

fn process(first_row: i64) -> ImportCommand {
    ImportCommand::Process(Box::new(outcomes(first_row)))
}

fn given(history: &[ImportEvent], command: ImportCommand) -> Result<Vec<ImportEvent>, ImportError> {
    folded::<Import>(history).decide(command)
}

#[test]
fn it_is_requested_once() {
    Given::with(())
        .given_no_previous_events()
        .when(request())
        .then_expect_events(vec![requested()]);
    Given::with(())
        .given(vec![requested()])
        .when(request())
        .then_expect_error(ImportError::AlreadyRequested);
    Given::with(())
        .given_no_previous_events()
        .when(ImportCommand::Cancel)
        .then_expect_error(ImportError::NotRequested);
}

#[test]
fn rows_are_processed_in_their_order_each_once() {
    let under_way = [requested(), started()];
    let first_done = [requested(), started(), processed()];
    assert_eq!(
        given(&under_way[..1], process(2)),
        Err(ImportError::NotProcessing)
    );
    assert_eq!(given(&under_way, process(2)), Ok(vec![processed()]));
    for other in [2, 4, 6] {
        let again = given(&first_done, process(other));
        assert_eq!(again, Err(ImportError::NotNext));
    }
    let counts = outcomes(2).counts();
    assert_eq!(
        (counts.imported, counts.failed, counts.processed()),
        (2, 1, 3)
    );
    assert_eq!(
        given(&first_done, ImportCommand::Complete),
        Ok(vec![ImportEvent::ImportCompleted { counts }])
    );
}

#[test]
fn cancelling_says_where_it_stopped_and_ends_it() {
    let cancelled = |after_row| ImportEvent::ImportCancelled { after_row };
    let cancel = |history: &[ImportEvent]| given(history, ImportCommand::Cancel);
    assert_eq!(cancel(&[requested()]), Ok(vec![cancelled(1)]));
    assert_eq!(
        cancel(&[requested(), started(), processed()]),
        Ok(vec![cancelled(4)])
    );
    let ended = [requested(), started(), cancelled(1)];
    assert_eq!(cancel(&ended), Ok(vec![]));
    assert_eq!(given(&ended, process(2)), Err(ImportError::NotProcessing));
}

#[test]
fn it_is_undone_once_it_has_ended_and_only_once() {
    let undo = |history: &[ImportEvent]| given(history, ImportCommand::RequestUndo);
    let mut history = vec![requested(), started(), processed()];
    assert_eq!(undo(&history), Err(ImportError::StillUnderWay));
    history.push(ImportEvent::ImportCompleted {
        counts: outcomes(2).counts(),
    });
    let undoing = ImportEvent::ImportUndoRequested {
        from: ImportStatus::Completed,
    };
    assert_eq!(undo(&history), Ok(vec![undoing.clone()]));
    history.push(undoing);
    assert_eq!(undo(&history), Ok(vec![]));
    let leads = UndoneLeads {
        through_lead_id: LeadId(10),
        removed: 1,
        restored: 0,
        kept: vec![],
    };
    let step = ImportCommand::UndoLeads(Box::new(leads.clone()));
    let undone = ImportEvent::ImportLeadsUndone { leads };
    assert_eq!(given(&history, step.clone()), Ok(vec![undone.clone()]));
    history.push(undone);
    assert_eq!(given(&history, step), Err(ImportError::NotNext));
    assert_eq!(
        given(&history, ImportCommand::FinishUndo),
        Ok(vec![ImportEvent::ImportUndone {}])
    );
    history.push(ImportEvent::ImportUndone {});
    assert_eq!(undo(&history), Ok(vec![]));
}

#[test]
fn created_leads_are_kept_in_runs() {
    let mut rows = RowOutcomes::from(2);
    rows.push_created(LeadId(10));
    rows.push_created(LeadId(11));
    rows.push_skipped(LeadId(1));
    rows.push_created(LeadId(12));
    rows.push_created(LeadId(20));
    let runs = rows.created.iter();
    let runs: Vec<_> = runs
        .map(|run| (run.row, run.lead_id.get(), run.count))
        .collect();
    assert_eq!(runs, [(2, 10, 2), (5, 12, 1), (6, 20, 1)]);
    assert_eq!((rows.last_row, rows.counts().imported), (6, 4));
}

#[test]
fn events_survive_storage_and_hide_the_files_name() {
    for event in [requested(), started(), processed()] {
        assert_survives_storage(&event, &["Clients of Ana"]);
    }
}

proptest! {
    /// Whatever is asked in whatever order: rows follow each other, and the next is counted from those before.
    #[test]
    fn no_row_is_processed_twice(choices in proptest::collection::vec(0_u8..6, 0..60)) {
        let mut import = folded::<Import>(&[requested(), started()]);
        let mut next = FIRST_ROW;
        for choice in choices {
            let command = match choice {
                0 => ImportCommand::Complete,
                1 => ImportCommand::Cancel,
                2 => ImportCommand::RequestUndo,
                3 => process(next - 3),
                _ => process(next),
            };
            for event in carry_out(&mut import, command) {
                if let ImportEvent::ImportRowsProcessed { rows } = event {
                    prop_assert_eq!(rows.first_row, next);
                    next = rows.last_row + 1;
                }
            }
            prop_assert_eq!(import.next_row(), next);
        }
    }
}
