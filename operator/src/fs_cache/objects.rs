//! The Job that runs a mover for one copy, as JSON for the API server, and how it is known again. Pure: nothing is
//! asked.
//!
//! A copy's Job has always the same name, so that no two movers can be at work on one copy, whatever a cache has not
//! heard of yet. What it is for stands in an annotation.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use workspacefs_api::fs_cache::{CACHE_ATTRIBUTE, EVERYWHERE, FILL_ATTRIBUTE, FS_CACHE_UID_LABEL};
use workspacefs_api::mover::PROGRESS_PORT;
use workspacefs_api::{DRIVER, FsCacheSpec, RESERVED_FOLDER, S3Source, Verify, quantity};

use super::setting::{Setting, Source, Target};
use crate::config::MoverConfig;
use crate::filesystem::own::MANAGED_BY;

/// Annotation of a Job: what it is for.
const ERRAND_ANNOTATION: &str = "cache.workspacefs.io/errand";
const SOURCE: &str = "/source";
/// Where the Secret of a bucket is mounted.
const CREDENTIALS: &str = "/credentials";
const TARGET: &str = "/target";
/// Where the workspace's share of a LocalStorage is mounted, as a whole.
const SHARE: &str = "/target-share";
/// Pods that a Job tries before its outcome is taken in: one that is killed goes on where it was.
const BACKOFF_LIMIT: u32 = 2;

/// What names an FsCache everywhere.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Identity {
    /// From metadata that an API server delivered.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
    }

    /// The name of the Job of the copy on `node`.
    pub fn job_name(&self, node: &str) -> String {
        if node == EVERYWHERE {
            return format!("wsfs-cache-{}", self.uid);
        }
        // A node's name may be longer than a Job's.
        let digest = Sha256::digest(node.as_bytes());
        let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("wsfs-cache-{}-{short}", self.uid)
    }

    /// Whether we made this Job for it.
    pub fn made_job(&self, job: &Job) -> bool {
        job.labels().get(FS_CACHE_UID_LABEL) == Some(&self.uid)
            && job.owner_references().iter().any(|owner| owner.uid == self.uid)
    }
}

/// What a mover is sent for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Errand {
    /// The node of the copy, or [`EVERYWHERE`].
    pub node: String,
    /// What is to be done.
    pub task: Task,
    /// The generation that it is about.
    pub generation: i64,
    /// The generation whose unchanged files are linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<i64>,
    /// The uid of the FileSystem that is read for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Generations to take away first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<i64>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Task {
    /// Make the generation.
    Fill,
    /// Compare it with its digests.
    Scrub,
    /// Only take others away.
    Remove,
    /// Take everything away.
    RemoveAll,
}

impl Errand {
    /// As its Job says it. None: it says nothing that we understand.
    pub fn of(job: &Job) -> Option<Self> {
        serde_json::from_str(job.annotations().get(ERRAND_ANNOTATION)?).ok()
    }

    fn arguments(&self, spec: &FsCacheSpec, target: &str) -> Vec<String> {
        let mut arguments = vec![format!("--target={target}")];
        // Kubelet makes $(NAME) what that variable is, and $$ a $.
        let mut say =
            |name: &str, value: String| arguments.push(format!("--{name}={}", value.replace('$', "$$")));
        if let Some(workers) = spec.parallelism {
            say("workers", workers.to_string());
        }
        for generation in &self.remove {
            say("remove", generation.to_string());
        }
        match self.task {
            Task::Remove => {}
            Task::RemoveAll => arguments.push("--remove-all".into()),
            Task::Scrub => {
                say("generation", self.generation.to_string());
                arguments.push("--scrub".into());
            }
            Task::Fill => self.say_fill(spec, say),
        }
        arguments
    }

    fn say_fill(&self, spec: &FsCacheSpec, mut say: impl FnMut(&str, String)) {
        say("generation", self.generation.to_string());
        say("identity", self.source.clone());
        match &spec.source.s3 {
            Some(bucket) => say_bucket(bucket, &mut say),
            None => say("source", SOURCE.into()),
        }
        for path in &spec.source.paths {
            say("path", path.clone());
        }
        say("verify", if spec.verify == Verify::Size { "size" } else { "checksum" }.into());
        let limits = &spec.limits;
        for (name, size) in [("bandwidth", &limits.bandwidth), ("capacity", &limits.capacity)] {
            if let Some(bytes) = size.as_ref().and_then(|size| quantity::bytes(&size.0)) {
                say(name, bytes.to_string());
            }
        }
        if let Some(earlier) = self.earlier {
            say("earlier", earlier.to_string());
        }
    }
}

fn say_bucket(bucket: &S3Source, say: &mut impl FnMut(&str, String)) {
    say("bucket", bucket.bucket.clone());
    say("credentials", CREDENTIALS.into());
    if !bucket.prefix.is_empty() {
        say("prefix", bucket.prefix.clone());
    }
    for (name, value) in [("endpoint", &bucket.endpoint), ("region", &bucket.region)] {
        if let Some(value) = value {
            say(name, value.clone());
        }
    }
}

/// Where Jobs run and what of.
pub struct Shop<'a> {
    /// The mover's image.
    pub config: &'a MoverConfig,
    /// Key of the node label whose value is a node's group.
    pub node_group_label: &'a str,
}

/// The Job for an errand.
pub fn job(
    shop: &Shop<'_>,
    cache: &Identity,
    spec: &FsCacheSpec,
    setting: &Setting,
    errand: &Errand,
) -> Value {
    let labels = json!({(MANAGED_BY.0): MANAGED_BY.1, (FS_CACHE_UID_LABEL): cache.uid});
    let owner = json!({
        "apiVersion": "workspacefs.io/v1alpha1", "kind": "FsCache", "name": cache.name, "uid": cache.uid,
        "controller": true,
    });
    // An errand is made of numbers and strings, which always have a JSON form.
    let said = serde_json::to_string(errand).unwrap_or_default();
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "namespace": cache.namespace, "name": cache.job_name(&errand.node), "labels": labels,
            "annotations": {(ERRAND_ANNOTATION): said}, "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": BACKOFF_LIMIT,
            // A pod on a node that is lost may still write: no second one beside it.
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": labels}, "spec": pod(shop, cache, spec, setting, errand)},
        },
    })
}

fn pod(shop: &Shop<'_>, cache: &Identity, spec: &FsCacheSpec, setting: &Setting, errand: &Errand) -> Value {
    let (volume, mount, target) = target(cache, &setting.target);
    let (mut volumes, mut mounts) = (vec![volume], vec![mount]);
    // All else does without the source, which may be away.
    if errand.task == Task::Fill {
        let (volume, at) = match (&setting.source, &spec.source.s3) {
            (Some(Source::FileSystem(name)), _) => {
                let attributes = json!({"fileSystem": name, (CACHE_ATTRIBUTE): "off"});
                (Some(inline("source", true, attributes)), SOURCE)
            }
            (_, Some(bucket)) => (Some(secret(&bucket.secret_ref.name)), CREDENTIALS),
            (_, None) => (None, SOURCE),
        };
        mounts.extend(volume.iter().map(|_| json!({"name": "source", "mountPath": at, "readOnly": true})));
        volumes.extend(volume);
    }
    let config = shop.config;
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // Whatever keeps workloads off the group's nodes does not keep its caches off.
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "mover",
            "image": config.image,
            "imagePullPolicy": config.pull_policy,
            "command": ["/mover"],
            "args": errand.arguments(spec, &target),
            "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}],
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            "securityContext": security(),
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    });
    if !config.pull_secrets.is_empty() {
        let secrets = config.pull_secrets.iter().map(|name| json!({"name": name}));
        pod["imagePullSecrets"] = Value::Array(secrets.collect());
    }
    match &setting.target {
        Target::FileSystem { group, .. } => pod["nodeSelector"] = json!({(shop.node_group_label): group}),
        Target::LocalStorage { .. } => {
            let this = json!({"key": "metadata.name", "operator": "In", "values": [errand.node]});
            let terms = json!({"nodeSelectorTerms": [{"matchFields": [this]}]});
            pod["affinity"] =
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
        }
    }
    pod
}

/// What the level "baseline" of Kubernetes' Pod Security lets a container have, of that what owners and modes take to
/// be kept.
fn security() -> Value {
    json!({
        "runAsUser": 0, "runAsGroup": 0,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]},
    })
}

/// The volume of the target, how it is mounted, and where the cache's folder is then.
fn target(cache: &Identity, target: &Target) -> (Value, Value, String) {
    match target {
        Target::FileSystem { name, .. } => {
            let attributes = json!({"fileSystem": name, (FILL_ATTRIBUTE): cache.uid});
            let mount = json!({"name": "target", "mountPath": TARGET});
            (inline("target", false, attributes), mount, TARGET.into())
        }
        // Kubelet refuses inline volumes of that driver.
        Target::LocalStorage { name, .. } => {
            let volume = json!({"name": "target", "persistentVolumeClaim": {"claimName": name}});
            let mount = json!({"name": "target", "mountPath": SHARE});
            (volume, mount, format!("{SHARE}/{RESERVED_FOLDER}/cache/{}", cache.uid))
        }
    }
}

/// The keys of a bucket, for the mover's eyes only: we never ask for a Secret. Optional, so that a pod begins without it too and its
/// mover says what is missing, where else it would wait without a word.
fn secret(name: &str) -> Value {
    let items = ["accessKeyId", "secretAccessKey"].map(|key| json!({"key": key, "path": key}));
    json!({"name": "source", "secret": {"secretName": name, "items": items, "defaultMode": 0o400, "optional": true}})
}

fn inline(name: &str, read_only: bool, attributes: Value) -> Value {
    json!({"name": name, "csi": {"driver": DRIVER, "readOnly": read_only, "volumeAttributes": attributes}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Identity {
        Identity {
            namespace: "a".into(),
            name: "c".into(),
            uid: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
        }
    }

    fn spec() -> FsCacheSpec {
        let spec = json!({
            "source": {"fileSystem": "data", "paths": ["/b", "/a c"]}, "target": {"fileSystem": "fast"},
            "limits": {"bandwidth": "100M", "capacity": "1Gi"}, "parallelism": 7, "verify": "Size",
        });
        serde_json::from_value(spec).unwrap()
    }

    fn made(target: Target, errand: &Errand) -> Value {
        made_of(&spec(), Source::FileSystem("data".into()), target, errand)
    }

    fn made_of(spec: &FsCacheSpec, source: Source, target: Target, errand: &Errand) -> Value {
        let config = MoverConfig { pull_secrets: vec!["s".into()], ..MoverConfig::default() };
        let shop = Shop { config: &config, node_group_label: "group" };
        let setting = Setting {
            source: Some(source),
            source_uid: "uid-of-data".into(),
            target,
            places: vec![],
            doubts: vec![],
            room: String::new(),
        };
        let job = job(&shop, &cache(), spec, &setting, errand);
        // Every field is one that the API knows.
        let typed: Job = serde_json::from_value(job.clone()).unwrap();
        assert_eq!(Errand::of(&typed).as_ref(), Some(errand));
        assert!(cache().made_job(&typed));
        job
    }

    fn errand(node: &str, task: Task) -> Errand {
        let source = "uid-of-data".into();
        Errand { node: node.into(), task, generation: 7, earlier: Some(6), source, remove: vec![4, 5] }
    }

    fn on_file_system(task: Task) -> Value {
        let target = Target::FileSystem { name: "fast".into(), group: "gpu".into() };
        made(target, &errand(EVERYWHERE, task))["spec"]["template"]["spec"].take()
    }

    #[test]
    fn a_mover_is_told_what_the_spec_says_and_the_source_is_read_past_any_cache() {
        let pod = on_file_system(Task::Fill);
        let arguments = [
            "--target=/target",
            "--workers=7",
            "--remove=4",
            "--remove=5",
            "--generation=7",
            "--identity=uid-of-data",
            "--source=/source",
            "--path=/b",
            "--path=/a c",
            "--verify=size",
            "--bandwidth=100000000",
            "--capacity=1073741824",
            "--earlier=6",
        ];
        assert_eq!(pod["containers"][0]["args"], json!(arguments));
        let csi = |at: usize| &pod["volumes"][at]["csi"];
        assert_eq!(csi(0)["volumeAttributes"], json!({"fileSystem": "fast", "fillCache": cache().uid}));
        assert_eq!(csi(1)["volumeAttributes"], json!({"fileSystem": "data", "cache": "off"}));
        assert_eq!((&csi(0)["readOnly"], &csi(1)["readOnly"]), (&json!(false), &json!(true)));
        assert_eq!(pod["nodeSelector"], json!({"group": "gpu"}));
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "s"}]));
    }

    #[test]
    fn a_buckets_mover_has_its_secret_as_files_and_only_to_fill() {
        let s3 = json!({"bucket": "abc", "prefix": "a/", "endpoint": "https://s3.example", "secretRef": {"name": "s"}});
        let spec = json!({"source": {"s3": s3}, "target": {"fileSystem": "fast"}, "exposure": "Claim"});
        let spec: FsCacheSpec = serde_json::from_value(spec).unwrap();
        let pod = |task| {
            let target = Target::FileSystem { name: "fast".into(), group: "gpu".into() };
            made_of(&spec, Source::Bucket, target, &errand(EVERYWHERE, task))["spec"]["template"]["spec"]
                .take()
        };
        let fill = pod(Task::Fill);
        let arguments = fill["containers"][0]["args"].as_array().unwrap();
        let expected =
            ["--bucket=abc", "--credentials=/credentials", "--prefix=a/", "--endpoint=https://s3.example"];
        assert!(expected.iter().all(|argument| arguments.contains(&json!(argument))), "{arguments:?}");
        assert!(
            !arguments.iter().any(|argument| argument.as_str().unwrap().starts_with("--source")),
            "{arguments:?}"
        );
        let secret = &fill["volumes"][1]["secret"];
        assert_eq!((&secret["secretName"], &secret["optional"]), (&json!("s"), &json!(true)));
        let mount = json!({"name": "source", "mountPath": "/credentials", "readOnly": true});
        assert_eq!(fill["containers"][0]["volumeMounts"][1], mount);
        for task in [Task::Scrub, Task::Remove, Task::RemoveAll] {
            let pod = pod(task);
            assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(1), "{task:?}");
            assert!(!pod.to_string().contains("bucket"), "{task:?}");
        }
    }

    #[test]
    fn what_needs_no_source_does_not_mount_it() {
        for (task, arguments) in [
            (Task::Remove, json!(["--target=/target", "--workers=7", "--remove=4", "--remove=5"])),
            (
                Task::Scrub,
                json!([
                    "--target=/target",
                    "--workers=7",
                    "--remove=4",
                    "--remove=5",
                    "--generation=7",
                    "--scrub"
                ]),
            ),
        ] {
            let pod = on_file_system(task);
            assert_eq!(pod["containers"][0]["args"], arguments);
            assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(1));
        }
        let all = Errand { remove: vec![], ..errand("n", Task::RemoveAll) };
        let target = Target::LocalStorage { name: "nvme".into(), group: "gpu".into(), selector: [].into() };
        let pod = made(target, &all)["spec"]["template"]["spec"].take();
        let folder = format!("--target=/target-share/.workspacefs/cache/{}", cache().uid);
        assert_eq!(pod["containers"][0]["args"], json!([folder, "--workers=7", "--remove-all"]));
        assert_eq!(
            pod["volumes"],
            json!([{"name": "target", "persistentVolumeClaim": {"claimName": "nvme"}}])
        );
        let affinity = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(
            affinity.pointer("/nodeSelectorTerms/0/matchFields/0"),
            Some(&json!({"key": "metadata.name", "operator": "In", "values": ["n"]}))
        );
    }

    #[test]
    fn a_mover_has_no_token_and_no_more_rights_than_owners_and_modes_take() {
        let pod = on_file_system(Task::Fill);
        assert_eq!(
            (&pod["automountServiceAccountToken"], &pod["restartPolicy"]),
            (&json!(false), &json!("Never"))
        );
        let context = &pod["containers"][0]["securityContext"];
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        // All of them are of level "baseline".
        let baseline = [
            "AUDIT_WRITE",
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "MKNOD",
            "NET_BIND_SERVICE",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_CHROOT",
        ];
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert!(added.iter().all(|name| baseline.contains(&name.as_str().unwrap())), "{added:?}");
        assert_eq!(
            (&context["readOnlyRootFilesystem"], &context["allowPrivilegeEscalation"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn a_mover_goes_onto_tainted_nodes_is_tried_three_times_and_never_beside_another() {
        for (target, node) in [
            (Target::FileSystem { name: "fast".into(), group: "gpu".into() }, EVERYWHERE),
            (Target::LocalStorage { name: "nvme".into(), group: "gpu".into(), selector: [].into() }, "n"),
        ] {
            for task in [Task::Fill, Task::Scrub, Task::Remove, Task::RemoveAll] {
                let job = made(target.clone(), &errand(node, task));
                let typed: Job = serde_json::from_value(job).unwrap();
                let spec = typed.spec.unwrap();
                // A pod that is only being deleted may still write: its successor waits for its end.
                assert_eq!(spec.pod_replacement_policy.as_deref(), Some("Failed"), "{task:?}");
                assert_eq!((spec.backoff_limit, spec.parallelism, spec.completions), (Some(2), None, None));
                let pod = spec.template.spec.unwrap();
                let [tolerated] = <[_; 1]>::try_from(pod.tolerations.unwrap()).unwrap();
                // Every taint, of every effect, for ever.
                assert_eq!(tolerated.operator.as_deref(), Some("Exists"));
                assert_eq!(
                    (tolerated.key, tolerated.effect, tolerated.toleration_seconds),
                    (None, None, None)
                );
            }
        }
    }

    #[test]
    fn a_jobs_name_is_that_of_its_copy_and_fits_into_a_label() {
        let cache = cache();
        let (a, b) = (cache.job_name("a"), cache.job_name(&format!("{}.example", "b".repeat(240))));
        assert!(a != b && a != cache.job_name(EVERYWHERE));
        assert!([a, b].iter().all(|name| name.len() <= 63));
    }
}
