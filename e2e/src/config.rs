//! Which cluster, and where its files lie.

use std::path::{Path, PathBuf};

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The name becomes part of file, namespace and interface names.
    #[error("`{0}` is no name for a cluster: 1 to 20 of a-z, 0-9 and -")]
    Name(String),
    /// Neither WSFS_CACHE nor XDG_CACHE_HOME nor HOME is set.
    #[error("no cache folder: set WSFS_CACHE")]
    NoCache,
    /// Paths go into a kernel command line, which has no quoting.
    #[error("the folder {} must be absolute and consist of letters, digits and . _ / - only", .0.display())]
    Path(PathBuf),
}

/// What `up` needs to know.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    name: String,
    cache: PathBuf,
    clusters: PathBuf,
    source: PathBuf,
}

impl ClusterConfig {
    /// A cluster of that name under the cache folder of the environment: `$WSFS_CACHE`, else
    /// `$XDG_CACHE_HOME/workspacefs`, else `~/.cache/workspacefs`. `$WSFS_CLUSTERS` has its own files, disks included, lie
    /// elsewhere: in memory, where a measurement wants disks that nobody else uses.
    pub fn from_environment(name: &str) -> Result<ClusterConfig, ConfigError> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = variable("WSFS_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("workspacefs")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/workspacefs")))
            .ok_or(ConfigError::NoCache)?;
        let config = ClusterConfig::new(name, &cache)?;
        match variable("WSFS_CLUSTERS") {
            None => Ok(config),
            Some(clusters) => Ok(ClusterConfig { clusters: plain(&clusters)?, ..config }),
        }
    }

    /// A cluster of that name under the given cache folder.
    pub fn new(name: &str, cache: &Path) -> Result<ClusterConfig, ConfigError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 20 || !name.bytes().all(legal) {
            return Err(ConfigError::Name(name.to_owned()));
        }
        let cache = plain(cache)?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
        let clusters = cache.join("clusters");
        Ok(ClusterConfig { name: name.to_owned(), cache, clusters, source })
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder with everything that is built once, for all clusters.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// This crate's folder in the checkout: the programs' module files lie there.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The cluster's own files.
    pub fn layout(&self) -> Layout {
        Layout { root: self.clusters.join(&self.name) }
    }
}

/// A folder that can stand in a command line and in a configuration file as it is.
fn plain(folder: &Path) -> Result<PathBuf, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    if !folder.is_absolute() || !folder.as_os_str().as_encoded_bytes().iter().copied().all(plain) {
        return Err(ConfigError::Path(folder.to_owned()));
    }
    Ok(folder.to_owned())
}

/// Where a cluster's files lie: `$WSFS_CACHE/clusters/<name>/`, or `$WSFS_CLUSTERS/<name>/`.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// All of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held by `up` and `down`. Beside the folder, which both may remove.
    pub fn lock(&self) -> PathBuf {
        self.root.with_extension("lock")
    }

    /// Says that the cluster came up, and from what; see [`crate::cluster`].
    pub fn state(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    /// Ids of the processes that were started.
    pub fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// Certificates, keys and tokens of the control plane.
    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// The kubeconfig of one user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.root.join("kubeconfigs").join(user)
    }

    /// The log of a program of the control plane.
    pub fn log(&self, program: &str) -> PathBuf {
        self.root.join("log").join(format!("{program}.log"))
    }

    /// etcd's data.
    pub fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    /// The host folder that every machine sees as `/host`.
    pub fn host(&self) -> PathBuf {
        self.root.join("host")
    }

    /// One machine's disks, console and [`Layout::guest`].
    pub fn machine(&self, name: &str) -> PathBuf {
        self.root.join("machines").join(name)
    }

    /// The folder that a machine sees as `/machine`: its description and its services' logs.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.machine(name).join("guest")
    }

    /// What the machine's kernel and PID 1 print.
    pub fn console(&self, name: &str) -> PathBuf {
        self.machine(name).join("console.log")
    }

    /// The preloaded library, copied so that a later build does not change a running machine.
    pub fn shim(&self) -> PathBuf {
        self.root.join("ptrace-shim.so")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for name in ["", "..", "a/b", "A", "name-that-is-much-too-long"] {
            assert!(ClusterConfig::new(name, Path::new("/cache")).is_err(), "{name}");
        }
        assert!(ClusterConfig::new("dev-2", Path::new("/cache")).is_ok());
    }

    #[test]
    fn folders_that_a_kernel_command_line_would_split_are_refused() {
        for folder in ["relative", "/with space", "/with,comma"] {
            assert!(ClusterConfig::new("dev", Path::new(folder)).is_err(), "{folder}");
        }
    }
}
