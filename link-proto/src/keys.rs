//! Keys and secrets.
//!
//! Secrets are erased when they are dropped and never shown by `Debug`. Must never: be compared in a time
//! that depends on what they are, or be put into an error.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq as _;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::text;

/// The system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this system gives no random numbers, so no keys can be made")]
pub struct RandomError;

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| RandomError)?;
    Ok(bytes)
}

/// The public half of an X25519 key pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether this is one of the few points with which every private key agrees on the same secret. Nobody
    /// makes such a key by chance; whoever has one has no key at all.
    #[must_use]
    pub fn is_degenerate(&self) -> bool {
        // Any private key shows it: X25519 multiplies by a multiple of the curve's cofactor.
        !StaticSecret::from([1; 32])
            .diffie_hellman(&self.0.into())
            .was_contributory()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", text::base64url(&self.0))
    }
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// A new one.
            ///
            /// # Errors
            /// When the system has no random numbers.
            pub fn generate() -> Result<Self, RandomError> {
                random().map(Self)
            }

            /// One that was kept. The caller erases its own copy.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes, to be kept where only their owner can read.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        // In a time that does not depend on where two differ.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret!(
    /// The private half of an X25519 key pair: of a machine, or of a device.
    PrivateKey
);
secret!(
    /// What a pairing link holds and the relay never learns.
    PairingSecret
);
secret!(
    /// A bearer's secret towards the relay: an enrolment, machine or device token, a ticket, a claim, a poll.
    /// Its text is base64url without padding.
    Token
);

impl PrivateKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&StaticSecret::from(self.0)).to_bytes())
    }
}

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 bytes of base64url without padding")]
pub struct TokenError;

impl Token {
    /// What the relay keeps in its place: SHA-256 of the 32 bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut kept = [0; 32];
        kept.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        kept
    }

    /// The token as it is sent.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(text::base64url(&self.0))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = Zeroizing::new(text::unbase64url(text).ok_or(TokenError)?);
        <[u8; 32]>::try_from(bytes.as_slice())
            .map(Self)
            .map_err(|_| TokenError)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Zeroizing::new(String::deserialize(deserializer)?)
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_follows_from_its_private_half() {
        // A key pair of the published Noise vectors.
        let private =
            text::unhex("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1")
                .unwrap();
        assert_eq!(
            text::hex(&PrivateKey::from_bytes(private).public().0),
            "6bc3822a2aa7f4e6981d6538692b3cdf3e6df9eea6ed269eb41d93c22757b75a"
        );
    }

    #[test]
    fn points_that_agree_with_everybody_are_known() {
        let mut one = [0; 32];
        one[0] = 1;
        let order_eight =
            text::unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
                .unwrap();
        for point in [[0; 32], one, order_eight] {
            assert!(PublicKey(point).is_degenerate());
        }
        assert!(!PrivateKey::generate().unwrap().public().is_degenerate());
    }

    #[test]
    fn a_token_has_one_text_and_keeps_to_itself() {
        let token = Token::from_bytes([0xfb; 32]);
        let text = token.to_text();
        assert_eq!(text.len(), 43);
        assert_eq!(text.parse::<Token>().unwrap(), token);
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(
            serde_json::to_string(&token).unwrap(),
            format!("\"{}\"", *text)
        );
        for wrong in ["", "-_8", &format!("{}=", *text), &format!("{}A", *text)] {
            assert_eq!(wrong.parse::<Token>().unwrap_err(), TokenError);
        }
        let error = serde_json::from_str::<Token>("\"c2VjcmV0\"").unwrap_err();
        assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
    }
}
