//! Whole transcripts with fixed keys, for implementations in other languages: `tests/fixtures/transcripts.json`.
//!
//! The file is golden: this test rebuilds it and compares. What shipped does not change.

use bytes::Bytes;
use ring::digest;
use serde_json::{Value, json};

use super::*;
use crate::control::DEFAULT_WINDOW_BYTES;
use crate::frame;
use crate::ids::{DeviceId, MachineId, PairingId};
use crate::keys::{PairingSecret, PrivateKey};
use crate::links::{Link, PairingOffer};
use crate::noise::{Initiator, Purpose, REKEY_AFTER_MESSAGES, Responder};
use crate::text::hex;

const CHANNEL: u32 = 0x0102_0304;

/// Short bytes as they are, long ones by their hash.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= 512 {
        return hex(bytes);
    }
    format!(
        "sha256:{}",
        hex(digest::digest(&digest::SHA256, bytes).as_ref())
    )
}

/// Sends one message; every frame of it, and what came out at the other end.
fn step(from: &mut Sealed, to: &mut Sealed) -> (Vec<Vec<u8>>, Vec<Received>) {
    let mut frames = Vec::new();
    let mut received = Vec::new();
    while let Some(message) = from.next_frame(CHANNEL).unwrap() {
        received.extend(to.receive(frame::decode(&message).unwrap().1).unwrap());
        frames.push(message);
        if let Some(bytes) = to.give_back() {
            from.grant(bytes);
        }
    }
    (frames, received)
}

fn frames(frames: &[Vec<u8>]) -> Value {
    frames.iter().map(|message| shown(message)).collect()
}

struct Scene {
    machine_id: MachineId,
    pairing_id: PairingId,
    machine: PrivateKey,
    device: PrivateKey,
    secret: PairingSecret,
    info: MachineInfo,
}

impl Scene {
    fn open(&self, purpose: Purpose<'_>, ephemeral: [[u8; 32]; 2]) -> (Sealed, Sealed, Value) {
        let known = match purpose {
            Purpose::Pair { .. } => None,
            Purpose::Channel { .. } => Some(self.device.public()),
        };
        let (dialing, first) = Dialing::begin(
            Initiator::build(
                purpose,
                &self.device,
                &self.machine.public(),
                Some(&ephemeral[0]),
            )
            .unwrap(),
            "Ada's phone",
            DEFAULT_WINDOW_BYTES,
        )
        .unwrap();
        let accepted = Answering {
            machine_id: self.machine_id,
            machine_key: &self.machine,
            info: &self.info,
            window_bytes: DEFAULT_WINDOW_BYTES,
        }
        .accept(
            Responder::build(purpose, &self.machine, known.as_ref(), Some(&ephemeral[1])).unwrap(),
            &first,
        )
        .unwrap();
        let (device, hello) = dialing.finish(&accepted.reply).unwrap();
        let shown = json!({
            "device_ephemeral": hex(&ephemeral[0]),
            "machine_ephemeral": hex(&ephemeral[1]),
            "device_hello": serde_json::to_string(&accepted.device).unwrap(),
            "machine_hello": serde_json::to_string(&hello).unwrap(),
            "first_payload": hex(&first),
            "second_payload": hex(&accepted.reply),
            "code": device.code().digits(),
        });
        (device, accepted.channel, shown)
    }

    fn pairing(&self) -> Value {
        let offer = PairingOffer {
            machine_id: self.machine_id,
            machine_key: self.machine.public(),
            pairing_id: self.pairing_id,
            secret: self.secret.clone(),
            session: Some(uuid::Uuid::from_bytes([0x55; 16])),
        };
        let (mut device, mut machine, handshake) = self.open(
            Purpose::Pair {
                machine_id: self.machine_id,
                pairing_id: self.pairing_id,
                secret: &self.secret,
            },
            [[0x21; 32], [0x22; 32]],
        );
        let paired = MachineControl::Paired {
            device_id: DeviceId::of(&self.device.public()),
            machine: PairedMachine {
                name: self.info.name.clone(),
            },
            session: offer.session,
        };
        machine.send_control(&paired).unwrap();
        let (sent, received) = step(&mut machine, &mut device);
        assert_eq!(received, [Received::Control(paired.clone())]);
        json!({
            "pattern": "Noise_IKpsk1_25519_AESGCM_SHA256",
            "pairing_id": self.pairing_id,
            "pairing_secret": hex(self.secret.as_bytes()),
            "link": *Link::Pairing {
                relay: "https://relay.example".parse().unwrap(),
                offer,
            }.to_text(),
            "handshake": handshake,
            "messages": [{
                "from": "machine",
                "type": 1,
                "text": serde_json::to_string(&paired).unwrap(),
                "frames": frames(&sent),
            }],
        })
    }

    fn channel(&self) -> Value {
        let (mut device, mut machine, handshake) = self.open(
            Purpose::Channel {
                machine_id: self.machine_id,
                device_id: DeviceId::of(&self.device.public()),
            },
            [[0x31; 32], [0x32; 32]],
        );
        let mut messages = Vec::new();
        let mut send = |from_device: bool, text: &str, times: usize| {
            let (name, from, to) = if from_device {
                ("device", &mut device, &mut machine)
            } else {
                ("machine", &mut machine, &mut device)
            };
            let whole = text.repeat(times);
            from.send_ahp(Bytes::from(whole.clone())).unwrap();
            let (sent, received) = step(from, to);
            assert!(received == [Received::Ahp(whole)]);
            messages.push(json!({
                "from": name, "type": 0, "text": text, "times": times, "frames": frames(&sent),
            }));
        };
        send(true, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, 1);
        send(false, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 1);
        send(false, "é", 65_000);

        // The device's direction up to the message with which its key is replaced, and the one after.
        let mut last = Vec::new();
        for _ in 1..REKEY_AFTER_MESSAGES {
            device.send_ahp(Bytes::from_static(b"{}")).unwrap();
            last = step(&mut device, &mut machine).0;
        }
        device.send_ahp(Bytes::from_static(b"{}")).unwrap();
        let (next, received) = step(&mut device, &mut machine);
        assert_eq!(received, [Received::Ahp("{}".to_owned())]);
        json!({
            "pattern": "Noise_KK_25519_AESGCM_SHA256",
            "handshake": handshake,
            "messages": messages,
            "rekey": {
                "from": "device",
                "type": 0,
                "text": "{}",
                "before": "message 65536 of this direction, the last with the first key",
                "before_frames": frames(&last),
                "after": "message 65537, the first with the second key",
                "after_frames": frames(&next),
            },
        })
    }
}

#[test]
fn the_transcripts_are_frozen() {
    let scene = Scene {
        machine_id: MachineId([0xa1; 16]),
        pairing_id: PairingId([0xf3; 16]),
        machine: PrivateKey::from_bytes([0x11; 32]),
        device: PrivateKey::from_bytes([0x12; 32]),
        secret: PairingSecret::from_bytes([0x13; 32]),
        info: MachineInfo {
            name: "tower".to_owned(),
            build: "0.1.0".to_owned(),
        },
    };
    let transcripts = json!({
        "about": "Written by link-proto/src/channel/transcripts.rs. Bytes are hex; long ones are `sha256:` of the bytes. A frame is a whole binary message, its channel number included.",
        "channel_number": CHANNEL,
        "machine_id": scene.machine_id,
        "machine_private_key": hex(scene.machine.as_bytes()),
        "machine_public_key": hex(&scene.machine.public().0),
        "device_id": DeviceId::of(&scene.device.public()),
        "device_private_key": hex(scene.device.as_bytes()),
        "device_public_key": hex(&scene.device.public().0),
        "pairing": scene.pairing(),
        "channel": scene.channel(),
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&transcripts).unwrap());
    assert_eq!(
        text,
        include_str!("../../tests/fixtures/transcripts.json"),
        "the transcripts changed"
    );
}
