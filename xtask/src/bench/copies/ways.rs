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

/// Which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trip {
    /// Into the cluster.
    Up,
    /// Out of it.
    Down,
}

impl Trip {
    /// By which that can be: the daemon only takes.
    pub fn ways(self) -> &'static [Way] {
        match self {
            Self::Up => &[Way::Forwarded, Way::Straight, Way::KubectlCp, Way::Tunnelled, Way::Rsync],
            Self::Down => &[Way::Forwarded, Way::Straight, Way::KubectlCp],
        }
    }

    /// For the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Up => "Into the cluster, 20 ms away",
            Self::Down => "Out of the cluster, 20 ms away",
        }
    }
}

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

    /// The command that sends the folder `tree` of where it is run into a folder of the FileSystem, or fetches it from there; the
    /// daemon's port is that.
    pub fn command(self, trip: Trip, folder: &str, daemon: &str) -> String {
        match (self, trip) {
            (Self::Forwarded, Trip::Up) => format!("wfs storage upload -r tree /{folder}"),
            (Self::Straight, Trip::Up) => format!("WFS_URL=URL wfs storage upload -r tree /{folder}"),
            (Self::KubectlCp, Trip::Up) => format!("kubectl cp tree {POD}:{VOLUME}/{folder}"),
            (Self::Tunnelled, _) => format!("wfs storage upload -r --rsync tree /{folder}"),
            (Self::Rsync, _) => format!("rsync -a tree rsync://{daemon}/volume/{folder}/"),
            (Self::Forwarded, Trip::Down) => format!("wfs storage download -r /{folder}/tree ."),
            (Self::Straight, Trip::Down) => format!("WFS_URL=URL wfs storage download -r /{folder}/tree ."),
            (Self::KubectlCp, Trip::Down) => format!("kubectl cp {POD}:{VOLUME}/{folder}/tree tree"),
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
        let said = Way::Straight.command(Trip::Up, "here", "DAEMON");
        assert_eq!(said, "WFS_URL=URL wfs storage upload -r tree /here");
        assert!(words(&said).eq(words(&Way::Forwarded.command(Trip::Up, "here", "DAEMON"))));
        let kubectl: Vec<_> = words("kubectl cp tree user:/mnt/here").collect();
        assert_eq!(kubectl, ["kubectl", "cp", "tree", "user:/mnt/here"]);
    }

    #[test]
    fn no_two_ways_share_a_folder() {
        let ways = Trip::Up.ways();
        let folders: std::collections::HashSet<_> = ways.iter().map(|way| way.folder()).collect();
        assert_eq!(folders.len(), ways.len());
    }
}
