//! The synchronous heart of an aggregate, and its bridge to `cqrs-es`.
//!
//! `cqrs_es::Aggregate::handle` is asynchronous because stock services may be; our decisions never wait. Keeping
//! them synchronous lets the committer chain many commands on one stream inside one transaction.

use cqrs_es::Aggregate;

/// A pure decision and a pure fold.
pub trait Decide: Aggregate<Services = ()> + Clone {
    /// Answers the events that `command` causes in this state; none when there is nothing to do.
    ///
    /// # Errors
    /// The rule that the command would break. The state is untouched.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Folds one event into the state. Must accept every event ever stored, also one whose personal data is
    /// sealed or erased.
    fn evolve(&mut self, event: &Self::Event);
}

/// Implements `cqrs_es::Aggregate` and `cqrs_es::DomainEvent` for a type that implements [`Decide`].
///
/// The event type is named by its serde tag, so that the stored `event_type` and the payload never disagree. Its version is that
/// of all events of the type, or what a last argument answers for the event.
#[macro_export]
macro_rules! bridge_to_cqrs_es {
    ($aggregate:ty, $stream_type:literal, $command:ty, $event:ty, $error:ty) => {
        $crate::bridge_to_cqrs_es!(
            $aggregate,
            $stream_type,
            $command,
            $event,
            $error,
            |_: &$event| <$event>::VERSION
        );
    };
    ($aggregate:ty, $stream_type:literal, $command:ty, $event:ty, $error:ty, $version:expr) => {
        impl cqrs_es::Aggregate for $aggregate {
            const TYPE: &'static str = $stream_type;
            type Command = $command;
            type Event = $event;
            type Error = $error;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                (): &Self::Services,
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::Decide::decide(self, command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                $crate::Decide::evolve(self, &event);
            }
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                self.name().to_owned()
            }

            fn event_version(&self) -> String {
                ($version)(self).to_owned()
            }
        }
    };
}
