//! The gRPC code of every way in which a call can fail: one match per call, the reason beside each. The CSI controller
//! passes most of them on, so they mean what CSI means by them.

use tonic::{Code, Status};
use workspacefs_runtime::chain;
use workspacefs_storage::folders::error::{
    DiscardError, EnsureClaimError, EnsureFileSystemError, GetClaimError, GrowClaimError, ReadError,
    RemoveError, RestoreError, StepError,
};
use workspacefs_storage::sizes::SizeError;

use super::convert::RequestError;
use super::state::NotReady;

/// Why a call fails, whichever it is: an error with its code.
pub(super) trait Coded: std::error::Error + Sized {
    fn code(&self) -> Code;

    fn status(&self) -> Status {
        Status::new(self.code(), chain(self))
    }
}

impl Coded for RequestError {
    fn code(&self) -> Code {
        // Asking the same again changes nothing.
        Code::InvalidArgument
    }
}

impl Coded for NotReady {
    fn code(&self) -> Code {
        // Will work once the disk does.
        Code::Unavailable
    }
}

fn step_code(error: &StepError) -> Code {
    match error {
        // The disk is full of what no quota counts, or of others' files.
        StepError::Disk(error) if error.is_full() => Code::ResourceExhausted,
        StepError::NoProject => Code::ResourceExhausted,
        // The disk is sick, or somebody changed it by hand: a person must look.
        StepError::Disk(_) | StepError::Record(_) | StepError::Missing(_) => Code::Internal,
    }
}

fn size_code(error: &SizeError) -> Code {
    match error {
        // The request contradicts itself.
        SizeError::EmptyRange { .. } => Code::InvalidArgument,
        // No such size is possible here, however much were free.
        SizeError::NoMultiple { .. } | SizeError::BeyondCapacity { .. } | SizeError::AboveLimit { .. } => {
            Code::OutOfRange
        }
        // It would be possible if others took less.
        SizeError::BeyondLeft { .. } => Code::ResourceExhausted,
    }
}

impl Coded for EnsureFileSystemError {
    fn code(&self) -> Code {
        match self {
            Self::NoCapacity => Code::InvalidArgument,
            Self::NothingToAdopt(_) => Code::NotFound,
            // The folder is another's, or fuller than is asked for: something else must happen first.
            Self::OtherObject { .. }
            | Self::InUse { .. }
            | Self::Anothers { .. }
            | Self::Occupied(_)
            | Self::BelowUsage { .. }
            | Self::BelowInodes { .. } => Code::FailedPrecondition,
            Self::NoRoom(_) => Code::ResourceExhausted,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for RemoveError {
    fn code(&self) -> Code {
        match self {
            Self::RetainedClaim => Code::InvalidArgument,
            // Our own names, made of checked ones: our fault.
            Self::Name(_) => Code::Internal,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for EnsureClaimError {
    fn code(&self) -> Code {
        match self {
            Self::NoFileSystem(_) => Code::NotFound,
            Self::OtherSize { .. } => Code::AlreadyExists,
            Self::Size(error) => size_code(error),
            Self::Occupied(_) => Code::FailedPrecondition,
            Self::NoRoom(_) => Code::ResourceExhausted,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for GetClaimError {
    fn code(&self) -> Code {
        match self {
            Self::NoClaim(_) => Code::NotFound,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for GrowClaimError {
    fn code(&self) -> Code {
        match self {
            Self::NoClaim(_) | Self::NoFileSystem(_) => Code::NotFound,
            Self::Size(error) => size_code(error),
            Self::NoRoom(_) => Code::ResourceExhausted,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for RestoreError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            // Too late, or something else is in the way.
            Self::Emptying | Self::Taken(_) => Code::FailedPrecondition,
            Self::NoneLeft { .. } | Self::NoRoom(_) => Code::ResourceExhausted,
            Self::Step(error) => step_code(error),
        }
    }
}

impl Coded for DiscardError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            // Something else must happen first, or has.
            Self::InUse { .. } | Self::ClaimInUse { .. } | Self::InTrash => Code::FailedPrecondition,
            Self::Remove(error) => error.code(),
        }
    }
}

impl Coded for ReadError {
    fn code(&self) -> Code {
        step_code(&self.0)
    }
}
#[cfg(test)]
mod tests {
    use workspacefs_storage::disk::DiskError;
    use workspacefs_storage::folders::error::{Missing, NoRoom};
    use workspacefs_storage::names::{Key, NameError};
    use workspacefs_sys::Errno;

    use super::*;

    fn key() -> Key {
        Key::parse("0f8fad5b-d9cb-469f-a165-70867728950e/default").unwrap()
    }

    fn steps<E: From<StepError>>() -> Vec<(E, Code)> {
        let disk = |errno| StepError::from(DiskError::at("write", "x")(errno));
        vec![
            (disk(Errno::NOSPC).into(), Code::ResourceExhausted),
            (disk(Errno::DQUOT).into(), Code::ResourceExhausted),
            (disk(Errno::IO).into(), Code::Internal),
            (StepError::NoProject.into(), Code::ResourceExhausted),
            (StepError::from(Missing("x".into())).into(), Code::Internal),
        ]
    }

    fn sizes<E: From<SizeError>>() -> Vec<(E, Code)> {
        vec![
            (SizeError::EmptyRange { required: 2, limit: 1 }.into(), Code::InvalidArgument),
            (SizeError::NoMultiple { required: 1, limit: 1 }.into(), Code::OutOfRange),
            (SizeError::BeyondCapacity { asked: 2, capacity: 1 }.into(), Code::OutOfRange),
            (SizeError::AboveLimit { size: 2, limit: 1 }.into(), Code::OutOfRange),
            (SizeError::BeyondLeft { asked: 2, left: 1 }.into(), Code::ResourceExhausted),
        ]
    }

    #[track_caller]
    fn hold<E: Coded>(table: Vec<(E, Code)>) {
        for (error, code) in table {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    const NO_ROOM: NoRoom = NoRoom { asked: 3, left: 2, removed: 1 };

    #[test]
    fn ensure_file_system_codes() {
        use EnsureFileSystemError as E;
        let text = || "x".to_string();
        let mut table = vec![
            (E::NoCapacity, Code::InvalidArgument),
            (E::NothingToAdopt(key()), Code::NotFound),
            (E::OtherObject { uid: text(), namespace: text(), name: text() }, Code::FailedPrecondition),
            (E::InUse { key: key(), namespace: text(), name: text() }, Code::FailedPrecondition),
            (E::Anothers { key: key(), namespace: text(), name: text() }, Code::FailedPrecondition),
            (E::Occupied(text()), Code::FailedPrecondition),
            (E::BelowUsage { capacity: 1, needed: 2, used: 1, claims: 1 }, Code::FailedPrecondition),
            (E::BelowInodes { capacity: 1, limit: 1, used: 2 }, Code::FailedPrecondition),
            (NO_ROOM.into(), Code::ResourceExhausted),
        ];
        table.extend(steps());
        hold(table);
    }

    #[test]
    fn ensure_claim_codes() {
        use EnsureClaimError as E;
        let mut table = vec![
            (E::NoFileSystem("x".into()), Code::NotFound),
            (E::OtherSize { size: 1, required: 2, limit: 3 }, Code::AlreadyExists),
            (E::Occupied("x".into()), Code::FailedPrecondition),
            (NO_ROOM.into(), Code::ResourceExhausted),
        ];
        table.extend(sizes());
        table.extend(steps());
        hold(table);
    }

    #[test]
    fn grow_and_get_claim_codes() {
        use GrowClaimError as E;
        let mut table = vec![
            (E::NoClaim("x".into()), Code::NotFound),
            (E::NoFileSystem("x".into()), Code::NotFound),
            (NO_ROOM.into(), Code::ResourceExhausted),
        ];
        table.extend(sizes());
        table.extend(steps());
        hold(table);
        let mut table = vec![(GetClaimError::NoClaim("x".into()), Code::NotFound)];
        table.extend(steps());
        hold(table);
    }

    #[test]
    fn remove_restore_and_discard_codes() {
        let mut table = vec![
            (RemoveError::RetainedClaim, Code::InvalidArgument),
            (RemoveError::Name(NameError("x")), Code::Internal),
        ];
        table.extend(steps());
        hold(table);
        use RestoreError as E;
        let mut table = vec![
            (E::NotFound("x".into()), Code::NotFound),
            (E::Emptying, Code::FailedPrecondition),
            (E::Taken("x".into()), Code::FailedPrecondition),
            (E::NoneLeft { size: 2, left: 1 }, Code::ResourceExhausted),
            (NO_ROOM.into(), Code::ResourceExhausted),
        ];
        table.extend(steps());
        hold(table);
        use DiscardError as D;
        let (namespace, name) = ("x".to_string(), "x".to_string());
        let mut table = vec![
            (D::NotFound("x".into()), Code::NotFound),
            (D::InUse { namespace: namespace.clone(), name: name.clone() }, Code::FailedPrecondition),
            (D::ClaimInUse { namespace, name }, Code::FailedPrecondition),
            (D::InTrash, Code::FailedPrecondition),
            (D::Remove(NameError("x").into()), Code::Internal),
        ];
        table.extend(steps());
        hold(table);
        hold(steps::<ReadError>());
    }

    #[test]
    fn requests_and_a_disk_that_is_not_there() {
        hold(vec![(RequestError { field: "uid", source: NameError("x") }, Code::InvalidArgument)]);
        let status = NotReady("/dev/vdb holds ext4".into()).status();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "/dev/vdb holds ext4"));
    }
}
