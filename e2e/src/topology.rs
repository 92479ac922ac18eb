//! The machines and their addresses. Every cluster has the same ones: each lives in a network namespace of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The bridge, and the API server on it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// Prefix length of the machines' network, and of the second one for commands.
pub const PREFIX: u8 = 24;
/// The bridge of the second network, which carries only the command channel: a pulled cable does not cut it.
pub const COMMAND_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
/// Where PID 1 of a machine listens for commands.
pub const COMMAND_PORT: u16 = 9970;
/// Service addresses.
pub const SERVICES: &str = "10.96.0.0/16";
/// The API server's own Service address.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// All pods' addresses.
pub const PODS: &str = "10.244.0.0/16";

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// kubelet, containerd, kube-proxy.
    Worker {
        /// Third part of its pods' network: 10.244.N.0/24.
        pods: u8,
    },
    /// NFS server on XFS with project quota.
    Storage,
}

/// One machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Host name, and the name of its interface on the bridge.
    pub name: &'static str,
    /// Last part of both of its addresses.
    pub number: u8,
    /// What it is for.
    pub role: Role,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

/// The second disk of every machine, as its kernel names it: blank at the first boot, kept over power cuts. The storage
/// host's holds its exports, a worker's is nobody's.
pub const DISK: &str = "/dev/ubdb";

/// What each worker has beside that, for LocalStorages: blank at the first boot, kept over power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drive {
    /// Has a serial number.
    Ssd,
    /// Has one too, and says that it has platters.
    Hdd,
    /// Has neither serial number nor anything else that it could be told from another by.
    Nameless,
}

impl Drive {
    /// In the order in which they are plugged in unless said otherwise: /dev/ubdc and so on.
    pub const ALL: [Drive; 3] = [Drive::Ssd, Drive::Hdd, Drive::Nameless];

    /// Its size. XFS takes 300 MB at least.
    pub fn bytes(self) -> u64 {
        match self {
            Drive::Ssd | Drive::Hdd => 4 << 30,
            Drive::Nameless => 1 << 30,
        }
    }

    /// In names of files.
    pub fn name(self) -> &'static str {
        match self {
            Drive::Ssd => "ssd",
            Drive::Hdd => "hdd",
            Drive::Nameless => "nameless",
        }
    }
}

/// The machines of a cluster.
pub const MACHINES: [Plan; 3] = [
    Plan { name: "n1", number: 11, role: Role::Worker { pods: 1 }, memory_mib: 2048 },
    Plan { name: "n2", number: 12, role: Role::Worker { pods: 2 }, memory_mib: 2048 },
    Plan { name: "nfs", number: 21, role: Role::Storage, memory_mib: 1024 },
];

impl Plan {
    /// Its address on the cluster's network.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, self.number)
    }

    /// Its address on the command network.
    pub fn command_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 98, 0, self.number)
    }

    /// Where it takes commands.
    pub fn commands(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.command_address()), COMMAND_PORT)
    }

    /// Its interface on the bridge, as seen in the network namespace: its cable.
    pub fn tap(&self) -> String {
        self.name.to_owned()
    }

    /// The serial number of its second disk, as in /sys/block/ubdb/serial.
    pub fn disk_serial(&self) -> String {
        format!("wsfs-{}", self.name)
    }

    /// The serial number of one of its drives, as in /sys/block/ubdc/serial, if that has one.
    pub fn drive_serial(&self, drive: Drive) -> Option<String> {
        let kind = match drive {
            Drive::Ssd => "SSD",
            Drive::Hdd => "HDD",
            Drive::Nameless => return None,
        };
        Some(format!("WSFS-{}-{kind}", self.name))
    }

    /// Its drives: a worker has some.
    pub fn drives(&self) -> &'static [Drive] {
        match self.role {
            Role::Worker { .. } => &Drive::ALL,
            Role::Storage => &[],
        }
    }

    /// Its interface on the command network.
    pub fn command_tap(&self) -> String {
        format!("{}-cmd", self.name)
    }

    /// The network of its pods, if it runs any.
    pub fn pods(&self) -> Option<String> {
        match self.role {
            Role::Worker { pods } => Some(format!("10.244.{pods}.0/24")),
            Role::Storage => None,
        }
    }
}

/// The worker machines' names.
pub fn workers() -> impl Iterator<Item = &'static Plan> {
    MACHINES.iter().filter(|plan| matches!(plan.role, Role::Worker { .. }))
}
