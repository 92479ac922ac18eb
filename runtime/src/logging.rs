//! Structured logs on standard error: one JSON object per line, or text for people.
//!
//! `WSFS_LOG` holds the filter (as of tracing-subscriber's `EnvFilter`, default `info`), `WSFS_LOG_FORMAT` is `json`
//! (default) or `text`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `WSFS_LOG` is no filter.
    #[error("WSFS_LOG={value:?} is not a log filter")]
    Filter {
        /// What the variable holds.
        value: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// `WSFS_LOG_FORMAT` is neither `json` nor `text`.
    #[error("WSFS_LOG_FORMAT={0:?} is neither json nor text")]
    Format(String),
    /// A subscriber is set already.
    #[error("logging is set up already")]
    Init(#[source] TryInitError),
}

/// Sets up logging for this process; call it once, first.
pub fn init() -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = std::env::var("WSFS_LOG").unwrap_or_else(|_| "info".into());
    let filter =
        EnvFilter::try_new(&filter).map_err(|source| LoggingError::Filter { value: filter, source })?;
    let format = std::env::var("WSFS_LOG_FORMAT").unwrap_or_else(|_| "json".into());

    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format.as_str() {
        "json" => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init()
            .map_err(LoggingError::Init),
        "text" => {
            builder.with_ansi(std::io::stderr().is_terminal()).finish().try_init().map_err(LoggingError::Init)
        }
        _ => Err(LoggingError::Format(format)),
    }
}
