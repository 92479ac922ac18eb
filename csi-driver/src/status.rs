//! From an error to what the caller sees: the code its RPC's table chose, and the whole chain of causes as the message.
//! `details` stays empty, as CSI demands.

use std::error::Error;

use tonic::{Code, Status};
use workspacefs_runtime::chain;

/// A status with `code` and all that `error` and its sources say.
pub fn status(code: Code, error: &dyn Error) -> Status {
    Status::new(code, chain(error))
}
