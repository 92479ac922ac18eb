//! How the pods of `files` are run: the part `files` of the configuration file. Where it is missing there are none.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Deserialize;
use thiserror::Error;

/// The longest that a trash, or an unfinished upload, is kept: ten years.
const DAYS_MAX: u32 = 3650;
/// A name of the DNS has no more bytes, a network fewer.
const ENDPOINT_BYTES_MAX: usize = 253;

/// The part as it is written.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FilesConfig {
    /// The image that has them.
    pub image: String,
    /// When nodes pull it: Always, IfNotPresent or Never.
    pub pull_policy: String,
    /// Names of Secrets by which it is pulled. They are looked for in each workspace.
    pub pull_secrets: Vec<String>,
    /// What a pod asks for, and may have. A workspace with a quota may demand both.
    pub resources: ResourceRequirements,
    /// For so many days what was deleted can be restored; 0: it is gone at once.
    pub trash_days: u32,
    /// For so many days an upload can be continued.
    pub upload_days: u32,
    /// Hosts and networks inside the cluster from which may be imported.
    pub allow_endpoints: Vec<String>,
    /// Whether a NetworkPolicy lets the gateway alone to them.
    pub network_policy: bool,
    /// The rsync daemon beside each. None: there are none.
    pub rsync: Option<RsyncConfig>,
}

/// How rsync daemons are run.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RsyncConfig {
    /// The image that has them.
    pub image: String,
    /// What each asks for, and may have.
    pub resources: ResourceRequirements,
    /// Uploads at once to one FileSystem, through the gateway and past it each.
    pub connections: u32,
    /// Whether whoever knows the hourly secret gets to it past the gateway, in clear text.
    pub expose: bool,
}

/// What is wrong in it.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum FilesConfigError {
    /// A number outside its bounds.
    #[error("files.{field} is {value}; it must be from {min} to {max}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The smallest value that makes sense.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// Neither a host nor a network.
    #[error("files.allowEndpoints: {0:?} is neither a host nor a network")]
    Endpoint(String),
}

/// The longest list of uploads at once.
const CONNECTIONS_MAX: u32 = 1024;

fn amounts(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let some = |amounts: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        amounts.iter().map(|(name, amount)| ((*name).into(), Quantity((*amount).into()))).collect()
    };
    ResourceRequirements {
        requests: Some(some(requests)),
        limits: Some(some(limits)),
        ..ResourceRequirements::default()
    }
}

impl Default for RsyncConfig {
    fn default() -> Self {
        Self {
            image: "workspacefs.io/rsync:dev".into(),
            resources: amounts(&[("cpu", "10m"), ("memory", "32Mi")], &[("memory", "512Mi")]),
            connections: 16,
            expose: false,
        }
    }
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            image: "workspacefs.io/files:dev".into(),
            pull_policy: "IfNotPresent".into(),
            pull_secrets: Vec::new(),
            resources: amounts(&[("cpu", "10m"), ("memory", "32Mi")], &[("memory", "256Mi")]),
            trash_days: 7,
            upload_days: 7,
            allow_endpoints: Vec::new(),
            network_policy: true,
            rsync: None,
        }
    }
}

impl FilesConfig {
    /// The part, if all of it makes sense.
    ///
    /// # Errors
    /// [`FilesConfigError`] names the field.
    pub fn checked(self) -> Result<Self, FilesConfigError> {
        for (field, value, min) in [("trashDays", self.trash_days, 0), ("uploadDays", self.upload_days, 1)] {
            if !(min..=DAYS_MAX).contains(&value) {
                return Err(FilesConfigError::OutOfBounds { field, value, min, max: DAYS_MAX });
            }
        }
        if let Some(value) = self.rsync.as_ref().map(|rsync| rsync.connections)
            && !(1..=CONNECTIONS_MAX).contains(&value)
        {
            let field = "rsync.connections";
            return Err(FilesConfigError::OutOfBounds { field, value, min: 1, max: CONNECTIONS_MAX });
        }
        match self.allow_endpoints.iter().find(|endpoint| !is_endpoint(endpoint)) {
            Some(endpoint) => Err(FilesConfigError::Endpoint(endpoint.clone())),
            None => Ok(self),
        }
    }
}

/// Whether `files` can take it for a host, an address or a network; which of them it is, that says itself.
fn is_endpoint(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '/' | '[' | ']');
    (1..=ENDPOINT_BYTES_MAX).contains(&text.len()) && !text.starts_with('-') && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let with = |change: fn(&mut FilesConfig)| {
            let mut config = FilesConfig::default();
            change(&mut config);
            config.checked().map_err(|error| error.to_string())
        };
        assert!(with(|_| {}).is_ok() && with(|config| config.trash_days = 0).is_ok());
        assert!(with(|config| config.upload_days = 0).unwrap_err().contains("uploadDays is 0"));
        assert!(with(|config| config.trash_days = 4000).unwrap_err().contains("from 0 to 3650"));
        let too_few = |config: &mut FilesConfig| {
            config.rsync = Some(RsyncConfig { connections: 0, ..RsyncConfig::default() });
        };
        assert!(with(too_few).unwrap_err().contains("rsync.connections is 0"));
        for bad in ["", "-x", "a b", "$(HOME)", "a,b", "ä"] {
            let allow_endpoints = vec!["10.0.0.0/8".into(), bad.into()];
            let config = FilesConfig { allow_endpoints, ..FilesConfig::default() };
            assert_eq!(config.checked(), Err(FilesConfigError::Endpoint(bad.into())));
        }
        for good in ["10.0.0.0/8", "fd00::/8", "minio.storage.svc", "[fd00::1]:9000"] {
            assert!(is_endpoint(good), "{good}");
        }
    }
}
