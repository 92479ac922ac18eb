//! For which audiences a token is reviewed. The API server judges a token for those that it is asked for only, and does not tell its
//! own; so where none are configured, what a token says of itself decides which question is asked, and never what the answer is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use workspacefs_api::TOKEN_AUDIENCE;
use zeroize::Zeroizing;

/// What is asked about tokens.
pub struct Questions {
    /// Empty: for the API server itself.
    configured: Vec<String>,
    ours: Vec<String>,
}

impl Questions {
    /// Configured audiences are exact: no other is asked for.
    pub fn new(configured: Vec<String>) -> Self {
        Self { configured, ours: vec![TOKEN_AUDIENCE.to_owned()] }
    }

    /// Lists of audiences, to be asked for in this order until a review says yes; an empty one asks for the API server's own.
    ///
    /// The last is always the configured one: an issuer's token that names our audience for its own reasons, as a client id, is
    /// good for the API server and remains so.
    pub fn of(&self, token: &str) -> impl Iterator<Item = &[String]> {
        let ours = self.configured.is_empty() && claims(token, TOKEN_AUDIENCE);
        ours.then_some(self.ours.as_slice()).into_iter().chain([self.configured.as_slice()])
    }
}

#[derive(Deserialize)]
struct Claims {
    aud: Audiences,
}

/// RFC 7519 §4.1.3: one, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// Whether a token is a JWT that names the audience. Its signature is not looked at: this is the caller's word only.
fn claims(token: &str, audience: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(payload) = URL_SAFE_NO_PAD.decode(payload).map(Zeroizing::new) else { return false };
    match serde_json::from_slice(&payload) {
        Ok(Claims { aud: Audiences::One(one) }) => one == audience,
        Ok(Claims { aud: Audiences::Several(all) }) => all.iter().any(|one| one == audience),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("header.{}.signature", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn only_a_jwt_that_names_our_audience_is_asked_for_it_and_then_as_any_other() {
        let own = Questions::new(Vec::new());
        let asked = |token: &str| own.of(token).map(<[_]>::to_vec).collect::<Vec<_>>();
        let as_ever: Vec<Vec<String>> = vec![vec![]];
        let ours = vec![vec!["workspacefs.io".to_owned()], vec![]];
        for payload in [r#"{"aud":"workspacefs.io"}"#, r#"{"sub":"x","aud":["vault","workspacefs.io"]}"#] {
            assert_eq!(asked(&token(payload)), ours, "{payload}");
            assert_eq!(asked(&format!("{}.more", token(payload))), as_ever, "{payload}");
        }
        for payload in [
            r#"{"aud":"vault"}"#,
            r#"{"aud":["vault","workspacefs.io.example.com"]}"#,
            r#"{"aud":{"workspacefs.io":1}}"#,
            r#"{"aud":[1,"workspacefs.io"]}"#,
            r#"{"aud":"vault","aud":"workspacefs.io"}"#,
            r#"{"sub":"workspacefs.io"}"#,
            "[]",
            "workspacefs.io",
            "",
        ] {
            assert_eq!(asked(&token(payload)), as_ever, "{payload}");
        }
        for none in ["", "opaque", "workspacefs.io", "a.b", "..", "a.%%%.c", &"[".repeat(10_000)] {
            assert_eq!(asked(none), as_ever, "{none}");
        }
        assert_eq!(asked(&token(&"[".repeat(10_000))), as_ever, "depth has an end");
    }

    #[test]
    fn where_audiences_are_configured_those_are_asked_for_and_no_other() {
        let questions = Questions::new(vec!["a".into(), "b".into()]);
        for token in ["opaque", &token(r#"{"aud":"workspacefs.io"}"#)] {
            let asked: Vec<_> = questions.of(token).collect();
            assert_eq!(asked, [["a", "b"]]);
        }
    }
}
