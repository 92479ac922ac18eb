//! Placeholder while the parts are written side by side.

use thiserror::Error;

/// What is left out.
#[derive(Clone, Debug, Default)]
pub struct Filter {}

/// A pattern that is none.
#[derive(Debug, Error)]
#[error("not a pattern")]
pub struct FilterError {}
