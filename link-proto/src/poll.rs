//! Bodies of the long poll: the messages of a link socket, one after the other.
//!
//! Must never take memory for a length before the bytes are there.

use crate::control::MAX_TEXT_FROM_RELAY_BYTES;
use crate::frame::MAX_FRAME_BYTES;

/// Most bytes of one body. A sender splits what is more over several requests.
pub const MAX_BODY_BYTES: usize = 4 << 20;

/// The header with which a receive says the number to name in the next one's `after`.
pub const SEQ_HEADER: &str = "copilot-seq";

/// A message of a link socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A control message, JSON.
    Text(&'a str),
    /// A binary message, see [`crate::frame`].
    Binary(&'a [u8]),
}

/// Why a body is not one. Nothing of it was acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// The body ends inside a message.
    #[error("a poll body ends inside a message")]
    Truncated,
    /// A message or the whole is larger than is allowed.
    #[error("a poll body holds more than is allowed")]
    TooLarge,
    /// Neither text nor binary.
    #[error("a poll body holds a message of an unknown kind {0}")]
    Kind(u8),
    /// A text that is not UTF-8.
    #[error("a poll body holds a text that is not UTF-8")]
    NotText,
}

/// Appends a message to a body.
///
/// # Errors
/// When the message is larger than one may be. A body that would exceed [`MAX_BODY_BYTES`] is
/// [`PollError::TooLarge`] as well and unchanged: send it, and begin another.
pub fn append(body: &mut Vec<u8>, message: Message<'_>) -> Result<(), PollError> {
    let (kind, bytes, most) = match message {
        Message::Text(text) => (0, text.as_bytes(), MAX_TEXT_FROM_RELAY_BYTES),
        Message::Binary(bytes) => (1, bytes, MAX_FRAME_BYTES),
    };
    if bytes.len() > most || body.len() + 5 + bytes.len() > MAX_BODY_BYTES {
        return Err(PollError::TooLarge);
    }
    let length = u32::try_from(bytes.len()).map_err(|_| PollError::TooLarge)?;
    body.push(kind);
    body.extend(length.to_be_bytes());
    body.extend(bytes);
    Ok(())
}

/// All messages of a body, or none.
///
/// # Errors
/// When anything in it is not a message.
pub fn decode(body: &[u8]) -> Result<Vec<Message<'_>>, PollError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(PollError::TooLarge);
    }
    let mut rest = body;
    let mut messages = Vec::new();
    while let Some((&kind, after_kind)) = rest.split_first() {
        let (length, after_length) = after_kind
            .split_first_chunk::<4>()
            .ok_or(PollError::Truncated)?;
        let length =
            usize::try_from(u32::from_be_bytes(*length)).map_err(|_| PollError::TooLarge)?;
        let most = match kind {
            0 => MAX_TEXT_FROM_RELAY_BYTES,
            1 => MAX_FRAME_BYTES,
            other => return Err(PollError::Kind(other)),
        };
        if length > most {
            return Err(PollError::TooLarge);
        }
        let (bytes, after) = after_length
            .split_at_checked(length)
            .ok_or(PollError::Truncated)?;
        messages.push(if kind == 0 {
            Message::Text(std::str::from_utf8(bytes).map_err(|_| PollError::NotText)?)
        } else {
            Message::Binary(bytes)
        });
        rest = after;
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_frozen() {
        let mut body = Vec::new();
        append(&mut body, Message::Text("{}")).unwrap();
        append(&mut body, Message::Binary(&[0, 0, 0, 7, 1])).unwrap();
        assert_eq!(
            body,
            [0, 0, 0, 0, 2, b'{', b'}', 1, 0, 0, 0, 5, 0, 0, 0, 7, 1]
        );
        assert_eq!(
            decode(&body),
            Ok(vec![Message::Text("{}"), Message::Binary(&[0, 0, 0, 7, 1])])
        );
    }

    #[test]
    fn a_body_that_breaks_a_rule_is_nothing() {
        for (body, error) in [
            (&[0][..], PollError::Truncated),
            (&[0, 0, 0, 0, 2, b'{'], PollError::Truncated),
            (&[1, 255, 255, 255, 255], PollError::TooLarge),
            (&[2, 0, 0, 0, 0], PollError::Kind(2)),
            (&[0, 0, 0, 0, 1, 255], PollError::NotText),
        ] {
            assert_eq!(decode(body), Err(error));
        }
        let mut body = vec![0; MAX_BODY_BYTES - 5];
        assert_eq!(append(&mut body, Message::Text("")), Ok(()));
        assert_eq!(
            append(&mut body, Message::Text("")),
            Err(PollError::TooLarge)
        );
        assert_eq!(body.len(), MAX_BODY_BYTES);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_messages_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(messages) = decode(&body) {
                let mut again = Vec::new();
                for message in messages {
                    append(&mut again, message).unwrap();
                }
                prop_assert_eq!(again, body);
            }
        }
    }
}
