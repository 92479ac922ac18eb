//! What an import is doing, and what can become of that. Pure.

use workspacefs_files_proto::import::ImportState as State;

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

/// Whether it holds keys and does something.
pub(crate) fn is_active(state: State) -> bool {
    matches!(state, State::Listing | State::Running)
}

/// The next state; None where the event comes too late or too early and changes nothing. While it is listing objects are read
/// already; it is running once it is known how many there are.
pub(crate) fn after(state: State, event: Event) -> Option<State> {
    match (event, state) {
        (Event::Listed, State::Listing) => Some(State::Running),
        (Event::Finished, state) if is_active(state) => Some(State::Done),
        (Event::Broke, state) if is_active(state) => Some(State::Failed),
        (Event::Cancelled, state) if is_active(state) => Some(State::Cancelled),
        (Event::Restarted, state) if is_active(state) => Some(State::Interrupted),
        // What failed or was cancelled goes on like what was interrupted: nothing that is there is read again.
        (Event::Resumed, State::Interrupted | State::Failed | State::Cancelled) => Some(State::Listing),
        _ => None,
    }
}

/// For sentences.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Listing | State::Running => "running",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
        State::Interrupted => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] =
        [State::Listing, State::Running, State::Done, State::Failed, State::Cancelled, State::Interrupted];

    #[test]
    fn what_ended_is_ended_by_nothing_else_and_goes_on_only_by_new_keys() {
        for state in STATES.into_iter().filter(|state| !is_active(*state)) {
            for event in [Event::Listed, Event::Finished, Event::Broke, Event::Cancelled, Event::Restarted] {
                assert_eq!(after(state, event), None, "{state:?} {event:?}");
            }
        }
        assert_eq!(after(State::Done, Event::Resumed), None);
        for state in [State::Failed, State::Cancelled, State::Interrupted] {
            assert_eq!(after(state, Event::Resumed), Some(State::Listing));
        }
    }

    #[test]
    fn what_runs_comes_to_each_end_and_is_not_begun_twice() {
        for state in [State::Listing, State::Running] {
            assert_eq!(after(state, Event::Finished), Some(State::Done));
            assert_eq!(after(state, Event::Broke), Some(State::Failed));
            assert_eq!(after(state, Event::Cancelled), Some(State::Cancelled));
            assert_eq!(after(state, Event::Restarted), Some(State::Interrupted));
            assert_eq!(after(state, Event::Resumed), None);
        }
        assert_eq!(after(State::Listing, Event::Listed), Some(State::Running));
        assert_eq!(after(State::Running, Event::Listed), None);
    }
}
