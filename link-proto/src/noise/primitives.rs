//! Where the primitives of Noise come from: ring, and X25519 from x25519-dalek.
//!
//! Must never agree on a secret with a point that agrees with everybody: browsers refuse such keys as well.

use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};

/// What the handshakes are built with.
pub(super) struct Primitives;

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        RingResolver.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::new([0; 32]))),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// A key pair.
struct X25519 {
    private: StaticSecret,
    public: PublicKey,
}

impl X25519 {
    fn new(private: [u8; 32]) -> Self {
        let private = StaticSecret::from(private);
        let public = PublicKey::from(&private);
        Self { private, public }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(private) {
            *to = *from;
        }
        *self = Self::new(bytes);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut bytes = [0; 32];
        random.try_fill_bytes(&mut bytes)?;
        *self = Self::new(bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.private.as_bytes()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; 32] = public
            .get(..32)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Error::Input)?;
        let shared = self.private.diffie_hellman(&public.into());
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        out.get_mut(..32)
            .ok_or(Error::Input)?
            .copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_that_agrees_with_everybody_is_refused() {
        let key = X25519::new([7; 32]);
        let mut shared = [0; 32];
        assert_eq!(key.dh(&[0; 32], &mut shared), Err(Error::Dh));
        assert_eq!(key.dh(&[9; 31], &mut shared), Err(Error::Input));
        assert_eq!(key.dh(key.pubkey(), &mut shared), Ok(()));
        assert_ne!(shared, [0; 32]);
    }
}
