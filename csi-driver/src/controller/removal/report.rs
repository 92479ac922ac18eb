//! What people are told about files that stay, go, or have to wait: an Event, and condition NotOurs while the object is
//! still there. Losing one of them loses no work, so no pass fails for it.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use workspacefs_api::FileSystem;
use workspacefs_runtime::chain;

use super::{FIELD_MANAGER, Guarded};
use crate::share::ShareError;

const CONTROLLER: &str = "workspacefs.io/csi-controller";
const NOT_OURS: &str = "NotOurs";
/// The API server refuses longer ones.
const NOTE_BYTES_MAX: usize = 1024;
const INSTANCE_BYTES_MAX: usize = 128;

/// Tells people.
pub struct Reports {
    client: Client,
    recorder: Recorder,
}

impl Reports {
    /// `instance` names this process.
    pub fn new(client: Client, instance: &str) -> Self {
        let instance = Some(cut(instance, INSTANCE_BYTES_MAX).to_owned());
        let reporter = Reporter { controller: CONTROLLER.into(), instance };
        Self { recorder: Recorder::new(client.clone(), reporter), client }
    }

    /// The files were moved to `place` on the share.
    pub async fn moved(&self, object: &Guarded, place: &str) {
        let note = format!("the files were moved to {place} of the export");
        self.event(object, EventType::Normal, "FilesMoved", note).await;
    }

    /// There are no files. Also told where an earlier pass moved them and was cut before it could say so.
    pub async fn absent(&self, object: &Guarded) {
        let note = "the folder is not on the share: it was never made, or it has been moved away";
        self.event(object, EventType::Normal, "NoFolder", note.into()).await;
    }

    /// The files stay.
    pub async fn kept(&self, object: &Guarded, reason: &str) {
        let note = format!("the files stay where they are: {reason}");
        self.condition(object, "True", "FilesKept", &note).await;
        self.event(object, EventType::Warning, NOT_OURS, note).await;
    }

    /// The share cannot say yet.
    pub async fn not_yet(&self, object: &Guarded, error: &ShareError) {
        let note = format!(
            "the files are not moved away yet, and the FileSystem waits for that: {}. To let it go and keep the files, \
             set its reclaimPolicy to Retain",
            chain(error)
        );
        if self.condition(object, "Unknown", "ServerNotAnswering", &note).await {
            self.event(object, EventType::Warning, "FilesNotMoved", note).await;
        }
    }

    /// Gives back whether that is news.
    async fn condition(&self, object: &Guarded, status: &str, reason: &str, message: &str) -> bool {
        let known = object.0.as_ref().ok().and_then(|fs| fs.condition(NOT_OURS));
        let said = known.filter(|known| known.status == status);
        if said.is_some_and(|known| known.reason == reason && known.message == message) {
            return false;
        }
        let condition = Condition {
            type_: NOT_OURS.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: object.meta().generation,
            last_transition_time: said
                .map_or_else(|| Time(Timestamp::now()), |known| known.last_transition_time.clone()),
        };
        let name = object.name_any();
        // By its own field manager: the operator's conditions stay as they are.
        let patch = json!({
            "apiVersion": FileSystem::api_version(&()), "kind": FileSystem::kind(&()),
            "metadata": {"name": name, "uid": object.meta().uid}, "status": {"conditions": [condition]},
        });
        let api: Api<PartialObjectMeta<FileSystem>> =
            Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let by_us = PatchParams::apply(FIELD_MANAGER).force();
        if let Err(error) = api.patch_status(&name, &by_us, &Patch::Apply(&patch)).await {
            tracing::debug!(name, cause = chain(&error), "the condition NotOurs could not be written");
        }
        true
    }

    async fn event(&self, object: &Guarded, type_: EventType, reason: &str, note: String) {
        let about = ObjectReference {
            api_version: Some(FileSystem::api_version(&()).into_owned()),
            kind: Some(FileSystem::kind(&()).into_owned()),
            name: Some(object.name_any()),
            namespace: object.namespace(),
            uid: object.meta().uid.clone(),
            ..Default::default()
        };
        let event = Event {
            type_,
            reason: reason.into(),
            note: Some(cut(&note, NOTE_BYTES_MAX).into()),
            action: "Reclaim".into(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            // A namespace that is going takes no new Events.
            tracing::debug!(reason, note, cause = chain(&error), "the Event could not be written");
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("ab", 9), "ab");
    }
}
