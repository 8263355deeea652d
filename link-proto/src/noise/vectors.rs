//! The published Noise vectors of exactly our two patterns.

use serde::Deserialize;

use super::*;
use crate::text::{hex, unhex};

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    source: String,
    protocol_name: String,
    init_prologue: String,
    init_static: String,
    init_ephemeral: String,
    init_remote_static: String,
    #[serde(default)]
    init_psks: Vec<String>,
    resp_prologue: String,
    resp_static: String,
    resp_ephemeral: String,
    resp_remote_static: Option<String>,
    #[serde(default)]
    resp_psks: Vec<String>,
    handshake_hash: Option<String>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: String,
    ciphertext: String,
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| unhex::<1>(std::str::from_utf8(pair).unwrap()).unwrap()[0])
        .collect()
}

fn side(
    vector: &Vector,
    [prologue, local, ephemeral]: [&str; 3],
    remote: Option<&str>,
    psks: &[String],
    initiator: bool,
) -> HandshakeState {
    Setup {
        name: &vector.protocol_name,
        prologue: &bytes(prologue),
        psk: psks
            .first()
            .map(|psk| PairingSecret::from_bytes(unhex(psk).unwrap()))
            .as_ref(),
        local: &PrivateKey::from_bytes(unhex(local).unwrap()),
        remote: remote.map(|key| PublicKey(unhex(key).unwrap())).as_ref(),
        ephemeral: Some(&unhex(ephemeral).unwrap()),
    }
    .build(initiator)
    .unwrap()
}

#[test]
fn the_published_vectors_hold() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../tests/vectors/noise.json")).unwrap();
    let mut patterns: Vec<_> = vectors
        .vectors
        .iter()
        .map(|vector| vector.protocol_name.as_str())
        .collect();
    patterns.sort_unstable();
    patterns.dedup();
    assert_eq!(patterns, [PAIR, CHANNEL]);

    for vector in vectors.vectors {
        let mut device = Initiator(side(
            &vector,
            [
                &vector.init_prologue,
                &vector.init_static,
                &vector.init_ephemeral,
            ],
            Some(&vector.init_remote_static),
            &vector.init_psks,
            true,
        ));
        let mut machine = Responder(side(
            &vector,
            [
                &vector.resp_prologue,
                &vector.resp_static,
                &vector.resp_ephemeral,
            ],
            vector.resp_remote_static.as_deref(),
            &vector.resp_psks,
            false,
        ));
        let mut messages = vector.messages.iter();

        let first = messages.next().unwrap();
        let written = device.write(&bytes(&first.payload)).unwrap();
        assert_eq!(hex(&written), first.ciphertext, "{}", vector.source);
        assert_eq!(hex(&machine.read(&written).unwrap()), first.payload);

        let second = messages.next().unwrap();
        let (written, mut machine) = machine.write(&bytes(&second.payload)).unwrap();
        assert_eq!(hex(&written), second.ciphertext, "{}", vector.source);
        let (payload, mut device) = device.read(&written).unwrap();
        assert_eq!(hex(&payload), second.payload);
        if let Some(hash) = &vector.handshake_hash {
            assert_eq!(&hex(&device.hash), hash);
            assert_eq!(&hex(&machine.hash), hash);
        }

        let mut ends = [&mut device, &mut machine];
        for message in messages {
            let mut sealed = Vec::new();
            ends[0].seal(&bytes(&message.payload), &mut sealed).unwrap();
            assert_eq!(hex(&sealed), message.ciphertext, "{}", vector.source);
            assert_eq!(hex(&ends[1].open(&sealed).unwrap()), message.payload);
            ends.reverse();
        }
    }
}
