//! What the programs print, as JSON.

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

/// What `volume-bench fill` found out about one volume of the embedded server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct VolumeReport {
    /// The volume, for DeleteVolume.
    pub volume_id: String,
    /// Files when usage was asked for first.
    pub few: usize,
    /// ListFileSystems then.
    pub usage_with_few: Summary,
    /// Files at the end.
    pub many: usize,
    /// ListFileSystems then.
    pub usage_with_many: Summary,
    /// How many inodes of the volume ListFileSystems counted then.
    pub inodes_counted: u64,
}

/// What `disk-bench usage` found out about one volume of a local disk.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UsageReport {
    /// NodeGetVolumeStats.
    pub took: Summary,
    /// How many inodes of the volume the last answer counted.
    pub inodes_counted: u64,
}

/// Reading and writing one file in one folder; medians of the rounds, and percentiles of single calls.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FilesReport {
    /// Writing a new file from its start to its end, and fsync.
    pub write_mib_s: f64,
    /// Reading it from start to end, with nothing of it in the client's memory.
    pub read_mib_s: f64,
    /// 4 KiB and fdatasync, anywhere in it.
    pub write_4k: Summary,
    /// 4 KiB past the client's cache, anywhere in it.
    pub read_4k: Summary,
}
