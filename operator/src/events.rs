//! Kubernetes Events: what happened to an object, for whoever runs `kubectl describe`. Losing one loses no work, so no pass
//! fails for an Event.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::error::chain;

/// The API server refuses longer notes.
const NOTE_BYTES_MAX: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happened {
    /// Whether somebody should act.
    pub warning: bool,
    /// CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

/// Writes Events.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// `instance` names this replica.
    pub fn new(client: Client, instance: &str) -> Self {
        let instance = Some(cut(instance, 128).to_string());
        Self(Recorder::new(client, Reporter { controller: "workspacefs.io/operator".into(), instance }))
    }

    /// Writes one about `object`.
    pub async fn publish(&self, object: &ObjectReference, happened: &Happened) {
        self.publish_with(object, None, happened).await;
    }

    /// Writes one about `object` and a second one, by which equal reasons are told apart: of two Events that agree in all
    /// but the note, only the first note is shown.
    pub async fn publish_with(
        &self,
        object: &ObjectReference,
        related: Option<ObjectReference>,
        happened: &Happened,
    ) {
        let event = Event {
            type_: if happened.warning { EventType::Warning } else { EventType::Normal },
            reason: happened.reason.into(),
            note: Some(cut(&happened.note, NOTE_BYTES_MAX).into()),
            action: "Reconcile".into(),
            secondary: related,
        };
        match self.0.publish(&event, object).await {
            Ok(()) => {}
            // A namespace that is going takes no new Events.
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                tracing::debug!(reason = happened.reason, "no Event: {}", status.message);
            }
            Err(error) => {
                tracing::warn!(reason = happened.reason, error = chain(&error), "cannot write an Event")
            }
        }
    }
}

/// At most `bytes_max` bytes of `text`, not splitting a character.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("aéé", 4), "aé");
        assert_eq!(cut(&"é".repeat(1000), NOTE_BYTES_MAX).len(), 1024);
        assert_eq!(cut(&format!("x{}", "é".repeat(1000)), NOTE_BYTES_MAX).len(), 1023);
    }
}
