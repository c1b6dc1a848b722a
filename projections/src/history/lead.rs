//! What a lead's events changed.

use aggregates::lead::LeadEvent;
use aggregates::lead::appointments::{Appointment, AppointmentStatus};
use aggregates::lead::erasure::DataStatus;

use super::diff::Diff;

const VALUE: &str = "estimated_value.";
/// What is still so of a lead that was taken away: whose it was, and how far its data is erased.
const ON_RECORD: [&str; 4] = ["id", "company_id", "data_status", "data_status_reason"];

/// Its words are fields like its others, though they are sealed together.
fn with_appointment<'t>(
    diff: Diff<'t>,
    prefix: &str,
    from: Option<&Appointment>,
    to: &Appointment,
) -> Diff<'t> {
    let text = format!("{prefix}text");
    diff.value(
        format!("{prefix}user_id"),
        &from.map(|from| from.user_id),
        &to.user_id,
    )
    .personal(&text, prefix, from.map(|from| &from.text), Some(&to.text))
    .value(
        format!("{prefix}starts_at"),
        &from.map(|from| from.starts_at),
        &to.starts_at,
    )
    .value(
        format!("{prefix}ends_at"),
        &from.map(|from| from.ends_at),
        &to.ends_at,
    )
    .value(
        format!("{prefix}status"),
        &from.map(|from| from.status),
        &to.status,
    )
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm an event: to be read as a table"
)]
pub(super) fn changes<'t>(diff: Diff<'t>, event: &LeadEvent) -> Diff<'t> {
    match event {
        LeadEvent::LeadCreated {
            lead_id,
            company_id,
            contact,
            stage_id,
            source_id,
            campaign_id,
            cycle_id,
            territory_id,
            user_access_id,
            answers,
            extra,
            estimated_value,
            territory_match,
            routing,
        } => diff
            .new_value("id", lead_id)
            .new_value("company_id", company_id)
            .new_value("data_status", &DataStatus::InUse)
            .personal("contact", "", None, Some(contact))
            .new_value("stage_id", stage_id)
            .since("stage_entered_at", &(), None)
            .new_value("source_id", source_id)
            .new_value("campaign_id", campaign_id)
            .new_value("cycle_id", cycle_id)
            .new_value("territory_id", territory_id)
            .new_value("user_access_id", user_access_id)
            .answers(None, Some(answers))
            .personal("extra", "extra.", None, Some(extra))
            .object(VALUE, &(), estimated_value)
            .new_value("territory_match", territory_match)
            .new_value("routing", routing),
        LeadEvent::LeadContactChanged { from, to } => {
            diff.personal("contact", "", Some(from), Some(to))
        }
        LeadEvent::LeadStageChanged {
            from_stage_id,
            to_stage_id,
            from_entered_at,
            to_entered_at,
        } => diff.value("stage_id", from_stage_id, to_stage_id).since(
            "stage_entered_at",
            from_entered_at,
            *to_entered_at,
        ),
        LeadEvent::LeadClassified { from, to } => diff.object("", from, to),
        LeadEvent::LeadAssigned {
            from_user_access_id,
            to_user_access_id,
        } => diff.value("user_access_id", from_user_access_id, to_user_access_id),
        LeadEvent::LeadAnswersChanged { from, to } => diff.answers(Some(from), Some(to)),
        LeadEvent::LeadExtraFieldsChanged { from, to } => {
            diff.personal("extra", "extra.", Some(from), Some(to))
        }
        LeadEvent::LeadValueChanged { from, to } => diff.object(VALUE, from, to),
        LeadEvent::LeadNoteAdded {
            note_id,
            author_id,
            content,
        } => diff
            .new_value(format!("notes[{note_id}].content"), content)
            .new_value(format!("notes[{note_id}].author_id"), author_id),
        LeadEvent::LeadNoteRemoved { note_id } => diff.all_gone(&format!("notes[{note_id}]")),
        LeadEvent::LeadAppointmentScheduled {
            appointment_id,
            appointment,
        } => with_appointment(
            diff,
            &format!("appointments[{appointment_id}]."),
            None,
            appointment,
        ),
        LeadEvent::LeadAppointmentChanged {
            appointment_id,
            from,
            to,
        } => with_appointment(
            diff,
            &format!("appointments[{appointment_id}]."),
            Some(from),
            to,
        ),
        LeadEvent::LeadAppointmentCancelled {
            appointment_id,
            from_status,
        } => diff.value(
            format!("appointments[{appointment_id}].status"),
            from_status,
            &AppointmentStatus::Cancelled,
        ),
        LeadEvent::LeadBlocked { reason } => diff
            .value("data_status", &DataStatus::InUse, &DataStatus::Blocked)
            .stated("data_status_reason", reason),
        LeadEvent::LeadUnblocked {
            contact,
            answers,
            extra,
        } => {
            // The block took nothing away, and so nothing comes back: told is only what was another before.
            let diff = diff
                .value("data_status", &DataStatus::Blocked, &DataStatus::InUse)
                .cleared("data_status_reason")
                .repeated("contact", "", contact)
                .repeated("extra", "extra.", extra);
            match answers.plain() {
                Some(_) => diff.answers(Some(answers), Some(answers)),
                None => diff,
            }
        }
        LeadEvent::LeadErased { reason } => diff
            .value("data_status", &DataStatus::Blocked, &DataStatus::Erased)
            .stated("data_status_reason", reason),
        LeadEvent::LeadHoldPlaced {
            legal_hold_id,
            reason,
            until,
        } => diff
            .new_value(format!("legal_holds[{legal_hold_id}].reason"), reason)
            .new_value(format!("legal_holds[{legal_hold_id}].until"), until)
            .new_value(format!("legal_holds[{legal_hold_id}].released"), &false),
        LeadEvent::LeadRemoved { import_id } => diff
            .everything_gone_but(&ON_RECORD)
            .new_value("removed", &true)
            .new_value("removed_by_undoing_import_id", import_id),
        LeadEvent::LeadHoldReleased { legal_hold_id } => diff.value(
            format!("legal_holds[{legal_hold_id}].released"),
            &false,
            &true,
        ),
    }
}
