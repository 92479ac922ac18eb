//! Secrets that pass through: tokens. They have no `Debug` that shows them, and leave no copy in memory when they go.

use std::fmt;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The longest token, in bytes: identity tokens with many groups are long.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A bearer token.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl Token {
    /// A token has visible ASCII characters only, and is not endless.
    pub fn parse(text: &str) -> Option<Self> {
        let good =
            !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// 32 random bytes.
///
/// # Errors
/// The system gives none.
pub fn random() -> Result<[u8; 32], ring::error::Unspecified> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether two secrets are the same, by their digests: how long it takes says nothing of how much of them is right.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a) == Sha256::digest(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown_and_never_spans_lines() {
        let token = Token::parse("secret.token").unwrap();
        assert_eq!((format!("{token:?}").as_str(), token.as_str()), ("Token", "secret.token"));
        for bad in ["", "a b", "a\n", "ä", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert!(Token::parse(bad).is_none());
        }
    }
}
