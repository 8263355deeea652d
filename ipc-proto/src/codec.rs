//! The one place that encodes and decodes control messages (bincode).
//!
//! Owns the configuration and its limit. Must never be used for anything that is kept: what is written to
//! disk has to be readable for years, and these bytes only ever live on a socket.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::error::DecodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::MAX_CONTROL_BYTES;

/// What bincode may account for while decoding. It counts an integer at its full width however short its
/// encoding is, so a legal message of [`MAX_CONTROL_BYTES`] can count for more than that. No single claimed
/// length beyond this is ever allocated.
const DECODE_LIMIT_BYTES: usize = 2 * MAX_CONTROL_BYTES;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT_BYTES>> =
    bincode::config::standard().with_limit::<DECODE_LIMIT_BYTES>();

/// Why a control message was not understood. Carries nothing of its content, which may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be put into bytes.
    #[error("a control message could not be encoded")]
    Encode,
    /// The bytes end before the value does.
    #[error("a control message ends too early")]
    Truncated,
    /// A length inside the message is larger than a whole message may be.
    #[error("a control message claims more data than is allowed")]
    TooLarge,
    /// Bytes follow the value.
    #[error("a control message is followed by {0} unexpected bytes")]
    Trailing(usize),
    /// Anything else that is not a value of the expected type.
    #[error("a control message is malformed")]
    Malformed,
}

/// Encodes a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, CONFIG).map_err(|_| CodecError::Encode)
}

/// Decodes exactly one value; bytes after it are an error.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, consumed) = decode_prefix(bytes)?;
    match bytes.len() - consumed {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing(trailing)),
    }
}

/// Decodes a value at the beginning of `bytes` and says how many it took.
pub(crate) fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|error| match error {
        DecodeError::UnexpectedEnd { .. } => CodecError::Truncated,
        DecodeError::LimitExceeded => CodecError::TooLarge,
        _ => CodecError::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_all_its_bytes() {
        let bytes = encode(&(7_u32, "seven")).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes), Ok((7, "seven".to_owned())));
        let mut longer = bytes.clone();
        longer.extend([0, 0]);
        assert_eq!(
            decode::<(u32, String)>(&longer),
            Err(CodecError::Trailing(2))
        );
        assert_eq!(
            decode::<(u32, String)>(&bytes[..bytes.len() - 1]),
            Err(CodecError::Truncated)
        );
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_it_is_believed() {
        // 0xfd: an eight-byte integer follows.
        let mut bomb = vec![0xfd];
        bomb.extend(u64::MAX.to_le_bytes());
        assert_eq!(decode::<String>(&bomb), Err(CodecError::TooLarge));
        assert_eq!(decode::<Vec<u8>>(&bomb), Err(CodecError::Truncated));
    }
}
