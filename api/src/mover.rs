//! What a mover tells the operator: how far it is, by HTTP, and what came of it, in its termination message.

use serde::{Deserialize, Serialize};

use crate::fs_cache::PathState;

/// TCP port of `GET /progress`.
pub const PROGRESS_PORT: u16 = 9811;
/// The most of a termination message, in bytes: kubelet cuts what is longer.
pub const OUTCOME_BYTES_MAX: usize = 4096;

/// How far a mover is: the answer to `GET /progress`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The generation that it makes.
    pub generation: i64,
    /// What it does.
    pub step: Step,
    /// Files found in the source so far.
    pub files_found: u64,
    /// Of these copied, or found unchanged.
    pub files_done: u64,
    /// Bytes found in the source so far.
    pub bytes_found: u64,
    /// Of these copied, or found unchanged.
    pub bytes_done: u64,
    /// Bytes per second, over the last seconds.
    pub bytes_per_second: u64,
    /// Until this step ends if it goes on like this; not known before everything is found.
    pub eta_seconds: Option<u64>,
}

/// What a mover does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Step {
    /// It looks at what lies there, and takes away what is not wanted any more.
    #[default]
    Preparing,
    /// It copies.
    Copying,
    /// It reads what it wrote.
    Verifying,
    /// It makes the generation final.
    Committing,
    /// It has ended.
    Done,
}

/// What came of a mover.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The generation that is whole on the target now and is as the source is: made by this run, or the earlier one, where nothing
    /// has changed since. Absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When the source began to be read for it: seconds since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<i64>,
    /// The paths, in the order of the spec. A bucket is one path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathOutcome>,
    /// The generations that lie on the target now, whole ones only, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<i64>,
    /// Why it ended without what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What came of one path.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathOutcome {
    /// In one word.
    pub state: PathState,
    /// Files in the copy.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it is not whole, or what there is to know of it if it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Why a mover failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// In one word, for a condition.
    pub reason: FailureReason,
    /// For a person. Never a credential.
    pub message: String,
}

/// In one word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FailureReason {
    /// The source cannot be read.
    SourceUnreachable,
    /// The service refused the credentials.
    AccessDenied,
    /// There is no such bucket.
    NoSuchBucket,
    /// The target cannot be written.
    TargetUnavailable,
    /// The target is full, and no path fits.
    TargetFull,
    /// Nothing of what was asked for could be made whole.
    NothingWhole,
    /// The generation that was to be compared does not lie there any more, or not as it was made.
    GenerationGone,
    /// It was told to end.
    Interrupted,
    /// Something else.
    Failed,
}

impl Outcome {
    /// As a termination message: messages are shortened until it fits [`OUTCOME_BYTES_MAX`].
    pub fn to_message(&self) -> String {
        let mut shorter = self.clone();
        for length in [usize::MAX, 200, 80, 20, 0] {
            shorter.paths.iter_mut().for_each(|path| cut(&mut path.message, length));
            if let Some(failure) = &mut shorter.failure {
                cut(&mut failure.message, length.max(500));
            }
            if let Ok(text) = serde_json::to_string(&shorter)
                && text.len() <= OUTCOME_BYTES_MAX
            {
                return text;
            }
        }
        // Only a very long list of generations is left to be in the way.
        shorter.present.clear();
        serde_json::to_string(&shorter).unwrap_or_default()
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_with_many_long_messages_still_fits_into_a_termination_message() {
        let path = PathOutcome {
            state: PathState::Partial,
            files: u64::MAX,
            bytes: u64::MAX,
            message: "ä\n".repeat(2000),
        };
        let failure = Failure { reason: FailureReason::TargetFull, message: "ö".repeat(4000) };
        let outcome = Outcome {
            generation: Some(7),
            as_of: Some(1_700_000_000),
            paths: vec![path; 32],
            present: vec![5, 7],
            failure: Some(failure),
        };
        let text = outcome.to_message();
        assert!(text.len() <= OUTCOME_BYTES_MAX, "{} bytes", text.len());
        let read: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!((read.generation, read.present, read.paths.len()), (Some(7), vec![5, 7], 32));
        assert_eq!(read.paths[31].files, u64::MAX);
    }

    #[test]
    fn what_fits_is_not_shortened() {
        let failure = Failure { reason: FailureReason::AccessDenied, message: "x".repeat(3000) };
        let outcome = Outcome { failure: Some(failure), ..Outcome::default() };
        assert_eq!(serde_json::from_str::<Outcome>(&outcome.to_message()).unwrap(), outcome);
    }
}
