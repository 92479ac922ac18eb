//! Specs that `lep` takes, as far as they say what is mounted where.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use workspacefs_api::manifest::{Mount, What, image, label_value, name, place};
use workspacefs_api::path::RelativePath;

use crate::client::error::Refused;
use crate::text;

/// What of a spec goes into a manifest.
#[derive(Debug, Default)]
pub struct Spec {
    /// Its name.
    pub name: Option<String>,
    /// The container's image.
    pub image: Option<String>,
    /// What it runs.
    pub command: Vec<String>,
    /// Where it listens.
    pub port: Option<u16>,
    /// On whose nodes.
    pub node_group: Option<String>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// What is not taken over, in sentences.
    pub remarks: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    metadata: Metadata,
    spec: Inner,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inner {
    container: Option<Container>,
    resource_requirement: Option<Resources>,
    affinity: Option<Affinity>,
    mounts: Option<Vec<LepMount>>,
    #[serde(flatten)]
    rest: Rest,
}

/// What there is beside, to be named: nothing is dropped in silence.
type Rest = BTreeMap<String, Value>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    image: Option<String>,
    command: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    container_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    affinity: Option<Affinity>,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Affinity {
    allowed_dedicated_node_groups: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LepMount {
    path: Option<String>,
    from: Option<String>,
    mount_path: Option<String>,
    mount_options: Option<Options>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    local_cache_size_mib: Option<u64>,
    read_only: Option<bool>,
}

/// Reads a file; JSON is YAML too.
///
/// # Errors
/// It cannot be read, or asks for what cannot be mounted.
pub fn read(path: &Path) -> Result<Spec> {
    let shown = text::shown(path);
    let content = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file: File =
        serde_saphyr::from_str(&content).with_context(|| format!("{shown} is no spec of lep"))?;
    spec(file).map_err(|why| Refused::because(format!("{shown}: {why}")))
}

fn spec(file: File) -> Result<Spec, String> {
    let container = file.spec.container.unwrap_or_default();
    let resources = file.spec.resource_requirement.unwrap_or_default();
    let left: Vec<String> = [
        left("spec", &file.spec.rest),
        left("spec.container", &container.rest),
        left("spec.resource_requirement", &resources.rest),
    ]
    .concat();
    let groups = resources
        .affinity
        .or(file.spec.affinity)
        .and_then(|affinity| affinity.allowed_dedicated_node_groups)
        .unwrap_or_default();
    let mut remarks = Vec::new();
    if !left.is_empty() {
        remarks.push(format!("not taken over, to be added by hand: {}", left.join(", ")));
    }
    let node_group = match groups.as_slice() {
        [] => None,
        [one] => Some(label_value(one)?),
        _ => {
            remarks.push("the spec allows several node groups: --node-group chooses one of them".to_owned());
            None
        }
    };
    let mounts = file.spec.mounts.unwrap_or_default();
    let mounts = mounts.into_iter().enumerate().map(|(number, mount)| {
        mounted(&mount, &mut remarks).map_err(|why| format!("spec.mounts[{number}]: {why}"))
    });
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    Ok(Spec {
        name: file.metadata.name.or(file.metadata.id),
        image: container.image.as_deref().map(image).transpose()?,
        command: container.command.unwrap_or_default(),
        port: container.ports.unwrap_or_default().iter().find_map(|port| port.container_port),
        node_group,
        mounts,
        remarks,
    })
}

/// Where something stands that goes nowhere.
fn left(place: &str, rest: &Rest) -> Vec<String> {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let left = rest.iter().filter(|(_, value)| !is_nothing(value));
    left.map(|(key, _)| text::shown(format!("{place}.{key}").as_ref())).collect()
}

fn mounted(mount: &LepMount, remarks: &mut Vec<String>) -> Result<Mount, String> {
    let options = mount.mount_options.as_ref();
    if options.is_some_and(|options| options.local_cache_size_mib.is_some()) {
        remarks.push(
            "local_cache_size_mib is not taken over: caching is the FileSystem's, by localCache or an FsCache".into(),
        );
    }
    let from =
        RelativePath::parse(mount.path.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
    Ok(Mount {
        what: what(mount.from.as_deref().unwrap_or_default())?,
        from,
        at: place(mount.mount_path.as_deref().unwrap_or_default())?,
        read_only: options.is_some_and(|options| options.read_only == Some(true)),
    })
}

/// `from` of a mount: nothing or `default`, a FileSystem, `node-local:name`, `node-nfs:name`, `node-remote:name`.
fn what(from: &str) -> Result<What, String> {
    let from = if from.is_empty() { "default" } else { from };
    let (kind, volume) = from.split_once(':').map_or((from, None), |(kind, volume)| (kind, Some(volume)));
    match (kind, volume) {
        ("node-local", Some(volume)) => Ok(What::LocalStorage(name(volume)?)),
        ("node-nfs" | "node-remote", Some(volume)) => Ok(What::FileSystem(name(volume)?)),
        ("node-local" | "node-nfs" | "node-remote", None) => {
            Err(format!("{kind} has no name: {kind}:NAME says which"))
        }
        (_, None) => Ok(What::FileSystem(name(kind)?)),
        (_, Some(_)) => Err(format!("{from:?} is no volume")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Spec, String> {
        spec(serde_saphyr::from_str(text).unwrap())
    }

    #[test]
    fn a_spec_says_what_is_mounted_where() {
        let spec = of(r#"{"metadata": {"id": "web"}, "spec": {
            "container": {"image": "web:1", "command": ["serve"], "ports": [{"container_port": 9000}]},
            "resource_requirement": {"affinity": {"allowed_dedicated_node_groups": ["gpu"]}, "min_replicas": 1},
            "mounts": [{"path": "/data", "mount_path": "/mnt/data", "from": null},
                {"path": "/", "mount_path": "/scratch", "from": "node-local:scratch"},
                {"path": "/m", "mount_path": "/m", "from": "node-nfs:shared",
                    "mount_options": {"read_only": true, "local_cache_size_mib": 5}}]}}"#)
        .unwrap();
        assert_eq!(
            (spec.name.as_deref(), spec.image.as_deref(), spec.port),
            (Some("web"), Some("web:1"), Some(9000))
        );
        assert_eq!((spec.node_group.as_deref(), spec.command.len(), spec.remarks.len()), (Some("gpu"), 1, 2));
        let told: Vec<_> = spec
            .mounts
            .iter()
            .map(|mount| {
                format!("{:?} {} {} {}", mount.what.name().as_str(), mount.from, mount.at, mount.read_only)
            })
            .collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("\"default\"") && told[2].ends_with("/m true"), "{told:?}");
        assert!(matches!(spec.mounts[1].what, What::LocalStorage(_)));
    }

    #[test]
    fn what_is_not_taken_over_is_named_and_what_is_empty_is_not() {
        let spec = of(r#"{"spec": {"container": {"image": "i", "run_as": null, "shm": 5}, "envs": [{"name": "A", "value": "secret"}],
            "tokens": [], "resource_requirement": {"resource_shape": "cpu.small", "min_replicas": 2}, "log": {}}}"#)
        .unwrap();
        assert_eq!(
            spec.remarks,
            [
                "not taken over, to be added by hand: spec.envs, spec.container.shm, spec.resource_requirement.min_replicas, \
              spec.resource_requirement.resource_shape"
            ]
        );
        assert!(of("spec: {mounts: []}").unwrap().remarks.is_empty());
    }

    #[test]
    fn each_word_of_the_contract_is_a_volume() {
        for (from, told) in [
            ("", "fs default"),
            ("default", "fs default"),
            ("ng-fs", "fs ng-fs"),
            ("node-nfs:shared", "fs shared"),
            ("node-remote:far", "fs far"),
            ("node-local:scratch", "local scratch"),
        ] {
            let kind = match what(from).unwrap() {
                What::FileSystem(name) => format!("fs {}", name.as_str()),
                What::LocalStorage(name) => format!("local {}", name.as_str()),
            };
            assert_eq!(kind, told, "{from}");
        }
    }

    #[test]
    fn what_cannot_be_mounted_is_refused_with_its_place() {
        for bad in ["node-local", "node-nfs", "a:b", "UPPER", "node-local:a/b"] {
            let text = format!("spec: {{mounts: [{{path: /, mount_path: /m, from: '{bad}'}}]}}");
            assert!(of(&text).unwrap_err().starts_with("spec.mounts[0]: "), "{bad}");
        }
        assert!(of("spec: {mounts: [{path: ../x, mount_path: /m}]}").is_err());
        assert!(of("spec: {mounts: [{path: /x}]}").is_err());
    }
}
