//! Mounting an NFS export as mount.nfs would, without it: options go into the kernel one by one (fsconfig), names are
//! resolved by us, and what the kernel says about a refusal is passed on.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use workspacefs_api::NfsVersion;
use workspacefs_sys::SysError;
use workspacefs_sys::filesystem::{Access, Context};

use super::super::{ShareError, ShareSpec};
use super::connect::{NFS_PORT, Reached, reach};
use super::{Source, words};

/// The versions that are tried when none is asked for. Version 3 is not among them: its locks would silently be local.
const TRIED: [NfsVersion; 3] = [NfsVersion::V4_2, NfsVersion::V4_1, NfsVersion::V4_0];

/// The kernel's NFS client.
pub struct Nfs;

impl Source for Nfs {
    fn mount(&self, spec: &ShareSpec, by: Instant) -> Result<OwnedFd, ShareError> {
        let reached = reach(&spec.server, spec.port.unwrap_or(NFS_PORT), by)?;
        let asked = spec.version.map(|version| [version]);
        let versions = asked.as_ref().map_or(&TRIED[..], |one| &one[..]);
        let mut refusal = None;
        for version in versions {
            match mount(spec, *version, reached) {
                Err(error) if refuses_version(&error) => refusal = Some(error),
                Err(error) => return Err(explain(spec, versions, &error)),
                Ok(mount) => return Ok(mount),
            }
        }
        Err(match refusal {
            Some(error) => explain(spec, versions, &error),
            None => {
                ShareError::MountFailed { share: spec.to_string(), reason: "no NFS version to try".into() }
            }
        })
    }
}

fn mount(spec: &ShareSpec, version: NfsVersion, reached: Reached) -> Result<OwnedFd, SysError> {
    let context = Context::open("nfs")?;
    for (key, value) in options(spec, version, reached) {
        match value {
            Some(value) => context.set(&key, &value)?,
            None => context.set_flag(&key)?,
        }
    }
    context.mount(Access::Full)
}

/// Everything the kernel has to know, in the order it is told: what must hold stands last, so that nothing before it
/// could change it.
fn options(spec: &ShareSpec, version: NfsVersion, reached: Reached) -> Vec<(String, Option<String>)> {
    let mut options = vec![("hard".to_string(), None)];
    options.extend(spec.options.iter().cloned());
    let mut set = |key: &str, value: String| options.push((key.to_string(), Some(value)));
    set("source", format!("{}:{}", host(&spec.server), spec.export));
    set("vers", version.as_str().into());
    set("proto", transport(reached.server).into());
    set("addr", reached.server.ip().to_string());
    if let Some(port) = spec.port {
        set("port", port.to_string());
    }
    if version == NfsVersion::V3 {
        set("mountproto", transport(reached.server).into());
        set("mountaddr", reached.server.ip().to_string());
        // rpc.statd would be needed for locks that reach the server; condition LocksLocal says that they do not.
        options.push(("nolock".into(), None));
    } else {
        set("clientaddr", reached.local.ip().to_string());
    }
    options
}

/// IPv6 addresses stand in brackets before the colon of `server:/export`.
fn host(server: &str) -> String {
    match server.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => server.to_string(),
    }
}

fn transport(address: SocketAddr) -> &'static str {
    if address.is_ipv6() { "tcp6" } else { "tcp" }
}

fn refuses_version(error: &SysError) -> bool {
    error.errno == Errno::PROTONOSUPPORT
}

fn explain(spec: &ShareSpec, versions: &[NfsVersion], error: &SysError) -> ShareError {
    let share = spec.to_string();
    let reason = match error.kernel.as_str() {
        "" => words::text(error.errno),
        kernel => format!("{}; kernel: {kernel}", words::text(error.errno)),
    };
    match error.errno {
        Errno::PROTONOSUPPORT => {
            let names: Vec<&str> = versions.iter().map(|v| v.as_str()).collect();
            ShareError::VersionRefused { share, versions: names.join(", "), reason }
        }
        Errno::NODEV => ShareError::NoClient { reason },
        Errno::NOENT | Errno::NOTDIR | Errno::STALE => ShareError::ExportMissing { share, reason },
        Errno::ACCESS | Errno::PERM => ShareError::MountDenied { share, reason },
        Errno::CONNREFUSED
        | Errno::CONNRESET
        | Errno::TIMEDOUT
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH
        | Errno::HOSTDOWN => ShareError::Unreachable { server: spec.server.clone(), reason },
        _ => ShareError::MountFailed { share, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(server: &str, options: &[(&str, Option<&str>)]) -> ShareSpec {
        ShareSpec {
            server: server.into(),
            export: "/export/a,b c".into(),
            version: None,
            port: Some(2050),
            options: options.iter().map(|(k, v)| (k.to_string(), v.map(Into::into))).collect(),
        }
    }

    fn reached(server: &str, local: &str) -> Reached {
        Reached { server: server.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn value<'a>(options: &'a [(String, Option<String>)], key: &str) -> Option<&'a str> {
        options.iter().rfind(|(k, _)| k == key).and_then(|(_, v)| v.as_deref())
    }

    #[test]
    fn a_comma_stays_inside_its_value_and_what_we_set_comes_after_what_people_ask_for() {
        let spec = spec("nfs.example", &[("soft", None), ("timeo", Some("50"))]);
        let options = options(&spec, NfsVersion::V4_1, reached("10.0.0.1:2050", "10.0.0.9:700"));
        assert_eq!(value(&options, "source"), Some("nfs.example:/export/a,b c"));
        assert_eq!(value(&options, "vers"), Some("4.1"));
        assert_eq!(value(&options, "addr"), Some("10.0.0.1"));
        assert_eq!(value(&options, "clientaddr"), Some("10.0.0.9"));
        assert_eq!(value(&options, "port"), Some("2050"));
        let position = |key: &str| options.iter().position(|(k, _)| k == key);
        assert!(position("hard") < position("soft") && position("timeo") < position("source"));
        assert!(position("nolock").is_none());
    }

    #[test]
    fn ipv6_servers_stand_in_brackets_and_version_3_keeps_its_locks_to_itself() {
        let options =
            options(&spec("fd00::1", &[]), NfsVersion::V3, reached("[fd00::1]:2049", "[fd00::9]:1"));
        assert_eq!(value(&options, "source"), Some("[fd00::1]:/export/a,b c"));
        assert_eq!(value(&options, "proto"), Some("tcp6"));
        assert_eq!(value(&options, "mountproto"), Some("tcp6"));
        assert!(options.iter().any(|(k, v)| k == "nolock" && v.is_none()));
        assert_eq!(value(&options, "clientaddr"), None);
    }

    #[test]
    fn every_refusal_has_its_own_words() {
        let explained = |errno| {
            let error = SysError { step: "mount", kernel: "NFS: said so".into(), errno };
            explain(&spec("s", &[]), &TRIED, &error)
        };
        assert!(matches!(explained(Errno::NOENT), ShareError::ExportMissing { .. }));
        assert!(matches!(explained(Errno::ACCESS), ShareError::MountDenied { .. }));
        assert!(matches!(explained(Errno::TIMEDOUT), ShareError::Unreachable { .. }));
        assert!(matches!(explained(Errno::NODEV), ShareError::NoClient { .. }));
        assert!(matches!(explained(Errno::INVAL), ShareError::MountFailed { .. }));
        let refused = explained(Errno::PROTONOSUPPORT).to_string();
        assert!(refused.contains("4.2, 4.1, 4.0") && refused.contains("NFS: said so"), "{refused}");
    }
}
