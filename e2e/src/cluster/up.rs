//! Starting: builds what is not cached, removes what an interrupted run left, starts everything at once and waits for
//! each part, naming the one that fails with the end of its log.

use super::down::{DownError, lock, stop};
use super::kubectl::{ImportError, KubectlError};
use super::{AttachError, BUSYBOX_IMAGE, Cluster, NoSuchProgram, State};
use crate::build::cache::{self, CacheError};
use crate::build::container_image::{ContainerImage, Entry, ImageError};
use crate::build::machine_image::{MachineImage, MachineImageError};
use crate::build::own::Own;
use crate::build::packages;
use crate::build::programs::{Programs, ProgramsError};
use crate::config::ClusterConfig;
use crate::control_plane::{PARTS, Part};
use crate::credentials::{self, CredentialsError};
use crate::host::command::{CommandError, last_lines};
use crate::host::lock::LockError;
use crate::host::namespace::{Namespace, NamespaceError};
use crate::host::network;
use crate::host::process::{Process, ProcessError};
use crate::machine::{BootError, PAUSE_IMAGE};
use crate::progress::Progress;
use crate::topology::workers;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the API server, or a node, may take until it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(250);

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Another `up` or `down`.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Debian packages.
    #[error("cannot install the Debian packages that the cluster needs")]
    Packages(#[source] CommandError),
    /// Go programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// Our own programs.
    #[error("cannot build the machines' own programs")]
    Own(#[source] CommandError),
    /// The disk image.
    #[error(transparent)]
    MachineImage(#[from] MachineImageError),
    /// What an earlier run left.
    #[error("cannot remove what an earlier run left")]
    Leftovers(#[source] Box<DownError>),
    /// Certificates and tokens.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The network.
    #[error("cannot make the cluster's network")]
    Network(#[from] NamespaceError),
    /// A process of the control plane.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program is missing.
    #[error(transparent)]
    Program(#[from] NoSuchProgram),
    /// A part of the control plane ended or is not ready in time.
    #[error("{part} {what}; the end of {}:\n{tail}", log.display())]
    Part {
        /// Which.
        part: String,
        /// What is wrong with it.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// A machine.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The images that every cluster has.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The same, on the machines.
    #[error("cannot give the machines their images")]
    Import(#[from] ImportError),
    /// The API server refused something.
    #[error(transparent)]
    Kubectl(#[from] KubectlError),
    /// Attaching to what has just come up.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A file of the cluster.
    #[error("cannot use {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Cluster {
    /// Starts a cluster, or says that it runs already and attaches to it. A start that fails stops what it had
    /// started and leaves the logs.
    pub fn up(config: &ClusterConfig) -> Result<Cluster, UpError> {
        let progress = Progress::default();
        let _lock = lock(config, &progress)?;
        if let Ok(cluster) = Cluster::attach(config)
            && cluster.status()?.is_well()
        {
            progress.say(&format!("the cluster {} runs already", config.name()));
            return Ok(cluster);
        }
        packages::install_missing(&progress).map_err(UpError::Packages)?;
        let own = Own::build(config, &progress).map_err(UpError::Own)?;
        let programs = Programs::build(config, &progress)?;
        let image = MachineImage::build(config, &programs, &own, &progress)?;
        stop(config).map_err(|error| UpError::Leftovers(Box::new(error)))?;
        cache::remove(config.layout().root())?;
        let state = State { programs, image: image.image.clone() };
        let namespace = Namespace::of_cluster(config.name());
        let cluster = Cluster { config: config.clone(), namespace, state };
        match cluster.start(&own, &image, &progress).and_then(|()| cluster.finish(&image, &progress)) {
            Ok(()) => Ok(cluster),
            Err(error) => {
                // The first failure is the one to report.
                let _ = stop(config);
                Err(error)
            }
        }
    }

    fn start(&self, own: &Own, image: &MachineImage, progress: &Progress) -> Result<(), UpError> {
        let layout = self.layout();
        progress.say("starting the network, the control plane and the machines");
        create_folder(&layout.host())?;
        credentials::create(&layout)?;
        copy(&own.shim, &layout.shim())?;
        self.namespace.create()?;
        self.namespace.ip(&network::commands())?;
        let (etcd, api) = (self.start_part(Part::Etcd)?, self.start_part(Part::ApiServer)?);
        for machine in self.machines() {
            machine.prepare()?;
            machine.power_on()?;
        }
        let images = self.write_images(own, image)?;
        self.wait_for_api_server(&[etcd, api])?;
        progress.say("the API server is ready");
        for part in [Part::ControllerManager, Part::Scheduler] {
            self.start_part(part)?;
        }
        for machine in self.machines() {
            machine.wait_until_up()?;
            progress.say(&format!("the machine {} is up", machine.name()));
        }
        for image in images {
            self.import_image(&image)?;
        }
        progress.say("the machines have their images");
        self.wait_until_usable()
    }

    /// Writes the state, which makes this a cluster to attach to, and drops old cache entries.
    fn finish(&self, image: &MachineImage, progress: &Progress) -> Result<(), UpError> {
        let path = self.layout().state();
        let text = serde_json::to_vec_pretty(&self.state).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text)).map_err(|source| UpError::File { path, source })?;
        progress.say(&format!("the cluster {} is ready", self.name()));
        let states = all_states(&self.config);
        let in_use = |entry: &str| states.contains(entry);
        for folder in self.state.programs.folders() {
            cache::prune(folder, in_use)?;
        }
        cache::prune(&image.debian, in_use)?;
        Ok(cache::prune(&image.image, in_use)?)
    }

    fn start_part(&self, part: Part) -> Result<Process, UpError> {
        let layout = self.layout();
        let command = part.command(&self.program(part.name())?, &layout);
        let log = layout.log(part.name());
        Ok(Process::start(&self.namespace, part.name(), &command, &log, &layout.processes())?)
    }

    fn wait_for_api_server(&self, needed: &[Process]) -> Result<(), UpError> {
        let started = Instant::now();
        let arguments = ["get", "--raw=/readyz", "--request-timeout=5s"];
        while self.kubectl("admin", &arguments).is_err() {
            for process in needed {
                if !process.runs() {
                    return Err(self.part_failed(&process.name, "ended"));
                }
            }
            if started.elapsed() > READY_TIME_MAX {
                return Err(self.part_failed(Part::ApiServer.name(), "is not ready in time"));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until pods can be made: nodes are Ready, and the controllers have made the service account that a pod
    /// without one gets.
    fn wait_until_usable(&self) -> Result<(), UpError> {
        let started = Instant::now();
        loop {
            for part in PARTS {
                if !Process::read(&self.layout().processes(), part.name())?
                    .is_some_and(|process| process.runs())
                {
                    return Err(self.part_failed(part.name(), "ended"));
                }
            }
            let late = started.elapsed() > READY_TIME_MAX;
            let ready = self.nodes_ready();
            let missing = workers().find(|plan| !ready.contains(&(plan.name.to_owned(), true)));
            let account = ["get", "serviceaccount", "default", "--namespace=default", "--request-timeout=5s"];
            match missing {
                None if self.kubectl("admin", &account).is_ok() => return Ok(()),
                None if late => {
                    let what = "has not made the default service account in time";
                    return Err(self.part_failed(Part::ControllerManager.name(), what));
                }
                Some(plan) if late => {
                    let log = self.machine_of(plan).log("kubelet");
                    return Err(failed(&format!("the node {}", plan.name), "is not Ready in time", log));
                }
                None | Some(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn part_failed(&self, part: &str, what: &str) -> UpError {
        failed(part, what, self.layout().log(part))
    }

    /// Writes the images that every cluster has: the sandbox's and the tests'.
    fn write_images(&self, own: &Own, image: &MachineImage) -> Result<Vec<PathBuf>, UpError> {
        let folder = self.layout().root().join("images");
        let file =
            |path: &Path| fs::read(path).map_err(|source| UpError::File { path: path.to_owned(), source });
        let pause = ContainerImage {
            reference: PAUSE_IMAGE.into(),
            entries: vec![Entry::File { path: "pause".into(), mode: 0o755, content: file(&own.pause)? }],
            entrypoint: vec!["/pause".into()],
            environment: Vec::new(),
        };
        let busybox = busybox_image(file(&image.debian.join("bin/busybox"))?);
        let mut paths = Vec::new();
        for (name, image) in [("pause.tar", pause), ("busybox.tar", busybox)] {
            let path = folder.join(name);
            image.write(&path)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// The commands that tests use under their own names; the rest through `busybox NAME`.
const APPLETS: &str = "sh ash cat ls echo sleep mkdir rm rmdir mv cp ln touch stat df du dd sync id chmod chown head \
tail grep sed awk wc sort date hostname env true false test [ seq md5sum sha256sum wget nc httpd find xargs mount \
umount ps kill ip ping vi top tar readlink realpath mkfifo flock usleep printf tee cut tr uname whoami mountpoint";

fn busybox_image(program: Vec<u8>) -> ContainerImage {
    let mut entries = vec![
        Entry::File { path: "bin/busybox".into(), mode: 0o755, content: program },
        Entry::Folder { path: "tmp".into(), mode: 0o1777 },
        Entry::File {
            path: "etc/passwd".into(),
            mode: 0o644,
            content: b"root:x:0:0:root:/:/bin/sh\n".to_vec(),
        },
        Entry::File { path: "etc/group".into(), mode: 0o644, content: b"root:x:0:\n".to_vec() },
    ];
    let link = |name| Entry::Link { path: format!("bin/{name}"), target: "busybox".into() };
    entries.extend(APPLETS.split_whitespace().map(link));
    ContainerImage {
        reference: BUSYBOX_IMAGE.into(),
        entries,
        entrypoint: Vec::new(),
        environment: vec!["PATH=/bin".into()],
    }
}

fn failed(part: &str, what: &str, log: PathBuf) -> UpError {
    let text = fs::read(&log).unwrap_or_default();
    let tail = last_lines(&String::from_utf8_lossy(&text), 25);
    UpError::Part { part: part.to_owned(), what: what.to_owned(), log, tail }
}

fn create_folder(path: &Path) -> Result<(), UpError> {
    fs::create_dir_all(path).map_err(|source| UpError::File { path: path.to_owned(), source })
}

fn copy(from: &Path, to: &Path) -> Result<(), UpError> {
    fs::copy(from, to).map_err(|source| UpError::File { path: to.to_owned(), source })?;
    Ok(())
}

/// The state files of all clusters, as one text: an entry of the cache that stands in none is not needed.
fn all_states(config: &ClusterConfig) -> String {
    let Ok(entries) = fs::read_dir(config.cache().join("clusters")) else {
        return String::new();
    };
    let state = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("cluster.json")).ok();
    entries.flatten().filter_map(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A cluster whose programs are scripts. Needs root, as the harness itself does; starts no machine.
    struct OfScripts {
        cluster: Cluster,
        _cache: tempfile::TempDir,
    }

    impl OfScripts {
        fn new(name: &str, scripts: &[(&str, &str)]) -> OfScripts {
            let cache = tempfile::tempdir().unwrap();
            let folder = cache.path().join("programs");
            fs::create_dir(&folder).unwrap();
            for (program, script) in scripts {
                fs::write(folder.join(program), format!("#!/bin/sh\n{script}\n")).unwrap();
                fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
            }
            let config = ClusterConfig::new(&format!("{name}-{}", std::process::id()), cache.path()).unwrap();
            let programs = serde_json::from_value(serde_json::json!({ "folders": [folder] })).unwrap();
            let namespace = Namespace::of_cluster(config.name());
            namespace.create().unwrap();
            let state = State { programs, image: PathBuf::new() };
            OfScripts { cluster: Cluster { config, namespace, state }, _cache: cache }
        }
    }

    impl Drop for OfScripts {
        fn drop(&mut self) {
            stop(&self.cluster.config).unwrap();
        }
    }

    #[test]
    fn a_start_that_fails_names_the_part_and_shows_the_end_of_its_log() {
        // 100 lines, so that there is more than an end.
        let bad = "seq 100 199; echo 'listen tcp :6443: bind: address already in use' >&2; exit 1";
        let scripts =
            [("etcd", "echo nothing to say; exec sleep 600"), ("kube-apiserver", bad), ("kubectl", "exit 1")];
        let of_scripts = OfScripts::new("tf", &scripts);
        let cluster = &of_scripts.cluster;
        let started = [Part::Etcd, Part::ApiServer].map(|part| cluster.start_part(part).unwrap());
        let said = cluster.wait_for_api_server(&started).unwrap_err().to_string();
        let log = cluster.layout().log("kube-apiserver");
        assert!(
            said.starts_with(&format!("kube-apiserver ended; the end of {}:\n", log.display())),
            "{said}"
        );
        assert!(said.ends_with("199\nlisten tcp :6443: bind: address already in use"), "{said}");
        assert!(!said.contains("100\n") && !said.contains("etcd"), "{said}");
    }

    #[test]
    fn a_part_that_left_no_log_is_named_all_the_same() {
        let said = failed("the node n1", "is not Ready in time", "/nowhere/kubelet.log".into()).to_string();
        assert_eq!(said, "the node n1 is not Ready in time; the end of /nowhere/kubelet.log:\n");
    }
}
