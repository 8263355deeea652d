//! The paired devices, and which of them come through the relay that is in use.

use ipc_proto::control::{ControlReply, ControlRequest, PairedDevice, RemoteStatus};

use super::{Client, ClientError};

/// A paired device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// What it is.
    pub(crate) device: PairedDevice,
    /// The relay that it was paired through; none when that relay forgot it, or it is not known.
    pub(crate) relay: Option<String>,
    /// Whether it can come through the relay that is in use.
    pub(crate) comes: bool,
}

/// All of them, in the order in which they were paired.
pub(crate) async fn devices(client: &mut Client) -> Result<Vec<Device>, ClientError> {
    let ControlReply::Devices(devices) = client.control(ControlRequest::ListDevices).await? else {
        return Err(odd());
    };
    let relays = client.control(ControlRequest::ListDeviceRelays).await?;
    let ControlReply::DeviceRelays(relays) = relays else {
        return Err(odd());
    };
    let known = |device: PairedDevice| {
        let its = relays.iter().find(|r| r.device == device.device);
        Device {
            relay: its.and_then(|r| r.relay.clone()),
            comes: its.is_some_and(|r| r.comes),
            device,
        }
    };
    Ok(devices.into_iter().map(known).collect())
}

/// How remote access of this machine is.
pub(crate) async fn remote_status(client: &mut Client) -> Result<RemoteStatus, ClientError> {
    match client.control(ControlRequest::RemoteStatus).await? {
        ControlReply::Remote(status) => Ok(status),
        _ => Err(odd()),
    }
}

fn odd() -> ClientError {
    ClientError::Malformed("it answered something else than was asked".to_owned())
}
