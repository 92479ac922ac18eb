//! Kubernetes, containerd, etcd, the CSI sidecars, csi-sanity and Helm, built as Go modules from the pinned module files
//! in `programs/`.

use crate::build::cache::{self, CacheError, Key};
use crate::config::ClusterConfig;
use crate::host::command::{CommandError, command, run};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kubernetes' version; must match the module file.
pub const KUBERNETES_VERSION: &str = "v1.37.2";

/// Time for one set: the largest takes seven minutes on two free cores.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Programs that share one module file.
struct Set {
    /// Folder below `programs/`, and name of the cache entry.
    name: &'static str,
    /// Packages, and the name of the program each becomes.
    packages: &'static [(&'static str, &'static str)],
    /// The same for packages whose tests are the program.
    tests: &'static [(&'static str, &'static str)],
    /// Build tags.
    tags: &'static str,
    /// Variables set by the linker: without them nodes report no version.
    variables: &'static [(&'static str, &'static str)],
}

const SETS: [Set; 6] = [
    Set {
        name: "kubernetes",
        packages: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
            ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
            ("k8s.io/kubernetes/cmd/kube-proxy", "kube-proxy"),
            ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        ],
        tests: &[],
        tags: "",
        variables: &[
            ("k8s.io/component-base/version.gitVersion", KUBERNETES_VERSION),
            ("k8s.io/component-base/version.gitMajor", "1"),
            ("k8s.io/component-base/version.gitMinor", "37"),
        ],
    },
    Set {
        name: "containerd",
        packages: &[
            ("github.com/containerd/containerd/v2/cmd/containerd", "containerd"),
            ("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "containerd-shim-runc-v2"),
            ("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
        ],
        tests: &[],
        tags: "no_btrfs,no_devmapper,no_zfs",
        variables: &[],
    },
    Set {
        name: "etcd",
        packages: &[("go.etcd.io/etcd/server/v3", "etcd")],
        tests: &[],
        tags: "",
        variables: &[],
    },
    Set {
        name: "csi",
        packages: &[("github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity", "csi-sanity")],
        tests: &[],
        tags: "",
        variables: &[],
    },
    Set {
        name: "sidecars",
        packages: &[
            ("github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner", "csi-provisioner"),
            ("github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer", "csi-resizer"),
        ],
        tests: &[],
        tags: "",
        variables: &[],
    },
    Set {
        name: "helm",
        packages: &[("helm.sh/helm/v4/cmd/helm", "helm")],
        tests: &[],
        tags: "",
        variables: &[],
    },
];

/// Kubernetes' own test suite, and the program in its pods. Built only for those who run it.
const CONFORMANCE: Set = Set {
    name: "conformance",
    packages: &[("k8s.io/kubernetes/test/images/agnhost", "agnhost")],
    tests: &[("k8s.io/kubernetes/test/e2e", "e2e.test")],
    tags: "",
    variables: SETS[0].variables,
};

/// Why programs cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// The Go command or one of its builds failed.
    #[error("cannot build the programs of {set}")]
    Build {
        /// The set.
        set: &'static str,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// There is no Go.
    #[error("Go 1.26 or later must be installed: `go version` failed")]
    NoGo(#[source] CommandError),
    /// The module files cannot be read.
    #[error("cannot read {}", path.display())]
    Modules {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Where the built programs lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Builds what is not in the cache yet.
    pub fn build(config: &ClusterConfig, progress: &Progress) -> Result<Programs, ProgramsError> {
        Programs::build_sets(&SETS, config, progress)
    }

    /// Builds Kubernetes' own test suite, `e2e.test`, and `agnhost`.
    pub fn build_conformance(config: &ClusterConfig, progress: &Progress) -> Result<Programs, ProgramsError> {
        Programs::build_sets(&[CONFORMANCE], config, progress)
    }

    fn build_sets(
        sets: &[Set],
        config: &ClusterConfig,
        progress: &Progress,
    ) -> Result<Programs, ProgramsError> {
        let go = run(&mut command(&["go", "version"]), b"", LIMIT).map_err(ProgramsError::NoGo)?;
        let mut folders = Vec::new();
        for set in sets {
            let key = set.key(config, &go)?;
            let folder = config.cache().join("programs").join(format!("{}-{key}", set.name));
            folders
                .push(cache::entry(&folder, progress, |unfinished| set.build(config, unfinished, progress))?);
        }
        Ok(Programs { folders })
    }

    /// The path of a program: `kubectl`, `helm`, `csi-sanity` ... `None` if no set has it.
    pub fn path(&self, program: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(program)).find(|path| path.exists())
    }

    /// The sets' folders.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

impl Set {
    fn source(&self, config: &ClusterConfig) -> PathBuf {
        config.source().join("programs").join(self.name)
    }

    /// What `go build` gets beside the packages.
    fn flags(&self) -> Vec<String> {
        let variables: String =
            self.variables.iter().map(|(name, value)| format!(" -X {name}={value}")).collect();
        let mut flags = vec!["-trimpath".to_owned(), "-ldflags".to_owned(), format!("-s -w{variables}")];
        if !self.tags.is_empty() {
            flags.extend(["-tags".to_owned(), self.tags.to_owned()]);
        }
        flags
    }

    fn key(&self, config: &ClusterConfig, go: &[u8]) -> Result<String, ProgramsError> {
        let mut key = Key::default();
        key.add(go);
        for file in ["go.mod", "go.sum"] {
            let path = self.source(config).join(file);
            key.add(&fs::read(&path).map_err(|source| ProgramsError::Modules { path, source })?);
        }
        for part in self.flags() {
            key.add(part.as_bytes());
        }
        for (package, program) in self.packages.iter().chain(self.tests) {
            key.add(package.as_bytes()).add(program.as_bytes());
        }
        Ok(key.finish())
    }

    fn build(&self, config: &ClusterConfig, folder: &Path, progress: &Progress) -> Result<(), ProgramsError> {
        let _step = progress.long(&format!("building {} (minutes when nothing is cached)", self.name));
        let file_error = |source| CacheError::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(file_error)?;
        let go = |verb: &[&str]| {
            let mut go = command(&["go"]);
            go.args(verb).args(self.flags()).arg("-o");
            go.current_dir(self.source(config)).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly");
            go.env("GOCACHE", config.cache().join("go-build"));
            go
        };
        let failed = |source| ProgramsError::Build { set: self.name, source };
        let mut build = go(&["build"]);
        build.arg(folder.join("")).args(self.packages.iter().map(|(package, _)| package));
        run(&mut build, b"", LIMIT).map_err(failed)?;
        for (package, program) in self.tests {
            // Without its vet, which looks through all that the tests are built of, for longer than that takes.
            run(go(&["test", "-c", "-vet=off"]).arg(folder.join(program)).arg(package), b"", LIMIT)
                .map_err(failed)?;
        }
        for (package, program) in self.packages {
            let built = folder.join(built_name(package));
            if built != folder.join(program) {
                fs::rename(built, folder.join(program)).map_err(file_error)?;
            }
        }
        Ok(())
    }
}

/// What `go build` calls a program: the last part of its package's path that is no major version.
fn built_name(package: &str) -> &str {
    let is_version = |part: &str| {
        part.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_like_go_names_it() {
        assert_eq!(built_name("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(built_name("helm.sh/helm/v4/cmd/helm"), "helm");
        assert_eq!(built_name("example.org/cmd/vault"), "vault");
    }

    #[test]
    fn the_version_that_nodes_report_is_the_pinned_one() {
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/kubernetes/go.mod");
        let text = fs::read_to_string(modules).unwrap();
        assert!(text.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}")), "{KUBERNETES_VERSION}");
    }

    #[test]
    fn the_sidecars_images_are_tagged_with_the_pinned_versions() {
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/sidecars/go.mod");
        let text = fs::read_to_string(modules).unwrap();
        for sidecar in &crate::build::sidecars::SIDECARS {
            let (name, version) = sidecar.reference.rsplit_once(':').unwrap();
            let module = name.rsplit('/').next().unwrap().replace("csi-", "kubernetes-csi/external-");
            let pinned = text.lines().any(|line| line.contains(&module) && line.contains(version));
            assert!(pinned, "{} in {modules}", sidecar.reference);
        }
    }
}
