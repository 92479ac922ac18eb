//! What any Linux wants before its first service: the kernel's own file systems, control groups, limits, and the one
//! lie this kernel needs (a clock speed).

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

/// A step of the set-up that did not work.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A mount.
    #[error("cannot mount {what} at {target}")]
    Mount {
        /// File system or source.
        what: String,
        /// Mount point.
        target: String,
        /// Why.
        #[source]
        source: Errno,
    },
    /// A file below /proc, /sys or /etc.
    #[error("cannot write {path}")]
    Write {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The limit on open files.
    #[error("cannot raise the limit on open files")]
    Limit(#[source] Errno),
}

/// The kernel's file systems: type, mount point, options.
const FILE_SYSTEMS: [(&str, &str, &str); 13] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", "mode=0755"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666"),
    ("mqueue", "/dev/mqueue", ""),
    ("tmpfs", "/run", "mode=0755"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/var/tmp", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
];

/// Without these a machine is still useful; kernels are built without them.
const OPTIONAL: [&str; 4] = ["mqueue", "bpf", "debugfs", "tracefs"];

/// Mounts the kernel's file systems and makes every mount shared, as systemd does on a real node.
pub fn mount_all() -> Result<(), SystemError> {
    for (kind, target, options) in FILE_SYSTEMS {
        let done = mount_one(kind, kind, target, options);
        match done {
            Err(SystemError::Mount { .. }) if OPTIONAL.contains(&kind) => {}
            // The kernel mounts devtmpfs by itself.
            Err(SystemError::Mount { source: Errno::BUSY, .. }) => {}
            other => other?,
        }
    }
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).map_err(|source| {
        SystemError::Mount { what: "shared propagation".into(), target: "/".into(), source }
    })?;
    enable_controllers()?;
    fake_clock_speed()?;
    let files = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
    setrlimit(Resource::Nofile, files).map_err(SystemError::Limit)
}

/// Mounts one file system; the mount point is made.
pub fn mount_one(kind: &str, source: &str, target: &str, options: &str) -> Result<(), SystemError> {
    // A mount point on a read-only or virtual parent exists already; mount says so if it does not.
    let _ = fs::create_dir_all(target);
    let data = CString::new(options).unwrap_or_default();
    mount(source, target, kind, MountFlags::empty(), data.as_c_str()).map_err(|errno| SystemError::Mount {
        what: kind.to_owned(),
        target: target.to_owned(),
        source: errno,
    })
}

/// Lets pods be limited. One CPU, so no cpuset.
fn enable_controllers() -> Result<(), SystemError> {
    for controller in ["+cpu", "+io", "+memory", "+pids"] {
        let path = "/sys/fs/cgroup/cgroup.subtree_control";
        let written = set(path, controller);
        // Absent block-I/O control limits nothing that a test looks at.
        if controller != "+io" {
            written?;
        }
    }
    Ok(())
}

/// Kubelet refuses to start on a CPU that states no clock speed.
fn fake_clock_speed() -> Result<(), SystemError> {
    let copy = "/run/cpuinfo";
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let text = with_clock_speed(&text);
    fs::write(copy, text).map_err(|source| SystemError::Write { path: copy.into(), source })?;
    mount_bind(copy, "/proc/cpuinfo").map_err(|source| SystemError::Mount {
        what: copy.into(),
        target: "/proc/cpuinfo".into(),
        source,
    })
}

/// `/proc/cpuinfo` with a clock speed in each processor's part.
fn with_clock_speed(cpuinfo: &str) -> String {
    let mut text = String::new();
    for line in cpuinfo.lines() {
        text.push_str(line);
        text.push('\n');
        if line.starts_with("processor") {
            text.push_str("cpu MHz\t\t: 2500.000\n");
        }
    }
    text
}

/// Writes a kernel setting.
pub fn set(path: &str, value: &str) -> Result<(), SystemError> {
    fs::write(path, value).map_err(|source| SystemError::Write { path: path.to_owned(), source })
}

/// Writes a file and makes its parent folders.
pub fn write_file(path: &str, content: &str, mode: u32) -> Result<(), SystemError> {
    let write = || -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    write().map_err(|source| SystemError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::with_clock_speed;

    #[test]
    fn every_processor_gets_a_clock_speed() {
        let text = with_clock_speed("processor\t: 0\nmodel\t: x\n\nprocessor\t: 1\n");
        assert_eq!(
            text,
            "processor\t: 0\ncpu MHz\t\t: 2500.000\nmodel\t: x\n\nprocessor\t: 1\ncpu MHz\t\t: 2500.000\n"
        );
    }
}
