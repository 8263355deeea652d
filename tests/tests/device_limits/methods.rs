//! Every method of AHP.

use std::collections::BTreeSet;

use copilot_tests::{Client, RpcError};
use serde_json::{Value, json};

use super::{NO_SESSION, World, ahp_types, between, home};

/// What a device may do with a method.
enum May {
    /// Begin with it: of the channels that it names it gets those of sessions it may reach.
    Begin(fn(&[String]) -> Value),
    /// Call it.
    Call,
    /// Call it about a session that it may reach. Any other session is one that does not exist.
    OfReached(fn(&str) -> Value),
    /// What the test of this name says.
    See(#[expect(dead_code, reason = "for who reads this")] &'static str),
    /// Not at all: the machine has no such method for it.
    Never(fn(&At) -> Value),
}
use May::{Begin, Call, Never, OfReached, See};

/// What a call may be about.
struct At {
    session: String,
    chat: String,
    terminal: String,
    folder: String,
}

impl At {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

fn session(id: &str) -> String {
    format!("ahp-session:/{id}")
}

fn chat(id: &str) -> String {
    format!("ahp-chat:/{id}")
}

const METHODS: &[(&str, May)] = &[
    (
        "initialize",
        Begin(|channels| {
            json!({"channel": "ahp-root://", "protocolVersions": ["1.0.0"], "clientId": "x",
            "initialSubscriptions": channels})
        }),
    ),
    (
        "reconnect",
        Begin(|channels| {
            json!({"channel": "ahp-root://", "clientId": "x", "lastSeenServerSeq": 0,
            "subscriptions": channels})
        }),
    ),
    ("ping", Call),
    ("listSessions", Call),
    ("subscribe", OfReached(|id| json!({"channel": session(id)}))),
    (
        "unsubscribe",
        OfReached(|id| json!({"channel": session(id)})),
    ),
    ("fetchTurns", OfReached(|id| json!({"channel": chat(id)}))),
    (
        "completions",
        OfReached(
            |id| json!({"channel": chat(id), "kind": "userMessage", "text": "/", "offset": 1}),
        ),
    ),
    (
        "createSession",
        See("a_device_starts_sessions_in_trusted_folders_and_without_any_permission"),
    ),
    (
        "resourceRead",
        See("a_device_reads_what_a_session_that_it_may_reach_references_and_nothing_else"),
    ),
    (
        "dispatchAction",
        See("actions::every_action_is_a_devices_or_is_refused"),
    ),
    // Sessions are ended and deleted at the machine.
    ("disposeSession", Never(|at| json!({"channel": at.session}))),
    (
        "createChat",
        Never(|at| json!({"channel": at.session, "chat": "ahp-chat:/x"})),
    ),
    ("disposeChat", Never(|at| json!({"channel": at.chat}))),
    (
        "moveChat",
        Never(
            |at| json!({"channel": at.chat, "destination": {"kind": "session", "session": session(NO_SESSION)}}),
        ),
    ),
    (
        "resolveSessionConfig",
        Never(|_| json!({"channel": "ahp-root://", "config": {"allowAllTools": true}})),
    ),
    (
        "sessionConfigCompletions",
        Never(|_| json!({"channel": "ahp-root://", "property": "addDirs", "query": "/"})),
    ),
    // No file of the machine, and nothing written.
    (
        "resourceWrite",
        Never(
            |at| json!({"channel": at.session, "uri": at.file("new"), "data": "x", "encoding": "utf-8"}),
        ),
    ),
    (
        "resourceList",
        Never(|at| json!({"channel": at.session, "uri": at.folder})),
    ),
    (
        "resourceCopy",
        Never(
            |at| json!({"channel": at.session, "source": at.file("README.md"), "destination": at.file("new")}),
        ),
    ),
    (
        "resourceDelete",
        Never(|at| json!({"channel": at.session, "uri": at.file("README.md")})),
    ),
    (
        "resourceMove",
        Never(
            |at| json!({"channel": at.session, "source": at.file("README.md"), "destination": at.file("new")}),
        ),
    ),
    (
        "resourceResolve",
        Never(|at| json!({"channel": at.session, "uri": at.file("README.md")})),
    ),
    (
        "resourceMkdir",
        Never(|at| json!({"channel": at.session, "uri": at.file("new")})),
    ),
    (
        "resourceRequest",
        Never(
            |at| json!({"channel": at.session, "uri": at.file("README.md"), "read": true, "write": true}),
        ),
    ),
    (
        "createResourceWatch",
        Never(|at| json!({"channel": at.session, "uri": at.folder})),
    ),
    // No terminal.
    (
        "createTerminal",
        Never(
            |at| json!({"channel": "ahp-terminal:/x", "claim": {"kind": "client", "clientId": "x"}, "cwd": at.folder}),
        ),
    ),
    (
        "disposeTerminal",
        Never(|at| json!({"channel": at.terminal})),
    ),
    // Nothing of the machine's own.
    (
        "authenticate",
        Never(
            |_| json!({"channel": "ahp-root://", "resource": "https://api.example", "token": "x"}),
        ),
    ),
    (
        "invokeChangesetOperation",
        Never(|at| json!({"channel": at.session, "operationId": "revert"})),
    ),
    (
        "listAutomationTriggerDefinitions",
        Never(|_| json!({"channel": "ahp-root://"})),
    ),
    (
        "runAutomation",
        Never(|_| json!({"channel": "ahp-automations://", "automation": "x:/", "requestId": "x"})),
    ),
    (
        "fetchAutomationRuns",
        Never(|_| json!({"channel": "ahp-automations://", "automation": "x:/"})),
    ),
];

#[test]
fn no_method_of_the_protocol_is_missing_here() {
    let commands = ahp_types("commands.rs");
    let mut of_protocol: BTreeSet<String> = between(&commands, "\npub struct ", "Params {")
        .into_iter()
        .filter(|name| name.chars().all(char::is_alphanumeric))
        .map(|name| format!("{}{}", name[..1].to_lowercase(), &name[1..]))
        .collect();
    // The one that has no parameters of its own.
    of_protocol.insert("ping".to_owned());
    let here: BTreeSet<String> = METHODS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(here, of_protocol);
}

/// The answer as it would be about another session.
fn about(answer: Result<Value, RpcError>, from: &str, to: &str) -> Result<String, String> {
    let shown = |text: String| text.replace(from, to);
    match answer {
        Ok(value) => Ok(shown(value.to_string())),
        Err(error) => Err(shown(format!("{} {}", error.code, error.message))),
    }
}

#[test]
fn every_method_is_a_devices_or_is_not_there() {
    let home = home();
    let mut world = World::new(&home);
    let (reached, hidden) = (world.reached.id().to_owned(), world.hidden.id().to_owned());
    let mut phone = world.phone.client();
    let no_method = phone.request("noSuchMethod", json!({})).unwrap_err();
    for (method, may) in METHODS {
        match may {
            Begin(params) => {
                let channels = [&reached, &hidden].map(|id| [session(id), chat(id)]);
                let channels: Vec<String> = channels.into_iter().flatten().collect();
                let mut fresh = Client::on_channel(world.phone.reach());
                let answer = fresh.request(method, params(&channels)).unwrap();
                let mut shown = answer["snapshots"].clone();
                if shown.is_null() {
                    // A replay: what it is subscribed to is what is not missing.
                    let missing = [session(&hidden), chat(&hidden)];
                    assert_eq!(answer["missing"], json!(missing), "{method}");
                    shown = answer["actions"].clone();
                }
                assert!(!shown.to_string().contains(&hidden), "{method}: {answer}");
            }
            Call => {
                let answer = phone.request(method, json!({"channel": "ahp-root://"}));
                let answer = answer.unwrap().to_string();
                assert!(!answer.contains(&hidden), "{method}: {answer}");
            }
            OfReached(params) => {
                let answer = phone.request(method, params(&reached));
                assert!(answer.is_ok(), "{method}: {answer:?}");
                let of_hidden = phone.request(method, params(&hidden));
                let of_nothing = phone.request(method, params(NO_SESSION));
                assert_eq!(
                    about(of_hidden, &hidden, NO_SESSION),
                    about(of_nothing, "", ""),
                    "{method}"
                );
            }
            See(_) => {}
            Never(params) => {
                for id in [&reached, &hidden] {
                    let at = At {
                        session: session(id),
                        chat: chat(id),
                        terminal: format!("ahp-terminal:/{id}/call"),
                        folder: format!("file://{}", home.project().display()),
                    };
                    let call = |_: &mut World<'_>| phone.request(method, params(&at));
                    let refused = world.changes_nothing(method, call);
                    let refused = refused.expect_err(method);
                    assert_eq!(refused.code, no_method.code, "{method}: {refused:?}");
                }
            }
        }
    }
}

#[test]
fn a_device_starts_sessions_in_trusted_folders_and_without_any_permission() {
    let home = home();
    let mut world = World::new(&home);
    let mut phone = world.phone.client();
    let here = format!("file://{}", home.project().display());
    let start = |phone: &mut Client, folder: &str, config: Value| {
        let id = copilot_tests::attached::fresh_uuid();
        let params =
            json!({"channel": session(&id), "workingDirectories": [folder], "config": config});
        phone.request("createSession", params)
    };
    let elsewhere = home.root().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let elsewhere = format!("file://{}", elsewhere.display());
    let link = home.project().join("out");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let link = format!("file://{}", link.display());
    let above = format!("{here}/..");
    for folder in [
        &elsewhere,
        &link,
        &above,
        "file:///",
        "file:///etc",
        "file:///nowhere",
        "https://x",
    ] {
        let refused = world.changes_nothing(folder, |_| start(&mut phone, folder, json!({})));
        let why = refused.expect_err(folder).message;
        assert_eq!(
            why, "a device starts sessions only in folders that are trusted on this machine",
            "{folder}"
        );
    }
    for config in [
        json!({"allowTools": ["shell"]}),
        json!({"denyTools": []}),
        json!({"allowAllTools": true}),
        json!({"allowAllPaths": true}),
        json!({"allowAllUrls": true}),
        json!({"addDirs": ["/"]}),
        json!({"unattended": true}),
        json!({"allowAll": true}),
        json!({"remote": false}),
        json!({"mode": "plan", "allowAll": true}),
        json!({"somethingNew": 1}),
    ] {
        let what = config.to_string();
        let refused = world.changes_nothing(&what, |_| start(&mut phone, &here, config));
        let why = refused.expect_err(&what).message;
        assert_eq!(
            why, "this cannot be done from a paired device, only at the machine",
            "{what}"
        );
    }
    start(&mut phone, &here, json!({"mode": "autopilot"})).unwrap();
}

/// The references that are in a state.
fn references(state: &impl serde::Serialize) -> Vec<String> {
    let text = serde_json::to_string(state).unwrap();
    let found = |scheme: &str| -> Vec<String> {
        let rests = text.split(scheme).skip(1);
        rests
            .map(|rest| format!("{scheme}{}", rest.split('"').next().unwrap()))
            .collect()
    };
    [found("copilot-content:"), found("copilot-output:")].concat()
}

#[test]
fn a_device_reads_what_a_session_that_it_may_reach_references_and_nothing_else() {
    let home = home();
    let mut world = World::new(&home);
    let (reached, hidden) = (world.reached.id().to_owned(), world.hidden.id().to_owned());
    let mut phone = world.phone.client();
    let of_reached = references(world.reached.chat());
    let of_hidden = references(world.hidden.chat());
    assert!(
        !of_reached.is_empty() && !of_hidden.is_empty(),
        "both sessions have an output"
    );
    let read = |client: &mut Client, channel: &str, uri: &str| {
        client.request("resourceRead", json!({"channel": channel, "uri": uri}))
    };
    for uri in &of_reached {
        for channel in ["ahp-root://".to_owned(), session(&reached), chat(&reached)] {
            assert!(
                read(&mut phone, &channel, uri).is_ok(),
                "{uri} on {channel}"
            );
        }
    }
    for uri in &of_hidden {
        // It is there, for those who may know.
        assert!(read(&mut world.local, "ahp-root://", uri).is_ok(), "{uri}");
        for channel in [
            "ahp-root://".to_owned(),
            session(&reached),
            session(&hidden),
        ] {
            let nowhere = uri.replace(&hidden, NO_SESSION);
            let refused = about(read(&mut phone, &channel, uri), &hidden, NO_SESSION);
            let unknown = about(
                read(&mut phone, &channel.replace(&hidden, NO_SESSION), &nowhere),
                "",
                "",
            );
            assert!(refused.is_err(), "{uri} on {channel}");
            assert_eq!(refused, unknown, "{uri} on {channel}");
        }
    }
    // What is kept of a session and not referenced, and what is no content at all.
    let kept = "0".repeat(64);
    let project = home.project().display().to_string();
    for uri in [
        format!("copilot-content:/{reached}/{kept}"),
        format!("copilot-output:/{reached}/no-such-call"),
        format!("copilot-content:/{reached}/../{hidden}/{kept}"),
        format!("copilot-content:/{reached}/%2e%2e%2f{hidden}"),
        format!("file://{project}/README.md"),
        "file:///etc/passwd".to_owned(),
        format!("{project}/README.md"),
        "https://example.com/".to_owned(),
        "ahp-root://".to_owned(),
        session(&reached),
        String::new(),
    ] {
        for channel in ["ahp-root://".to_owned(), session(&reached)] {
            assert!(
                read(&mut phone, &channel, &uri).is_err(),
                "{uri} on {channel}"
            );
        }
    }
    // When remote access ends, so does reading.
    assert_eq!(world.reached.configure(json!({"remote": false})), None);
    for uri in &of_reached {
        assert!(read(&mut phone, "ahp-root://", uri).is_err(), "{uri}");
    }
}
