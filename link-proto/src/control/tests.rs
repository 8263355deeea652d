use std::fmt::Debug;

use proptest::prelude::*;

use super::*;

const MACHINE: MachineId = MachineId([0xa1; 16]);
const DEVICE: DeviceId = DeviceId([0xd2; 16]);
const PAIRING: PairingId = PairingId([0xf3; 16]);

/// Both directions of a message and its text; with fields and types of the future.
#[track_caller]
fn golden<C: Control + PartialEq + Debug>(message: &C, text: &str) {
    assert_eq!(encode(message).as_deref(), Ok(text));
    assert_eq!(decode::<C>(text).as_ref(), Ok(message));
    let newer = text.replacen('{', r#"{"future":{"type":"ping"},"#, 1);
    assert_eq!(decode::<C>(&newer).as_ref(), Ok(message), "{newer}");
}

#[test]
fn what_a_machine_says_is_frozen() {
    golden(
        &FromMachine::Hello {
            protocol: 1,
            name: "tower".to_owned(),
            build: "0.1.0".to_owned(),
        },
        r#"{"type":"hello","protocol":1,"name":"tower","build":"0.1.0"}"#,
    );
    golden(&FromMachine::Ping { n: 7 }, r#"{"type":"ping","n":7}"#);
    golden(
        &FromMachine::ChannelClose {
            channel: 3,
            reason: CloseReason::Failed,
        },
        r#"{"type":"channel-close","channel":3,"reason":"failed"}"#,
    );
    golden(
        &FromMachine::Window {
            channel: 3,
            bytes: 65_536,
        },
        r#"{"type":"window","channel":3,"bytes":65536}"#,
    );
    golden(
        &FromMachine::PairingOpen {
            pairing_id: PAIRING,
            expires_in_ms: 600_000,
        },
        r#"{"type":"pairing-open","pairingId":"f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3","expiresInMs":600000}"#,
    );
    golden(
        &FromMachine::PairingClose {
            pairing_id: PAIRING,
        },
        r#"{"type":"pairing-close","pairingId":"f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3"}"#,
    );
    golden(
        &FromMachine::DeviceAdmit {
            channel: 3,
            device_id: DEVICE,
            name: "Ada's phone".to_owned(),
        },
        r#"{"type":"device-admit","channel":3,"deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2","name":"Ada's phone"}"#,
    );
    golden(
        &FromMachine::DeviceRevoke { device_id: DEVICE },
        r#"{"type":"device-revoke","deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2"}"#,
    );
    golden(
        &FromMachine::Devices {
            device_ids: vec![DEVICE],
        },
        r#"{"type":"devices","deviceIds":["d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2"]}"#,
    );
}

#[test]
fn what_a_device_says_is_frozen() {
    golden(
        &FromDevice::Hello {
            protocol: 1,
            build: "0.1.0".to_owned(),
        },
        r#"{"type":"hello","protocol":1,"build":"0.1.0"}"#,
    );
    golden(&FromDevice::Ping { n: 7 }, r#"{"type":"ping","n":7}"#);
    golden(
        &FromDevice::ChannelOpen {
            request: 1,
            machine_id: Some(MACHINE),
        },
        r#"{"type":"channel-open","request":1,"machineId":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#,
    );
    golden(
        &FromDevice::ChannelOpen {
            request: 1,
            machine_id: None,
        },
        r#"{"type":"channel-open","request":1}"#,
    );
    golden(
        &FromDevice::ChannelClose {
            channel: 3,
            reason: CloseReason::Done,
        },
        r#"{"type":"channel-close","channel":3,"reason":"done"}"#,
    );
    golden(
        &FromDevice::Window {
            channel: 3,
            bytes: 1,
        },
        r#"{"type":"window","channel":3,"bytes":1}"#,
    );
}

#[test]
fn what_the_relay_says_to_a_machine_is_frozen() {
    golden(
        &ToMachine::Hello {
            protocol: 1,
            build: "0.1.0".to_owned(),
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            lease_ms: DEFAULT_LEASE_MS,
            window_bytes: DEFAULT_WINDOW_BYTES,
        },
        r#"{"type":"hello","protocol":1,"build":"0.1.0","heartbeatMs":30000,"leaseMs":75000,"windowBytes":1048576}"#,
    );
    golden(
        &ToMachine::Refused {
            message: "words".to_owned(),
        },
        r#"{"type":"refused","message":"words"}"#,
    );
    golden(&ToMachine::Pong { n: 7 }, r#"{"type":"pong","n":7}"#);
    golden(
        &ToMachine::ChannelOpened {
            channel: 3,
            opener: Opener::Device(DEVICE),
        },
        r#"{"type":"channel-opened","channel":3,"deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2"}"#,
    );
    golden(
        &ToMachine::ChannelOpened {
            channel: 3,
            opener: Opener::Pairing(PAIRING),
        },
        r#"{"type":"channel-opened","channel":3,"pairingId":"f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3"}"#,
    );
    golden(
        &ToMachine::ChannelClosed {
            channel: 3,
            reason: CloseReason::Gone,
            message: "words".to_owned(),
        },
        r#"{"type":"channel-closed","channel":3,"reason":"gone","message":"words"}"#,
    );
    golden(
        &ToMachine::Window {
            channel: 3,
            bytes: 1,
        },
        r#"{"type":"window","channel":3,"bytes":1}"#,
    );
    golden(&ToMachine::Draining {}, r#"{"type":"draining"}"#);
}

#[test]
fn what_the_relay_says_to_a_device_is_frozen() {
    let machine = MachineEntry {
        machine_id: MACHINE,
        name: "tower".to_owned(),
        online: true,
        since: "2026-11-22T20:00:00Z".to_owned(),
    };
    golden(
        &ToDevice::Hello {
            protocol: 1,
            build: "0.1.0".to_owned(),
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            lease_ms: DEFAULT_LEASE_MS,
            window_bytes: DEFAULT_WINDOW_BYTES,
        },
        r#"{"type":"hello","protocol":1,"build":"0.1.0","heartbeatMs":30000,"leaseMs":75000,"windowBytes":1048576}"#,
    );
    golden(
        &ToDevice::Refused {
            message: "words".to_owned(),
        },
        r#"{"type":"refused","message":"words"}"#,
    );
    golden(&ToDevice::Pong { n: 7 }, r#"{"type":"pong","n":7}"#);
    golden(
        &ToDevice::ChannelOpened {
            request: 1,
            channel: 3,
            machine_id: MACHINE,
        },
        r#"{"type":"channel-opened","request":1,"channel":3,"machineId":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#,
    );
    golden(
        &ToDevice::ChannelRefused {
            request: 1,
            reason: OpenRefusal::Offline,
            message: "words".to_owned(),
        },
        r#"{"type":"channel-refused","request":1,"reason":"offline","message":"words"}"#,
    );
    golden(
        &ToDevice::ChannelClosed {
            channel: 3,
            reason: CloseReason::Overrun,
            message: "words".to_owned(),
        },
        r#"{"type":"channel-closed","channel":3,"reason":"overrun","message":"words"}"#,
    );
    golden(
        &ToDevice::Window {
            channel: 3,
            bytes: 1,
        },
        r#"{"type":"window","channel":3,"bytes":1}"#,
    );
    golden(
        &ToDevice::Machines {
            machines: vec![machine.clone()],
        },
        r#"{"type":"machines","machines":[{"machineId":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","name":"tower","online":true,"since":"2026-11-22T20:00:00Z"}]}"#,
    );
    golden(
        &ToDevice::MachineChanged(machine),
        r#"{"type":"machine-changed","machineId":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","name":"tower","online":true,"since":"2026-11-22T20:00:00Z"}"#,
    );
    golden(
        &ToDevice::MachineRemoved {
            machine_id: MACHINE,
        },
        r#"{"type":"machine-removed","machineId":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#,
    );
    golden(&ToDevice::Draining {}, r#"{"type":"draining"}"#);
    let claim = ToDevice::Claim {
        claim: Token::from_bytes([1; 32]),
        device_id: DEVICE,
    };
    golden(
        &claim,
        r#"{"type":"claim","claim":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2"}"#,
    );
    assert!(format!("{claim:?}").contains("Token(…)"));
}

#[test]
fn what_is_newer_is_ignored() {
    assert_eq!(
        decode(r#"{"type":"sing","song":[1,2]}"#),
        Ok(ToDevice::Unknown)
    );
    assert_eq!(
        decode(r#"{"type":"channel-closed","channel":3,"reason":"eclipse","message":""}"#),
        Ok(ToMachine::ChannelClosed {
            channel: 3,
            reason: CloseReason::Other,
            message: String::new()
        })
    );
    // What only the other end may say is nothing from this one.
    assert_eq!(
        decode(
            r#"{"type":"device-admit","channel":1,"deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2","name":"x"}"#
        ),
        Ok(FromDevice::Unknown)
    );
}

#[test]
fn what_is_wrong_is_an_error_without_its_content() {
    for text in [
        "",
        "null",
        "[]",
        r#"{"n":7}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","n":-1}"#,
        r#"{"type":"ping","n":1} x"#,
        r#"{"type":"device-revoke","deviceId":"D2"}"#,
        r#"{"type":"window","channel":4294967296,"bytes":1}"#,
    ] {
        assert_eq!(
            decode::<FromMachine>(text),
            Err(ControlError::Malformed),
            "{text}"
        );
    }
    assert_eq!(
        decode::<ToMachine>(r#"{"type":"channel-opened","channel":1}"#),
        Err(ControlError::Malformed)
    );
    let long = format!(r#"{{"type":"ping","n":1,"x":"{}"}}"#, "x".repeat(64 << 10));
    assert_eq!(
        decode::<FromMachine>(&long),
        Err(ControlError::TooLarge(64 << 10))
    );
    assert_eq!(
        encode(&FromMachine::Devices {
            device_ids: vec![DEVICE; 2_000]
        }),
        Err(ControlError::TooLarge(64 << 10))
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}", field in "[a-z]{1,9}", value in ".{0,20}") {
        let made = serde_json::json!({ "type": "channel-open", field: value }).to_string();
        for text in [text, made] {
            let _ = decode::<FromMachine>(&text);
            let _ = decode::<FromDevice>(&text);
            let _ = decode::<ToMachine>(&text);
            let _ = decode::<ToDevice>(&text);
        }
    }
}
