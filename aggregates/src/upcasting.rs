//! Older shapes of events, made into today's when they are read. The stored ones never change.
//!
//! How to change the shape of an event is written in `docs/events.md`. In short: an absent field with a default needs no new
//! version; anything else takes a new one in the event's `version`, a step here from the version before, and a sample
//! of the new shape beside those of the old.
//!
//! The steps are those of `cqrs-es`, so that a stock program gives the same list to its `PersistedEventStore::with_upcasters`
//! and reads what every version of this code ever wrote.

use std::sync::LazyLock;

use cqrs_es::Aggregate;
use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster, SerializedEvent};
use serde_json::{Map, Value};

use crate::lead::Lead;
use crate::lead::appointments::AppointmentStatus;

/// The steps for events of this aggregate type, in the order in which they apply.
#[must_use]
pub fn upcasters(aggregate_type: &str) -> Vec<Box<dyn EventUpcaster>> {
    if aggregate_type == Lead::TYPE {
        vec![Box::new(SemanticVersionEventUpcaster::new(
            "LeadAppointmentCancelled",
            "2.0",
            Box::new(|payload| {
                // Nothing but a scheduled appointment could ever be called off.
                let was = AppointmentStatus::Scheduled.code();
                with_field(payload, "LeadAppointmentCancelled", "from_status", was)
            }),
        ))]
    } else {
        Vec::new()
    }
}

/// Adds a field to the content of an event, unless it is there.
fn with_field(mut payload: Value, event: &str, field: &str, value: &str) -> Value {
    let content = payload.get_mut(event).and_then(Value::as_object_mut);
    let add = |content: &mut Map<String, Value>| {
        let entry = content.entry(field);
        entry.or_insert_with(|| value.into());
    };
    // What is no such event is left to be found unreadable.
    if let Some(content) = content {
        add(content);
    }
    payload
}

static OF_LEADS: LazyLock<Vec<Box<dyn EventUpcaster>>> = LazyLock::new(|| upcasters(Lead::TYPE));

/// The payload in today's shape; `None` when it has that already, or is no JSON.
#[must_use]
pub fn upcast(
    aggregate_type: &str,
    event_type: &str,
    event_version: &str,
    payload: &str,
) -> Option<Value> {
    if aggregate_type != Lead::TYPE {
        return None;
    }
    let mut steps = OF_LEADS
        .iter()
        .filter(|step| step.can_upcast(event_type, event_version))
        .peekable();
    steps.peek()?;
    let mut event = SerializedEvent {
        aggregate_id: String::new(),
        sequence: 0,
        aggregate_type: aggregate_type.to_owned(),
        event_type: event_type.to_owned(),
        event_version: event_version.to_owned(),
        payload: serde_json::from_str(payload).ok()?,
        metadata: Value::Null,
    };
    for step in steps {
        event = step.upcast(event);
    }
    Some(event.payload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lead::LeadEvent;

    #[test]
    fn an_old_cancellation_says_what_it_was_before() {
        let old = r#"{"LeadAppointmentCancelled":{"appointment_id":7}}"#;
        let now = upcast("lead", "LeadAppointmentCancelled", "1", old).unwrap();
        let today =
            json!({"LeadAppointmentCancelled": {"appointment_id": 7, "from_status": "scheduled"}});
        assert_eq!(now, today);
        let event: LeadEvent = serde_json::from_value(now).unwrap();
        assert_eq!(event.version(), "2.0");
    }

    #[test]
    fn what_has_todays_shape_or_is_another_event_is_left_alone() {
        let new = r#"{"LeadAppointmentCancelled":{"appointment_id":7,"from_status":"scheduled"}}"#;
        assert_eq!(upcast("lead", "LeadAppointmentCancelled", "2.0", new), None);
        assert_eq!(upcast("lead", "LeadBlocked", "1", "{}"), None);
        assert_eq!(
            upcast("company", "LeadAppointmentCancelled", "1", new),
            None
        );
        assert_eq!(
            upcast("lead", "LeadAppointmentCancelled", "1", "no JSON"),
            None
        );
    }
}
