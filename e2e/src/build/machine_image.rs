//! The disk that every machine boots from, each with a copy-on-write layer of its own: Debian with what a Kubernetes
//! node and an NFS server need, the modules of the user-mode kernel, and our programs.

use crate::build::cache::{self, CacheError, Key};
use crate::build::own::Own;
use crate::build::packages;
use crate::build::programs::Programs;
use crate::config::ClusterConfig;
use crate::host::command::{CommandError, command, run};
use crate::progress::Progress;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's release: the kernel and its modules are this release's.
const RELEASE: &str = "bookworm";

/// Containers, volumes, the network of pods, the NFS server, disks that go bad, and what a person wants in a shell there.
const PACKAGES: &str = "runc,containernetworking-plugins,iptables,iproute2,kmod,conntrack,ethtool,nfs-common,\
nfs-kernel-server,nfs-ganesha,nfs-ganesha-vfs,rpcbind,xfsprogs,e2fsprogs,util-linux,mount,procps,ca-certificates,\
busybox-static,attr,acl,quota,strace,socat,iputils-ping,tcpdump,dmsetup,fdisk";

/// Programs that the machines run, with the folder they go to.
const PROGRAMS: [&str; 5] = ["kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr"];

/// With a journal, for power cuts. Few inodes: their tables are most of what it writes. The tables now, not by the machine: its disk
/// refuses to zero blocks, and its kernel then never notes in the copy-on-write file that it has them (only in its memory), so
/// that after a power cut new files' inodes were the image's blank ones.
const MKFS: [&str; 11] =
    ["mkfs.ext4", "-q", "-F", "-J", "size=64", "-i", "32768", "-m", "0", "-E", "lazy_itable_init=0"];
/// The file system's size; the file is sparse.
const SIZE: &str = "6G";

/// Where Debian keeps the user-mode kernel's modules.
const MODULES: &str = "/usr/lib/uml/modules";

/// Time for one step.
const LIMIT: Duration = Duration::from_secs(900);

/// Raised when a recipe below changes in a way that the other inputs do not show.
const RECIPE: &[u8] = b"3";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum MachineImageError {
    /// A program failed.
    #[error("cannot build the machines' disk image")]
    Command(#[from] CommandError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file operation.
    #[error("cannot build the machines' disk image: {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program is missing from the sets.
    #[error("no set of programs has {0}")]
    NoProgram(&'static str),
    /// The kernel's package has no modules.
    #[error("{MODULES} holds no modules: is user-mode-linux installed?")]
    NoModules,
}

/// The image and the Debian tree it was made from.
#[derive(Debug, Clone)]
pub struct MachineImage {
    /// The ext4 image.
    pub image: PathBuf,
    /// The tree without our programs; its busybox becomes the test image.
    pub debian: PathBuf,
}

impl MachineImage {
    /// Builds what is not in the cache yet.
    pub fn build(
        config: &ClusterConfig,
        programs: &Programs,
        own: &Own,
        progress: &Progress,
    ) -> Result<MachineImage, MachineImageError> {
        let folder = config.cache().join("images");
        let kernel = packages::version("user-mode-linux")?.unwrap_or_default();
        let mut key = Key::default();
        key.add(RECIPE).add(RELEASE.as_bytes()).add(PACKAGES.as_bytes()).add(kernel.as_bytes());
        let debian = folder.join(format!("debian-{}", key.finish()));
        let debian = cache::entry(&debian, progress, |unfinished| build_debian(unfinished, progress))?;
        for program in PROGRAMS {
            // The path of a program holds the key of its set.
            let path = programs.path(program).ok_or(MachineImageError::NoProgram(program))?;
            key.add(path.as_os_str().as_encoded_bytes());
        }
        key.add(&read(&own.node_init)?).add(SIZE.as_bytes());
        for word in MKFS {
            key.add(word.as_bytes());
        }
        let image = folder.join(format!("node-{}.img", key.finish()));
        let image = cache::entry(&image, progress, |unfinished| {
            build_image(unfinished, &debian, programs, own, progress)
        })?;
        Ok(MachineImage { image, debian })
    }
}

fn build_debian(target: &Path, progress: &Progress) -> Result<(), MachineImageError> {
    let _step = progress.long("building the machines' Debian (a minute)");
    let modules = kernel_modules()?;
    let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut make = command(&["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]);
    make.arg(format!("--include={PACKAGES}"));
    make.args(["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]);
    // This kernel's nf_tables has no IPv4 tables.
    for tool in ["iptables", "ip6tables"] {
        make.arg(format!(
            "--customize-hook=chroot \"$1\" update-alternatives --set {tool} /usr/sbin/{tool}-legacy"
        ));
    }
    make.arg("--customize-hook=mkdir -p \"$1/usr/lib/modules\"");
    make.arg(format!("--customize-hook=cp -a {} \"$1/usr/lib/modules/\"", modules.display()));
    make.arg(format!("--customize-hook=chroot \"$1\" depmod -a {version}"));
    // rpc.mountd reads it, and crashes without it.
    make.arg("--customize-hook=ln -sf /proc/self/mounts \"$1/etc/mtab\"");
    make.arg(RELEASE).arg(target);
    run(&mut make, b"", LIMIT)?;
    Ok(())
}

/// The one folder of modules that the kernel's package brings.
fn kernel_modules() -> Result<PathBuf, MachineImageError> {
    let failed = |source| MachineImageError::File { path: MODULES.into(), source };
    let mut versions = fs::read_dir(MODULES).map_err(failed)?;
    Ok(versions.next().ok_or(MachineImageError::NoModules)?.map_err(failed)?.path())
}

fn build_image(
    target: &Path,
    debian: &Path,
    programs: &Programs,
    own: &Own,
    progress: &Progress,
) -> Result<(), MachineImageError> {
    let _step = progress.long("building the machines' disk image");
    // Hard links: the tree is only read and added to.
    let tree = target.with_extension("tree");
    cache::remove(&tree)?;
    run(command(&["cp", "-al"]).arg(debian).arg(&tree), b"", LIMIT)?;
    for program in PROGRAMS {
        let path = programs.path(program).ok_or(MachineImageError::NoProgram(program))?;
        install(&path, &tree.join("usr/local/bin").join(program))?;
    }
    install(&own.node_init, &tree.join("usr/local/sbin/node-init"))?;
    for folder in ["host", "machine", "export"] {
        let path = tree.join(folder);
        fs::create_dir_all(&path).map_err(|source| MachineImageError::File { path, source })?;
    }
    let mut mkfs = command(&MKFS);
    run(mkfs.arg("-d").arg(&tree).arg(target).arg(SIZE), b"", LIMIT)?;
    cache::remove(&tree)?;
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<(), MachineImageError> {
    let copy = || -> io::Result<()> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))
    };
    copy().map_err(|source| MachineImageError::File { path: to.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, MachineImageError> {
    fs::read(path).map_err(|source| MachineImageError::File { path: path.to_owned(), source })
}
