//! The command lines of the races with the places filled in, and what each program finds in its environment.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::far::{AUTHORITY, HOST, TOKEN, WORKSPACE};
use crate::goals::Tool;

/// What the words of a command line stand for.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The folder in which the client has the tree.
    pub source: &'a Path,
    /// The folder into which it gets it.
    pub destination: &'a Path,
    /// Where the server is, from here.
    pub port: SocketAddr,
}

impl Places<'_> {
    /// The command, with nothing in its environment that is ours. `program` is where it is.
    pub fn command(&self, tool: &Tool, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(tool.argv.iter().skip(1).map(|word| self.meant_by(word))).env("LC_ALL", "C");
        command
    }

    fn meant_by(&self, word: &str) -> OsString {
        match word {
            "SRC" => self.source.into(),
            "SRC/tree" => self.source.join("tree").into(),
            "DST" => self.destination.into(),
            "PORT" => self.port.to_string().into(),
            "RSYNC/" => format!("rsync://{WORKSPACE}@{}/volume/", self.port).into(),
            word => word.into(),
        }
    }
}

/// Tells `wfs` where the gateway is, in place of whatever else could: `folder` has its authority and no login.
pub fn leads_to_gateway(command: &mut Command, port: SocketAddr, folder: &Path) {
    for name in [
        "KUBECONFIG",
        "LEPTON_WORKSPACE_ID",
        "LEPTON_WORKSPACE_TOKEN",
        "LEPTON_WORKSPACE_URL",
        "WFS_TOKEN_FILE",
    ] {
        command.env_remove(name);
    }
    command.env("WFS_URL", format!("https://{HOST}:{}", port.port())).env("WFS_TOKEN", TOKEN);
    command.env("WFS_WORKSPACE", WORKSPACE).env("WFS_CA", folder.join(AUTHORITY));
    command.env("HOME", folder).env("XDG_CONFIG_HOME", folder);
}

#[cfg(test)]
mod tests {
    use super::super::races::{LS, RSYNC_UP, TAR_DOWN, TAR_UP, WFS_DOWN, WFS_UP};
    use super::*;

    #[test]
    fn only_the_places_of_a_command_line_are_filled_in() {
        let port = SocketAddr::from(([127, 0, 0, 1], 7));
        let places = Places { source: Path::new("/s"), destination: Path::new("/d"), port };
        let words = |tool: &Tool| -> Vec<String> {
            let command = places.command(tool, Path::new("/bin/x"));
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(words(&WFS_UP), ["storage", "upload", "-r", "/s/tree", "/"]);
        assert_eq!(words(&WFS_DOWN), ["storage", "download", "-r", "/tree", "/d"]);
        assert_eq!(words(&RSYNC_UP), ["-a", "/s/tree", "rsync://ws@127.0.0.1:7/volume/"]);
        assert_eq!(words(&TAR_UP), ["127.0.0.1:7", "tar", "cf", "-", "-C", "/s", "tree"]);
        assert_eq!(words(&TAR_DOWN), ["127.0.0.1:7", "tar", "xf", "-", "-C", "/d"]);
        assert_eq!(words(&LS), ["storage", "ls", "/tree/part-00000"]);
    }

    #[test]
    fn nothing_of_the_environment_leads_elsewhere() {
        let mut command = Command::new("wfs");
        leads_to_gateway(&mut command, SocketAddr::from(([127, 0, 0, 1], 7)), Path::new("/f"));
        let of = |name: &str| command.get_envs().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(of("WFS_URL"), Some(Some("https://localhost:7".as_ref())));
        assert_eq!(of("WFS_CA"), Some(Some("/f/ca.crt".as_ref())));
        assert_eq!((of("KUBECONFIG"), of("LEPTON_WORKSPACE_URL")), (Some(None), Some(None)));
    }
}
