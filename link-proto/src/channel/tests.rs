use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::control::DEFAULT_WINDOW_BYTES;
use crate::frame;
use crate::ids::{DeviceId, MachineId, PairingId};
use crate::keys::{PairingSecret, PrivateKey};
use crate::links::PairingOffer;

const MACHINE: MachineId = MachineId([0xa1; 16]);
const CHANNEL: u32 = 7;

struct Keys {
    machine: PrivateKey,
    device: PrivateKey,
    info: MachineInfo,
}

impl Keys {
    fn new() -> Self {
        Self {
            machine: PrivateKey::generate().unwrap(),
            device: PrivateKey::generate().unwrap(),
            info: MachineInfo {
                name: "tower".to_owned(),
                build: "0.1.0".to_owned(),
            },
        }
    }

    fn answering(&self) -> Answering<'_> {
        Answering {
            machine_id: MACHINE,
            machine_key: &self.machine,
            info: &self.info,
            window_bytes: DEFAULT_WINDOW_BYTES,
        }
    }

    fn dial(&self) -> (Dialing, Vec<u8>) {
        Dialing::open(
            MACHINE,
            &self.machine.public(),
            &self.device,
            "phone",
            DEFAULT_WINDOW_BYTES,
        )
        .unwrap()
    }

    /// An open channel: the device's end and the machine's.
    fn channel(&self) -> (Sealed, Sealed) {
        let (dialing, first) = self.dial();
        let accepted = self
            .answering()
            .device(&self.device.public(), &first)
            .unwrap();
        let (device, hello) = dialing.finish(&accepted.reply).unwrap();
        assert_eq!(accepted.device.name, "phone");
        assert_eq!(hello.machine, self.info);
        (device, accepted.channel)
    }
}

fn ends() -> (Sealed, Sealed) {
    Keys::new().channel()
}

/// Every payload that an end sends now.
fn payloads(end: &mut Sealed) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| end.next_frame(CHANNEL).unwrap())
        .map(|message| {
            let (channel, payload) = frame::decode(&message).unwrap();
            assert_eq!(channel, CHANNEL);
            payload.to_vec()
        })
        .collect()
}

/// Moves everything, with credit, until nothing waits; what arrived.
fn deliver(from: &mut Sealed, to: &mut Sealed) -> Vec<Received> {
    let mut received = Vec::new();
    while !from.is_drained() {
        for payload in payloads(from) {
            received.extend(to.receive(&payload).unwrap());
        }
        if let Some(bytes) = to.give_back() {
            from.grant(bytes);
        }
    }
    received
}

fn ahp(text: &str) -> Received {
    Received::Ahp(text.to_owned())
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let (mut device, mut machine) = ends();
    for text in ["{}", "", "{\"é\":1}"] {
        device.send_ahp(Bytes::from(text.to_owned())).unwrap();
    }
    assert_eq!(
        deliver(&mut device, &mut machine),
        [ahp("{}"), ahp(""), ahp("{\"é\":1}")]
    );
    let revoked = MachineControl::Revoked {
        message: "this device was revoked".to_owned(),
    };
    machine.send_ahp(Bytes::from_static(b"[]")).unwrap();
    machine.send_control(&revoked).unwrap();
    assert_eq!(
        deliver(&mut machine, &mut device),
        [ahp("[]"), Received::Control(revoked)]
    );
}

#[test]
fn long_messages_are_chunked_and_wait_for_credit() {
    let (mut device, mut machine) = ends();
    let text = "x".repeat(3 * MAX_CHUNK_BYTES + 1);
    machine.send_ahp(Bytes::from(text.clone())).unwrap();
    let sent = payloads(&mut machine);
    assert_eq!(
        sent.iter().map(Vec::len).collect::<Vec<_>>(),
        [65_019, 65_019, 65_019, 20]
    );
    for payload in &sent[..3] {
        assert_eq!(device.receive(payload), Ok(None));
    }
    assert_eq!(device.receive(&sent[3]), Ok(Some(ahp(&text))));

    // Beyond a window nothing leaves until the other end gave back.
    let text = "y".repeat(2 << 20);
    machine.send_ahp(Bytes::from(text.clone())).unwrap();
    let sent: usize = payloads(&mut machine).iter().map(Vec::len).sum();
    assert!(sent <= DEFAULT_WINDOW_BYTES as usize);
    assert!(!machine.is_drained());
}

#[test]
fn the_largest_message_of_each_end_arrives() {
    for (machine_sends, most) in [
        (true, MAX_FROM_MACHINE_BYTES),
        (false, MAX_FROM_DEVICE_BYTES),
    ] {
        let (mut device, mut machine) = ends();
        let (from, to) = if machine_sends {
            (&mut machine, &mut device)
        } else {
            (&mut device, &mut machine)
        };
        let text = "z".repeat(most);
        assert_eq!(
            from.send_ahp(Bytes::from(format!("{text}z"))),
            Err(ChannelError::TooLarge {
                bytes: most + 1,
                most
            })
        );
        from.send_ahp(Bytes::from(text.clone())).unwrap();
        assert!(deliver(from, to) == [ahp(&text)]);
    }
}

#[test]
fn an_end_that_sends_more_than_its_role_may_is_cut() {
    let (mut device, machine) = ends();
    // A device that takes itself for a machine.
    device.role = Role::Machine;
    let mut machine = machine;
    device
        .send_ahp(Bytes::from("x".repeat(MAX_FROM_DEVICE_BYTES + 1)))
        .unwrap();
    let mut end = None;
    while end.is_none() {
        for payload in payloads(&mut device) {
            end = end.or(machine.receive(&payload).err());
        }
        if let Some(bytes) = machine.give_back() {
            device.grant(bytes);
        }
    }
    assert_eq!(end, Some(ChannelError::Broken("a message is too large")));
    assert_eq!(machine.receive(&[TRANSPORT]), Err(ChannelError::Ended));
    assert_eq!(
        machine.send_ahp(Bytes::from_static(b"{}")),
        Err(ChannelError::Ended)
    );
    assert_eq!(machine.next_frame(CHANNEL), Err(ChannelError::Ended));
}

#[test]
fn an_end_that_sends_without_credit_is_cut() {
    let (mut device, mut machine) = ends();
    machine.send_ahp(Bytes::from("x".repeat(4 << 20))).unwrap();
    let mut outcome = Ok(None);
    while outcome.is_ok() {
        machine.grant(u32::MAX);
        for payload in payloads(&mut machine) {
            outcome = outcome.and_then(|_| device.receive(&payload));
        }
    }
    assert_eq!(
        outcome,
        Err(ChannelError::Broken(
            "more was sent than there was credit for"
        ))
    );
}

/// Seals a plaintext as no honest end would.
fn forge(end: &mut Sealed, plaintext: &[u8]) -> Vec<u8> {
    let mut payload = vec![TRANSPORT];
    end.transport.seal(plaintext, &mut payload).unwrap();
    payload
}

#[test]
fn plaintexts_that_break_the_rules_end_the_channel() {
    let broken: &[(&[&[u8]], &str)] = &[
        (&[b""], "a message has no type"),
        (&[b"\0"], "a message has no type"),
        (&[b"\0\x02{}"], "a message has unknown flags"),
        (&[b"\x02\0{}"], "a message has an unknown type"),
        (&[b"\0\x01"], "a piece of a message has a wrong size"),
        (&[b"\0\x01{", b"\x01\0}"], "two messages are interleaved"),
        (&[b"\0\0\xff"], "a message is not UTF-8"),
        (&[b"\x01\0{}"], "a control message is malformed"),
        (&[b"\x01\0nothing"], "a control message is malformed"),
    ];
    for (plaintexts, rule) in broken {
        for device_sends in [true, false] {
            let (mut device, mut machine) = ends();
            let (from, to) = if device_sends {
                (&mut device, &mut machine)
            } else {
                (&mut machine, &mut device)
            };
            let outcome = plaintexts
                .iter()
                .map(|plaintext| to.receive(&forge(from, plaintext)))
                .find(Result::is_err);
            assert_eq!(
                outcome,
                Some(Err(ChannelError::Broken(rule))),
                "{plaintexts:?}"
            );
            assert_eq!(to.receive(&[]), Err(ChannelError::Ended));
        }
    }
    let (mut device, mut machine) = ends();
    let payload = forge(&mut device, &[&b"\0\0"[..], &[b'x'; 65_001]].concat());
    assert!(matches!(
        machine.receive(&payload),
        Err(ChannelError::Broken(_))
    ));
}

#[test]
fn what_is_newer_is_ignored() {
    let (mut device, mut machine) = ends();
    let payload = forge(&mut machine, b"\x01\0{\"type\":\"sing\",\"song\":[]}");
    assert_eq!(device.receive(&payload), Ok(None));
    // What only a machine says is nothing from a device.
    let payload = forge(
        &mut device,
        b"\x01\0{\"type\":\"paired\",\"deviceId\":\"00\",\"machine\":{\"name\":\"x\"}}",
    );
    assert_eq!(machine.receive(&payload), Ok(None));
}

#[test]
fn control_messages_are_frozen() {
    for (message, text) in [
        (
            MachineControl::Paired {
                device_id: DeviceId([0xd2; 16]),
                machine: PairedMachine {
                    name: "tower".to_owned(),
                },
                session: Some(uuid::Uuid::from_bytes([0x55; 16])),
            },
            r#"{"type":"paired","deviceId":"d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2","machine":{"name":"tower"},"session":"55555555-5555-5555-5555-555555555555"}"#,
        ),
        (
            MachineControl::Refused {
                reason: RefusalReason::WrongCode,
                message: "words".to_owned(),
                tries_left: Some(2),
            },
            r#"{"type":"refused","reason":"wrong-code","message":"words","triesLeft":2}"#,
        ),
        (
            MachineControl::Refused {
                reason: RefusalReason::TooManyTries,
                message: "words".to_owned(),
                tries_left: None,
            },
            r#"{"type":"refused","reason":"too-many-tries","message":"words"}"#,
        ),
        (
            MachineControl::Revoked {
                message: "words".to_owned(),
            },
            r#"{"type":"revoked","message":"words"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(
            serde_json::from_str::<MachineControl>(text).unwrap(),
            message
        );
    }
}

#[test]
fn a_refusal_before_keys_is_only_said_to_be_one() {
    let keys = Keys::new();
    let (dialing, _) = keys.dial();
    let error = dialing
        .finish(&refusal("this device\nwas \u{1b}[31mrevoked"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the machine or the relay says: this device was [31mrevoked"
    );
    // With keys there are no refusals.
    let (mut device, _) = keys.channel();
    assert_eq!(
        device.receive(&refusal("no")),
        Err(ChannelError::Broken("a sealed message was due"))
    );
}

#[test]
fn nothing_passes_before_the_handshake() {
    let keys = Keys::new();
    let (mut device, _) = keys.channel();
    device.send_ahp(Bytes::from_static(b"{}")).unwrap();
    let sealed = payloads(&mut device).remove(0);
    assert_eq!(
        keys.answering()
            .device(&keys.device.public(), &sealed)
            .unwrap_err(),
        ChannelError::Broken("a handshake was due")
    );
    assert_eq!(
        keys.dial().0.finish(&sealed).unwrap_err(),
        ChannelError::Broken("a handshake was due")
    );
    assert_eq!(
        keys.dial().0.finish(&[]).unwrap_err(),
        ChannelError::Broken("a payload is empty")
    );
}

#[test]
fn a_version_is_agreed_on_or_there_is_no_channel() {
    let keys = Keys::new();
    let purpose = crate::noise::Purpose::Channel {
        machine_id: MACHINE,
        device_id: DeviceId::of(&keys.device.public()),
    };
    for (hello, error) in [
        (
            r#"{"protocols":[2,3],"name":"newer"}"#,
            Some(ChannelError::NoCommonVersion),
        ),
        (r#"{"protocols":[2,1],"name":"newer","more":[]}"#, None),
        (
            "{}",
            Some(ChannelError::Broken(
                "a handshake says something else than it should",
            )),
        ),
    ] {
        let mut initiator =
            crate::noise::Initiator::new(purpose, &keys.device, &keys.machine.public()).unwrap();
        let payload = [
            &[HANDSHAKE][..],
            &initiator.write(hello.as_bytes()).unwrap(),
        ]
        .concat();
        let outcome = keys.answering().device(&keys.device.public(), &payload);
        assert_eq!(outcome.err(), error, "{hello}");
    }
}

#[test]
fn a_window_that_no_payload_fits_in_is_refused() {
    let keys = Keys::new();
    assert!(
        Dialing::open(
            MACHINE,
            &keys.machine.public(),
            &keys.device,
            "phone",
            1_000
        )
        .is_err()
    );
}

#[test]
fn pairing_ends_with_the_key_to_trust() {
    let keys = Keys::new();
    let offer = PairingOffer {
        machine_id: MACHINE,
        machine_key: keys.machine.public(),
        pairing_id: PairingId([3; 16]),
        secret: PairingSecret::generate().unwrap(),
        session: None,
    };
    let (dialing, first) =
        Dialing::pair(&offer, &keys.device, "Ada's\tphone", DEFAULT_WINDOW_BYTES).unwrap();
    let accepted = keys
        .answering()
        .pairing(offer.pairing_id, &offer.secret, &first)
        .unwrap();
    let (device, _) = dialing.finish(&accepted.reply).unwrap();
    assert_eq!(accepted.device.name, "Ada's phone");
    assert_eq!(accepted.channel.peer(), keys.device.public());
    assert_eq!(device.code(), accepted.channel.code());
}

#[test]
fn a_relay_with_its_own_keys_is_not_the_machine() {
    let keys = Keys::new();
    let relay = Keys::new();
    let (dialing, first) = keys.dial();
    // It cannot read the first message,
    let as_machine = Answering {
        machine_key: &relay.machine,
        ..keys.answering()
    };
    assert!(as_machine.device(&keys.device.public(), &first).is_err());
    // and what it answers with its own keys is no answer.
    let (_, own) = Dialing::open(
        MACHINE,
        &relay.machine.public(),
        &keys.device,
        "phone",
        DEFAULT_WINDOW_BYTES,
    )
    .unwrap();
    let answer = as_machine.device(&keys.device.public(), &own).unwrap();
    assert!(dialing.finish(&answer.reply).is_err());
    // Nor is it a device that the machine knows.
    let (_, first) = Dialing::open(
        MACHINE,
        &keys.machine.public(),
        &relay.device,
        "phone",
        DEFAULT_WINDOW_BYTES,
    )
    .unwrap();
    assert!(
        keys.answering()
            .device(&keys.device.public(), &first)
            .is_err()
    );
}

/// What somebody in the middle does to a stream of payloads.
#[derive(Debug, Clone)]
enum Tamper {
    Flip {
        payload: usize,
        byte: usize,
        bit: u8,
    },
    Drop(usize),
    Double(usize),
    Swap(usize, usize),
    Truncate(usize, usize),
    Insert(usize, Vec<u8>),
    Extend(usize, u8),
}

impl Tamper {
    fn apply(&self, stream: &mut Vec<Vec<u8>>) {
        let count = stream.len();
        match self {
            Self::Flip { payload, byte, bit } => {
                let payload = &mut stream[payload % count];
                let byte = byte % payload.len();
                payload[byte] ^= 1 << (bit % 8);
            }
            Self::Drop(n) => {
                stream.remove(n % count);
            }
            Self::Double(n) => {
                let again = stream[n % count].clone();
                stream.insert(n % count, again);
            }
            Self::Swap(a, b) => stream.swap(a % count, b % count),
            Self::Truncate(n, to) => {
                let payload = &mut stream[n % count];
                payload.truncate(to % payload.len());
            }
            Self::Insert(n, bytes) => stream.insert(n % count, bytes.clone()),
            Self::Extend(n, byte) => stream[n % count].push(*byte),
        }
    }
}

fn tamper() -> impl Strategy<Value = Tamper> {
    let n = 0..8_usize;
    prop_oneof![
        (n.clone(), any::<usize>(), any::<u8>()).prop_map(|(payload, byte, bit)| Tamper::Flip {
            payload,
            byte,
            bit
        }),
        n.clone().prop_map(Tamper::Drop),
        n.clone().prop_map(Tamper::Double),
        (n.clone(), n.clone()).prop_map(|(a, b)| Tamper::Swap(a, b)),
        (n.clone(), any::<usize>()).prop_map(|(n, to)| Tamper::Truncate(n, to)),
        (n.clone(), proptest::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(n, bytes)| Tamper::Insert(n, bytes)),
        (n, any::<u8>()).prop_map(|(n, byte)| Tamper::Extend(n, byte)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_message_arrives_as_it_was(texts in proptest::collection::vec(".{0,300}", 1..6), long in 0..200_000_usize) {
        let (mut device, mut machine) = ends();
        let long = "é".repeat(long / 2);
        let texts: Vec<String> = texts.into_iter().chain([long]).collect();
        for text in &texts {
            device.send_ahp(Bytes::from(text.clone())).unwrap();
        }
        let expected: Vec<_> = texts.iter().map(|text| ahp(text)).collect();
        prop_assert!(deliver(&mut device, &mut machine) == expected);
    }

    /// Whatever is done to the stream, what arrives is a beginning of what was sent, and then the end.
    #[test]
    fn a_stream_that_was_touched_ends_where_it_was(tamper in tamper()) {
        let (mut device, mut machine) = ends();
        let texts = ["one".to_owned(), "2".repeat(MAX_CHUNK_BYTES + 9), "three".to_owned(), "four".to_owned()];
        for text in &texts {
            machine.send_ahp(Bytes::from(text.clone())).unwrap();
        }
        let honest = payloads(&mut machine);
        let mut stream = honest.clone();
        tamper.apply(&mut stream);
        let untouched = honest.iter().zip(&stream).take_while(|(a, b)| a == b).count();

        let mut arrived = Vec::new();
        let mut ended = None;
        for (n, payload) in stream.iter().enumerate() {
            match device.receive(payload) {
                Ok(message) => arrived.extend(message),
                Err(_) => {
                    ended = Some(n);
                    break;
                }
            }
        }
        prop_assert!(texts.iter().zip(&arrived).all(|(text, message)| *message == ahp(text)));
        if stream.len() > untouched {
            prop_assert_eq!(ended, Some(untouched));
        }
    }

    #[test]
    fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        let keys = Keys::new();
        prop_assert!(keys.dial().0.finish(&payload).is_err());
        prop_assert!(keys.answering().device(&keys.device.public(), &payload).is_err());
        let secret = PairingSecret::from_bytes([7; 32]);
        prop_assert!(keys.answering().pairing(PairingId([3; 16]), &secret, &payload).is_err());
        prop_assert!(keys.channel().0.receive(&payload).is_err());
    }

    #[test]
    fn arbitrary_plaintexts_of_a_malicious_device_never_panic(
        plaintexts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6)
    ) {
        let (mut device, mut machine) = ends();
        for mut plaintext in plaintexts {
            if let Some(kind) = plaintext.first_mut() {
                *kind %= 3;
            }
            if let Some(flags) = plaintext.get_mut(1) {
                *flags %= 3;
            }
            if machine.receive(&forge(&mut device, &plaintext)).is_err() {
                break;
            }
        }
    }
}
