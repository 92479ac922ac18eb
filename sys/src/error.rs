//! One error for all of it: which step failed, with what number, and what the kernel said about it.

use rustix::io::Errno;
use thiserror::Error;

/// A system call failed.
#[derive(Clone, Debug, Error)]
#[error("{step}{}", said(.kernel))]
pub struct SysError {
    /// What was tried, in words: "attach the mount".
    pub step: &'static str,
    /// The kernel's own sentences (from a file system context), often empty.
    pub kernel: String,
    /// The error number.
    #[source]
    pub errno: Errno,
}

impl SysError {
    /// For `map_err`: names the step.
    pub fn at(step: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { step, kernel: String::new(), errno }
    }

    /// The same for calls that report through std.
    pub(crate) fn io(step: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self {
            step,
            kernel: String::new(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        }
    }

    /// The same for calls through `nix`.
    pub(crate) fn nix(step: &'static str) -> impl Fn(nix::errno::Errno) -> Self {
        move |errno| Self { step, kernel: String::new(), errno: Errno::from_raw_os_error(errno as i32) }
    }
}

fn said(kernel: &str) -> String {
    match kernel {
        "" => String::new(),
        text => format!(" (kernel: {text})"),
    }
}
