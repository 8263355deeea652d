//! Whole messages: what a connection carries once it has begun.
//!
//! Owns putting frames together into messages, the total limits, and which side may send what. Must never
//! look inside an AHP message.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::codec;
use crate::control::{ControlReply, ControlRequest, REQUEST_VARIANTS};
use crate::frame::{Frame, FrameCodec, FrameError, Kind};

/// One message of a connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// Client to daemon.
    ControlRequest {
        /// Chosen by the client; the reply carries it.
        id: u32,
        /// What is asked.
        request: ControlRequest,
    },
    /// Daemon to client.
    ControlReply {
        /// The id of the request.
        id: u32,
        /// The answer.
        reply: ControlReply,
    },
    /// An AHP JSON-RPC message, in both directions.
    Ahp(Bytes),
    /// A request of a newer client, which this daemon does not know. It is answered with
    /// [`ErrorCode::Unsupported`](crate::control::ErrorCode::Unsupported); it is only ever read, never sent.
    UnknownControlRequest {
        /// The id that the reply carries.
        id: u32,
    },
}

// Content of a session does not belong in a log.
impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ControlRequest { id, request } => formatter
                .debug_struct("ControlRequest")
                .field("id", id)
                .field("request", request)
                .finish(),
            Self::ControlReply { id, reply } => formatter
                .debug_struct("ControlReply")
                .field("id", id)
                .field("reply", reply)
                .finish(),
            Self::Ahp(bytes) => write!(formatter, "Ahp(<{} bytes>)", bytes.len()),
            Self::UnknownControlRequest { id } => formatter
                .debug_struct("UnknownControlRequest")
                .field("id", id)
                .finish(),
        }
    }
}

/// Which end of a connection a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that listens.
    Daemon,
}

impl Side {
    /// Whether this side may receive messages of that kind once the connection has begun.
    fn receives(self, kind: Kind) -> bool {
        match kind {
            Kind::Ahp => true,
            Kind::ControlRequest => self == Self::Daemon,
            Kind::ControlReply => self == Self::Client,
            Kind::Hello | Kind::Welcome | Kind::Refused => false,
        }
    }

    /// The kind and payload of a message that this side sends. Control messages only: AHP messages are
    /// bytes already and are never copied as a whole.
    pub(crate) fn encode_control(self, message: &Message) -> Result<(Kind, Vec<u8>), FrameError> {
        let (kind, payload) = match message {
            Message::ControlRequest { id, request } if self == Self::Client => {
                (Kind::ControlRequest, codec::encode(&(id, request))?)
            }
            Message::ControlReply { id, reply } if self == Self::Daemon => {
                (Kind::ControlReply, codec::encode(&(id, reply))?)
            }
            Message::ControlReply { .. } => {
                return Err(FrameError::UnexpectedKind(Kind::ControlReply));
            }
            Message::Ahp(_) => return Err(FrameError::UnexpectedKind(Kind::Ahp)),
            Message::ControlRequest { .. } | Message::UnknownControlRequest { .. } => {
                return Err(FrameError::UnexpectedKind(Kind::ControlRequest));
            }
        };
        Ok((kind, payload))
    }
}

/// Reads whole messages for one side of a connection.
#[derive(Debug)]
pub struct MessageCodec {
    frames: FrameCodec,
    side: Side,
    /// The frames so far of a message whose last frame had `MORE`.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    kind: Kind,
    bytes: Vec<u8>,
}

impl MessageCodec {
    /// A codec for what `side` receives.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self::after_handshake(FrameCodec::default(), side)
    }

    pub(crate) fn after_handshake(frames: FrameCodec, side: Side) -> Self {
        Self {
            frames,
            side,
            begun: None,
        }
    }

    /// Takes a frame, and gives the message that it completes, if it does.
    fn take(&mut self, frame: Frame) -> Result<Option<Message>, FrameError> {
        let Frame {
            kind,
            more,
            payload,
        } = frame;
        let Some(begun) = &mut self.begun else {
            if !self.side.receives(kind) {
                return Err(FrameError::UnexpectedKind(kind));
            }
            if more {
                let mut bytes = Vec::new();
                append(kind, &mut bytes, &payload)?;
                self.begun = Some(Begun { kind, bytes });
                return Ok(None);
            }
            // The common case: one frame, and no copy of an AHP message.
            return message(kind, payload).map(Some);
        };
        if kind != begun.kind {
            return Err(FrameError::KindChanged {
                began: begun.kind,
                found: kind,
            });
        }
        append(kind, &mut begun.bytes, &payload)?;
        if more {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut begun.bytes);
        self.begun = None;
        message(kind, bytes.into()).map(Some)
    }
}

impl Decoder for MessageCodec {
    type Item = Message;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        while let Some(frame) = self.frames.decode(source)? {
            if let Some(message) = self.take(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        match self.decode(source)? {
            Some(message) => Ok(Some(message)),
            None if source.is_empty() && self.begun.is_none() => Ok(None),
            None => Err(FrameError::CutOff),
        }
    }
}

/// Adds a piece to a message, growing by doubling but never beyond what a whole message may have.
fn append(kind: Kind, bytes: &mut Vec<u8>, piece: &[u8]) -> Result<(), FrameError> {
    let limit = kind.max_message_bytes();
    let length = bytes.len() + piece.len();
    if length > limit {
        return Err(FrameError::MessageTooLong { kind });
    }
    if length > bytes.capacity() {
        let capacity = (bytes.capacity() * 2).clamp(length, limit);
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(piece);
    Ok(())
}

fn message(kind: Kind, payload: Bytes) -> Result<Message, FrameError> {
    match kind {
        Kind::Ahp => Ok(Message::Ahp(payload)),
        Kind::ControlRequest => request(&payload),
        Kind::ControlReply => {
            let (id, reply) = codec::decode::<(u32, ControlReply)>(&payload)?;
            Ok(Message::ControlReply { id, reply })
        }
        Kind::Hello | Kind::Welcome | Kind::Refused => Err(FrameError::UnexpectedKind(kind)),
    }
}

fn request(payload: &[u8]) -> Result<Message, FrameError> {
    // An enum is encoded as the index of its variant and what follows it.
    if let Ok(((id, variant), _)) = codec::decode_prefix::<(u32, u32)>(payload)
        && variant >= REQUEST_VARIANTS
    {
        return Ok(Message::UnknownControlRequest { id });
    }
    let (id, request) = codec::decode::<(u32, ControlRequest)>(payload)?;
    Ok(Message::ControlRequest { id, request })
}
