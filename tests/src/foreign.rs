//! The protocol's own client library on the daemon's socket.

use std::path::Path;

use ahp::transport::TransportMessage;
use ahp::{Transport, TransportError};
use bytes::Bytes;
use ipc_proto::message::Message;
use ipc_proto::{MessageReader, MessageWriter};

use crate::home::Home;

/// Carries the messages of `ahp::Client` over the local socket.
pub struct SocketTransport {
    reader: MessageReader,
    // Nothing after it was closed.
    writer: Option<MessageWriter>,
}

impl SocketTransport {
    /// Connects to the daemon that listens there.
    pub async fn connect(socket: &Path) -> Self {
        let (reader, writer) = ipc_proto::client::connect(socket, "foreign client")
            .await
            .expect("the daemon answers")
            .split();
        Self {
            reader,
            writer: Some(writer),
        }
    }
}

impl Transport for SocketTransport {
    async fn send(&mut self, message: TransportMessage) -> Result<(), TransportError> {
        let bytes = match message {
            TransportMessage::Parsed(message) => serde_json::to_vec(&message)
                .map_err(|error| TransportError::Protocol(error.to_string()))?,
            TransportMessage::Text(text) => text.into_bytes(),
            TransportMessage::Binary(bytes) => bytes,
        };
        self.writer
            .as_mut()
            .ok_or(TransportError::Closed)?
            .send(&Message::Ahp(Bytes::from(bytes)))
            .await
            .map_err(|error| TransportError::Io(error.to_string()))
    }

    async fn recv(&mut self) -> Result<Option<TransportMessage>, TransportError> {
        match self.reader.next().await {
            Ok(Some(Message::Ahp(bytes))) => Ok(Some(TransportMessage::Binary(bytes.to_vec()))),
            Ok(Some(other)) => Err(TransportError::Protocol(format!("unexpected {other:?}"))),
            Ok(None) => Ok(None),
            Err(error) => Err(TransportError::Io(error.to_string())),
        }
    }

    async fn close(&mut self) -> Result<(), TransportError> {
        self.writer = None;
        Ok(())
    }
}

/// The control request that hands over a home's environment, byte by byte as
/// the frozen layout has it: bincode with variable-length integers.
pub(crate) fn provide_environment(home: &Home, request_id: u8) -> Vec<u8> {
    const PROVIDE_ENVIRONMENT: u8 = 2;
    let mut bytes = vec![request_id, PROVIDE_ENVIRONMENT];
    put_length(&mut bytes, home.environment().len());
    for (name, value) in home.environment() {
        for text in [name, value] {
            put_length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    // The umask, and the working folder.
    bytes.extend([1, 0o022]);
    bytes.push(1);
    let folder = home.project().display().to_string();
    put_length(&mut bytes, folder.len());
    bytes.extend(folder.as_bytes());
    bytes
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 251 => bytes.push(short),
        _ => {
            bytes.push(251);
            bytes.extend(u16::try_from(length).expect("a short text").to_le_bytes());
        }
    }
}
