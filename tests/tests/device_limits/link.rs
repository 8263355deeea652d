//! Every message of the link: on the device's socket to the relay, and in its sealed channel.

use std::collections::BTreeSet;

use copilot_tests::device::{Device, NotPaired, Pairing, RelaySocket, Said};
use ipc_proto::control::ControlRequest;
use link_proto::channel::{MachineControl, PairedMachine, RefusalReason};
use link_proto::control::{FromDevice, ToDevice};
use link_proto::ids::DeviceId;
use link_proto::links::Link;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{World, home, part};

const PAGE: &str = include_str!("../../../docs/link-protocol.md");

/// What becomes of a message that a device sends on its socket.
enum Then {
    /// It is a device's to say.
    Own(Value),
    /// It is the machine's or the relay's to say: nothing happens.
    Nothing(Value),
}
use Then::{Nothing, Own};

/// Ids that a device may know or guess.
struct Known {
    machine: String,
    phone: String,
    tablet: String,
    pairing: String,
}

fn messages(known: &Known) -> Vec<(&'static str, Then)> {
    let Known {
        machine,
        phone,
        tablet,
        pairing,
    } = known;
    let entry = json!({"machineId": machine, "name": "mine now", "online": false, "since": "2030-01-01T00:00:00Z"});
    let with = |kind: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        fields
    };
    vec![
        (
            "hello",
            Own(json!({"protocol": 1, "name": "a machine", "build": "x"})),
        ),
        ("ping", Own(json!({"n": 7}))),
        ("pong", Nothing(json!({"n": 7}))),
        (
            "channel-open",
            Own(json!({"request": 7, "machineId": "0".repeat(32)})),
        ),
        (
            "channel-opened",
            Nothing(json!({"request": 7, "channel": 1, "machineId": machine, "deviceId": tablet})),
        ),
        (
            "channel-refused",
            Nothing(json!({"request": 7, "reason": "offline", "message": "x"})),
        ),
        (
            "channel-close",
            Own(json!({"channel": 9999, "reason": "revoked"})),
        ),
        (
            "channel-closed",
            Nothing(json!({"channel": 1, "reason": "gone", "message": "x"})),
        ),
        ("window", Own(json!({"channel": 9999, "bytes": 1}))),
        ("machines", Nothing(json!({"machines": [entry]}))),
        ("machine-changed", Nothing(entry.clone())),
        ("machine-removed", Nothing(json!({"machineId": machine}))),
        // A device opens no pairing, and ends none of another's.
        (
            "pairing-open",
            Nothing(json!({"pairingId": "1".repeat(32), "expiresInMs": 60000})),
        ),
        ("pairing-close", Nothing(json!({"pairingId": pairing}))),
        // It admits nobody and revokes nobody.
        (
            "device-admit",
            Nothing(json!({"channel": 1, "deviceId": "2".repeat(32), "name": "another"})),
        ),
        ("claim", Nothing(json!({"claim": "x", "deviceId": phone}))),
        ("device-revoke", Nothing(json!({"deviceId": tablet}))),
        ("devices", Nothing(json!({"deviceIds": [phone]}))),
        ("draining", Nothing(json!({}))),
        ("refused", Nothing(json!({"message": "x"}))),
    ]
    .into_iter()
    .map(|(kind, then)| {
        let then = match then {
            Own(fields) => Own(with(kind, fields)),
            Nothing(fields) => Nothing(with(kind, fields)),
        };
        (kind, then)
    })
    .collect()
}

/// The words in code in the first cells of a table.
fn first_cells(table: &str) -> BTreeSet<&str> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split('|').next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn no_message_of_the_link_is_missing_here() {
    let known = Known {
        machine: String::new(),
        phone: String::new(),
        tablet: String::new(),
        pairing: String::new(),
    };
    let table = part(
        PAGE,
        "## Messages on a link socket",
        "Reasons of `channel-close`",
    );
    let mut on_page = first_cells(table);
    // In the row of `hello`.
    on_page.insert("refused");
    let here: BTreeSet<&str> = messages(&known).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(here, on_page);

    let table = part(PAGE, "| control type |", "### Pairing");
    let here = sealed(DeviceId([0; 16]));
    let here: BTreeSet<String> = here.iter().map(kind_of).collect();
    let on_page: BTreeSet<String> = first_cells(table).into_iter().map(str::to_owned).collect();
    assert_eq!(here, on_page);
}

/// Waits for the answer to a ping: the socket is as it was.
fn still_there(socket: &mut RelaySocket) {
    socket.say(&FromDevice::Ping { n: 4711 }).unwrap();
    let answered = socket.wait_for(|message| match message {
        ToDevice::Pong { n: 4711 } => Some(()),
        _ => None,
    });
    answered.unwrap();
}

#[test]
fn what_only_a_machine_or_a_relay_may_say_is_nothing_from_a_device() {
    let home = home();
    let mut world = World::new(&home);
    let tablet = world.person.pair("tablet");
    let (_, link) = world.person.begin_pairing(None);
    let Link::Pairing { offer, .. } = link.parse().unwrap() else {
        panic!("not a pairing link");
    };
    let known = Known {
        machine: world.phone.machine_id.to_string(),
        phone: world.phone.id().to_string(),
        tablet: tablet.id().to_string(),
        pairing: offer.pairing_id.to_string(),
    };
    let mut socket = world.phone.socket().unwrap();
    let mut on_tablet = tablet.client();
    for (kind, then) in messages(&known) {
        let (Own(message) | Nothing(message)) = &then;
        let text = Message::text(message.to_string());
        world.changes_nothing(kind, |_| {
            socket.send(text).unwrap();
            if kind == "channel-open" {
                // A machine that is not this device's is one that does not exist.
                let refused = socket.wait_for(|said| match said {
                    ToDevice::ChannelRefused { reason, .. } => Some(reason.as_str()),
                    ToDevice::ChannelOpened { .. } => Some("opened"),
                    _ => None,
                });
                assert_eq!(refused.unwrap(), "unknown");
            }
            still_there(&mut socket);
            // Everybody else's is as it was, too.
            on_tablet
                .request("ping", json!({"channel": "ahp-root://"}))
                .unwrap();
        });
    }
    // The other device comes back, and the pairing that was open still is.
    drop(on_tablet);
    tablet.client();
    let shown = Pairing::begin(&link, "third", &home.root().join("third"));
    assert!(shown.is_ok());
}

/// What a machine says in a channel.
fn sealed(device_id: DeviceId) -> Vec<MachineControl> {
    vec![
        MachineControl::Paired {
            device_id,
            machine: PairedMachine {
                name: "me".to_owned(),
            },
            session: None,
        },
        MachineControl::Refused {
            reason: RefusalReason::Declined,
            message: "no".to_owned(),
            tries_left: Some(3),
        },
        MachineControl::Revoked {
            message: "revoked".to_owned(),
        },
    ]
}

fn kind_of(message: &MachineControl) -> String {
    let message = serde_json::to_value(message).unwrap();
    message["type"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_machine_says_in_a_channel_is_nothing_from_a_device() {
    let home = home();
    let mut world = World::new(&home);
    let mut phone = world.phone.client();
    let mut messages = sealed(world.phone.id());
    messages.push(MachineControl::Unknown);
    for message in &messages {
        let kind = kind_of(message);
        world.changes_nothing(&kind, |_| {
            phone.channel().say(message).unwrap();
            phone
                .request("ping", json!({"channel": "ahp-root://"}))
                .unwrap();
        });
    }
    // Nor before its code was typed: it pairs itself by nothing that it says.
    let (pairing, link) = world.person.begin_pairing(None);
    let mut stranger = Pairing::begin(&link, "stranger", &home.root().join("stranger")).unwrap();
    world.person.wait_for_device(&pairing);
    world.changes_nothing("what a stranger says", |_| {
        for message in &messages {
            stranger.channel().say(message).unwrap();
        }
        for method in ["initialize", "listSessions"] {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {
                "channel": "ahp-root://", "protocolVersions": ["1.0.0"], "clientId": "x"}});
            stranger
                .channel()
                .send(request.to_string().into_bytes())
                .unwrap();
        }
    });
    world.person.ask(ControlRequest::EndPairing { pairing });
    assert!(matches!(stranger.finish(), Err(NotPaired::Refused { .. })));
}

#[test]
fn a_devices_token_opens_nothing_of_a_machines() {
    let home = home();
    let mut world = World::new(&home);
    let phone = Device::load(&home.root().join("phone"));
    let machine_only = [
        ("DELETE", "/api/v1/machines/self"),
        ("POST", "/link/v1/poll"),
        ("POST", "/api/v1/machines"),
        ("POST", "/api/v1/devices/claim"),
    ];
    for (method, path) in machine_only {
        let body = json!({"enrolmentToken": "x", "machineId": phone.machine_id, "name": "x", "claim": "x"});
        let answer = world.changes_nothing(path, |_| phone.ask_relay(method, path, &body));
        assert!(answer.is_err(), "{method} {path}: {answer:?}");
    }
    // Its ticket opens a device's socket and no machine's.
    let opened = world.changes_nothing("a machine's socket", |_| phone.socket_of_a_machine());
    assert!(opened.is_err(), "{:?}", opened.map(|_| "opened"));
    drop(phone.client());
    assert!(matches!(
        world.phone.socket().unwrap().hear(),
        Ok(Said::Control(ToDevice::Machines { .. }))
    ));
    drop(world.relay);
}
