//! What the conditions of a FileSystem say, decided from what was seen. Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;
use workspacefs_api::level::Level;
use workspacefs_api::local_storage::LOCAL_STORAGE_UID_LABEL;
use workspacefs_api::{FileSystemStatus, LOCAL_DRIVER, NfsVersion, UsageScope};

use super::children::claim_phase;
use super::objects::Identity;
use super::plan::{CAPACITY_PLACEHOLDER, Wanted};
use crate::child::Child;
use crate::class::CLASS_READY;
use crate::conditions::Finding;
use crate::files::findings::FILES_READY;
use crate::pair;
use crate::probe::{Outcome, Target};

/// Annotations of a claim in which Kubernetes says who makes its volume, now and as it was called before.
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

/// Workloads can use it.
pub const READY: &str = "Ready";
/// The server answers.
pub const REACHABLE: &str = "Reachable";
/// The size is a limit.
pub const QUOTA_ENFORCED: &str = "QuotaEnforced";
/// Locks are not seen by other nodes.
pub const LOCKS_LOCAL: &str = "LocksLocal";
/// It is being deleted, but pods or further claims use it.
pub const IN_USE: &str = "InUse";
/// Pods without rights cannot reach the server.
pub const ISOLATED: &str = "Isolated";
/// The capacity that is asked for is enforced. Said only where it is not.
pub const RESIZED: &str = "Resized";
/// Nodes have the kernel's cache to read it through. Said only where `localCache` asks for it.
pub const CACHE_READY: &str = "CacheReady";
/// The share that it lies on has little space left, or none. Said only where that is so.
pub const SPACE_LOW: &str = "SpaceLow";

/// Every condition that the operator writes. Others are others'.
pub const OURS: [&str; 11] = [
    READY,
    REACHABLE,
    QUOTA_ENFORCED,
    LOCKS_LOCAL,
    IN_USE,
    ISOLATED,
    RESIZED,
    CLASS_READY,
    CACHE_READY,
    SPACE_LOW,
    FILES_READY,
];

/// Ready, of a FileSystem with a volume of ours.
pub fn ready(
    fs: &Identity,
    volume: &Child<PersistentVolume>,
    claim: &Child<PersistentVolumeClaim>,
) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let (name, volume_name) = (&fs.name, fs.volume_name());
    if let Some((reason, message)) =
        pair::obstacle("FileSystem", (name, claim), (&volume_name, volume), ". Files stay")
    {
        return not(reason, message);
    }
    let (Child::Ours(claim), Child::Ours(_)) = (claim, volume) else {
        return not("Binding", format!("claim {name} and volume {volume_name} are being made"));
    };
    match claim_phase(claim) {
        "Bound" => Finding::new(READY, true, "Bound", format!("pods mount it with claimName: {name}")),
        "Lost" => not("ClaimLost", format!("claim {name} has lost its volume; it is being bound again")),
        _ => not("Binding", format!("Kubernetes has not bound claim {name} to volume {volume_name} yet")),
    }
}

/// Why a FileSystem on a claim is none: what it would show is another thing on each node.
pub const CLAIM_IS_LOCAL: &str = "ClaimIsLocal";

/// Ready, of a FileSystem that uses a claim of another driver. `volume` is that which the claim names, if it is there.
pub fn ready_on_claim(
    name: &str,
    claim: Option<&PersistentVolumeClaim>,
    volume: Option<&PersistentVolume>,
) -> Finding {
    let not = |reason, message| Finding::new(READY, false, reason, message);
    let Some(claim) = claim else {
        return not("ClaimMissing", format!("there is no PersistentVolumeClaim {name} in this namespace"));
    };
    if is_on_nodes_disks(claim) || volume.is_some_and(is_of_nodes_disks) {
        return not(
            CLAIM_IS_LOCAL,
            format!(
                "claim {name} is of a LocalStorage: on each node it has other files, so it is no FileSystem. Pods mount it as it is"
            ),
        );
    }
    let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()).unwrap_or_default();
    if !modes.iter().any(|mode| mode == "ReadWriteMany") {
        return not(
            "ClaimNotShared",
            format!("claim {name} is not ReadWriteMany, so its volume cannot be mounted from many nodes"),
        );
    }
    match claim_phase(claim) {
        "Bound" => Finding::new(READY, true, "Bound", format!("pods mount it with claimName: {name}")),
        phase => not(
            "ClaimNotBound",
            format!("claim {name} is {}", if phase.is_empty() { "Pending" } else { phase }),
        ),
    }
}

/// Whether a claim is a LocalStorage's: the one that a workspace has of it, or one of its class.
fn is_on_nodes_disks(claim: &PersistentVolumeClaim) -> bool {
    claim.labels().contains_key(LOCAL_STORAGE_UID_LABEL)
        || PROVISIONER.iter().any(|key| claim.annotations().get(*key).is_some_and(|by| by == LOCAL_DRIVER))
}

/// Whatever its claim says: a volume's driver cannot be changed, and labels and annotations of a claim are its user's.
fn is_of_nodes_disks(volume: &PersistentVolume) -> bool {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    csi.is_some_and(|csi| csi.driver == LOCAL_DRIVER)
}

/// Ready, of an object that asks for what cannot be.
pub fn invalid(why: &str) -> Finding {
    Finding::new(READY, false, "Invalid", format!("the spec is not valid: {why}"))
}

/// Ready, of one that is being deleted.
pub fn terminating(message: impl Into<String>) -> Finding {
    Finding::new(READY, false, "Terminating", message)
}

/// Reachable, of any server.
pub fn reachable(target: &Target, probed: Option<&Outcome>) -> Finding {
    match probed {
        None => Finding::not_yet(REACHABLE, format!("{target} is being asked")),
        Some(outcome) => {
            Finding::new(REACHABLE, outcome.reachable(), outcome.reason(), outcome.message(target))
        }
    }
}

/// SpaceLow, by what the status says of the share. Whoever wrote that: the operator itself asks no share.
pub fn space_low(wanted: &Wanted, old: &FileSystemStatus) -> Option<Finding> {
    let usage = old.usage.as_ref().filter(|usage| usage.scope == UsageScope::Share)?;
    let told = old.conditions.iter().find(|condition| condition.type_ == SPACE_LOW);
    let before = told.map_or(Level::Fine, |condition| Level::of_reason(&condition.reason));
    let share = format!("{}:{}", wanted.attributes.server, wanted.attributes.export);
    let whole =
        "These are the figures of the share as a whole: other FileSystems and others' files are in them";
    let (reason, message) = match Level::of_share(before, usage) {
        Level::Fine => return None,
        Level::Nearly => (
            "NearlyFull",
            format!(
                "more than 90 % of the share {share}, or of the files that there may be, is used. {whole}"
            ),
        ),
        Level::Full => (
            "Full",
            format!(
                "the share {share}, or the number of files that there may be, is used up; who writes gets an error. {whole}"
            ),
        ),
    };
    Some(Finding::new(SPACE_LOW, true, reason, message))
}

/// Reachable, QuotaEnforced and LocksLocal.
pub fn about_server(wanted: &Wanted, probed: Option<&Outcome>) -> Vec<Finding> {
    let reachable = reachable(&wanted.target(), probed);
    let whole = "status.usage is that of its whole share";
    let advice = match &wanted.capacity {
        Some(size) => {
            format!("an nfs backend cannot enforce {}; the server decides what fits. {whole}", size.0)
        }
        None => {
            format!("no capacity is set; the {CAPACITY_PLACEHOLDER} on the claim is a placeholder. {whole}")
        }
    };
    let mut findings = vec![reachable, Finding::new(QUOTA_ENFORCED, false, "Advisory", advice)];
    if wanted.attributes.version == Some(NfsVersion::V3) {
        let message =
            "NFS 3 is mounted with locks that only hold within one node; use version 4 to lock across nodes";
        findings.push(Finding::new(LOCKS_LOCAL, true, "NfsVersion3", message));
    }
    findings
}
