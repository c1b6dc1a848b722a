//! Appointments with the person behind a lead.
//!
//! Invariants
//! - An appointment ends after it starts, and within a month.
//! - It is scheduled, done or missed until it is cancelled; a cancelled one does not change any more.
//! - Who may only work on their own leads touches the appointments of no other.
//!
//! One user's appointments may overlap: that is told, never refused, and is a matter of the read models.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{LeadError, LeadEvent, OnlyOf};
use crate::ids::{AppointmentId, UserId};
use crate::{Change, Personal};

/// The most appointments that one lead can hold.
pub const MAX_APPOINTMENTS: usize = 1_000;
/// The longest that an appointment lasts.
pub const MAX_DAYS: i64 = 31;

/// What has become of an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppointmentStatus {
    /// It is to come, or nobody has said yet how it went.
    Scheduled,
    /// It took place.
    Done,
    /// The person did not appear.
    NoShow,
    /// It does not take place.
    Cancelled,
}

impl AppointmentStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Scheduled, Self::Done, Self::NoShow, Self::Cancelled];

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Done => "done",
            Self::NoShow => "no_show",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

/// What is written about an appointment. In events it is sealed as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AppointmentText {
    /// What it is called.
    pub title: String,
    /// What it is about.
    pub description: Option<String>,
    /// Where it takes place.
    pub location: Option<String>,
}

/// An appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Whose it is; the caller has checked that they hold a role in the company.
    pub user_id: UserId,
    /// Title, description and place.
    pub text: Personal<AppointmentText>,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// What has become of it.
    pub status: AppointmentStatus,
}

/// Changes of an appointment; what is not mentioned stays.
#[derive(Debug, Clone, Default)]
pub struct AppointmentChanges {
    /// Whose it is.
    pub user_id: Option<UserId>,
    /// What it is called.
    pub title: Option<String>,
    /// What it is about.
    pub description: Change<String>,
    /// Where it takes place.
    pub location: Change<String>,
    /// When it starts.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub ends_at: Option<DateTime<Utc>>,
    /// What has become of it.
    pub status: Option<AppointmentStatus>,
}

/// A wish that concerns a lead's appointments.
#[derive(Debug, Clone)]
pub struct AppointmentCommand {
    /// The appointment.
    pub appointment_id: AppointmentId,
    /// See [`LeadError::NotAssignedToCaller`].
    pub only_of: OnlyOf,
    /// What is wished.
    pub wish: AppointmentWish,
}

/// See [`AppointmentCommand`].
#[derive(Debug, Clone)]
pub enum AppointmentWish {
    /// Make it.
    Schedule(Appointment),
    /// Change it.
    Update(AppointmentChanges),
    /// Call it off.
    Cancel,
}

/// A rule of appointments that a command would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppointmentError {
    /// The lead has none with this id.
    #[error("there is no such appointment on the lead")]
    Unknown,
    /// The times are the wrong way round.
    #[error("an appointment must end after it starts")]
    EndsBeforeStart,
    /// More than [`MAX_DAYS`].
    #[error("an appointment lasts at most {MAX_DAYS} days")]
    TooLong,
    /// It does not take place, so nothing of it changes.
    #[error("the appointment is cancelled")]
    Cancelled,
    /// What took place cannot be called off.
    #[error("only a scheduled appointment can be cancelled")]
    NotScheduled,
    /// Whose it shall be holds no role in the lead's company; the caller looked.
    #[error("an appointment is of somebody with a role in the company")]
    UserHasNoRole,
    /// More than [`MAX_APPOINTMENTS`].
    #[error("a lead holds at most {MAX_APPOINTMENTS} appointments")]
    TooMany,
}

/// Every appointment of the lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointments(BTreeMap<AppointmentId, Appointment>);

impl Appointments {
    /// The appointment with this id.
    #[must_use]
    pub fn get(&self, id: AppointmentId) -> Option<&Appointment> {
        self.0.get(&id)
    }

    pub(super) fn decide(
        &self,
        appointment_id: AppointmentId,
        wish: AppointmentWish,
    ) -> Result<Vec<LeadEvent>, LeadError> {
        let known = || self.get(appointment_id).ok_or(AppointmentError::Unknown);
        match wish {
            AppointmentWish::Schedule(appointment) => {
                if self.0.contains_key(&appointment_id) {
                    return Ok(vec![]);
                }
                if self.0.len() >= MAX_APPOINTMENTS {
                    return Err(AppointmentError::TooMany.into());
                }
                check_times(&appointment)?;
                Ok(vec![LeadEvent::LeadAppointmentScheduled {
                    appointment_id,
                    appointment,
                }])
            }
            AppointmentWish::Update(changes) => {
                let from = known()?.clone();
                let to = changed(&from, changes)?;
                if from == to {
                    return Ok(vec![]);
                }
                if from.status == AppointmentStatus::Cancelled {
                    return Err(AppointmentError::Cancelled.into());
                }
                check_times(&to)?;
                Ok(vec![LeadEvent::LeadAppointmentChanged {
                    appointment_id,
                    from,
                    to,
                }])
            }
            AppointmentWish::Cancel => match known()?.status {
                AppointmentStatus::Cancelled => Ok(vec![]),
                from_status @ AppointmentStatus::Scheduled => {
                    Ok(vec![LeadEvent::LeadAppointmentCancelled {
                        appointment_id,
                        from_status,
                    }])
                }
                AppointmentStatus::Done | AppointmentStatus::NoShow => {
                    Err(AppointmentError::NotScheduled.into())
                }
            },
        }
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (AppointmentId, &Appointment)> {
        self.0.iter().map(|(id, appointment)| (*id, appointment))
    }

    /// Title, description and place are gone; when it was and whose it was stays.
    pub(super) fn forget_words(&mut self) {
        for appointment in self.0.values_mut() {
            appointment.text = Personal::Erased;
        }
    }

    pub(super) fn set(&mut self, id: AppointmentId, appointment: Appointment) {
        self.0.insert(id, appointment);
    }

    pub(super) fn cancelled(&mut self, id: AppointmentId) {
        if let Some(known) = self.0.get_mut(&id) {
            known.status = AppointmentStatus::Cancelled;
        }
    }
}

fn changed(from: &Appointment, changes: AppointmentChanges) -> Result<Appointment, LeadError> {
    let old = from.text.plain().ok_or(LeadError::Erased)?.clone();
    let text = AppointmentText {
        title: changes.title.unwrap_or(old.title),
        description: changes.description.apply(old.description),
        location: changes.location.apply(old.location),
    };
    Ok(Appointment {
        user_id: changes.user_id.unwrap_or(from.user_id),
        text: text.into(),
        starts_at: changes.starts_at.unwrap_or(from.starts_at),
        ends_at: changes.ends_at.unwrap_or(from.ends_at),
        status: changes.status.unwrap_or(from.status),
    })
}

fn check_times(appointment: &Appointment) -> Result<(), AppointmentError> {
    if appointment.ends_at <= appointment.starts_at {
        return Err(AppointmentError::EndsBeforeStart);
    }
    if appointment.ends_at - appointment.starts_at > TimeDelta::days(MAX_DAYS) {
        return Err(AppointmentError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
#[path = "appointments_tests.rs"]
mod tests;
