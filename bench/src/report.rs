//! What `csi-bench` prints, as JSON.

use serde::{Deserialize, Serialize};

use crate::Summary;

/// The node plugin against an empty RPC on the same server and against exec of mount(8), in one run on one machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DriverReport {
    /// Identity.Probe: gRPC over the socket and nothing else.
    pub probe: Summary,
    /// NodePublishVolume of a folder on a share that is mounted already.
    pub publish: Summary,
    /// NodeUnpublishVolume.
    pub unpublish: Summary,
    /// `mount --bind`, started as a program.
    pub exec_mount: Summary,
    /// `umount`, started as a program.
    pub exec_umount: Summary,
    /// NodePublishVolume while `many_mounts` other volumes are published.
    pub publish_among_many: Summary,
    /// How many others.
    pub many_mounts: usize,
    /// Publish + unpublish, one after the other: pairs per second.
    pub pairs_per_second: f64,
    /// The same with `concurrent` callers.
    pub pairs_per_second_concurrent: f64,
    /// How many callers.
    pub concurrent: usize,
}
