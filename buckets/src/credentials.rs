//! The keys of an account, which are shown to nobody.

use std::fmt;

use zeroize::Zeroizing;

/// An access key id with its secret. In no form printed; wiped from memory when dropped.
#[derive(Clone)]
pub struct Credentials(aws_credential_types::Credentials, Zeroizing<[String; 2]>);

/// Shorter ones are no credentials of any service, and would be found by chance in what has nothing to do with them.
const BYTES_MIN: usize = 4;

impl Credentials {
    /// `session_token` is for temporary ones. White space around them, as editors and `echo` leave it, is dropped.
    pub fn new(access_key_id: &str, secret_access_key: &str, session_token: Option<&str>) -> Self {
        let (id, secret) = (access_key_id.trim(), secret_access_key.trim());
        let token = session_token.map(|token| token.trim().to_owned());
        let keys = aws_credential_types::Credentials::new(id, secret, token, None, "workspacefs");
        Self(keys, Zeroizing::new([id.to_owned(), secret.to_owned()]))
    }

    /// Whether they can be sent in a header, and there is anything to send.
    pub(crate) fn is_id_usable(&self) -> bool {
        let id = self.0.access_key_id();
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic())
    }

    pub(crate) fn is_secret_usable(&self) -> bool {
        !self.0.secret_access_key().is_empty()
    }

    /// For the signature alone.
    pub(crate) fn keys(&self) -> &aws_credential_types::Credentials {
        &self.0
    }

    /// What a service says, without anything of these.
    pub(crate) fn redact(&self, text: &str) -> String {
        let token = self.0.session_token().unwrap_or_default();
        let words = self.1.iter().map(String::as_str).chain([token]);
        words.filter(|word| word.len() >= BYTES_MIN).fold(text.to_owned(), |text, word| without(&text, word))
    }
}

/// In whatever case it stands there: the hosts of URLs, for one, are written in small letters.
fn without(text: &str, word: &str) -> String {
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut left = String::new();
    let mut from = 0;
    for (at, found) in lower.match_indices(&word) {
        left.push_str(text.get(from..at).unwrap_or_default());
        left.push('…');
        from = at + found.len();
    }
    left + text.get(from..).unwrap_or_default()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_no_text() {
        let credentials = Credentials::new(" AKIDEXAMPLE\n", "wJalrXUtnFEMI", Some("token-of-a-session"));
        assert_eq!(format!("{credentials:?} {credentials:#?}"), "Credentials(…) Credentials(…)");
        let said =
            credentials.redact("ä key AKIDEXAMPLE, akidexample; secret wJalrXUtnFEMI, token-of-a-session.");
        assert_eq!(said, "ä key …, …; secret …, ….");
    }

    #[test]
    fn what_is_no_key_is_known_before_it_is_sent() {
        assert!(Credentials::new("AKID", "s", None).is_id_usable());
        for id in ["", " \n", "a b", "a\nb", "ä"] {
            assert!(!Credentials::new(id, "s", None).is_id_usable(), "{id:?}");
        }
        assert!(!Credentials::new("a", " ", None).is_secret_usable());
    }
}
