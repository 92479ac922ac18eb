//! From any device to one with a file system of ours, by single steps, so that a test can be cut between any two. A device is
//! formatted only if it is blank twice: when it is looked at, and again when nobody else can begin to use it.

use workspacefs_api::FsType;

use super::DeviceError;
use super::content::{Content, Refusal, Verdict, judge};

/// What mkfs.xfs of 2023 and later insists on; nobody means a smaller disk with ext4 either.
pub const DEVICE_BYTES_MIN: u64 = 300 << 20;

/// What preparing asks of a device.
pub trait Formattable {
    /// Keeps others from beginning to use it.
    type Hold;

    /// Looks at what is on it.
    fn look(&self) -> Result<Content, DeviceError>;
    /// UUID of the file system that it is known to have held, if it is: then it is not formatted, whatever it looks like.
    fn was_used_with(&self) -> Option<&str> {
        None
    }
    /// Its size.
    fn bytes(&self) -> Result<u64, DeviceError>;
    /// Takes it for us alone; [`DeviceError::Busy`] if anybody uses it.
    fn hold(&self) -> Result<Self::Hold, DeviceError>;
    /// Formats what is held, even if a cut formatting of ours is on it if it is `again`. Must refuse a device that somebody uses.
    fn format(&self, hold: Self::Hold, fs: FsType, again: bool) -> Result<(), DeviceError>;
}

/// Formats it if it is blank, and refuses it if it is neither that nor ours.
///
/// # Errors
/// [`DeviceError`]; then nothing was written, unless formatting itself failed.
pub fn prepare<D: Formattable>(device: &D, fs: FsType) -> Result<(), DeviceError> {
    let Some(again) = to_format(&device.look()?, fs)? else { return Ok(()) };
    if let Some(uuid) = device.was_used_with() {
        return Err(DeviceError::WasUsed(uuid.into()));
    }
    let bytes = device.bytes()?;
    if bytes < DEVICE_BYTES_MIN {
        return Err(DeviceError::Small(bytes));
    }
    let hold = device.hold()?;
    if to_format(&device.look()?, fs)? != Some(again) {
        return Err(DeviceError::Changed);
    }
    device.format(hold, fs, again)
}

/// Whether it is to be formatted, and whether again; None if it is ours.
fn to_format(content: &Content, wished: FsType) -> Result<Option<bool>, Refusal> {
    match judge(content)? {
        Verdict::Mount(found) if found == wished => Ok(None),
        Verdict::Mount(found) => Err(Refusal::OtherFsType { found, wished }),
        Verdict::Format => Ok(Some(false)),
        Verdict::FormatAgain => Ok(Some(true)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Looks different at each look.
    struct Changing {
        looks: RefCell<Vec<Content>>,
        bytes: u64,
        busy: bool,
        formatted: RefCell<Vec<bool>>,
    }

    impl Formattable for Changing {
        type Hold = ();

        fn look(&self) -> Result<Content, DeviceError> {
            Ok(self.looks.borrow_mut().remove(0))
        }

        fn bytes(&self) -> Result<u64, DeviceError> {
            Ok(self.bytes)
        }

        fn hold(&self) -> Result<(), DeviceError> {
            if self.busy { Err(DeviceError::Busy) } else { Ok(()) }
        }

        fn format(&self, (): (), _: FsType, again: bool) -> Result<(), DeviceError> {
            self.formatted.borrow_mut().push(again);
            Ok(())
        }
    }

    fn blank() -> Content {
        Content { ends_are_zero: true, ..Content::default() }
    }

    fn holding(kind: &str, label: &str) -> Content {
        let pairs = [("TYPE", kind), ("LABEL", label)].map(|(key, value)| (key.into(), value.into()));
        Content { signatures: pairs.into(), ..Content::default() }
    }

    fn prepared(looks: &[Content], bytes: u64, busy: bool) -> (Result<(), DeviceError>, Vec<bool>) {
        let device =
            Changing { looks: RefCell::new(looks.to_vec()), bytes, busy, formatted: RefCell::default() };
        let result = prepare(&device, FsType::Xfs);
        (result, device.formatted.into_inner())
    }

    #[test]
    fn a_device_is_formatted_if_it_is_blank_twice_large_enough_and_nobodys() {
        let large = DEVICE_BYTES_MIN;
        let (result, formatted) = prepared(&[blank(), blank()], large, false);
        assert!(result.is_ok() && formatted == [false]);
        let (result, formatted) = prepared(&[blank(), holding("ext4", "data")], large, false);
        assert!(matches!(result, Err(DeviceError::Refused(_))) && formatted.is_empty());
        let (result, formatted) = prepared(&[blank(), holding("xfs", "workspacefs")], large, false);
        assert!(matches!(result, Err(DeviceError::Changed)) && formatted.is_empty());
        let (result, formatted) = prepared(&[blank(), blank()], large, true);
        assert!(matches!(result, Err(DeviceError::Busy)) && formatted.is_empty());
        let (result, formatted) = prepared(&[blank(), blank()], large - 1, false);
        assert!(matches!(result, Err(DeviceError::Small(_))) && formatted.is_empty());
    }

    #[test]
    fn ours_is_left_as_it_is_and_refused_if_it_has_the_other_file_system() {
        let (result, formatted) = prepared(&[holding("xfs", "workspacefs")], 0, true);
        assert!(result.is_ok() && formatted.is_empty());
        let (result, formatted) = prepared(&[holding("ext4", "workspacefs")], DEVICE_BYTES_MIN, false);
        assert!(formatted.is_empty());
        let said = result.unwrap_err().to_string();
        assert!(said.contains("an ext4 of ours") && said.contains("nothing was written"), "{said}");
    }
}
