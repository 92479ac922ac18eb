//! Watches: the history replayed from a version on, then followed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::faults::Outage;
use crate::http::Query;
use crate::path::Target;
use crate::selector::Selector;
use crate::server::Shared;
use crate::state::Change;
use crate::status::Refusal;

/// As the API server, which ends every watch some time.
const LONGEST: Duration = Duration::from_secs(300);

/// Far more often than the API server's minute, so that tests meet some.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(1);

struct Watch {
    shared: Arc<Shared>,
    target: Target,
    selector: Selector,
    metadata_only: bool,
    bookmarks: bool,
    after: u64,
    bookmarked: Instant,
    end: Instant,
}

/// The body of a watch: one JSON object a line.
pub fn body(shared: Arc<Shared>, target: Target, query: &Query, metadata_only: bool) -> Body {
    let after = query.resource_version();
    if after < shared.state().compacted {
        let gone = json!({"type": "ERROR", "object": Refusal::gone().to_json()});
        return Body::from(format!("{gone}\n"));
    }
    let seconds = query.timeout_seconds().map_or(LONGEST, Duration::from_secs);
    let watch = Watch {
        selector: query.selector(),
        bookmarks: query.bookmarks(),
        bookmarked: Instant::now(),
        end: Instant::now() + seconds.min(LONGEST),
        shared,
        target,
        metadata_only,
        after,
    };
    Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(lines)), watch))
    }))
}

impl Watch {
    /// The next lines; None when the watch ends.
    async fn next(&mut self) -> Option<String> {
        let mut versions = self.shared.versions();
        let mut outage = self.shared.outage();
        loop {
            if *outage.borrow_and_update() == Outage::Refusing {
                return None;
            }
            let silent = *outage.borrow() == Outage::Silent;
            let latest = *versions.borrow_and_update();
            if !silent && latest > self.after {
                let lines = self.lines();
                if !lines.is_empty() {
                    return Some(lines);
                }
            }
            let changed = async {
                tokio::select! {
                    changed = versions.changed() => changed.is_ok(),
                    changed = outage.changed() => changed.is_ok(),
                }
            };
            if !matches!(timeout_at(self.end, changed).await, Ok(true)) {
                return None;
            }
        }
    }

    fn lines(&mut self) -> String {
        let state = self.shared.state();
        let mut lines = String::new();
        for change in state.history.iter().filter(|change| change.version > self.after) {
            if let Some(event) = self.event(change) {
                lines.push_str(&format!("{event}\n"));
            }
        }
        self.after = state.version;
        if self.bookmarks && lines.is_empty() && self.bookmarked.elapsed() >= BOOKMARK_INTERVAL {
            self.bookmarked = Instant::now();
            let resource = self.target.resource;
            let bookmark = json!({"type": "BOOKMARK", "object": {
                "apiVersion": resource.api_version(), "kind": resource.kind,
                "metadata": {"resourceVersion": self.after.to_string(), "creationTimestamp": null},
            }});
            lines = format!("{bookmark}\n");
        }
        lines
    }

    /// The change as this watch sees it: an object that begins or ceases to be selected comes or goes.
    fn event(&self, change: &Change) -> Option<Value> {
        let here = change.resource == self.target.resource.plural
            && self.target.namespace.as_ref().is_none_or(|ns| *ns == change.namespace);
        let selected = |object: &&Value| here && self.selector.matches(object);
        let (kind, object) =
            match (change.old.as_ref().filter(selected), change.new.as_ref().filter(selected)) {
                (None, Some(new)) => ("ADDED", new),
                (Some(_), Some(new)) => ("MODIFIED", new),
                (Some(old), None) => ("DELETED", change.new.as_ref().unwrap_or(old)),
                (None, None) => return None,
            };
        let mut object = if self.metadata_only { crate::http::metadata_of(object) } else { object.clone() };
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(json!({"type": kind, "object": object}))
    }
}
