//! Devices of the kernel's device mapper on a machine's disk: what lies between a file system and a disk that goes bad.

use super::{FaultError, Machine};

/// What a mapped device does with what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Passes it on.
    Sound,
    /// dm-dust: single sectors can be made unreadable by [`Machine::spoil`]. A write to one repairs it, as a disk does that
    /// has spare sectors.
    Wearing,
    /// dm-flakey: passes it on for so many seconds, then fails reads and writes for so many, and again. `up_seconds: 0` is
    /// a disk that fails all the time.
    Flaky {
        /// Seconds in which it works.
        up_seconds: u32,
        /// Seconds in which it does not.
        down_seconds: u32,
    },
}

impl Behaviour {
    /// The modules that it takes.
    fn module(self) -> &'static str {
        match self {
            Behaviour::Sound => "dm-mod",
            Behaviour::Wearing => "dm-dust",
            Behaviour::Flaky { .. } => "dm-flakey",
        }
    }

    /// The device's table, as dmsetup(8) takes it, for the whole of a disk.
    fn table(self, disk: &str, sectors: u64) -> String {
        match self {
            Behaviour::Sound => format!("0 {sectors} linear {disk} 0"),
            // Its blocks are as large as a sector.
            Behaviour::Wearing => format!("0 {sectors} dust {disk} 0 512"),
            Behaviour::Flaky { up_seconds, down_seconds } => {
                format!("0 {sectors} flakey {disk} 0 {up_seconds} {down_seconds}")
            }
        }
    }
}

/// No udev runs in a machine: dmsetup waits for nobody, and makes the nodes below /dev/mapper when it is told to.
const DMSETUP: [&str; 3] = ["dmsetup", "--noudevrules", "--noudevsync"];

impl Machine {
    /// Makes `/dev/mapper/<name>` of a whole disk.
    pub fn map(&self, name: &str, disk: &str, behaviour: Behaviour) -> Result<(), FaultError> {
        let table = self.table(disk, behaviour)?;
        self.dmsetup(&["create", name, "--table", &table])?;
        self.dmsetup(&["mknodes", name])
    }

    /// From now on it behaves so, under whatever is mounted on it. Nothing is flushed before.
    pub fn remap(&self, name: &str, disk: &str, behaviour: Behaviour) -> Result<(), FaultError> {
        let table = self.table(disk, behaviour)?;
        self.dmsetup(&["suspend", "--nolockfs", "--noflush", name])?;
        // It must go on whatever becomes of the table: what is suspended hangs.
        let loaded = self.dmsetup(&["load", name, "--table", &table]);
        self.dmsetup(&["resume", name])?;
        loaded
    }

    /// Makes sectors of a wearing device unreadable.
    pub fn spoil(&self, name: &str, sectors: &[u64]) -> Result<(), FaultError> {
        for sector in sectors {
            self.dmsetup(&["message", name, "0", "addbadblock", &sector.to_string()])?;
        }
        self.dmsetup(&["message", name, "0", "enable"])
    }

    /// Removes it. Who still has it open keeps it until they close it, and gets errors.
    pub fn unmap(&self, name: &str) -> Result<(), FaultError> {
        self.dmsetup(&["remove", "--force", "--deferred", name])
    }

    fn table(&self, disk: &str, behaviour: Behaviour) -> Result<String, FaultError> {
        self.run(&["modprobe", behaviour.module()])?;
        let sectors = self.run(&["blockdev", "--getsz", disk])?;
        let count = sectors.trim().parse().map_err(|_| FaultError::Size(self.name(), sectors))?;
        Ok(behaviour.table(disk, count))
    }

    fn dmsetup(&self, arguments: &[&str]) -> Result<(), FaultError> {
        self.run(&[&DMSETUP[..], arguments].concat())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Behaviour;

    #[test]
    fn tables_are_what_the_kernels_documentation_says() {
        let flaky = Behaviour::Flaky { up_seconds: 0, down_seconds: 1 };
        for (behaviour, table) in [
            (Behaviour::Sound, "0 2048 linear /dev/ubde 0"),
            (Behaviour::Wearing, "0 2048 dust /dev/ubde 0 512"),
            (flaky, "0 2048 flakey /dev/ubde 0 0 1"),
        ] {
            assert_eq!(behaviour.table("/dev/ubde", 2048), table);
        }
    }
}
