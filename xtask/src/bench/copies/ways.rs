//! Who copies, by which command line. No word of one has a space in it.

/// The pod that has the FileSystem.
pub const POD: &str = "user";
/// Where.
pub const VOLUME: &str = "/mnt";

/// One way into the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// `wfs` with a kubeconfig: through the API server to the gateway.
    Forwarded,
    /// `wfs` with the gateway's address.
    Straight,
    /// Through the API server and the kubelet to a `tar` in a pod.
    KubectlCp,
    /// rsync, whose connection `wfs` makes as above.
    Tunnelled,
    /// rsync, to the exposed port of the daemon.
    Rsync,
}

/// All of them.
pub const UP: [Way; 5] = [Way::Forwarded, Way::Straight, Way::KubectlCp, Way::Tunnelled, Way::Rsync];
/// Those by which something comes back: the daemon only takes.
pub const DOWN: [Way; 3] = [Way::Forwarded, Way::Straight, Way::KubectlCp];

impl Way {
    /// For the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "wfs",
            Self::Straight => "wfs by WFS_URL",
            Self::KubectlCp => "kubectl cp",
            Self::Tunnelled => "wfs --rsync",
            Self::Rsync => "rsync",
        }
    }

    /// The name of its folders.
    pub fn folder(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The command that sends the folder `tree` of where it is run into a folder of the FileSystem; the daemon's port is there.
    pub fn up(self, to: &str, daemon: &str) -> String {
        match self {
            Self::Forwarded => format!("wfs storage upload -r tree /{to}"),
            Self::Straight => format!("WFS_URL=URL wfs storage upload -r tree /{to}"),
            Self::KubectlCp => format!("kubectl cp tree {POD}:{VOLUME}/{to}"),
            Self::Tunnelled => format!("wfs storage upload -r --rsync tree /{to}"),
            Self::Rsync => format!("rsync -a tree rsync://{daemon}/volume/{to}/"),
        }
    }

    /// The command that fetches that folder `tree`.
    pub fn down(self, from: &str) -> String {
        match self {
            Self::Straight => format!("WFS_URL=URL wfs storage download -r /{from}/tree ."),
            Self::KubectlCp => format!("kubectl cp {POD}:{VOLUME}/{from}/tree tree"),
            Self::Forwarded | Self::Tunnelled | Self::Rsync => format!("wfs storage download -r /{from}/tree ."),
        }
    }
}

/// Program and arguments of such a command; what it says of the environment is for the page.
pub fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(' ').skip_while(|word| word.starts_with("WFS_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_same_on_the_page_but_for_its_environment() {
        let said = Way::Straight.up("here", "DAEMON");
        assert_eq!(said, "WFS_URL=URL wfs storage upload -r tree /here");
        assert!(words(&said).eq(words(&Way::Forwarded.up("here", "DAEMON"))));
        let kubectl: Vec<_> = words("kubectl cp tree user:/mnt/here").collect();
        assert_eq!(kubectl, ["kubectl", "cp", "tree", "user:/mnt/here"]);
    }

    #[test]
    fn no_two_ways_share_a_folder() {
        let folders: std::collections::HashSet<_> = UP.iter().map(|way| way.folder()).collect();
        assert_eq!(folders.len(), UP.len());
    }
}
