//! The words of a manifest, read as hostile input.

use std::fmt;

use crate::path::RelativePath;

/// A DNS label: the name of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a name.
///
/// # Errors
/// What a name has to be.
pub fn name(text: &str) -> Result<Name, String> {
    let is_end = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    let good = bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    if good {
        Ok(Name(text.into()))
    } else {
        Err("a name has small letters, digits and '-', at most 63 of them, and neither begins nor ends with '-'".into())
    }
}

/// Reads an image's name: what a registry makes of it is not our concern.
///
/// # Errors
/// It cannot be one.
pub fn image(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| text.into()).ok_or_else(|| "an image's name has visible ASCII characters only".into())
}

/// Reads the value of a label.
///
/// # Errors
/// It cannot be one.
pub fn label_value(text: &str) -> Result<String, String> {
    is_label_word(text)
        .then(|| text.into())
        .ok_or_else(|| "a label's value has letters, digits, '-', '_' and '.', at most 63, and a letter or digit at both ends".into())
}

/// Reads the key of a label.
///
/// # Errors
/// It cannot be one.
pub fn label_key(text: &str) -> Result<String, String> {
    let (prefix, word) = text.split_once('/').map_or((None, text), |(prefix, word)| (Some(prefix), word));
    let is_domain = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(|part| name(part).is_ok());
    let good = is_label_word(word) && prefix.is_none_or(is_domain);
    good.then(|| text.into()).ok_or_else(|| "not the key of a label, such as example.com/group".into())
}

fn is_label_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Reads a place in a container, normalised. Kubernetes lets none have a colon.
///
/// # Errors
/// What of it is wrong.
pub fn place(text: &str) -> Result<String, String> {
    let path = RelativePath::parse(text).map_err(|error| error.to_string())?;
    if !text.starts_with('/') || path.is_root() {
        return Err(format!("{text:?} is no place in a container: it begins with '/', and is not '/' alone"));
    }
    if text.contains(':') {
        return Err(format!("{text:?} has a ':', which no place in a container may have"));
    }
    Ok(path.to_string())
}
