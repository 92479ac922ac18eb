//! Structured logs on standard error: one JSON object per line, or text for people.
//!
//! `WSFS_LOG` holds the filter (as of tracing-subscriber's `EnvFilter`, default `info`), `WSFS_LOG_FORMAT` is `json`
//! (default) or `text`. What is told with target `audit` is told whatever the filter says.

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

/// Who changed what is no matter of verbosity: nobody is to switch it off by asking for fewer lines of the program.
const ALWAYS: &str = "audit=info";

/// The filter of `asked`, with [`ALWAYS`].
fn filter(asked: &str) -> Result<EnvFilter, LoggingError> {
    let refused = |source| LoggingError::Filter { value: asked.to_owned(), source };
    // Of two directives for one target the later holds; of one for a span or a field the more specific.
    let own = asked.split(',').filter(|directive| !directive.trim().starts_with("audit"));
    // An empty filter is one of errors, which would not be so with a directive in it.
    let own = own.chain(asked.trim().is_empty().then_some("error"));
    let kept = own.chain([ALWAYS]).collect::<Vec<_>>().join(",");
    EnvFilter::try_new(asked).map_err(refused)?;
    EnvFilter::try_new(kept).map_err(refused)
}

/// Sets up logging for this process; call it once, first.
pub fn init() -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = filter(&std::env::var("WSFS_LOG").unwrap_or_else(|_| "info".into()))?;
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is told under that filter.
    fn told(asked: &str) -> String {
        let lines = Lines::default();
        let own = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(asked).unwrap())
            .with_writer(move || own.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "audit", "a-change");
            tracing::info!("a-step");
            tracing::warn!("a-warning");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn changes_are_told_at_every_level_and_by_every_filter() {
        for asked in
            ["info", "warn", "error", "off", "", "audit=off", "warn,audit=error", "kube=warn", "audit[x]=off"]
        {
            assert!(told(asked).contains("a-change"), "{asked}");
        }
    }

    #[test]
    fn all_else_is_told_as_the_filter_says() {
        let (quiet, usual) = (told("warn"), told("info"));
        assert!(quiet.contains("a-warning") && !quiet.contains("a-step"));
        assert!(usual.contains("a-step"));
        assert!(!told("off").contains("a-warning"));
        assert!(filter("workspacefs=loud").is_err());
    }
}
