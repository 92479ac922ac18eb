//! What a manifest is asked to hold, read as hostile input: what Kubernetes would refuse is refused here, with a sentence.

use std::fmt;

use workspacefs_api::path::RelativePath;

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

/// `FS[:FROM]:AS[:ro]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// File System.
    pub what: Name,
    /// Mount From.
    pub from: RelativePath,
    /// Mount As.
    pub at: String,
    /// Nothing can be written.
    pub read_only: bool,
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

/// Reads a mount. Kubernetes lets no place in a container have a colon, so the last one ends the folder, whatever that has.
///
/// # Errors
/// What of it is wrong.
pub fn mount(text: &str) -> Result<Mount, String> {
    let (text, read_only) = text.strip_suffix(":ro").map_or((text, false), |rest| (rest, true));
    let (what, rest) = text
        .split_once(':')
        .ok_or("a mount is FS:AS or FS:FROM:AS, with :ro at its end if nothing is to be written")?;
    let (from, at) = rest.rsplit_once(':').unwrap_or(("", rest));
    Ok(Mount {
        what: name(what)?,
        from: RelativePath::parse(from).map_err(|error| error.to_string())?,
        at: place(at)?,
        read_only,
    })
}

fn place(text: &str) -> Result<String, String> {
    let path = RelativePath::parse(text).map_err(|error| error.to_string())?;
    if !text.starts_with('/') || path.is_root() {
        return Err(format!("{text:?} is no place in a container: it begins with '/', and is not '/' alone"));
    }
    Ok(path.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_file_system_a_folder_of_it_and_a_place() {
        for (text, what, from, at, read_only) in [
            ("default:/mnt/data", "default", "", "/mnt/data", false),
            ("default:/:/data", "default", "", "/data", false),
            ("default:/datasets:/data:ro", "default", "datasets", "/data", true),
            ("default:a:b:ro:/data", "default", "a:b:ro", "/data", false),
            ("default:on/~/- x:/ro", "default", "on/~/- x", "/ro", false),
            ("1e3://a//b/:/c//d/", "1e3", "a/b", "/c/d", false),
        ] {
            let mount = mount(text).unwrap();
            assert_eq!(
                (mount.what.as_str(), mount.from.as_str(), mount.at.as_str(), mount.read_only),
                (what, from, at, read_only),
                "{text}"
            );
        }
    }

    #[test]
    fn what_kubernetes_or_the_driver_would_refuse_is_refused() {
        for bad in [
            "",
            "default",
            ":",
            ":/data",
            "default:",
            "default:data",
            "default:/",
            "Default:/data",
            "-a:/data",
            "a.b:/data",
            "default:../x:/data",
            "default:.workspacefs/cache:/data",
            "default:/data/../x",
            "default:a\nb:/data",
            "default:/da\nta",
            "default:/data\0",
            "default:ro",
            "a\nb:/data",
        ] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a b", "a\n", "ä"] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "-a", "a/b", "a\n", &"a".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad:?}");
        }
        for (key, good) in
            [("group", true), ("a.b/c_D", true), ("/c", false), ("a/b/c", false), ("A/b", false)]
        {
            assert_eq!(label_key(key).is_ok(), good, "{key}");
        }
    }
}
