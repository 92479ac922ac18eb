//! The operator's configuration file (YAML or JSON), read once and checked whole: what is wrong in it is said at the start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::files::config::{FilesConfig, FilesConfigError};
use crate::selector::{is_label_key, is_selector};
use crate::workspace::template::{Template, TemplateError};

/// The file, after checking.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespaces that match are workspaces.
    pub workspace_selector: String,
    /// Key of the node label whose value is a node's group.
    pub node_group_label: String,
    /// What every workspace gets as FileSystem `default`.
    pub default_file_system: Option<Template>,
    /// Between two questions to one NFS server.
    pub probe_interval: Duration,
    /// For how long an answer is waited for.
    pub probe_timeout: Duration,
    /// The Service of the embedded server, in the operator's namespace. None: there is no such server.
    pub nfs_server: Option<String>,
    /// The Service of the pod that tries to reach the embedded server from where workloads are.
    pub isolation_probe: Option<String>,
    /// Between two questions to the embedded server how full its file systems are.
    pub usage_interval: Duration,
    /// Whether LocalStorages are looked after.
    pub local_storage: bool,
    /// Whether FsCaches are carried out.
    pub fs_caches: bool,
    /// How movers are run.
    pub mover: MoverConfig,
    /// How `files` are run. None: there are none.
    pub files: Option<FilesConfig>,
    /// Where there are none: whether what is left of them is taken away.
    pub files_clean_up: bool,
}

/// How movers, which fill caches, are run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MoverConfig {
    /// The image that has them.
    pub image: String,
    /// When nodes pull it: Always, IfNotPresent or Never.
    pub pull_policy: String,
    /// Names of Secrets by which it is pulled. They are looked for in each workspace.
    pub pull_secrets: Vec<String>,
}

impl Default for MoverConfig {
    fn default() -> Self {
        let (image, pull_policy) = ("workspacefs.io/operator:dev".into(), "IfNotPresent".into());
        Self { image, pull_policy, pull_secrets: Vec::new() }
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default = "default_selector")]
    workspace_selector: String,
    #[serde(default = "default_node_group_label")]
    node_group_label: String,
    #[serde(default)]
    default_file_system: Option<serde_json::Value>,
    #[serde(default = "default_interval")]
    probe_interval_seconds: u64,
    #[serde(default = "default_timeout")]
    probe_timeout_seconds: u64,
    #[serde(default)]
    nfs_server: Option<ServiceName>,
    #[serde(default)]
    isolation_probe: Option<ServiceName>,
    #[serde(default = "default_interval")]
    usage_interval_seconds: u64,
    #[serde(default = "default_local_storage")]
    local_storage: bool,
    #[serde(default)]
    fs_caches: bool,
    #[serde(default)]
    mover: MoverConfig,
    #[serde(default)]
    files: Option<FilesConfig>,
    #[serde(default)]
    files_clean_up: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceName {
    service: String,
}

fn default_selector() -> String {
    "workspacefs.io/workspace=true".into()
}

fn default_node_group_label() -> String {
    workspacefs_api::NODE_GROUP_LABEL.into()
}

fn default_local_storage() -> bool {
    true
}

fn default_interval() -> u64 {
    30
}

fn default_timeout() -> u64 {
    5
}

/// Why the operator does not start with this file.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Not YAML, or unknown or missing fields.
    #[error("the configuration is not understood")]
    Syntax(#[source] serde_saphyr::Error),
    /// Not a label selector, or one that selects every namespace.
    #[error("workspaceSelector {0:?} is not a label selector that selects some namespaces")]
    Selector(String),
    /// Not the key of a label.
    #[error("nodeGroupLabel {0:?} is not the key of a label")]
    NodeGroupLabel(String),
    /// Not the name of a Service.
    #[error("{field}.service {name:?} is not the name of a Service")]
    Service {
        /// The field.
        field: &'static str,
        /// Its value.
        name: String,
    },
    /// A number outside its bounds.
    #[error("{field} is {value}; it must be from 1 to {max}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The largest value that makes sense.
        max: u64,
    },
    /// The template would make FileSystems that cannot work.
    #[error("defaultFileSystem is not a usable template")]
    Template(#[source] TemplateError),
    /// `files` could not work so.
    #[error(transparent)]
    Files(#[from] FilesConfigError),
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse(&text)
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // An empty file is all defaults.
        let text = if text.trim().is_empty() { "{}" } else { text };
        let file: File = serde_saphyr::from_str(text).map_err(ConfigError::Syntax)?;
        if !is_selector(&file.workspace_selector) {
            return Err(ConfigError::Selector(file.workspace_selector));
        }
        if !is_label_key(&file.node_group_label) {
            return Err(ConfigError::NodeGroupLabel(file.node_group_label));
        }
        let template =
            file.default_file_system.map(Template::parse).transpose().map_err(ConfigError::Template)?;
        Ok(Self {
            workspace_selector: file.workspace_selector,
            node_group_label: file.node_group_label,
            default_file_system: template,
            probe_interval: seconds("probeIntervalSeconds", file.probe_interval_seconds, 3600)?,
            probe_timeout: seconds("probeTimeoutSeconds", file.probe_timeout_seconds, 60)?,
            nfs_server: service("nfsServer", file.nfs_server)?,
            isolation_probe: service("isolationProbe", file.isolation_probe)?,
            usage_interval: seconds("usageIntervalSeconds", file.usage_interval_seconds, 3600)?,
            local_storage: file.local_storage,
            fs_caches: file.fs_caches,
            mover: file.mover,
            files: file.files.map(FilesConfig::checked).transpose()?,
            files_clean_up: file.files_clean_up,
        })
    }
}

fn seconds(field: &'static str, value: u64, max: u64) -> Result<Duration, ConfigError> {
    if (1..=max).contains(&value) {
        Ok(Duration::from_secs(value))
    } else {
        Err(ConfigError::OutOfBounds { field, value, max })
    }
}

fn service(field: &'static str, given: Option<ServiceName>) -> Result<Option<String>, ConfigError> {
    let Some(ServiceName { service: name }) = given else {
        return Ok(None);
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    if fits { Ok(Some(name)) } else { Err(ConfigError::Service { field, name }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        crate::error::chain(&Config::parse(text).expect_err(text))
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.workspace_selector, "workspacefs.io/workspace=true");
        assert_eq!(config.node_group_label, "workspacefs.io/node-group");
        assert!(config.default_file_system.is_none());
        assert_eq!((config.probe_interval.as_secs(), config.probe_timeout.as_secs()), (30, 5));
        assert_eq!((config.nfs_server, config.isolation_probe), (None, None));
        assert_eq!(config.usage_interval.as_secs(), 30);
        assert!(config.local_storage);
        assert!(!Config::parse("localStorage: false").unwrap().local_storage);
        assert!(!config.fs_caches && Config::parse("fsCaches: true").unwrap().fs_caches);
        assert_eq!(config.mover, MoverConfig::default());
        assert!(config.files.is_none() && !config.files_clean_up);
        assert!(Config::parse("filesCleanUp: true").unwrap().files_clean_up);
        assert_eq!(Config::parse("files: {}").unwrap().files, Some(FilesConfig::default()));
        let amounts =
            Config::parse("files: {resources: {limits: {cpu: 1}}}").unwrap().files.unwrap().resources;
        assert_eq!(amounts.limits.unwrap()["cpu"].0, "1");
        let mover = Config::parse("mover: {image: i, pullSecrets: [s]}").unwrap().mover;
        assert_eq!(
            (mover.image.as_str(), mover.pull_policy.as_str(), mover.pull_secrets.len()),
            ("i", "IfNotPresent", 1)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("workspaceSelectr: a=b", "workspaceSelectr"),
            ("workspaceSelector: ''", "workspaceSelector"),
            ("workspaceSelector: 'a in'", "workspaceSelector"),
            ("nodeGroupLabel: 'a b'", "nodeGroupLabel"),
            ("probeIntervalSeconds: 0", "probeIntervalSeconds"),
            ("probeTimeoutSeconds: 99", "from 1 to 60"),
            ("usageIntervalSeconds: 0", "usageIntervalSeconds"),
            ("nfsServer: {service: ''}", "nfsServer.service"),
            ("nfsServer: {service: a.b}", "nfsServer.service"),
            ("isolationProbe: {service: -x}", "isolationProbe.service"),
            ("nfsServer: {servce: x}", "servce"),
            ("localStorage: maybe", "localStorage"),
            ("mover: {imge: x}", "imge"),
            ("files: {trashDys: 1}", "trashDys"),
            ("files: {uploadDays: 0}", "files.uploadDays"),
            ("files: {allowEndpoints: ['a b']}", "files.allowEndpoints"),
            ("defaultFileSystem: {backend: {managed: {capacity: none}}}", "capacity"),
            ("defaultFileSystem: {backend: {}}", "exactly one"),
            ("defaultFileSystem: {backend: {nfs: {server: a, export: /e, foldr: x}}}", "foldr"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
    }
}
