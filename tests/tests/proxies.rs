//! A machine reaches its relay through what stands in between.

use std::net::SocketAddr;

use copilot_tests::attached::Attached;
use copilot_tests::proxy::{Authority, Proxy};
use copilot_tests::{Home, Relay, Remote, Scenario, until};
use ipc_proto::control::{ControlReply, ControlRequest, JoinRelay, Secret};
use serde_json::json;

const NAME: &str = "relay.test";

/// A machine whose only way to the relay is the proxy, and whose authority is the company's.
fn reaches(proxy: impl FnOnce(SocketAddr, &Authority) -> Proxy) -> Proxy {
    let mut home = Home::new(Scenario::new());
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    let authority = Authority::new();
    let relay = Relay::over_tls(&home, &authority, NAME);
    let proxy = proxy(relay.address(), &authority);
    home.set("HTTPS_PROXY", &proxy.url());
    home.set(
        "SSL_CERT_FILE",
        &authority.write(home.root()).display().to_string(),
    );
    home.start_daemon();
    let person = Remote::of(&home);
    person.join(&relay);
    // A link is given out when relay and machine have heard each other.
    let (_, link) = person.begin_pairing(None);
    assert!(link.starts_with("https://relay.test/#pair="), "{link}");
    let _session = Attached::create(&home, "a terminal", json!({"remote": true}));
    let status = person.status();
    assert_eq!((status.state.as_str(), status.why), ("connected", None));
    for asked_for in proxy.asked_for() {
        assert_eq!(asked_for, "relay.test:443");
    }
    proxy
}

#[test]
fn a_websocket_goes_through_a_proxy_to_a_relay_with_a_certificate_of_ones_own_authority() {
    let proxy = reaches(|relay, _| Proxy::passing(relay));
    assert!(!proxy.asked_for().is_empty());
}

#[test]
fn where_a_proxy_looks_into_everything_and_lets_no_websocket_through_requests_do() {
    let proxy = reaches(|relay, authority| Proxy::inspecting(relay, authority, NAME));
    assert!(proxy.refused() > 0, "the websocket is tried first");
    let requests = proxy.requests();
    for path in [
        "post /link/v1/poll ",
        "/link/v1/poll/self/send",
        "/link/v1/poll/self/receive",
    ] {
        assert!(
            requests.iter().any(|r| r.contains(path)),
            "{path}: {requests:?}"
        );
    }
}

#[test]
fn a_certificate_that_nobody_here_trusts_is_refused_with_words() {
    let mut home = Home::new(Scenario::new());
    let authority = Authority::new();
    let relay = Relay::over_tls(&home, &authority, NAME);
    let proxy = Proxy::passing(relay.address());
    home.set("HTTPS_PROXY", &proxy.url());
    home.set(
        "SSL_CERT_FILE",
        &Authority::new().write(home.root()).display().to_string(),
    );
    home.start_daemon();
    let person = Remote::of(&home);
    let reply = person.ask(ControlRequest::JoinRelay(JoinRelay {
        relay: relay.url().to_owned(),
        enrolment_token: Secret(relay.enrolment_token()),
    }));
    let ControlReply::Error(error) = reply else {
        panic!("joined: {reply:?}");
    };
    let words = error.message;
    assert!(
        words.starts_with("the relay https://relay.test cannot be reached: "),
        "{words}"
    );
    assert!(words.contains("certificate"), "{words}");
}

#[test]
fn what_is_on_this_machine_is_asked_for_by_no_proxy() {
    let mut home = Home::new(Scenario::new());
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    // Nobody listens there.
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        home.set(name, "http://127.0.0.1:9");
    }
    home.start_daemon();
    let person = Remote::of(&home);
    let _session = Attached::create(&home, "a terminal", json!({"remote": true}));
    until("the link to the own relay", || {
        let status = person.status();
        assert!(status.own_relay, "{status:?}");
        (status.state == "connected").then_some(())
    });
}

#[test]
fn nor_is_a_relay_with_a_certificate_that_is_on_this_machine() {
    let mut home = Home::new(Scenario::new());
    let authority = Authority::new();
    let relay = Relay::over_tls_here(&home, &authority);
    // Nobody listens there.
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        home.set(name, "http://127.0.0.1:9");
    }
    home.set(
        "SSL_CERT_FILE",
        &authority.write(home.root()).display().to_string(),
    );
    home.start_daemon();
    let person = Remote::of(&home);
    person.join(&relay);
    // A link is given out when relay and machine have heard each other.
    let (_, link) = person.begin_pairing(None);
    let begin = format!("{}/#pair=", relay.url());
    assert!(link.starts_with(&begin), "{link}");
}
