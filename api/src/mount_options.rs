//! The mount options that a FileSystem may ask for (nfs(5)): an allow list, because options can name other servers,
//! change security or break our promises. They travel one by one and are never joined into a string.

use thiserror::Error;

/// One accepted option.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MountOption {
    /// Key as the kernel's NFS client knows it.
    pub key: String,
    /// Value, for options that take one.
    pub value: Option<String>,
}

/// Why an option was refused.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum MountOptionError {
    /// Not on the list, or with a value of the wrong form.
    #[error("mount option {0:?} is not allowed; allowed are: {list}", list = allowed_list())]
    NotAllowed(String),
    /// Two options of which only one can hold.
    #[error("mount options {0:?} and {1:?} contradict each other")]
    Contradiction(String, String),
}

/// What may stand behind an option's `=`.
enum Value {
    /// The option takes no value.
    None,
    /// A decimal number of at most this many digits.
    Digits(usize),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// Options with the same group exclude each other.
struct Allowed {
    key: &'static str,
    value: Value,
    group: &'static str,
}

const fn flag(key: &'static str, group: &'static str) -> Allowed {
    Allowed { key, value: Value::None, group }
}

const fn number(key: &'static str, digits: usize) -> Allowed {
    Allowed { key, value: Value::Digits(digits), group: key }
}

const ALLOWED: &[Allowed] = &[
    flag("hard", "recovery"),
    flag("soft", "recovery"),
    flag("softerr", "recovery"),
    flag("softreval", "reval"),
    flag("nosoftreval", "reval"),
    number("timeo", 5),
    number("retrans", 3),
    number("nconnect", 2),
    number("rsize", 7),
    number("wsize", 7),
    number("acregmin", 5),
    number("acregmax", 5),
    number("acdirmin", 5),
    number("acdirmax", 5),
    number("actimeo", 5),
    flag("ac", "ac"),
    flag("noac", "ac"),
    flag("cto", "cto"),
    flag("nocto", "cto"),
    flag("rdirplus", "rdirplus"),
    flag("nordirplus", "rdirplus"),
    flag("resvport", "resvport"),
    flag("noresvport", "resvport"),
    flag("fsc", "fsc"),
    Allowed { key: "lookupcache", value: Value::OneOf(&["all", "none", "positive"]), group: "lookupcache" },
];

/// Reads options as they stand in `spec.mountOptions`, a PersistentVolume's `mountOptions` or CSI `mount_flags`. The
/// result is sorted: equal sets of options make equal shares.
///
/// # Errors
/// [`MountOptionError`] for the first one that is not allowed or contradicts another.
pub fn parse<S: AsRef<str>>(options: &[S]) -> Result<Vec<MountOption>, MountOptionError> {
    let mut seen: Vec<(&'static str, String)> = Vec::new();
    let mut parsed = Vec::new();
    for text in options.iter().map(AsRef::as_ref) {
        let (allowed, option) = find(text).ok_or_else(|| MountOptionError::NotAllowed(text.into()))?;
        match seen.iter().find(|(group, _)| *group == allowed.group) {
            Some((_, other)) if other != text => {
                return Err(MountOptionError::Contradiction(other.clone(), text.into()));
            }
            Some(_) => continue,
            None => seen.push((allowed.group, text.into())),
        }
        parsed.push(option);
    }
    parsed.sort();
    Ok(parsed)
}

fn find(text: &str) -> Option<(&'static Allowed, MountOption)> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    let allowed = ALLOWED.iter().find(|allowed| allowed.key == key)?;
    let fits = match (&allowed.value, value) {
        (Value::None, None) => true,
        (Value::Digits(most), Some(v)) => {
            (1..=*most).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_digit())
        }
        (Value::OneOf(words), Some(v)) => words.contains(&v),
        (Value::None, Some(_)) | (Value::Digits(_) | Value::OneOf(_), None) => false,
    };
    fits.then(|| (allowed, MountOption { key: key.into(), value: value.map(Into::into) }))
}

/// Each option on the list, once in each of its forms, and numbers with a value that means something to each: for tests
/// against a kernel.
pub fn every_form() -> Vec<String> {
    // Within the kernel's limit for nconnect (16); of rsize and wsize it makes its least.
    const NUMBER: &str = "8";
    let forms = |allowed: &Allowed| -> Vec<String> {
        let with = |value: &&str| format!("{}={value}", allowed.key);
        match &allowed.value {
            Value::None => vec![allowed.key.into()],
            Value::Digits(_) => vec![with(&NUMBER)],
            Value::OneOf(words) => words.iter().map(with).collect(),
        }
    };
    ALLOWED.iter().flat_map(forms).collect()
}

/// The CEL rule of `spec.mountOptions`, made from the same list.
pub(crate) fn cel_rule() -> String {
    let forms: Vec<String> = ALLOWED
        .iter()
        .map(|allowed| match &allowed.value {
            Value::None => allowed.key.to_string(),
            Value::Digits(most) => format!("{}=[0-9]{{1,{most}}}", allowed.key),
            Value::OneOf(words) => format!("{}=({})", allowed.key, words.join("|")),
        })
        .collect();
    format!("self.all(o, o.matches('^({})$'))", forms.join("|"))
}

/// The sentence that `kubectl apply` prints.
pub(crate) fn cel_message() -> String {
    format!("mountOptions takes only: {}", allowed_list())
}

fn allowed_list() -> String {
    let forms: Vec<String> = ALLOWED
        .iter()
        .map(|allowed| match &allowed.value {
            Value::None => allowed.key.to_string(),
            Value::Digits(_) => format!("{}=N", allowed.key),
            Value::OneOf(words) => format!("{}={}", allowed.key, words.join("|")),
        })
        .collect();
    forms.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_name_servers_or_change_security_are_refused() {
        for bad in [
            "addr=1.2.3.4",
            "sec=none",
            "exec",
            "suid",
            "dev",
            "hard,addr=1.2.3.4",
            "hard ",
            "vers=3",
            "nolock",
            "timeo=",
            "timeo=x",
            "timeo=123456",
            "hard=1",
            "lookupcache=some",
            "",
            "=",
            "nconnect=4,addr=x",
        ] {
            assert_eq!(parse(&[bad]), Err(MountOptionError::NotAllowed(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn contradictions_are_refused_and_repetitions_are_not() {
        assert!(matches!(parse(&["hard", "soft"]), Err(MountOptionError::Contradiction(..))));
        assert!(matches!(parse(&["timeo=5", "timeo=6"]), Err(MountOptionError::Contradiction(..))));
        assert_eq!(parse(&["hard", "hard"]).map(|o| o.len()), Ok(1));
    }

    #[test]
    fn every_form_of_every_option_is_accepted() {
        let forms = every_form();
        for form in &forms {
            assert_eq!(parse(&[form]).map(|o| o.len()), Ok(1), "{form}");
        }
        for allowed in ALLOWED {
            let is_it = |form: &&String| form.split('=').next() == Some(allowed.key);
            let expected = if let Value::OneOf(words) = &allowed.value { words.len() } else { 1 };
            assert_eq!(forms.iter().filter(is_it).count(), expected, "{}", allowed.key);
        }
    }

    #[test]
    fn the_order_in_which_options_are_given_does_not_matter() {
        assert_eq!(parse(&["hard", "nconnect=4"]), parse(&["nconnect=4", "hard"]));
    }
}
