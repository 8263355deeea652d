//! Binary messages on a link socket: a channel number and a payload that the relay passes on unread.
//!
//! Must never look into a payload; that is [`crate::channel`]'s, at the two ends.

/// Most bytes of a payload: everything after the channel number.
pub const MAX_PAYLOAD_BYTES: usize = 65_600;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 4;

/// Most bytes of a binary message.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// Why a binary message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a channel number and one byte.
    #[error("a binary message ends before its payload")]
    Truncated,
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("a binary message has more than {MAX_PAYLOAD_BYTES} bytes of payload")]
    TooLarge,
}

/// A binary message: the channel it belongs to and its payload.
///
/// # Errors
/// When the payload is empty or larger than [`MAX_PAYLOAD_BYTES`].
pub fn decode(message: &[u8]) -> Result<(u32, &[u8]), FrameError> {
    let (channel, payload) = message
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(FrameError::Truncated)?;
    check(payload)?;
    Ok((u32::from_be_bytes(*channel), payload))
}

/// Puts a payload on a channel.
///
/// # Errors
/// When the payload is empty or larger than [`MAX_PAYLOAD_BYTES`].
pub fn encode(channel: u32, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    check(payload)?;
    let mut message = Vec::with_capacity(HEADER_BYTES + payload.len());
    message.extend(channel.to_be_bytes());
    message.extend(payload);
    Ok(message)
}

fn check(payload: &[u8]) -> Result<(), FrameError> {
    match payload.len() {
        0 => Err(FrameError::Truncated),
        1..=MAX_PAYLOAD_BYTES => Ok(()),
        _ => Err(FrameError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_frozen() {
        let message = encode(0x0102_0304, &[9, 8]).unwrap();
        assert_eq!(message, [1, 2, 3, 4, 9, 8]);
        assert_eq!(decode(&message), Ok((0x0102_0304, &[9, 8][..])));
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(decode(&[0, 0, 0]), Err(FrameError::Truncated));
        assert_eq!(decode(&[0, 0, 0, 1]), Err(FrameError::Truncated));
        assert_eq!(encode(1, &[]), Err(FrameError::Truncated));
        let most = vec![7; MAX_PAYLOAD_BYTES];
        assert_eq!(decode(&encode(1, &most).unwrap()), Ok((1, &most[..])));
        let mut more = encode(1, &most).unwrap();
        more.push(7);
        assert_eq!(decode(&more), Err(FrameError::TooLarge));
        assert_eq!(encode(1, &more), Err(FrameError::TooLarge));
    }
}
