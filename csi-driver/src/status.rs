//! From an error to what the caller sees: the code its RPC's table chose, and the whole chain of causes as the message.
//! `details` stays empty, as CSI demands.

use std::error::Error;

use tonic::{Code, Status};

/// The longest message, in bytes: it ends in an Event of at most 1 kB, and in an HTTP/2 header.
const MESSAGE_BYTES_MAX: usize = 900;

/// A status with `code` and all that `error` and its sources say.
pub fn status(code: Code, error: &dyn Error) -> Status {
    Status::new(code, chain(error))
}

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
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
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

    fn layer(text: &str, source: Option<Layer>) -> Layer {
        Layer { text: text.into(), source: source.map(Box::new) }
    }

    #[test]
    fn the_message_holds_every_cause_once() {
        let error = layer("mount failed", Some(layer("server gone", Some(layer("gone", None)))));
        assert_eq!(chain(&error), "mount failed: server gone");
        assert_eq!(status(Code::Internal, &error).message(), "mount failed: server gone");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = chain(&layer(&"ä".repeat(1000), None));
        assert!(text.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && text.ends_with('…'));
    }
}
