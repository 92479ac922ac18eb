//! Ganesha's configuration. Each line that is not obvious has its reason beside it.

use std::path::Path;

use workspacefs_agent_proto::EXPORT;
use workspacefs_storage::names::EXPORT_FOLDER;

/// Ganesha's own recovery state, beneath the disk's root.
pub const RECOVERY_FOLDER: &str = "state/ganesha";
/// How long a grace period may be, in seconds: Ganesha's own limit above, what a client needs to notice below.
pub const GRACE_SECONDS: std::ops::RangeInclusive<u64> = 6..=180;

/// A path cannot stand in Ganesha's configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot be exported: only letters, digits, and / . _ - may be in the path")]
pub struct PathError(String);

/// The text of the configuration.
///
/// # Errors
/// [`PathError`].
pub fn text(root: &Path, id: &str, grace_seconds: u64) -> Result<String, PathError> {
    let path = |folder| plain(&root.join(folder));
    let (export, recovery) = (path(EXPORT_FOLDER)?, path(RECOVERY_FOLDER)?);
    let lease_seconds = lease_seconds(grace_seconds);
    Ok(format!(
        r#"# Written by nfs-server at each start.
NFS_CORE_PARAM {{
	Protocols = 4;
	# Without rpcbind it ends at once if it is to listen on UDP.
	Enable_UDP = false;
	Enable_RQUOTA = false;
	Enable_NLM = false;
	RPC_Max_Connections = 10000;
}}
NFS_KRB5 {{
	Active_krb5 = false;
}}
NFSv4 {{
	# 4.0 clients have no sessions: their locks are lost more easily.
	Minor_Versions = 1,2;
	Only_Numeric_Owners = true;
	Delegations = false;
	# On the disk, so that a server that comes back on another node lets its clients reclaim their locks.
	RecoveryBackend = fs;
	RecoveryRoot = "{recovery}";
	Grace_Period = {grace_seconds};
	# Shorter than the grace period: every client renews, and so notices a restart, within it.
	Lease_Lifetime = {lease_seconds};
	# The same server to its clients, whatever the pod or the node is called.
	Server_Scope = "workspacefs-{id}";
	Server_Owner = "workspacefs-{id}";
}}
MDCACHE {{
	# No cache of directories: it would not notice that the agent moved a folder away, and a folder made again under the
	# same name would still be the old one.
	Dir_Chunk = 0;
	# Files that nobody has open are closed soon, all of them: the space of one that the agent deletes from the trash is
	# not free before that.
	FD_LWMark_Percent = 0;
	LRU_Run_Interval = 10;
	Reaper_Work_Per_Lane = 1000;
}}
EXPORT {{
	Export_Id = 1;
	Path = "{export}";
	Pseudo = "{EXPORT}";
	Protocols = 4;
	Transports = TCP;
	SecType = sys;
	Squash = no_root_squash;
	Access_Type = RW;
	FSAL {{
		Name = VFS;
	}}
}}
LOG {{
	Default_Log_Level = EVENT;
}}
"#
    ))
}

fn lease_seconds(grace_seconds: u64) -> u64 {
    grace_seconds * 2 / 3
}

fn plain(path: &Path) -> Result<String, PathError> {
    let text = path.to_string_lossy();
    let is_plain = text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'));
    if is_plain { Ok(text.into_owned()) } else { Err(PathError(text.into_owned())) }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_is_beneath_the_root_and_the_lease_shorter_than_the_grace_period() {
        let text = text(Path::new("/srv/workspacefs"), "abc", 30).unwrap();
        for line in [
            "Path = \"/srv/workspacefs/export\";",
            "Pseudo = \"/workspacefs\";",
            "RecoveryRoot = \"/srv/workspacefs/state/ganesha\";",
            "Grace_Period = 30;",
            "Lease_Lifetime = 20;",
            "Server_Scope = \"workspacefs-abc\";",
        ] {
            assert!(text.contains(line), "{line}");
        }
        for grace in GRACE_SECONDS {
            assert!((1..grace).contains(&lease_seconds(grace)), "{grace}");
        }
    }

    #[test]
    fn a_path_that_could_say_more_is_refused() {
        for bad in ["relative", "/a b", "/a\"; } EXPORT {", "/a\n", "/\u{e9}"] {
            assert!(text(Path::new(bad), "abc", 30).is_err(), "{bad:?}");
        }
    }
}
