//! Pods as cases want them: one busybox container, some volumes, on a node or wherever.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::BUSYBOX_IMAGE;

/// Stays until it is told to go, and then goes at once.
pub const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// A pod to be made.
#[derive(Clone)]
pub struct PodSpec {
    name: String,
    metadata: Value,
    spec: Value,
}

impl PodSpec {
    /// A pod that idles.
    pub fn new(name: &str) -> PodSpec {
        let container = json!({
            "name": "main",
            "image": BUSYBOX_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", IDLE],
            "volumeMounts": [],
        });
        let spec = json!({
            "containers": [container],
            "volumes": [],
            "terminationGracePeriodSeconds": 1,
            // No network of its own: setting one up is half of what a pod's start costs here.
            "hostNetwork": true,
            "dnsPolicy": "Default",
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            // A short visit to NotReady must not evict what a case watches.
            "tolerations": [{ "operator": "Exists" }],
        });
        PodSpec { name: name.to_owned(), metadata: json!({ "name": name }), spec }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs this line of shell instead of idling.
    pub fn runs(mut self, line: &str) -> PodSpec {
        self.spec["containers"][0]["command"][2] = line.into();
        self
    }

    /// Runs this program of another image, as its first process: how it ends is how the pod ends.
    pub fn program(mut self, image: &str, words: &[String]) -> PodSpec {
        let container = &mut self.spec["containers"][0];
        container["image"] = image.into();
        container["command"] = words.into();
        self
    }

    /// The scheduler may take this node only.
    pub fn on(self, node: &str) -> PodSpec {
        self.with("nodeSelector", json!({ "kubernetes.io/hostname": node }))
    }

    /// It is on this node whatever the scheduler would say.
    pub fn forced_onto(self, node: &str) -> PodSpec {
        self.with("nodeName", node.into())
    }

    /// Containers that end are started again.
    pub fn restarting(self) -> PodSpec {
        self.with("restartPolicy", "Always".into())
    }

    /// All containers run as this user and group.
    pub fn with_user(self, uid: u32) -> PodSpec {
        self.with("securityContext", json!({ "runAsUser": uid, "runAsGroup": uid }))
    }

    /// Sets a field of the pod's spec.
    pub fn with(mut self, field: &str, value: Value) -> PodSpec {
        self.spec[field] = value;
        self
    }

    /// Mounts a claim.
    pub fn claim(self, claim: &str, at: &str) -> PodSpec {
        self.claim_with(claim, at, json!({}))
    }

    /// Has a claim's block volume as this device.
    pub fn block(mut self, claim: &str, at: &str) -> PodSpec {
        self.spec["containers"][0]["volumeDevices"] = json!([{ "name": claim, "devicePath": at }]);
        self.volume(claim, json!({ "persistentVolumeClaim": { "claimName": claim } }))
    }

    /// Mounts a folder of a claim, by kubelet's `subPath`.
    pub fn sub_path(self, claim: &str, sub_path: &str, at: &str) -> PodSpec {
        self.claim_with(claim, at, json!({ "subPath": sub_path }))
    }

    /// Mounts a claim, with further fields of the volumeMount.
    pub fn claim_with(self, claim: &str, at: &str, mount: Value) -> PodSpec {
        self.volume(claim, json!({ "persistentVolumeClaim": { "claimName": claim } })).mount(claim, at, mount)
    }

    /// Mounts an inline volume: the folder `from` of a FileSystem, or its root if empty.
    pub fn inline(self, file_system: &str, from: &str, at: &str) -> PodSpec {
        let mut attributes = json!({ "fileSystem": file_system });
        if !from.is_empty() {
            attributes["mountFrom"] = from.into();
        }
        self.inline_with(attributes, at, false)
    }

    /// Mounts an inline volume with these attributes.
    pub fn inline_with(self, attributes: Value, at: &str, read_only: bool) -> PodSpec {
        let name = format!("inline{}", at.replace('/', "-"));
        let source =
            json!({ "driver": "csi.workspacefs.io", "readOnly": read_only, "volumeAttributes": attributes });
        self.volume(&name, json!({ "csi": source })).mount(&name, at, json!({}))
    }

    /// Adds a volume unless one of that name is there.
    pub fn volume(mut self, name: &str, mut source: Value) -> PodSpec {
        let volumes = self.spec["volumes"].as_array_mut();
        source["name"] = name.into();
        if let Some(volumes) = volumes
            && volumes.iter().all(|volume| volume["name"] != name)
        {
            volumes.push(source);
        }
        self
    }

    /// Mounts a volume.
    pub fn mount(mut self, name: &str, at: &str, mut mount: Value) -> PodSpec {
        mount["name"] = name.into();
        mount["mountPath"] = at.into();
        if let Some(mounts) = self.spec["containers"][0]["volumeMounts"].as_array_mut() {
            mounts.push(mount);
        }
        self
    }

    /// The object.
    pub fn build(&self) -> Result<Pod, serde_json::Error> {
        let (metadata, spec) = (&self.metadata, &self.spec);
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_mounted_twice_is_one_volume() {
        let pod = PodSpec::new("p").claim("data", "/a").sub_path("data", "x", "/b").inline("data", "", "/c");
        let spec = pod.build().unwrap().spec.unwrap();
        let names: Vec<_> = spec.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
        assert_eq!(names, ["data", "inline-c"]);
        assert_eq!(spec.containers[0].volume_mounts.as_ref().unwrap().len(), 3);
    }
}
