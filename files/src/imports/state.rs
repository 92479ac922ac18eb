//! What an import is doing, and what can become of that. Pure.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Objects are found, and read already; how many there are is not known yet.
    Listing,
    /// All were found; not all are read.
    Running,
    /// Each object is there, or in the report.
    Done,
    /// It could not go on; the message says why.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// The process that ran it ended.
    Interrupted,
}

/// What happens to an import.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// The listing came to its end.
    Listed,
    /// Each object came to its end.
    Finished,
    /// Nothing more can be read, or written.
    Broke,
    /// A person ends it.
    Cancelled,
    /// It was running when another process read its record.
    Restarted,
    /// A person gives the keys anew.
    Resumed,
}

impl State {
    /// Whether it holds keys and does something.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Listing | Self::Running)
    }

    /// The next one; None where the event comes too late or too early and changes nothing.
    pub fn after(self, event: Event) -> Option<Self> {
        match (event, self) {
            (Event::Listed, Self::Listing) => Some(Self::Running),
            (Event::Finished, state) if state.is_active() => Some(Self::Done),
            (Event::Broke, state) if state.is_active() => Some(Self::Failed),
            (Event::Cancelled, state) if state.is_active() => Some(Self::Cancelled),
            (Event::Restarted, state) if state.is_active() => Some(Self::Interrupted),
            // What failed or was cancelled goes on like what was interrupted: nothing that is there is read again.
            (Event::Resumed, Self::Interrupted | Self::Failed | Self::Cancelled) => Some(Self::Listing),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Listing,
        State::Running,
        State::Done,
        State::Failed,
        State::Cancelled,
        State::Interrupted,
    ];

    #[test]
    fn what_ended_is_ended_by_nothing_else_and_goes_on_only_by_new_keys() {
        for state in STATES.into_iter().filter(|state| !state.is_active()) {
            for event in [Event::Listed, Event::Finished, Event::Broke, Event::Cancelled, Event::Restarted] {
                assert_eq!(state.after(event), None, "{state:?} {event:?}");
            }
        }
        assert_eq!(State::Done.after(Event::Resumed), None);
        for state in [State::Failed, State::Cancelled, State::Interrupted] {
            assert_eq!(state.after(Event::Resumed), Some(State::Listing));
        }
    }

    #[test]
    fn what_runs_comes_to_each_end_and_is_not_begun_twice() {
        for state in [State::Listing, State::Running] {
            assert_eq!(state.after(Event::Finished), Some(State::Done));
            assert_eq!(state.after(Event::Broke), Some(State::Failed));
            assert_eq!(state.after(Event::Cancelled), Some(State::Cancelled));
            assert_eq!(state.after(Event::Restarted), Some(State::Interrupted));
            assert_eq!(state.after(Event::Resumed), None);
        }
        assert_eq!(State::Listing.after(Event::Listed), Some(State::Running));
        assert_eq!(State::Running.after(Event::Listed), None);
    }
}
