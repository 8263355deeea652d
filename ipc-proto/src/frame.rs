//! Frames: the length-prefixed pieces that everything on the socket is cut into.
//!
//! Owns the sizes, the header and its checks. Knows nothing of what a payload means; whole messages are
//! put together from frames by [`MessageCodec`].

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::Decoder;
use tokio_util::codec::length_delimited::LengthDelimitedCodec;

pub use crate::message::MessageCodec;

/// The largest payload of one frame, in bytes. A longer message is cut into several frames.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024;
/// The largest value of a frame's length field: a kind byte, a flags byte and the payload.
pub const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES + HEADER_BYTES;
/// The largest AHP message, in bytes, over all its frames.
pub const MAX_AHP_BYTES: usize = 32 * 1024 * 1024;
/// The largest control request or reply, in bytes, over all its frames.
pub const MAX_CONTROL_BYTES: usize = 1024 * 1024;

/// The kind and flags bytes, which the length field counts.
const HEADER_BYTES: usize = 2;
const LENGTH_BYTES: usize = 4;
/// Flag bit 0: the message goes on in the next frame.
const MORE: u8 = 1;

/// What a frame's payload is. The numbers are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The client's first frame.
    Hello = 0,
    /// The daemon's answer to a hello it can work with.
    Welcome = 1,
    /// The daemon's answer to a hello it cannot work with; it closes afterwards.
    Refused = 2,
    /// A control request, client to daemon.
    ControlRequest = 3,
    /// A control reply, daemon to client.
    ControlReply = 4,
    /// An AHP message, in both directions.
    Ahp = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, FrameError> {
        Ok(match byte {
            0 => Self::Hello,
            1 => Self::Welcome,
            2 => Self::Refused,
            3 => Self::ControlRequest,
            4 => Self::ControlReply,
            5 => Self::Ahp,
            other => return Err(FrameError::UnknownKind(other)),
        })
    }

    /// The largest whole message of this kind, in bytes.
    #[must_use]
    pub fn max_message_bytes(self) -> usize {
        match self {
            Self::Hello | Self::Welcome | Self::Refused => MAX_CHUNK_BYTES,
            Self::ControlRequest | Self::ControlReply => MAX_CONTROL_BYTES,
            Self::Ahp => MAX_AHP_BYTES,
        }
    }
}

/// One frame as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// Whether the message goes on in the next frame of this direction.
    pub more: bool,
    /// The payload, or a piece of it.
    pub payload: Bytes,
}

/// Why a connection cannot go on. Every one of them ends that connection, and only that one, except
/// [`FrameError::MessageTooLong`] from a writer, which has written nothing.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A length field above [`MAX_FRAME_BYTES`].
    #[error("a frame is longer than {MAX_FRAME_BYTES} bytes")]
    FrameTooLong,
    /// A length field too small for the kind and flags.
    #[error("a frame has no kind and flags")]
    FrameTooShort,
    /// A kind that this version does not have.
    #[error("a frame has the unknown kind {0}")]
    UnknownKind(u8),
    /// Flag bits that this version does not have.
    #[error("a frame has the unknown flags {0:#04x}")]
    UnknownFlags(u8),
    /// A kind that may not be sent in this direction, or not at this point.
    #[error("a {0:?} frame is not allowed here")]
    UnexpectedKind(Kind),
    /// A message that began as one kind went on as another.
    #[error("a {began:?} message was interrupted by a {found:?} frame")]
    KindChanged {
        /// The kind of the first frame.
        began: Kind,
        /// The kind of the frame that should have gone on with it.
        found: Kind,
    },
    /// All frames of one message together are too long.
    #[error("a {kind:?} message is longer than {} bytes", kind.max_message_bytes())]
    MessageTooLong {
        /// The kind of the message.
        kind: Kind,
    },
    /// The connection ended inside a frame or a message.
    #[error("the connection ended in the middle of a message")]
    CutOff,
    /// A hello, welcome or refusal that does not have its layout.
    #[error("a {kind:?} frame is malformed: {what}")]
    Handshake {
        /// Which of the three.
        kind: Kind,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A control message that was not understood.
    #[error(transparent)]
    Control(#[from] crate::CodecError),
    /// An earlier send was dropped before all frames of its message were written.
    #[error("an earlier message was not sent to its end, so nothing can follow it")]
    Interrupted,
    /// The operating system's word.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Reads frames. The length is checked before memory is taken for what it announces.
#[derive(Debug)]
pub struct FrameCodec {
    lengths: LengthDelimitedCodec,
}

impl Default for FrameCodec {
    fn default() -> Self {
        let lengths = LengthDelimitedCodec::builder()
            .length_field_length(LENGTH_BYTES)
            .big_endian()
            .max_frame_length(MAX_FRAME_BYTES)
            // The length stays in the buffer until its frame is complete, so that an end of the stream
            // right after it is seen for what it is.
            .length_adjustment(LENGTH_BYTES as isize)
            .num_skip(0)
            .new_codec();
        Self { lengths }
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        // The only error of that codec is a length above the maximum.
        let Some(mut frame) = self
            .lengths
            .decode(source)
            .map_err(|_| FrameError::FrameTooLong)?
        else {
            return Ok(None);
        };
        frame.advance(LENGTH_BYTES);
        if frame.len() < HEADER_BYTES {
            return Err(FrameError::FrameTooShort);
        }
        let kind = Kind::from_byte(frame.get_u8())?;
        let flags = frame.get_u8();
        if flags & !MORE != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        Ok(Some(Frame {
            kind,
            more: flags & MORE != 0,
            payload: frame.freeze(),
        }))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match self.decode(source)? {
            Some(frame) => Ok(Some(frame)),
            None if source.is_empty() => Ok(None),
            None => Err(FrameError::CutOff),
        }
    }
}

/// Appends one frame. The payload must not be longer than [`MAX_CHUNK_BYTES`].
pub(crate) fn put_frame(kind: Kind, more: bool, payload: &[u8], target: &mut BytesMut) {
    debug_assert!(
        payload.len() <= MAX_CHUNK_BYTES,
        "callers cut messages into chunks"
    );
    target.reserve(LENGTH_BYTES + HEADER_BYTES + payload.len());
    target.put_uint((HEADER_BYTES + payload.len()) as u64, LENGTH_BYTES);
    target.put_u8(kind as u8);
    target.put_u8(if more { MORE } else { 0 });
    target.put_slice(payload);
}
