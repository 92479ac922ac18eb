//! From an error to what the caller sees: the code its RPC's table chose, and the whole chain of causes as the message.
//! `details` stays empty, as CSI demands.

use std::error::Error;

use tonic::{Code, Status};
use workspacefs_runtime::chain;

/// A status with `code` and all that `error` and its sources say.
pub fn status(code: Code, error: &dyn Error) -> Status {
    Status::new(code, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_code_every_cause_once_and_no_details() {
        let error = anyhow::anyhow!("server gone").context("mount failed");
        let status = status(Code::Internal, error.as_ref());
        assert_eq!((status.code(), status.message()), (Code::Internal, "mount failed: server gone"));
        assert!(status.details().is_empty());
    }
}
