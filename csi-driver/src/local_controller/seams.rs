//! What the controller of local volumes stands on, as traits: LocalStorages, LocalVolumes and Nodes of the API server. Tests
//! bring their own; `objects` is the real one.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use workspacefs_api::{LocalStorage, LocalVolume};

/// The API server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It answered, and said no.
    #[error("the API server does not let the controller {action}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// Its answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The object has changed since it was read: nothing was written.
    #[error("somebody else has changed the LocalVolume at the same time")]
    Overtaken,
    /// It said nothing, or that it cannot now. A write may have been done all the same.
    #[error("the API server gave no answer when it was asked to {action}")]
    NoAnswer {
        /// What was asked.
        action: &'static str,
        /// What came instead.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The LocalStorages of the cluster.
#[async_trait]
pub trait LocalStorages: Send + Sync + 'static {
    /// One by name, as it is now; None if there is none.
    async fn by_name(&self, name: &str) -> Result<Option<Arc<LocalStorage>>, ApiError>;
    /// The same as a watch has last seen it: for figures, which are old anyway.
    async fn seen(&self, name: &str) -> Result<Option<Arc<LocalStorage>>, ApiError> {
        self.by_name(name).await
    }
}

/// Says of what is there under a name whether to go on waiting: None is nothing.
pub type Until = Box<dyn Fn(Option<&LocalVolume>) -> bool + Send + Sync>;

/// What came of waiting.
#[derive(Clone, Debug, PartialEq)]
pub enum Waited {
    /// It came: this is what is there.
    Came(Option<Box<LocalVolume>>),
    /// Not in time.
    Late,
}

/// The LocalVolumes of the cluster. Each call may be repeated.
#[async_trait]
pub trait LocalVolumes: Send + Sync + 'static {
    /// One by name, which must have the form of a uid; None if there is none.
    async fn get(&self, name: &str) -> Result<Option<LocalVolume>, ApiError>;
    /// All with that value of the label for names. Nothing that was written before is missing.
    async fn labelled(&self, value: &str) -> Result<Vec<LocalVolume>, ApiError>;
    /// Writes a new one and gives it back; None if there is one of that name.
    async fn create(&self, volume: &LocalVolume) -> Result<Option<LocalVolume>, ApiError>;
    /// Marks this very object as one whose files are to go, and asks for its deletion; one that is gone is fine, and one that is
    /// being deleted is only marked.
    async fn delete(&self, volume: &LocalVolume) -> Result<(), ApiError>;
    /// Asks for another size, if the object is still as it was read.
    async fn resize(&self, volume: &LocalVolume, size_bytes: i64) -> Result<LocalVolume, ApiError>;
    /// Takes the finalizer off this very object; one that is gone is fine.
    async fn release(&self, volume: &LocalVolume) -> Result<(), ApiError>;
    /// Waits until what is there under that name is `until`, at the latest until `deadline`.
    async fn wait(&self, name: &str, until: Until, deadline: Instant) -> Result<Waited, ApiError>;
}

/// What Kubernetes knows of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NodeState {
    /// There is no Node of that name.
    Absent,
    /// There is one, whose kubelet is not heard of, or not well.
    NotReady,
    /// It is Ready.
    Ready,
}

/// The Nodes of the cluster.
#[async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// What is known of one.
    async fn state(&self, name: &str) -> Result<NodeState, ApiError>;
}
