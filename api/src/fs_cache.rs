//! Kind FsCache: copies of chosen folders of one FileSystem, or of a bucket, kept on a node group's own storage.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What its owner wishes.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "workspacefs.io",
    version = "v1alpha1",
    kind = "FsCache",
    doc = "Copies of chosen folders of a FileSystem, or of a bucket, on a node group's own storage: there they appear at their usual place.",
    namespaced,
    shortname = "fsc",
    category = "workspacefs",
    status = "FsCacheStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')")
        .message("an FsCache's name is a DNS label: at most 63 characters, no dots"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size"),
    printcolumn(name = "As-Of", type_ = "date", json_path = ".status.asOf"),
    printcolumn(name = "ETA", type_ = "string", json_path = ".status.eta"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.fileSystem", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.source == oldSelf.source && self.target == oldSelf.target")
    .message("source and target are immutable, paths too: what lies on the target is a copy of these; make a new FsCache"))]
#[x_kube(validation = Rule::new("!has(self.source.s3) || (has(self.exposure) && self.exposure == 'Claim')")
    .message("a bucket has no place in a FileSystem where it could appear: exposure must be Claim"))]
#[x_kube(validation = Rule::new("!has(self.source.fileSystem) || !has(self.target.fileSystem) || self.source.fileSystem != self.target.fileSystem")
    .message("target is the source: a copy in the same FileSystem is not nearer"))]
pub struct FsCacheSpec {
    /// What is copied.
    pub source: CacheSource,
    /// Where the copies lie: exactly one member.
    pub target: CacheTarget,
    /// When the source is looked at again: at most one member. With none, on demand only: by the annotation
    /// `cache.workspacefs.io/refresh`, whose every new value is one refresh.
    #[serde(default)]
    pub refresh: Refresh,
    /// How pods get it.
    #[serde(default)]
    pub exposure: Exposure,
    /// What makes a copy count as verified.
    #[serde(default)]
    pub verify: Verify,
    /// What a fill may take.
    #[serde(default)]
    pub limits: CacheLimits,
    /// Files that are copied at once, by each mover. Default: the copy engine's choice, by what it sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: Option<u16>,
    /// Copies older than this are not shown to new pods, such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION_RULE).message("maxAge is a duration of at least a minute, such as 24h"))]
    pub max_age: Option<String>,
    /// How often what lies on the target is compared with its digests again, such as `168h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION_RULE).message("scrub is a duration of at least a minute, such as 168h"))]
    pub scrub: Option<String>,
}

/// A duration as Kubernetes writes it, in whole hours, minutes and seconds, a minute at least.
const DURATION_RULE: &str = "self.size() <= 32 && self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && self != '' && duration(self) >= duration('1m')";

/// Exactly one of `fileSystem` and `s3` is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.fileSystem) != has(self.s3)")
    .message("source takes exactly one of: fileSystem, s3"))]
#[x_kube(validation = Rule::new("has(self.fileSystem) == (has(self.paths) && self.paths.size() > 0)")
    .message("paths go with fileSystem, which needs at least one: the folders to keep; a bucket has prefix"))]
#[x_kube(validation = Rule::new("!has(self.paths) || self.paths.all(a, self.paths.all(b, a == b || !b.startsWith(a + '/')))")
    .message("paths overlap: one lies inside another"))]
pub struct CacheSource {
    /// Name of a FileSystem of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub file_system: Option<String>,
    /// A bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
    /// The folders to keep: absolute, from the FileSystem's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(p, p.startsWith('/') && !p.endsWith('/') && !p.contains('//') && !p.matches('/[.]{1,2}(/|$)') && !p.matches('[[:cntrl:]]') && p != '/.workspacefs' && !p.startsWith('/.workspacefs/'))")
        .message("paths are absolute, without '.', '..', empty parts, control characters or a slash at the end, and not inside .workspacefs"))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub paths: Vec<String>,
}

/// Objects of a bucket, read by the mover alone. All of them are one path: what can be no file is named in the status.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Source {
    /// Its name.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// Only objects whose key begins with this. A file's path in the copy is what follows the last slash of it in the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub prefix: String,
    /// URL of the service, if it is not AWS: for Cloudflare R2 `https://<account>.r2.cloudflarestorage.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https?://[^\s/?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Its region. Default: found by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: Option<String>,
    /// A Secret of the same namespace with the keys `accessKeyId` and `secretAccessKey`. Only the mover's pod sees it.
    pub secret_ref: SecretRef,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Exactly one of the members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.fileSystem) != has(self.localStorage)")
    .message("target takes exactly one of: fileSystem, localStorage"))]
pub struct CacheTarget {
    /// Name of a FileSystem of the same namespace that is dedicated to a node group: one copy for the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub file_system: Option<String>,
    /// Name of a LocalStorage that this workspace may use: one copy per node, in the workspace's share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub local_storage: Option<String>,
}

/// At most one of the members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!(has(self.interval) && has(self.schedule))")
    .message("refresh takes at most one of: interval, schedule; with none it is on demand"))]
pub struct Refresh {
    /// From the end of one refresh to the begin of the next, such as `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(DURATION_RULE).message("interval is a duration of at least a minute, such as 1h"))]
    pub interval: Option<String>,
    /// When, as cron(5) writes it, five fields, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')").message("schedule has five fields, as cron(5) writes them"))]
    pub schedule: Option<String>,
}

/// How pods get a cache.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Exposure {
    /// In the group's pods, at its usual place in the source FileSystem, read-only.
    #[default]
    Transparent,
    /// As a read-only claim named like the FsCache.
    Claim,
}

/// What makes a copy count as verified.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Verify {
    /// Its content, read from the target past the page cache, has the digest of what was read from the source.
    #[default]
    Checksum,
    /// Its size and time are the source's; its content is not looked at.
    Size,
}

/// What a fill may take.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CacheLimits {
    /// Read from the source by each mover, in bytes per second, such as `100M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("bandwidth is a quantity of bytes per second above zero, such as 100M"))]
    pub bandwidth: Option<Quantity>,
    /// The most that one copy may take. Whole paths are left out, the last first, to hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("capacity is a quantity above zero, such as 500Gi"))]
    pub capacity: Option<Quantity>,
}

/// What was observed. `uses` is written by the nodes, each its own entry; everything else by the operator.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsCacheStatus {
    /// The generation of the object that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<CachePhase>,
    /// How far what runs now is, as in `42%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Of what is found so far of the source, and done, while a fill runs; afterwards of the copy.
    #[serde(default)]
    pub files: Amount,
    /// The same in bytes.
    #[serde(default)]
    pub bytes: Amount,
    /// Bytes per second, while a fill runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<i64>,
    /// How long what runs now will take, if it goes on like this, such as `4m10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<String>,
    /// Of one copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// As of when the oldest copy in use is: when the source began to be read for it. What changed since may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// The claim by which pods have it, where exposure is Claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
    /// The last value of the refresh annotation that was obeyed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refreshed_for: String,
    /// Each path of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub paths: Vec<CachedPath>,
    /// Where copies lie: one entry, of [`EVERYWHERE`], for a FileSystem target; one per node for a LocalStorage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub copies: Vec<CacheCopy>,
    /// The highest number that a generation was given, also of copies of nodes that are gone: with its Node a disk may come back, and what
    /// lies there under a number is not taken for another generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_generation: Option<i64>,
    /// What the nodes know and use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub uses: Vec<CacheUse>,
    /// Ready, Fresh, SourceReachable, TargetAvailable; Conflict where it is True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a cache stands, or one of its copies. A cache is never called Ready or Refreshing while its condition Ready is False.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CachePhase {
    /// Nothing is copied yet, and nothing runs; or it is being deleted.
    #[default]
    Pending,
    /// New pods get no copy, and one is being made.
    Filling,
    /// New pods get a verified copy.
    Ready,
    /// New pods get a verified copy, and the next is being made.
    Refreshing,
    /// New pods get no copy, and nothing runs: the last try failed, or what was copied cannot be had, or is too old. Condition Ready says why.
    Failed,
}

/// Of files or bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Amount {
    /// Found in the source.
    #[serde(default)]
    pub total: i64,
    /// Copied, or found unchanged.
    #[serde(default)]
    pub done: i64,
}

/// One path of the source, in all copies together.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedPath {
    /// As the spec has it; `/` for a bucket.
    pub path: String,
    /// What came of it.
    pub state: PathState,
    /// Files of it in the copy.
    #[serde(default)]
    pub files: i64,
    /// Their bytes.
    #[serde(default)]
    pub bytes: i64,
    /// Why it is not whole, or what there is to know of it if it is, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What came of a path.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum PathState {
    /// It was not tried yet.
    #[default]
    Pending,
    /// All of it is in the copy, verified: it is exposed.
    Whole,
    /// Something of it could not be copied or verified: pods read it from the source.
    Partial,
    /// It was left out to keep the limit of capacity, or since the target was full.
    Evicted,
    /// The source has nothing there.
    Missing,
    /// It is a file or a link; only folders can be exposed.
    NotAFolder,
}

/// Where a copy lies, and what is in it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheCopy {
    /// The node that has it, or [`EVERYWHERE`].
    pub node: String,
    /// Where it stands.
    pub phase: CachePhase,
    /// The generation that new pods get. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// As of when that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// The uid of the FileSystem that it was read from, of a bucket `s3:` and its name: the copy of one is never shown for another that has its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The paths that are whole in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<String>,
    /// Older generations that lie there still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<i64>,
    /// Why it is not as it should be, in one word; empty where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The generation that is being made, or is to be tried again: what was done of it is not done twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filling: Option<i64>,
    /// The same of what it is read from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reading: String,
    /// The value of the refresh annotation that this, or the last refresh, obeys.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refreshed_for: String,
    /// When the last refresh ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// When all of its content was last compared with its digests: by its first fill, or by a scrub. (A refresh compares
    /// what it copies, and links the rest.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// Refreshes that failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i32,
    /// When the last of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
    /// What failed beside refreshes, which are not held up by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upkeep: Vec<FailedUpkeep>,
    /// The uid of the Job whose outcome is in this: no outcome counts twice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_job: String,
}

/// A comparison or a removal that failed, and is tried again.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedUpkeep {
    /// Scrub or Remove.
    pub task: String,
    /// Why, in one word.
    pub reason: String,
    /// The same for a person.
    pub message: String,
    /// How often in a row.
    pub failures: i32,
    /// When the last time ended.
    pub failed_at: Time,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The path of a bucket, which is kept as one.
pub const WHOLE: &str = "/";
/// Of [`CacheCopy::node`]: every node of the group.
pub const EVERYWHERE: &str = "*";

/// What one node knows and uses.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheUse {
    /// The node's name.
    pub node: String,
    /// The newest generation that it has seen: it will use no older one from now on. 0: none.
    pub seen: i64,
    /// The generations that its mounts use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_use: Vec<i64>,
}

impl CacheSource {
    /// What is kept, path by path: of a bucket there is one.
    pub fn kept_paths(&self) -> Vec<String> {
        if self.s3.is_some() { vec![WHOLE.to_owned()] } else { self.paths.clone() }
    }
}

impl S3Source {
    /// What stands where the uid of a FileSystem does. It is always the same bucket: a spec's source cannot be changed.
    pub fn identity(&self) -> String {
        format!("s3:{}", self.bucket)
    }
}

impl FsCache {
    /// The label of the nodes that have a copy of their own. None: its name would be too long for a label.
    pub fn warm_label(namespace: &str, name: &str) -> Option<String> {
        let name = format!("{namespace}.{name}");
        (name.len() <= LABEL_NAME_BYTES_MAX).then(|| format!("{WARM_LABEL_PREFIX}{name}"))
    }

    /// The copy that pods on that node get.
    pub fn copy_for(&self, node: &str) -> Option<&CacheCopy> {
        self.status.as_ref()?.copies.iter().find(|copy| copy.node == node || copy.node == EVERYWHERE)
    }
}

/// Asks for a refresh: every new value is one.
pub const REFRESH_ANNOTATION: &str = "cache.workspacefs.io/refresh";
/// With `<namespace>.<name>` of an FsCache: the label of the nodes that have a copy of their own, with the value `ready`.
pub const WARM_LABEL_PREFIX: &str = "cache.workspacefs.io/";
/// Kubernetes' limit for what stands behind a label's slash.
const LABEL_NAME_BYTES_MAX: usize = 63;
/// The name of a mover's Job begins with it, followed by the FsCache's uid. A node shows where copies lie in a LocalStorage only to
/// pods that are named so; a policy lets none but movers have such a name.
pub const MOVER_NAME_PREFIX: &str = "wsfs-cache-";
/// Label on Jobs, claims and PersistentVolumes: the uid of the FsCache they serve.
pub const FS_CACHE_UID_LABEL: &str = "workspacefs.io/fscache-uid";
/// Kept on an FsCache until what lies on its target is removed.
pub const FS_CACHE_FINALIZER: &str = "workspacefs.io/fscache";
/// Attribute of an inline volume of a mover: the uid of the FsCache whose folder of the target it has, for writing.
pub const FILL_ATTRIBUTE: &str = "fillCache";
/// Attribute of an inline volume: `off` shows the source alone, whatever is cached of it.
pub const CACHE_ATTRIBUTE: &str = "cache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_namespaces_caches_have_two_labels_and_what_is_too_long_has_none() {
        assert_eq!(FsCache::warm_label("a", "x").as_deref(), Some("cache.workspacefs.io/a.x"));
        assert_ne!(FsCache::warm_label("a", "x"), FsCache::warm_label("b", "x"));
        let long = |length: usize| FsCache::warm_label(&"n".repeat(length), "x");
        assert!(long(61).is_some() && long(62).is_none());
    }
}
