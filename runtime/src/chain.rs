//! An error as text: for a message, a condition, a line of the log.

use std::error::Error;

/// The longest message, in bytes: it ends in an Event of at most 1 kB, and in an HTTP/2 header.
const MESSAGE_BYTES_MAX: usize = 900;

/// `error` and its sources, joined by `: `; a source that only repeats the end of what was said is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = source.source();
    }
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: String,
        #[source]
        source: Option<Box<Layer>>,
    }

    #[test]
    fn every_cause_is_said_once_and_not_too_much_of_it() {
        let layer =
            |text: &str, source: Option<Layer>| Layer { text: text.into(), source: source.map(Box::new) };
        assert_eq!(chain(&layer("no disk", Some(layer("gone", Some(layer("gone", None)))))), "no disk: gone");
        let long = chain(&layer(&"ä".repeat(1000), None));
        assert!(long.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && long.ends_with('…'));
    }
}
