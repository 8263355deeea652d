//! The names of machines, devices and pairings.
//!
//! Names are public: they may be in logs, URLs and errors. What must not be known is in [`crate::keys`].

use std::fmt;
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::keys::{PublicKey, RandomError, random};
use crate::text;

/// A name that is not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is 32 lower-case hex digits")]
pub struct IdError(&'static str);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&text::hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(digits: &str) -> Result<Self, IdError> {
                text::unhex(digits).map(Self).ok_or(IdError($what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// A `copilotd`: random, made once.
    MachineId,
    "a machine id"
);
id!(
    /// A device, which follows from its key.
    DeviceId,
    "a device id"
);
id!(
    /// One pairing, towards the relay; random. Not a secret.
    PairingId,
    "a pairing id"
);

impl MachineId {
    /// A new machine's id.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        random().map(Self)
    }
}

impl PairingId {
    /// A new pairing's id.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        random().map(Self)
    }
}

impl DeviceId {
    /// The id of the device with this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"copilot-device");
        context.update(&key.0);
        let mut id = [0; 16];
        id.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_32_lower_case_hex_digits() {
        let text = "000102030405060708090a0b0c0d0eff";
        let id: MachineId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{id:?}"), format!("MachineId({text})"));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<MachineId>(&format!("\"{text}\"")).unwrap(),
            id
        );
        assert_eq!(
            "000102030405060708090A0B0C0D0EFF"
                .parse::<DeviceId>()
                .unwrap_err()
                .to_string(),
            "a device id is 32 lower-case hex digits"
        );
        assert!(serde_json::from_str::<PairingId>("7").is_err());
    }

    #[test]
    fn a_device_is_named_by_its_key() {
        // printf 'copilot-device' | cat - <(head -c 32 /dev/zero) | sha256sum
        assert_eq!(
            DeviceId::of(&PublicKey([0; 32])).to_string(),
            "7e95a51dc16b43677364055a33cc327f"
        );
    }

    #[test]
    fn machines_differ() {
        assert_ne!(
            MachineId::generate().unwrap(),
            MachineId::generate().unwrap()
        );
    }
}
