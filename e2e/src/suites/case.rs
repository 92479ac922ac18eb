//! What a suite is made of.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;

use super::context::Context;

/// Time for a case unless it says otherwise.
pub(super) const LIMIT: Duration = Duration::from_secs(400);

type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Some rules that belong together.
pub struct Suite {
    /// What `cargo xtask e2e` calls it.
    pub name: &'static str,
    /// In the order in which they start.
    pub cases: Vec<Case>,
    /// What all cases find on the machines; it must be able to run twice.
    pub prepare: fn(&crate::Cluster) -> Result<()>,
    /// Undoes it.
    pub tidy_up: fn(&crate::Cluster) -> Result<()>,
}

/// One rule.
pub struct Case {
    /// The rule, in words.
    pub name: &'static str,
    /// What it may take.
    pub limit: Duration,
    /// Whether nothing else may run meanwhile: it disturbs the whole cluster.
    pub alone: bool,
    body: Box<dyn Fn(Context) -> Running + Send + Sync>,
}

impl Case {
    /// A case that may run beside others. `name` may be a path, whose last part counts: see [`cases`].
    pub fn new<F, R>(name: &'static str, body: F) -> Case
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let name = name.rsplit("::").next().unwrap_or(name).trim();
        Case { name, limit: LIMIT, alone: false, body: Box::new(move |context| Box::pin(body(context))) }
    }

    /// Nothing else runs meanwhile.
    pub fn alone(mut self) -> Case {
        self.alone = true;
        self
    }

    /// It may take this many seconds.
    pub fn within(mut self, seconds: u64) -> Case {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// The case under way.
    pub(super) fn start(&self, context: Context) -> Running {
        (self.body)(context)
    }
}

/// Cases from functions, each named like its function.
macro_rules! cases {
    ($($function:path),+ $(,)?) => {
        vec![$($crate::suites::case::Case::new(stringify!($function), $function)),+]
    };
}
pub(super) use cases;
