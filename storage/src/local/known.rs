//! What a LocalStorage's disk was used as, for as long as it is approved. A disk that held a file system of ours and looks blank
//! may be wiped, or be another behind the same identity, or answer wrongly: nobody formats it before a person has looked.

use workspacefs_api::{LocalStorageSpec, UsedDevice};

use crate::discovery::Found;

/// Of a file system alone: once that is gone, it does not say which disk it was on.
const OF_FILE_SYSTEM: &str = "uuid:";

/// See above. It ends when an administrator takes the disk off the list.
#[derive(Debug, Default)]
pub struct Known(Option<UsedDevice>);

impl Known {
    /// What the node's entry says, written by an earlier process.
    pub fn remember(&mut self, device: Option<UsedDevice>) {
        if device.is_some() {
            self.0 = device;
        }
    }

    /// After a look: what is in use, or what is known of before.
    pub fn learn(&mut self, used: Option<&UsedDevice>, spec: &LocalStorageSpec) {
        match used {
            Some(used) => self.0 = Some(used.clone()),
            None => drop(self.0.take_if(|known| !is_approved(spec, &known.identity))),
        }
    }

    /// As an entry shows it.
    pub fn device(&self) -> Option<UsedDevice> {
        self.0.clone()
    }

    /// The UUID of the file system that this disk is known to have held, or another of which nobody can say any more that it
    /// was not this one.
    pub fn used_with(&self, found: &Found, spec: &LocalStorageSpec) -> Option<String> {
        let known = self.0.as_ref()?;
        let is_doubtful = known.identity.starts_with(OF_FILE_SYSTEM) && is_approved(spec, &known.identity);
        let is_it = found.identities.contains(&known.identity) || is_doubtful;
        is_it.then(|| known.file_system_uuid.clone())
    }

    /// It is approved by another of its identities now.
    pub fn is_approved_by(&mut self, identity: &str) {
        if let Some(known) = &mut self.0 {
            known.identity = identity.into();
        }
    }
}

fn is_approved(spec: &LocalStorageSpec, identity: &str) -> bool {
    let approved = spec.source.devices.iter().flat_map(|devices| &devices.approved);
    approved.into_iter().any(|entry| entry.identity == identity)
}

#[cfg(test)]
mod tests {
    use workspacefs_api::{ApprovedDevice, DeviceState, DevicesSource, LocalSource};

    use super::*;

    fn spec(approved: &[&str]) -> LocalStorageSpec {
        let of = |identity: &&str| ApprovedDevice { identity: identity.to_string(), media: None };
        let devices = DevicesSource { approved: approved.iter().map(of).collect() };
        let source = LocalSource { devices: Some(devices), directory: None };
        LocalStorageSpec { source, ..Default::default() }
    }

    fn used(identity: &str) -> UsedDevice {
        UsedDevice { identity: identity.into(), file_system_uuid: "u-1".into(), ..UsedDevice::default() }
    }

    fn blank(identities: &[&str]) -> Found {
        Found {
            name: "sdy".into(),
            number: (4000, 0),
            bytes: 1 << 40,
            media: None,
            model: String::new(),
            identities: identities.iter().map(ToString::to_string).collect(),
            state: DeviceState::Blank,
            message: String::new(),
            fs_type: None,
            fs_uuid: String::new(),
            is_mounted: false,
        }
    }

    #[test]
    fn a_disk_that_was_in_use_is_known_by_each_of_its_identities_and_another_is_not() {
        for (what, known, found, approved, is_known) in [
            ("the same", "wwn:1", &["wwn:1", "serial:A"][..], &["wwn:1"][..], true),
            ("by another identity", "serial:A", &["wwn:1", "serial:A"], &["wwn:1"], true),
            ("another disk", "wwn:1", &["wwn:2"], &["wwn:1", "wwn:2"], false),
            ("it may be that one", "uuid:u-1", &["wwn:2"], &["uuid:u-1", "wwn:2"], true),
            ("it was given up", "uuid:u-1", &["wwn:2"], &["wwn:2"], false),
        ] {
            let mut memory = Known::default();
            assert_eq!(memory.used_with(&blank(found), &spec(approved)), None);
            memory.remember(Some(used(known)));
            let uuid = memory.used_with(&blank(found), &spec(approved));
            assert_eq!(uuid.as_deref(), is_known.then_some("u-1"), "{what}");
        }
    }

    #[test]
    fn it_is_known_until_a_look_finds_that_it_is_not_approved_any_more() {
        let mut memory = Known::default();
        memory.learn(Some(&used("wwn:1")), &spec(&["wwn:1"]));
        // It was pulled, or is refused; and a plugin that knows less takes nothing away.
        memory.learn(None, &spec(&["wwn:1"]));
        memory.remember(None);
        assert_eq!(memory.device(), Some(used("wwn:1")));
        memory.is_approved_by("serial:A");
        memory.learn(None, &spec(&["serial:A"]));
        assert_eq!(memory.device(), Some(used("serial:A")));
        memory.learn(None, &spec(&["wwn:1"]));
        assert_eq!(memory.device(), None);
        // A directory has no identity.
        memory.learn(Some(&used("")), &spec(&[]));
        memory.learn(None, &spec(&[]));
        assert_eq!(memory.device(), None);
    }
}
