//! A connection whose two sides have agreed on a version, and its reading and writing halves.
//!
//! Owns the buffers and when they are flushed. Nothing here waits for another connection: memory is one
//! frame for each direction, plus the one message that is being read.

use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::FramedRead;

use crate::frame::{Frame, FrameCodec, FrameError, Kind, MAX_CHUNK_BYTES, put_frame};
use crate::hello::Welcome;
use crate::message::{Message, MessageCodec, Side};
use crate::transport::{ReadHalf, WriteHalf};

/// What may wait in a writer before it goes to the socket by itself, in bytes.
const HIGH_WATER_BYTES: usize = MAX_CHUNK_BYTES;

/// An open connection. It is closed when both halves are gone; the other side sees the end of our messages
/// as soon as the writing half is.
#[derive(Debug)]
pub struct Connection {
    /// What the daemon said (in the daemon: what it told the client).
    pub welcome: Welcome,
    reader: MessageReader,
    writer: MessageWriter,
}

impl Connection {
    pub(crate) fn new(welcome: Welcome, side: Side, handshake: Handshake) -> Self {
        let frames = handshake
            .frames
            .map_decoder(|frames| MessageCodec::after_handshake(frames, side));
        Self {
            welcome,
            reader: MessageReader {
                messages: frames,
                ended: false,
            },
            writer: MessageWriter {
                socket: handshake.socket,
                side,
                waiting: BytesMut::new(),
                inside_message: false,
            },
        }
    }

    /// The two halves, to be used from different tasks.
    #[must_use]
    pub fn split(self) -> (MessageReader, MessageWriter) {
        (self.reader, self.writer)
    }
}

/// Reads whole messages.
#[derive(Debug)]
pub struct MessageReader {
    messages: FramedRead<ReadHalf, MessageCodec>,
    ended: bool,
}

impl MessageReader {
    /// The next message, or `None` when the other side has ended the connection. Can be dropped while it
    /// waits without losing anything. After an error or the end there is only `None`.
    ///
    /// # Errors
    /// When the other side breaks a rule or the connection fails. The connection is of no use afterwards.
    pub async fn next(&mut self) -> Result<Option<Message>, FrameError> {
        if self.ended {
            return Ok(None);
        }
        let next = self.messages.next().await.transpose();
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }
}

/// Writes whole messages.
#[derive(Debug)]
pub struct MessageWriter {
    socket: WriteHalf,
    side: Side,
    waiting: BytesMut,
    /// Set while a message is cut into frames, so that a send that was dropped half-way is noticed.
    inside_message: bool,
}

impl MessageWriter {
    /// Sends a message and waits until the socket has taken it.
    ///
    /// # Errors
    /// As [`MessageWriter::feed`] and [`MessageWriter::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<(), FrameError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Sends an AHP message and waits until the socket has taken it. The message is never copied as a whole.
    ///
    /// # Errors
    /// As [`MessageWriter::feed`] and [`MessageWriter::flush`].
    pub async fn send_ahp(&mut self, message: &[u8]) -> Result<(), FrameError> {
        self.feed_ahp(message).await?;
        self.flush().await
    }

    /// Takes a message without waiting for the socket, so that several go out together with the next
    /// [`flush`](MessageWriter::flush). Writes by itself when more than a frame is waiting.
    ///
    /// # Errors
    /// When the message is too long or may not be sent by this side (nothing is written then and the
    /// connection is still good), when an earlier call was dropped inside a message, or when the socket
    /// fails.
    pub async fn feed(&mut self, message: &Message) -> Result<(), FrameError> {
        if let Message::Ahp(bytes) = message {
            return self.feed_ahp(bytes).await;
        }
        let (kind, payload) = self.side.encode_control(message)?;
        self.feed_frames(kind, &payload).await
    }

    /// [`feed`](MessageWriter::feed) for an AHP message that is bytes already.
    ///
    /// # Errors
    /// As [`MessageWriter::feed`].
    pub async fn feed_ahp(&mut self, message: &[u8]) -> Result<(), FrameError> {
        self.feed_frames(Kind::Ahp, message).await
    }

    /// Waits until the socket has taken everything. Can be dropped and called again.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        self.socket.write_all_buf(&mut self.waiting).await?;
        Ok(())
    }

    async fn feed_frames(&mut self, kind: Kind, payload: &[u8]) -> Result<(), FrameError> {
        if self.inside_message {
            return Err(FrameError::Interrupted);
        }
        if payload.len() > kind.max_message_bytes() {
            return Err(FrameError::MessageTooLong { kind });
        }
        let mut rest = payload;
        loop {
            if self.waiting.len() >= HIGH_WATER_BYTES {
                self.flush().await?;
            }
            let (piece, after) = rest.split_at(rest.len().min(MAX_CHUNK_BYTES));
            rest = after;
            self.inside_message = !rest.is_empty();
            put_frame(kind, self.inside_message, piece, &mut self.waiting);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A connection before the two sides have agreed: single frames, one after the other.
pub(crate) struct Handshake {
    frames: FramedRead<ReadHalf, FrameCodec>,
    socket: WriteHalf,
}

impl Handshake {
    pub(crate) fn new((reading, writing): (ReadHalf, WriteHalf)) -> Self {
        Self {
            frames: FramedRead::new(reading, FrameCodec::default()),
            socket: writing,
        }
    }

    /// Writes one frame.
    pub(crate) async fn write(&mut self, kind: Kind, payload: &[u8]) -> Result<(), FrameError> {
        let mut bytes = BytesMut::new();
        put_frame(kind, false, payload, &mut bytes);
        self.socket.write_all_buf(&mut bytes).await?;
        Ok(())
    }

    /// Reads one frame; `None` when the other side closed before it sent one.
    pub(crate) async fn read(&mut self) -> Result<Option<Frame>, FrameError> {
        match self.frames.next().await.transpose()? {
            // None of the three layouts is ever cut into frames.
            Some(frame) if frame.more => Err(FrameError::UnexpectedKind(frame.kind)),
            other => Ok(other),
        }
    }
}
