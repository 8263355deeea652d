//! What the relay keeps of a token, a ticket or a claim: SHA-256 of it, and nothing else.

use std::fmt;

use link_proto::keys::Token;
use subtle::ConstantTimeEq as _;

/// SHA-256 of a [`Token`]. Looking one up in a table tells a guesser nothing: whoever can choose the first
/// bytes of a hash has already done the work that the hash is there to demand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// What is kept of `token`.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        Self(token.digest())
    }

    /// Whether it is this token's, in a time that says nothing about it.
    #[must_use]
    pub fn is_of(&self, token: &Token) -> bool {
        self.0.ct_eq(&token.digest()).into()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_its_token_and_prints_nothing() {
        let token = Token::from_bytes([1; 32]);
        let digest = TokenDigest::of(&token);
        assert!(digest.is_of(&token));
        assert!(!digest.is_of(&Token::from_bytes([2; 32])));
        assert_eq!(format!("{digest:?}"), "TokenDigest(…)");
    }
}
