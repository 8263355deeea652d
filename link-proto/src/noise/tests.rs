use super::*;

const MACHINE: MachineId = MachineId([0xa1; 16]);
const PAIRING: PairingId = PairingId([0xf3; 16]);

struct Pair {
    machine: PrivateKey,
    device: PrivateKey,
    secret: PairingSecret,
}

impl Pair {
    fn new() -> Self {
        Self {
            machine: PrivateKey::generate().unwrap(),
            device: PrivateKey::generate().unwrap(),
            secret: PairingSecret::generate().unwrap(),
        }
    }

    fn channel(&self) -> Purpose<'static> {
        Purpose::Channel {
            machine_id: MACHINE,
            device_id: DeviceId::of(&self.device.public()),
        }
    }

    fn pair(&self) -> Purpose<'_> {
        Purpose::Pair {
            machine_id: MACHINE,
            pairing_id: PAIRING,
            secret: &self.secret,
        }
    }

    fn initiator(&self, purpose: Purpose<'_>) -> Initiator {
        Initiator::new(purpose, &self.device, &self.machine.public()).unwrap()
    }

    fn responder(&self, purpose: Purpose<'_>) -> Responder {
        let device = self.device.public();
        let device = match purpose {
            Purpose::Pair { .. } => None,
            Purpose::Channel { .. } => Some(&device),
        };
        Responder::new(purpose, &self.machine, device).unwrap()
    }

    fn transports(&self, purpose: Purpose<'_>) -> (Transport, Transport) {
        let mut device = self.initiator(purpose);
        let mut machine = self.responder(purpose);
        machine.read(&device.write(b"hello").unwrap()).unwrap();
        let (answer, machine) = machine.write(b"welcome").unwrap();
        let (payload, device) = device.read(&answer).unwrap();
        assert_eq!(payload, b"welcome");
        (device, machine)
    }
}

#[test]
fn pairing_shows_the_machine_the_device_and_both_one_code() {
    let pair = Pair::new();
    let (device, machine) = pair.transports(pair.pair());
    assert_eq!(machine.peer(), pair.device.public());
    assert_eq!(device.peer(), pair.machine.public());
    assert_eq!(device.code(), machine.code());
    assert_eq!(device.code().digits().len(), 6);
}

#[test]
fn another_handshake_has_another_code() {
    let pair = Pair::new();
    let codes: std::collections::HashSet<_> = (0..8)
        .map(|_| pair.transports(pair.pair()).0.code().digits())
        .collect();
    assert!(codes.len() > 1);
}

#[test]
fn a_code_is_typed_by_a_person() {
    let code = PairingCode(7_042);
    assert_eq!(code.digits(), "007042");
    for typed in ["007042", " 007 042\n", "007-042"] {
        assert!(code.matches(typed), "{typed}");
    }
    for typed in ["7042", "007043", "", "00704２"] {
        assert!(!code.matches(typed), "{typed}");
    }
    assert_eq!(format!("{code:?}"), "PairingCode(…)");
}

#[test]
fn a_handshake_of_somebody_else_is_rejected() {
    let pair = Pair::new();
    let other = Pair::new();
    let first = |purpose, device: &PrivateKey, machine: &PrivateKey| {
        Initiator::new(purpose, device, &machine.public())
            .unwrap()
            .write(b"")
            .unwrap()
    };
    for (what, message) in [
        (
            "another device",
            first(pair.channel(), &other.device, &pair.machine),
        ),
        (
            "for another machine",
            first(pair.channel(), &pair.device, &other.machine),
        ),
        (
            "for another machine's id",
            first(
                Purpose::Channel {
                    machine_id: MachineId([9; 16]),
                    device_id: DeviceId::of(&pair.device.public()),
                },
                &pair.device,
                &pair.machine,
            ),
        ),
        ("to pair", first(pair.pair(), &pair.device, &pair.machine)),
    ] {
        assert_eq!(
            pair.responder(pair.channel()).read(&message),
            Err(NoiseError::Rejected),
            "{what}"
        );
    }
    // Without the secret, or for another pairing, nobody pairs.
    for purpose in [
        Purpose::Pair {
            machine_id: MACHINE,
            pairing_id: PAIRING,
            secret: &other.secret,
        },
        Purpose::Pair {
            machine_id: MACHINE,
            pairing_id: PairingId([0; 16]),
            secret: &pair.secret,
        },
    ] {
        let message = first(purpose, &pair.device, &pair.machine);
        assert_eq!(
            pair.responder(pair.pair()).read(&message),
            Err(NoiseError::Rejected)
        );
    }
}

#[test]
fn an_answer_of_somebody_else_is_rejected() {
    let pair = Pair::new();
    let mut device = pair.initiator(pair.channel());
    let mut replayed = pair.initiator(pair.channel());
    device.write(b"").unwrap();
    // The relay plays an earlier handshake's answer.
    let mut machine = pair.responder(pair.channel());
    machine.read(&replayed.write(b"").unwrap()).unwrap();
    let (answer, _) = machine.write(b"").unwrap();
    assert_eq!(device.read(&answer).unwrap_err(), NoiseError::Rejected);
}

#[test]
fn a_replayed_first_message_ends_with_the_handshake() {
    let pair = Pair::new();
    let mut device = pair.initiator(pair.channel());
    let first = device.write(b"").unwrap();
    let mut machine = pair.responder(pair.channel());
    machine.read(&first).unwrap();
    let (answer, _) = machine.write(b"").unwrap();
    let (_, mut device) = device.read(&answer).unwrap();
    let mut sealed = Vec::new();
    device.seal(b"act", &mut sealed).unwrap();

    // Played again, the first message opens, but nothing that followed does.
    let mut again = pair.responder(pair.channel());
    again.read(&first).unwrap();
    let (_, mut again) = again.write(b"").unwrap();
    assert_eq!(again.open(&sealed).unwrap_err(), NoiseError::Rejected);
}

#[test]
fn handshake_payloads_are_limited() {
    let pair = Pair::new();
    let most = vec![b'x'; MAX_HANDSHAKE_PAYLOAD_BYTES];
    let message = pair.initiator(pair.pair()).write(&most).unwrap();
    assert_eq!(pair.responder(pair.pair()).read(&message).unwrap(), most);
    let more = vec![b'x'; MAX_HANDSHAKE_PAYLOAD_BYTES + 1];
    assert_eq!(
        pair.initiator(pair.pair()).write(&more),
        Err(NoiseError::Length)
    );
    assert_eq!(
        pair.responder(pair.pair()).read(&vec![7; 60_000]),
        Err(NoiseError::Length)
    );
}

#[test]
fn keys_are_replaced_in_both_directions_on_schedule() {
    let pair = Pair::new();
    let (mut device, mut machine) = pair.transports(pair.channel());
    for n in 0..REKEY_AFTER_MESSAGES + 3 {
        let mut sealed = Vec::new();
        device.seal(&n.to_be_bytes(), &mut sealed).unwrap();
        assert_eq!(machine.open(&sealed).unwrap()[..], n.to_be_bytes());
    }
    // The other direction did not move, and still opens.
    let mut sealed = Vec::new();
    machine.seal(b"still here", &mut sealed).unwrap();
    assert_eq!(device.open(&sealed).unwrap()[..], *b"still here");

    let (mut device, mut machine) = pair.transports(pair.channel());
    for _ in 0..REKEY_AFTER_MESSAGES {
        let mut sealed = Vec::new();
        device.seal(b"", &mut sealed).unwrap();
        machine.open(&sealed).unwrap();
    }
    // Both replaced the key: an end that replaces it once more than the schedule says opens nothing.
    machine.state.rekey_incoming();
    let mut sealed = Vec::new();
    device.seal(b"", &mut sealed).unwrap();
    assert_eq!(machine.open(&sealed).unwrap_err(), NoiseError::Rejected);
}
