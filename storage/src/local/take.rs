//! Taking an approved device: formatted if it is blank, mounted, made ours. By single steps, any of which may be the last one of
//! this process: the next one finds what is there and goes on, or refuses.

use workspacefs_api::FsType;

use super::claim::ClaimError;
use crate::device::DeviceError;
use crate::device::prepare::{Formattable, prepare};

/// The device was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It could not be formatted or mounted.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What is on it could not be made ours.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

/// What taking asks of a device beside formatting.
pub trait Steps: Formattable {
    /// What it is to us in the end.
    type Taken;

    /// Whether it is mounted where it is to be; an error if something else is.
    fn is_mounted(&self) -> Result<bool, DeviceError>;
    /// Mounts it there.
    fn mount(&self, fs: FsType) -> Result<(), DeviceError>;
    /// Makes what is mounted ours.
    fn claim(&self) -> Result<Self::Taken, ClaimError>;
    /// Takes the mount off, if nobody uses it.
    fn unmount(&self);
}

/// Takes it. A device that is mounted is never looked at for formatting.
///
/// # Errors
/// [`TakeError`].
pub fn take<S: Steps>(device: &S, fs: FsType) -> Result<S::Taken, TakeError> {
    if !device.is_mounted()? {
        prepare(device, fs)?;
        device.mount(fs)?;
    }
    Ok(device.claim().inspect_err(|error| {
        // What another process of ours uses stays, and so does what fails now and may be in use by pods.
        if !matches!(error, ClaimError::InUse) && !error.is_disks() {
            device.unmount();
        }
    })?)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use workspacefs_sys::Errno;

    use super::*;
    use crate::device::content::{Content, Refusal};
    use crate::marker::MarkerError;

    /// What a device holds.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum On {
        Nothing,
        /// mkfs.xfs was cut after it wrote the superblock.
        CutXfs,
        /// mkfs.ext4 was cut: no superblock, but other things.
        CutExt4,
        /// A file system of ours, as the n-th formatting made it.
        Ours(FsType, usize),
        /// Somebody else's.
        Foreign,
    }

    /// When this process ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Never,
        Before(usize),
        /// In the middle, where a step has one.
        In(usize),
        After(usize),
    }

    /// A device, and the kernel's mount of it: what is there when the process is not.
    struct World {
        on: Cell<On>,
        mounted: Cell<bool>,
        marker: Cell<bool>,
        files: Cell<bool>,
        locked: bool,
        was_used_with: Option<&'static str>,
        formats: Cell<usize>,
        fault: Cell<Fault>,
        steps: RefCell<Vec<&'static str>>,
    }

    /// The kind of error does not matter: nobody hears it.
    fn dead() -> DeviceError {
        DeviceError::Io("asked", Errno::IO.into())
    }

    impl World {
        fn new(on: On) -> Self {
            Self {
                on: Cell::new(on),
                mounted: Cell::new(false),
                marker: Cell::new(false),
                files: Cell::new(false),
                locked: false,
                was_used_with: None,
                formats: Cell::new(0),
                fault: Cell::new(Fault::Never),
                steps: RefCell::default(),
            }
        }

        fn step<T>(
            &self,
            name: &'static str,
            half: impl FnOnce(),
            whole: impl FnOnce() -> Result<T, DeviceError>,
        ) -> Result<T, DeviceError> {
            let number = self.steps.borrow().len();
            self.steps.borrow_mut().push(name);
            match self.fault.get() {
                Fault::Before(at) | Fault::In(at) | Fault::After(at) if number > at => Err(dead()),
                Fault::Before(at) if number == at => Err(dead()),
                Fault::In(at) if number == at => {
                    half();
                    Err(dead())
                }
                Fault::After(at) if number == at => {
                    whole().ok();
                    Err(dead())
                }
                _ => whole(),
            }
        }

        fn started_again(&self) {
            self.fault.set(Fault::Never);
            self.steps.borrow_mut().clear();
        }
    }

    impl Formattable for World {
        type Hold = ();

        fn look(&self) -> Result<Content, DeviceError> {
            let of = |kind: &str, label: &str| {
                [("TYPE", kind), ("LABEL", label)]
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .into()
            };
            let mut cut = vec![0; 512];
            cut[..4].copy_from_slice(b"XFSB");
            cut[108..119].copy_from_slice(b"workspacefs");
            cut[126] = 1;
            self.step(
                "look",
                || {},
                || {
                    Ok(match self.on.get() {
                        On::Nothing => Content { ends_are_zero: true, ..Content::default() },
                        On::CutXfs => {
                            Content { signatures: of("xfs", "workspacefs"), head: cut, ..Content::default() }
                        }
                        On::CutExt4 => Content::default(),
                        On::Ours(fs, _) => {
                            Content { signatures: of(fs.as_str(), "workspacefs"), ..Content::default() }
                        }
                        On::Foreign => Content { signatures: of("ext4", "data"), ..Content::default() },
                    })
                },
            )
        }

        fn was_used_with(&self) -> Option<&str> {
            self.was_used_with
        }

        fn bytes(&self) -> Result<u64, DeviceError> {
            Ok(1 << 40)
        }

        fn hold(&self) -> Result<(), DeviceError> {
            self.step("hold", || {}, || if self.mounted.get() { Err(DeviceError::Busy) } else { Ok(()) })
        }

        fn format(&self, (): (), fs: FsType, again: bool) -> Result<(), DeviceError> {
            assert!(!self.mounted.get(), "formatted while it is mounted");
            let on = self.on.get();
            assert!(on == On::Nothing || (again && on == On::CutXfs), "{on:?} is formatted");
            let cut = match fs {
                FsType::Xfs => On::CutXfs,
                FsType::Ext4 => On::CutExt4,
            };
            self.step(
                "format",
                || self.on.set(cut),
                || {
                    self.formats.set(self.formats.get() + 1);
                    self.on.set(On::Ours(fs, self.formats.get()));
                    Ok(())
                },
            )
        }
    }

    impl Steps for World {
        type Taken = ();

        fn is_mounted(&self) -> Result<bool, DeviceError> {
            self.step("is_mounted", || {}, || Ok(self.mounted.get()))
        }

        fn mount(&self, fs: FsType) -> Result<(), DeviceError> {
            assert!(
                matches!(self.on.get(), On::Ours(found, _) if found == fs),
                "{:?} is mounted",
                self.on.get()
            );
            self.step(
                "mount",
                || {},
                || {
                    self.mounted.set(true);
                    Ok(())
                },
            )
        }

        fn claim(&self) -> Result<(), ClaimError> {
            if self.locked {
                return Err(ClaimError::InUse);
            }
            let done = self.step(
                "claim",
                || {},
                || {
                    if !self.files.get() {
                        self.marker.set(true);
                    }
                    Ok(())
                },
            );
            match done {
                Err(_) => Err(ClaimError::Io("ask", Errno::IO)),
                Ok(()) if self.marker.get() => Ok(()),
                Ok(()) => Err(MarkerError::Foreign("thesis.tex".into()).into()),
            }
        }

        fn unmount(&self) {
            self.mounted.set(false);
        }
    }

    const ALL: [&str; 7] = ["is_mounted", "look", "hold", "look", "format", "mount", "claim"];

    #[test]
    fn a_blank_device_is_taken_by_these_steps_and_found_again_by_fewer() {
        for fs in [FsType::Xfs, FsType::Ext4] {
            let world = World::new(On::Nothing);
            take(&world, fs).unwrap();
            assert_eq!(*world.steps.borrow(), ALL);
            world.started_again();
            take(&world, fs).unwrap();
            assert_eq!(*world.steps.borrow(), ["is_mounted", "claim"], "what is mounted is only taken up");
            // The node was started again.
            world.started_again();
            world.mounted.set(false);
            take(&world, fs).unwrap();
            assert_eq!(*world.steps.borrow(), ["is_mounted", "look", "mount", "claim"]);
            assert_eq!((world.on.get(), world.formats.get()), (On::Ours(fs, 1), 1));
        }
    }

    #[test]
    fn a_process_that_ends_anywhere_is_carried_on_by_the_next_and_nothing_is_formatted_twice() {
        for fs in [FsType::Xfs, FsType::Ext4] {
            for reboot in [false, true] {
                for at in 0..ALL.len() {
                    for fault in [Fault::Before(at), Fault::In(at), Fault::After(at)] {
                        let world = World::new(On::Nothing);
                        world.fault.set(fault);
                        take(&world, fs).unwrap_err();
                        let before = world.on.get();
                        world.started_again();
                        if reboot {
                            world.mounted.set(false);
                        }
                        let result = take(&world, fs);
                        if before == On::CutExt4 {
                            // A person has to say that it may go.
                            assert!(matches!(
                                result,
                                Err(TakeError::Device(DeviceError::Refused(Refusal::Unknown)))
                            ));
                            assert_eq!((world.on.get(), world.formats.get()), (before, 0));
                            continue;
                        }
                        result.unwrap();
                        assert!(world.marker.get() && world.mounted.get(), "{fault:?}");
                        assert_eq!((world.on.get(), world.formats.get()), (On::Ours(fs, 1), 1), "{fault:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_not_left_mounted() {
        let world = World::new(On::Foreign);
        assert!(matches!(take(&world, FsType::Xfs), Err(TakeError::Device(DeviceError::Refused(_)))));
        assert_eq!((world.on.get(), world.mounted.get()), (On::Foreign, false));
        // With our label, but without our marker and with files.
        let world = World::new(On::Ours(FsType::Xfs, 0));
        world.files.set(true);
        let error = take(&world, FsType::Xfs).unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert_eq!((world.mounted.get(), world.formats.get()), (false, 0));
    }

    #[test]
    fn what_is_known_to_have_been_used_is_mounted_again_and_never_formatted() {
        for on in [On::Nothing, On::CutXfs] {
            let world = World { was_used_with: Some("u-1"), ..World::new(on) };
            let error = take(&world, FsType::Xfs).unwrap_err();
            assert!(matches!(error, TakeError::Device(DeviceError::WasUsed(_))), "{error}");
            assert!(error.to_string().contains("u-1"), "{error}");
            assert_eq!((world.on.get(), world.mounted.get(), world.formats.get()), (on, false, 0));
        }
        let world = World { was_used_with: Some("u-1"), ..World::new(On::Ours(FsType::Xfs, 1)) };
        take(&world, FsType::Xfs).unwrap();
        assert_eq!((world.on.get(), world.mounted.get()), (On::Ours(FsType::Xfs, 1), true));
    }

    #[test]
    fn what_another_process_of_ours_has_stays_as_it_is() {
        let world = World { locked: true, ..World::new(On::Ours(FsType::Xfs, 0)) };
        world.mounted.set(true);
        assert!(matches!(take(&world, FsType::Xfs), Err(TakeError::Claim(ClaimError::InUse))));
        assert!(world.mounted.get());
    }
}
