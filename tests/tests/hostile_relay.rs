//! A relay that is against us sees no byte of a session and makes the daemon do nothing.
//!
//! Out of scope here: that whoever serves a page can serve another one (`docs/remote-security.md`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use copilot_tests::attached::{Attached, turn_started};
use copilot_tests::device::Pairing;
use copilot_tests::hostile_relay::{End, Passing};
use copilot_tests::{Device, Home, HostileRelay, Relay, Remote, Scenario, say, tool, until};
use ipc_proto::control::ControlReply;
use link_proto::channel::{Answering, Dialing, MachineControl, MachineInfo};
use link_proto::control::{
    self, CloseReason, DEFAULT_WINDOW_BYTES, FromMachine, Opener, ToMachine,
};
use link_proto::ids::{DeviceId, PairingId};
use link_proto::keys::PrivateKey;
use link_proto::links::Link;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

/// Channel numbers that the real relay never gives, each for one channel.
static INVENTED: AtomicU32 = AtomicU32::new(0xdead_0001);

/// A machine and a paired device with the hostile relay between them, and a session to watch.
struct Scene {
    hostile: HostileRelay,
    terminal: Attached,
    phone: Device,
    _relay: Relay,
    home: Home,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new(
            Scenario::new()
                .on(
                    "plumage-prompt",
                    [
                        tool(
                            "shell",
                            json!({"command": "echo plumage-output | tee plumage-file"}),
                        ),
                        say("plumage-reply"),
                    ],
                )
                .on("hello", [say("Hello.")]),
        );
        home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
        home.start_daemon();
        let hostile = HostileRelay::listen();
        let relay = Relay::behind(&home, &hostile);
        let person = Remote::of(&home);
        person.join(&relay);
        let mut terminal = Attached::create(&home, "a terminal", json!({"remote": true}));
        let turn = terminal.prompt("hello");
        terminal.trust_folder();
        terminal.wait_for_end(&turn);
        let phone = person.pair("phone");
        Self {
            hostile,
            terminal,
            phone,
            _relay: relay,
            home,
        }
    }

    /// The phone, attached to the session; and its connection's number at the hostile relay.
    fn attach(&self) -> (Attached, usize) {
        let screen = Attached::subscribe(self.phone.client(), self.terminal.id());
        (screen, self.hostile.newest(End::Device))
    }

    /// Changes the sealed messages that the phone sends on this connection: all of them at once, as
    /// soon as there are `count`.
    fn tamper(
        &self,
        leg: usize,
        count: usize,
        change: impl Fn(Vec<Passing>) -> Vec<Passing> + Send + 'static,
    ) {
        let mut held = Vec::new();
        self.hostile.rule(move |passing| {
            if passing.leg != leg || !passing.to_relay || !passing.is_sealed() {
                return vec![passing];
            }
            held.push(passing);
            if held.len() < count {
                return Vec::new();
            }
            change(std::mem::take(&mut held))
        });
    }

    /// Waits until the machine has given a channel up because of what came on it.
    fn wait_for_rejection(&self) {
        self.hostile
            .wait_for("the machine closes the channel", |passing| {
                closed_by_machine(passing).is_some_and(|(_, reason)| reason == CloseReason::Failed)
            });
    }

    /// Passes everything but what the machine says of these kinds.
    fn keep_from_relay(&self, which: fn(&FromMachine) -> bool) {
        self.hostile
            .rule(move |passing| match said_by_machine(&passing) {
                Some(said) if which(&said) => Vec::new(),
                _ => vec![passing],
            });
    }

    /// A message to the real relay in the machine's name.
    fn say_as_machine(&self, message: &FromMachine) {
        self.hostile.send(Passing {
            leg: self.hostile.newest(End::Machine),
            end: End::Machine,
            to_relay: true,
            message: Message::text(control::encode(message).unwrap()),
        });
    }

    /// What the session has become for somebody who comes now.
    fn turns(&self) -> usize {
        let witness = Attached::attach(&self.home, "a witness", self.terminal.id());
        assert!(
            witness.chat().active_turn.is_none(),
            "{}",
            witness.describe()
        );
        witness.chat().turns.len()
    }

    /// Everything still works once the relay behaves.
    fn works_again(&self) {
        self.hostile.behave();
        let before = self.turns();
        let mut screen = Attached::subscribe(self.phone.client(), self.terminal.id());
        let turn = screen.prompt("hello");
        screen.wait_for_end(&turn);
        assert_eq!(self.turns(), before + 1);
    }
}

/// What a machine says to the relay with this message.
fn said_by_machine(passing: &Passing) -> Option<FromMachine> {
    let Message::Text(text) = &passing.message else {
        return None;
    };
    if passing.end != End::Machine || !passing.to_relay {
        return None;
    }
    control::decode(text).ok()
}

/// The channel that a machine closes with this message, and why.
fn closed_by_machine(passing: &Passing) -> Option<(u32, CloseReason)> {
    match said_by_machine(passing)? {
        FromMachine::ChannelClose { channel, reason } => Some((channel, reason)),
        _ => None,
    }
}

/// Dispatches a prompt and does not wait for anything.
fn prompt(screen: &mut Attached, turn: &str) {
    let channel = screen.chat_channel();
    screen
        .client
        .dispatch(&channel, &turn_started(turn, "hello"));
}

#[test]
fn what_it_records_holds_nothing_of_the_session() {
    let mut scene = Scene::new();
    let (mut screen, _) = scene.attach();
    let turn = screen.prompt("plumage-prompt");
    let (_, call) = screen.wait_for_permission();
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    screen.wait_for_end(&turn);
    scene.terminal.wait_for_end(&turn);
    assert_eq!(screen.chat().turns, scene.terminal.chat().turns);

    let everything = scene.hostile.everything();
    let text = String::from_utf8_lossy(&everything);
    assert!(text.contains("channel-open"), "it did stand in the middle");
    let session = scene.terminal.id().to_owned();
    let project = scene.home.project().display().to_string();
    for secret in [
        "plumage",
        "Hello.",
        "jsonrpc",
        "allow-once",
        &session,
        &project,
    ] {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret, &hex] {
            assert!(!text.contains(form), "{form} was seen");
        }
    }
}

#[test]
fn a_message_that_is_doubled_counts_once_and_ends_the_channel() {
    let scene = Scene::new();
    let (mut screen, leg) = scene.attach();
    let before = scene.turns();
    scene.tamper(leg, 1, |held| [held.clone(), held].concat());
    prompt(&mut screen, "doubled");
    scene.wait_for_rejection();
    let mut witness = Attached::attach(&scene.home, "a witness", scene.terminal.id());
    witness.wait_for_end("doubled");
    assert_eq!(scene.turns(), before + 1);
    scene.works_again();
}

#[test]
fn messages_that_are_reordered_do_nothing() {
    let scene = Scene::new();
    let (mut screen, leg) = scene.attach();
    let before = scene.turns();
    scene.tamper(leg, 2, |mut held| {
        held.reverse();
        held
    });
    prompt(&mut screen, "first");
    prompt(&mut screen, "second");
    scene.wait_for_rejection();
    assert_eq!(scene.turns(), before);
    scene.works_again();
}

#[test]
fn what_follows_a_dropped_message_does_nothing() {
    let scene = Scene::new();
    let (mut screen, leg) = scene.attach();
    let before = scene.turns();
    scene.tamper(leg, 2, |held| held[1..].to_vec());
    prompt(&mut screen, "dropped");
    prompt(&mut screen, "after it");
    scene.wait_for_rejection();
    assert_eq!(scene.turns(), before);
    scene.works_again();
}

#[test]
fn a_message_that_is_cut_off_or_changed_does_nothing() {
    for change in [
        |payload: &mut Vec<u8>| {
            payload.pop();
        },
        |payload: &mut Vec<u8>| payload.truncate(9),
        |payload: &mut Vec<u8>| payload.push(0),
        |payload: &mut Vec<u8>| payload[20] ^= 1,
        |payload: &mut Vec<u8>| payload[0] = 0,
    ] {
        let scene = Scene::new();
        let (mut screen, leg) = scene.attach();
        let before = scene.turns();
        scene.tamper(leg, 1, move |held| {
            let (_, payload) = held[0].frame().unwrap();
            let mut payload = payload.to_vec();
            change(&mut payload);
            vec![held[0].with_payload(&payload)]
        });
        prompt(&mut screen, "changed");
        scene.wait_for_rejection();
        assert_eq!(scene.turns(), before);
        scene.works_again();
    }
}

#[test]
fn what_the_machine_says_cannot_be_changed_on_its_way_to_the_device() {
    let scene = Scene::new();
    let (mut screen, leg) = scene.attach();
    scene.hostile.rule(move |passing| {
        if passing.leg != leg || passing.to_relay || !passing.is_sealed() {
            return vec![passing];
        }
        let (_, payload) = passing.frame().unwrap();
        let mut payload = payload.to_vec();
        payload[30] ^= 0x20;
        vec![passing.with_payload(&payload)]
    });
    prompt(&mut screen, "plumage-asked");
    let why = screen.client.channel().wait_for_end();
    assert!(why.contains("did not open"), "{why}");
    let shown = screen.describe();
    assert!(!shown.contains("plumage-asked"), "{shown}");
}

#[test]
fn a_channel_that_is_opened_while_it_is_open_ends_the_connection() {
    let scene = Scene::new();
    let before = scene.hostile.newest(End::Machine);
    let opened = ToMachine::ChannelOpened {
        channel: INVENTED.fetch_add(1, Ordering::Relaxed),
        opener: Opener::Pairing(PairingId([7; 16])),
    };
    let opened = Passing {
        leg: before,
        end: End::Machine,
        to_relay: false,
        message: Message::text(control::encode(&opened).unwrap()),
    };
    // The first waits for a handshake.
    scene.hostile.send(opened.clone());
    scene.hostile.send(opened);
    scene.hostile.wait_for("another connection", |passing| {
        passing.end == End::Machine && passing.leg != before
    });
    scene.works_again();
}

#[test]
fn more_channels_than_a_machine_takes_are_refused_and_the_link_goes_on() {
    let scene = Scene::new();
    let leg = scene.hostile.newest(End::Machine);
    let say = |message: &ToMachine| {
        scene.hostile.send(Passing {
            leg,
            end: End::Machine,
            to_relay: false,
            message: Message::text(control::encode(message).unwrap()),
        });
    };
    let invented: Vec<u32> = (0..500)
        .map(|_| INVENTED.fetch_add(1, Ordering::Relaxed))
        .collect();
    for channel in &invented {
        say(&ToMachine::ChannelOpened {
            channel: *channel,
            opener: Opener::Pairing(PairingId([7; 16])),
        });
    }
    let last = *invented.last().unwrap();
    scene
        .hostile
        .wait_for("the last one is refused", |passing| {
            closed_by_machine(passing) == Some((last, CloseReason::Failed))
        });
    for channel in invented {
        say(&ToMachine::ChannelClosed {
            channel,
            reason: CloseReason::Gone,
            message: String::new(),
        });
    }
    assert_eq!(scene.hostile.newest(End::Machine), leg);
    scene.works_again();
}

/// Has the machine believe in a channel that no device opened, and sends these payloads on it.
/// What the machine answers on it stays between the two. Returns when the machine has given it up.
fn on_invented_channel(scene: &Scene, opener: Opener, payloads: &[Vec<u8>]) {
    let invented = INVENTED.fetch_add(1, Ordering::Relaxed);
    scene.hostile.rule(move |passing| {
        let of_invented = match &passing.message {
            Message::Text(text) => text.contains(&invented.to_string()),
            _ => passing
                .frame()
                .is_some_and(|(channel, _)| channel == invented),
        };
        if of_invented {
            Vec::new()
        } else {
            vec![passing]
        }
    });
    let opened = ToMachine::ChannelOpened {
        channel: invented,
        opener,
    };
    let to_machine = Passing {
        leg: scene.hostile.newest(End::Machine),
        end: End::Machine,
        to_relay: false,
        message: Message::text(control::encode(&opened).unwrap()),
    };
    scene.hostile.send(to_machine.clone());
    for payload in payloads {
        scene.hostile.send(to_machine.with_frame(invented, payload));
    }
    scene
        .hostile
        .wait_for("the machine gives the channel up", |passing| {
            closed_by_machine(passing).is_some_and(|(channel, _)| channel == invented)
        });
}

#[test]
fn a_whole_channel_that_is_played_back_does_nothing() {
    let scene = Scene::new();
    let (mut screen, leg) = scene.attach();
    let turn = screen.prompt("hello");
    screen.wait_for_end(&turn);
    let before = scene.turns();
    let recorded: Vec<Vec<u8>> = scene
        .hostile
        .recorded()
        .into_iter()
        .filter(|passing| passing.leg == leg && passing.to_relay)
        .filter_map(|passing| passing.frame().map(|(_, payload)| payload.to_vec()))
        .collect();
    assert!(recorded.len() > 3, "a handshake and what followed");
    on_invented_channel(&scene, Opener::Device(scene.phone.id()), &recorded);
    assert_eq!(scene.turns(), before);
    scene.works_again();
}

#[test]
fn devices_cannot_be_swapped() {
    let scene = Scene::new();
    let tablet = Remote::of(&scene.home).pair("tablet");
    let (mut on_phone, phone_leg) = scene.attach();
    let mut on_tablet = Attached::subscribe(tablet.client(), scene.terminal.id());
    let tablet_leg = scene.hostile.newest(End::Device);
    let before = scene.turns();
    let tablets_channel = scene
        .hostile
        .wait_for("the tablet's channel", |passing| {
            passing.leg == tablet_leg && passing.frame().is_some()
        })
        .frame()
        .unwrap()
        .0;
    // What the phone says is delivered as if the tablet had said it.
    scene.hostile.rule(move |mut passing| {
        if passing.leg == phone_leg && passing.to_relay && passing.is_sealed() {
            let (_, payload) = passing.frame().unwrap();
            passing = passing.with_frame(tablets_channel, payload);
            passing.leg = tablet_leg;
        }
        vec![passing]
    });
    prompt(&mut on_phone, "swapped");
    scene.wait_for_rejection();
    on_tablet.client.channel().wait_for_end();
    assert_eq!(scene.turns(), before);

    // The tablet comes again, announced as the phone.
    let (phone, tablet_id) = (scene.phone.id().to_string(), tablet.id().to_string());
    scene.hostile.rule(move |passing| match &passing.message {
        Message::Text(text) if passing.end == End::Machine && !passing.to_relay => {
            vec![passing.with(Message::text(text.replace(&tablet_id, &phone)))]
        }
        _ => vec![passing],
    });
    assert!(tablet.channel().is_err());
    scene.works_again();
}

#[test]
fn invented_messages_do_nothing() {
    let scene = Scene::new();
    let (_screen, _) = scene.attach();
    let before = scene.turns();
    let devices = Remote::of(&scene.home).devices().len();
    for opener in [
        Opener::Device(scene.phone.id()),
        Opener::Device(DeviceId([7; 16])),
        Opener::Pairing(PairingId([7; 16])),
    ] {
        for payload in [
            vec![1; 64],
            vec![0; 64],
            vec![0],
            vec![2, b'n', b'o'],
            [&[1][..], br#"{"jsonrpc":"2.0","method":"dispatchAction"}"#].concat(),
        ] {
            on_invented_channel(&scene, opener, &[payload]);
        }
    }
    // Messages that no relay sends, and frames on a channel that nobody opened.
    let machine = Passing {
        leg: scene.hostile.newest(End::Machine),
        end: End::Machine,
        to_relay: false,
        message: Message::text(""),
    };
    for text in [
        r#"{"type":"device-admit","channel":1,"deviceId":"07070707070707070707070707070707","name":"x"}"#,
        r#"{"type":"paired","deviceId":"07070707070707070707070707070707"}"#,
        r#"{"type":"devices","deviceIds":["07070707070707070707070707070707"]}"#,
        r#"{"type":"window","channel":1,"bytes":4294967295}"#,
        r#"{"type":"sing"}"#,
    ] {
        scene.hostile.send(machine.with(Message::text(text)));
    }
    scene.hostile.send(machine.with_frame(9, &[1; 99]));
    scene.works_again();
    assert_eq!(scene.turns(), before + 1);
    assert_eq!(Remote::of(&scene.home).devices().len(), devices);
}

#[test]
fn with_keys_of_its_own_it_is_neither_a_device_nor_the_machine() {
    let scene = Scene::new();
    let before = scene.turns();
    let own = PrivateKey::generate().unwrap();

    // As the phone, towards the machine: it knows everything but the phone's key.
    let (_, first) = Dialing::open(
        scene.phone.machine_id,
        &scene.phone.machine_key,
        &own,
        "phone",
        DEFAULT_WINDOW_BYTES,
    )
    .unwrap();
    on_invented_channel(&scene, Opener::Device(scene.phone.id()), &[first]);

    // As the machine, towards the phone: it knows everything but the machine's key.
    let phone = scene.phone.key.public();
    let machine_id = scene.phone.machine_id;
    let keys = own.clone();
    scene.hostile.rule(move |passing| {
        if passing.end != End::Device || passing.to_relay {
            return vec![passing];
        }
        let Some((_, payload)) = passing.frame() else {
            return vec![passing];
        };
        // The phone's own first message cannot be answered; so an answer to one of its own making.
        let (_, first) = Dialing::open(
            machine_id,
            &keys.public(),
            &keys,
            "phone",
            DEFAULT_WINDOW_BYTES,
        )
        .unwrap();
        let answered = Answering {
            machine_id,
            machine_key: &keys,
            info: &MachineInfo {
                name: "the machine".to_owned(),
                build: String::new(),
            },
            window_bytes: DEFAULT_WINDOW_BYTES,
        }
        .device(&keys.public(), &first)
        .unwrap();
        assert_ne!(payload, answered.reply);
        vec![passing.with_payload(&answered.reply)]
    });
    let Err(why) = scene.phone.channel() else {
        panic!("the phone believed it");
    };
    assert!(why.contains("did not open"), "{why}");

    // As a device that pairs: it knows the pairing, which is no secret, and not the link.
    let person = Remote::of(&scene.home);
    let (shown, link) = person.begin_pairing(None);
    let Link::Pairing { mut offer, .. } = link.parse().unwrap() else {
        panic!("not a pairing link");
    };
    let pairing = offer.pairing_id;
    offer.secret = link_proto::keys::PairingSecret::generate().unwrap();
    let (_, first) = Dialing::pair(&offer, &own, "phone", DEFAULT_WINDOW_BYTES).unwrap();
    assert_ne!(phone, own.public());
    on_invented_channel(&scene, Opener::Pairing(pairing), &[first]);
    // There was no handshake, so there is no code that a person could type.
    let typed = person.type_code(&shown, "123456");
    assert!(
        matches!(&typed, ControlReply::Error(no) if no.message.starts_with("no device shows a code")),
        "{typed:?}"
    );
    assert_eq!(scene.turns(), before);
    scene.works_again();
    // The link still leads the right one to the machine.
    let tablet = Pairing::begin(&link, "tablet", &scene.home.root().join("tablet")).unwrap();
    assert_eq!(person.wait_for_device(&shown), "tablet");
    person.type_code(&shown, &tablet.code());
    tablet.finish().unwrap();
}

#[test]
fn a_revoked_device_that_it_lets_through_is_cut_and_kept_out_by_the_machine() {
    let scene = Scene::new();
    let (mut screen, _) = scene.attach();
    // The real relay hears nothing of it, so the channel stays open and the device may open others.
    scene.keep_from_relay(|said| {
        matches!(
            said,
            FromMachine::DeviceRevoke { .. }
                | FromMachine::Devices { .. }
                | FromMachine::ChannelClose { .. }
        )
    });
    let begin = Instant::now();
    Remote::of(&scene.home).revoke(&scene.phone);
    let last = screen.client.channel().next_control();
    // At once; the rest is for a machine that does other things.
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    assert!(
        matches!(last, Ok(MachineControl::Revoked { .. })),
        "{last:?}"
    );
    scene
        .hostile
        .wait_for("the machine closes the channel", |passing| {
            closed_by_machine(passing).is_some_and(|(_, reason)| reason == CloseReason::Revoked)
        });

    // What it says there now, nobody hears; and it gets no other channel.
    let before = scene.turns();
    prompt(&mut screen, "revoked");
    for _ in 0..3 {
        let Err(why) = scene.phone.channel() else {
            panic!("the device was let in");
        };
        assert_eq!(
            why,
            "the machine or the relay says: this machine does not know this device; pair it again"
        );
    }
    assert_eq!(scene.turns(), before);
    assert_eq!(Remote::of(&scene.home).devices(), []);
}

#[test]
fn a_link_that_it_keeps_open_is_refused_by_the_machine_once_it_is_used_up() {
    let scene = Scene::new();
    let person = Remote::of(&scene.home);
    scene.keep_from_relay(|said| matches!(said, FromMachine::PairingClose { .. }));
    // By a device that was paired.
    let (pairing, link) = person.begin_pairing(None);
    let folder = scene.home.root().join("tablet");
    let tablet = Pairing::begin(&link, "tablet", &folder).unwrap();
    person.wait_for_device(&pairing);
    person.type_code(&pairing, &tablet.code());
    tablet.finish().unwrap();
    // The real relay knows that it was used, so it is opened again behind the machine's back.
    let pairing_id = pairing.parse().unwrap();
    scene.say_as_machine(&FromMachine::PairingOpen {
        pairing_id,
        expires_in_ms: 60_000,
    });
    assert_eq!(
        refused_by_machine(&scene, &link),
        "this link was used already; make a new one at the machine"
    );

    // By three wrong codes.
    let (pairing, link) = person.begin_pairing(None);
    for _ in 0..3 {
        let stranger = Pairing::begin(&link, "stranger", &folder).unwrap();
        person.wait_for_device(&pairing);
        person.type_code(&pairing, &super::pairing::wrong(&stranger.code()));
        assert!(stranger.finish().is_err());
    }
    assert_eq!(
        refused_by_machine(&scene, &link),
        "this link had its three tries; make a new one at the machine"
    );
    assert_eq!(person.devices().len(), 2);
}

/// How the machine refuses whoever opens a link, once the relay lets them through.
fn refused_by_machine(scene: &Scene, link: &str) -> String {
    let folder = scene.home.root().join("refused");
    until("the words of the machine", || {
        let Err(why) = Pairing::begin(link, "late", &folder) else {
            panic!("the link still works");
        };
        let words = why.strip_prefix("the machine or the relay says: ");
        words.map(str::to_owned)
    })
}
