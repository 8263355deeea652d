//! The device's websocket at the relay: control messages and frames.

use link_proto::control::{self, FromDevice, ToDevice};
use link_proto::http::DEVICE_SOCKET;
use link_proto::ids::MachineId;
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::stream::Stream;

/// Something from the relay.
#[derive(Debug)]
pub enum Said {
    /// A control message.
    Control(ToDevice),
    /// A binary message, channel number included.
    Frame(Vec<u8>),
}

/// See the module.
pub struct RelaySocket {
    socket: WebSocket<Stream>,
    window_bytes: u32,
}

impl RelaySocket {
    /// Connects with a ticket and says hello.
    pub fn connect(relay: &RelayUrl, ticket: &Token) -> Result<Self, String> {
        Self::connect_to(relay, DEVICE_SOCKET, ticket)
    }

    /// The same on any path.
    pub(super) fn connect_to(relay: &RelayUrl, path: &str, ticket: &Token) -> Result<Self, String> {
        let url = relay.join_websocket(&format!("{path}?ticket={}", *ticket.to_text()));
        let (socket, _) =
            tungstenite::client(url, Stream::connect(relay)?).map_err(|error| error.to_string())?;
        let mut socket = Self {
            socket,
            window_bytes: 0,
        };
        socket.say(&FromDevice::Hello {
            protocol: control::PROTOCOL,
            build: "tests".to_owned(),
        })?;
        match socket.hear()? {
            Said::Control(ToDevice::Hello { window_bytes, .. }) => {
                socket.window_bytes = window_bytes;
                Ok(socket)
            }
            other => Err(format!("no hello but {other:?}")),
        }
    }

    /// What the relay said a window is.
    pub fn window_bytes(&self) -> u32 {
        self.window_bytes
    }

    /// Sends a control message.
    pub fn say(&mut self, message: &FromDevice) -> Result<(), String> {
        let text = control::encode(message).map_err(|error| error.to_string())?;
        self.send(Message::text(text))
    }

    /// Sends a binary message as it is.
    pub fn send_frame(&mut self, frame: Vec<u8>) -> Result<(), String> {
        self.send(Message::binary(frame))
    }

    /// Sends anything.
    pub fn send(&mut self, message: Message) -> Result<(), String> {
        self.socket.send(message).map_err(|error| error.to_string())
    }

    /// The next message, or why there is none.
    pub fn hear(&mut self) -> Result<Said, String> {
        loop {
            match self.socket.read().map_err(|error| error.to_string())? {
                Message::Text(text) => {
                    return control::decode(&text)
                        .map(Said::Control)
                        .map_err(|error| format!("{error}: {text}"));
                }
                Message::Binary(frame) => return Ok(Said::Frame(frame.to_vec())),
                Message::Close(why) => return Err(format!("the relay closed: {why:?}")),
                _ => {}
            }
        }
    }

    /// Waits for a control message; others before it are dropped.
    pub fn wait_for<T>(
        &mut self,
        mut matches: impl FnMut(ToDevice) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            if let Said::Control(message) = self.hear()?
                && let Some(found) = matches(message)
            {
                return Ok(found);
            }
        }
    }

    /// Opens a channel; its number.
    pub fn open_channel(&mut self, machine_id: Option<MachineId>) -> Result<u32, String> {
        self.say(&FromDevice::ChannelOpen {
            request: 1,
            machine_id,
        })?;
        self.wait_for(|message| match message {
            ToDevice::ChannelOpened { channel, .. } => Some(Ok(channel)),
            ToDevice::ChannelRefused {
                reason, message, ..
            } => Some(Err(format!("{}: {message}", reason.as_str()))),
            _ => None,
        })?
    }
}
