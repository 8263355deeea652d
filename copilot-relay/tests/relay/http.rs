//! Every row of the HTTP table, and who is kept out.

use copilot_relay::metrics::Reason;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Relay, code, id, string};

#[tokio::test]
async fn a_machine_joins_with_the_enrolment_token_and_with_nothing_else() {
    let relay = Relay::with(|limits| limits.machines = 2).await;
    let body =
        |token: &str, n| json!({"enrolmentToken": token, "machineId": id(n), "name": "tower"});
    let join = |body| relay.post("/api/v1/machines", "", body);
    let wrong = "A".repeat(43);
    assert_eq!(
        code(join(body(&wrong, 1)).await).await,
        (401, "unauthorized".into())
    );
    assert_eq!(
        code(join(json!({"machineId": id(1)})).await).await,
        (400, "malformed".into())
    );
    assert_eq!(
        code(join(body("short", 1)).await).await,
        (400, "malformed".into())
    );

    let lost = relay.join(&id(1)).await;
    let first = relay.join(&id(1)).await;
    assert_ne!(lost, first, "the answer to the first time was lost");
    let old = relay.post("/api/v1/tickets", &lost, Value::Null).await;
    assert_eq!(
        code(old).await,
        (401, "unauthorized".into()),
        "the older token is void"
    );
    relay.ticket(&first).await;

    relay.join(&id(2)).await;
    assert_eq!(
        code(join(body(&relay.enrolment, 3)).await).await,
        (403, "too-many-machines".into())
    );
    assert!(relay.refused(Reason::Full) == 1 && relay.refused(Reason::Unauthorized) == 2);
}

#[tokio::test]
async fn a_machine_joins_again_with_its_own_token_only_and_nobody_takes_its_place() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device = relay.pair(&mut machine, &id(7)).await;
    let other = relay.join(&id(2)).await;
    let body = json!({"enrolmentToken": relay.enrolment, "machineId": id(1), "name": "thief"});
    let join = |bearer: &'static str| relay.post("/api/v1/machines", bearer, body.clone());
    let unknown: &'static str = "A".repeat(43).leak();
    for bearer in ["", unknown, other.leak(), device.clone().leak()] {
        let taken = join(bearer).await;
        assert_eq!(code(taken).await, (409, "machine-taken".into()), "{bearer}");
    }
    // Nothing was lost by that.
    let (_, seen) = relay.device(&device).await;
    assert_eq!(
        (&seen[0]["name"], seen[0]["online"].as_bool()),
        (&json!("tower"), Some(true))
    );

    let again = join(token.clone().leak()).await;
    assert_eq!(again.status(), 200);
    let again = string(&again.json().await.unwrap(), "machineToken");
    assert_eq!(again, token, "it keeps what it has");
    assert_eq!(relay.refused(Reason::Unauthorized), 4);

    // Once it has left it is anybody's.
    let left = relay.ask(Method::DELETE, "/api/v1/machines/self", &token, Value::Null);
    assert_eq!(left.await.status(), StatusCode::NO_CONTENT);
    relay.join(&id(1)).await;
}

#[tokio::test]
async fn a_ticket_is_good_once_for_its_kind_and_for_thirty_seconds() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    for wrong in ["", "A", &"A".repeat(43)] {
        assert_eq!(
            relay.open("machine", wrong).await.err(),
            Some(401),
            "{wrong}"
        );
    }
    let ticket = relay.ticket(&token).await;
    assert_eq!(
        relay.open("device", &ticket).await.err(),
        Some(401),
        "of another kind"
    );
    assert_eq!(
        relay.open("machine", &ticket).await.err(),
        Some(401),
        "and used up by that"
    );

    let ticket = relay.ticket(&token).await;
    let path = format!("/link/v1/machine?ticket={ticket}");
    let plain = relay.ask(Method::GET, &path, "", Value::Null).await;
    assert_eq!(code(plain).await, (426, "not-a-websocket".into()));
    assert!(
        relay.open("machine", &ticket).await.is_ok(),
        "a plain request does not use it up"
    );
    assert_eq!(
        relay.open("machine", &ticket).await.err(),
        Some(401),
        "used"
    );

    let ticket = relay.ticket(&token).await;
    relay.clock.advance(std::time::Duration::from_secs(30));
    assert_eq!(
        relay.open("machine", &ticket).await.err(),
        Some(401),
        "expired"
    );
    let without = relay.post("/api/v1/tickets", "", Value::Null).await;
    assert_eq!(code(without).await, (401, "unauthorized".into()));
}

#[tokio::test]
async fn a_machine_that_leaves_is_gone_with_its_devices() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    let as_device = relay
        .ask(
            Method::DELETE,
            "/api/v1/machines/self",
            &device_token,
            Value::Null,
        )
        .await;
    assert_eq!(code(as_device).await, (403, "not-a-machine".into()));
    let left = relay
        .ask(Method::DELETE, "/api/v1/machines/self", &token, Value::Null)
        .await;
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
    assert!(machine.ended().await.unwrap().contains("has left"));
    assert_eq!(device.hear("machine-removed").await["machineId"], id(1));
    assert!(device.ended().await.unwrap().contains("not paired"));
    for token in [token, device_token] {
        let ticket = relay.post("/api/v1/tickets", &token, Value::Null).await;
        assert_eq!(ticket.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_device_that_is_forgotten_is_cut_and_its_token_is_dead() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    let path = "/api/v1/devices/self";
    let as_machine = relay.ask(Method::DELETE, path, &token, Value::Null).await;
    assert_eq!(code(as_machine).await, (403, "not-a-device".into()));
    let gone = relay
        .ask(Method::DELETE, path, &device_token, Value::Null)
        .await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert!(device.ended().await.unwrap().contains("forgotten"));
    let again = relay
        .ask(Method::DELETE, path, &device_token, Value::Null)
        .await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_page_gets_a_cookie_that_counts_with_its_origin_only() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let (mut pairing, _, channel) = relay.begin_pairing(&mut machine, &id(9)).await;
    machine
        .say(
            json!({"type": "device-admit", "channel": channel, "deviceId": id(7), "name": "phone"}),
        )
        .await;
    let claim = pairing.hear("claim").await["claim"].take();
    let origin = relay.url("");
    let response = relay
        .http
        .post(relay.url("/api/v1/devices/claim"))
        .header("origin", &origin)
        .json(&json!({"claim": claim}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.starts_with("copilot-device=")
            && cookie.contains("HttpOnly; SameSite=Strict; Path=/")
    );
    assert!(cookie.contains("; Max-Age=34560000"));
    let set = cookie;
    let cookie = set.split(';').next().unwrap().to_owned();
    let ask = async |origin: Option<&str>| {
        let mut request = relay
            .http
            .post(relay.url("/api/v1/tickets"))
            .header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let response = request.send().await.unwrap();
        // Whoever comes with it has it for as long again.
        let renewed = response.headers().get("set-cookie");
        let renewed = renewed.map(|cookie| cookie.to_str().unwrap().to_owned());
        let expected = (response.status() == 200).then(|| set.clone());
        assert_eq!(renewed, expected);
        response.status().as_u16()
    };
    assert_eq!(ask(Some(&origin)).await, 200);
    assert_eq!(ask(None).await, 401);
    assert_eq!(ask(Some("https://evil.example")).await, 403);
    // The claim was used.
    let again = relay
        .post("/api/v1/devices/claim", "", json!({"claim": claim}))
        .await;
    assert_eq!(code(again).await, (401, "unauthorized".into()));

    // Another machine lets the same device in: it shows its cookie by itself, and keeps it.
    let token = relay.join(&id(2)).await;
    let mut machine = relay.machine(&token).await;
    let (mut pairing, _, channel) = relay.begin_pairing(&mut machine, &id(10)).await;
    machine
        .say(
            json!({"type": "device-admit", "channel": channel, "deviceId": id(7), "name": "phone"}),
        )
        .await;
    let claim = pairing.hear("claim").await["claim"].take();
    let response = relay
        .http
        .post(relay.url("/api/v1/devices/claim"))
        .header("origin", &origin)
        .header("cookie", &cookie)
        .json(&json!({"claim": claim}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let kept = response.headers()["set-cookie"].to_str().unwrap();
    assert_eq!(kept.split(';').next(), Some(cookie.as_str()));
    assert_eq!(ask(Some(&origin)).await, 200);
}

#[tokio::test]
async fn other_names_and_other_pages_are_refused_everywhere() {
    let relay = Relay::start().await;
    let paths = [
        (Method::GET, "/"),
        (Method::POST, "/api/v1/machines"),
        (Method::DELETE, "/api/v1/machines/self"),
        (Method::POST, "/api/v1/tickets"),
        (Method::POST, "/api/v1/pairings/x/ticket"),
        (Method::POST, "/api/v1/devices/claim"),
        (Method::DELETE, "/api/v1/devices/self"),
        (Method::GET, "/link/v1/machine"),
        (Method::GET, "/link/v1/device"),
        (Method::POST, "/link/v1/poll"),
        (Method::POST, "/link/v1/poll/self/send"),
        (Method::GET, "/link/v1/poll/self/receive"),
    ];
    for (method, path) in paths {
        let ask = async |name: &str, value: &str| {
            let request = relay.http.request(method.clone(), relay.url(path));
            code(request.header(name, value).send().await.unwrap()).await
        };
        let host = ask("host", "evil.example").await;
        assert_eq!(host, (421, "wrong-host".into()), "{path}");
        if path != "/" {
            let origin = ask("origin", "https://evil.example").await;
            assert_eq!(origin, (403, "wrong-origin".into()), "{path}");
            let site = ask("sec-fetch-site", "cross-site").await;
            assert_eq!(site, (403, "wrong-origin".into()), "{path}");
        }
    }
    assert_eq!(relay.refused(Reason::Host), 12);
    assert_eq!(relay.refused(Reason::Origin), 22);
}

#[tokio::test]
async fn every_answer_is_hardened_and_nothing_is_shared_across_origins() {
    let relay = Relay::start().await;
    for path in ["/", "/nothing", "/healthz", "/api/v1/tickets"] {
        let response = relay.ask(Method::GET, path, "", Value::Null).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert!(header("permissions-policy").contains("camera=()"));
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        for absent in [
            "access-control-allow-origin",
            "strict-transport-security",
            "server",
        ] {
            assert!(!response.headers().contains_key(absent), "{path} {absent}");
        }
    }
    let page = relay.ask(Method::GET, "/", "", Value::Null).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let nothing = relay.ask(Method::GET, "/nothing", "", Value::Null).await;
    assert_eq!(code(nothing).await, (404, "not-found".into()));
    let wrong = relay
        .ask(Method::GET, "/api/v1/tickets", "", Value::Null)
        .await;
    assert_eq!(code(wrong).await, (405, "wrong-method".into()));
    let preflight = relay
        .ask(Method::OPTIONS, "/api/v1/tickets", "", Value::Null)
        .await;
    assert_eq!(preflight.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn whoever_watches_the_relay_sees_numbers_by_any_name() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    relay.pair(&mut machine, &id(7)).await;
    for (path, expected) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let request = relay.http.get(relay.url(path)).header("host", "10.0.0.7");
        let text = request.send().await.unwrap().text().await.unwrap();
        assert_eq!(text.trim(), expected);
    }
    let metrics = relay.ask(Method::GET, "/metrics", "", Value::Null).await;
    let text = metrics.text().await.unwrap();
    assert!(text.contains("\nrelay_machines_online 1\n"), "{text}");
    assert!(
        text.contains("\nrelay_devices_admitted_total 1\n"),
        "{text}"
    );
    for secret in [&id(1), &id(7), &token, &relay.enrolment] {
        assert!(!text.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn what_is_kept_on_disk_holds_no_token() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    for entry in std::fs::read_dir(relay.data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == "enrolment-token" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for token in [&token, &device_token, &relay.enrolment] {
            let found = bytes.windows(43).any(|window| window == token.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    let answer = relay.post("/api/v1/tickets", &token, Value::Null).await;
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["expiresInMs"], 30_000);
    assert_eq!(string(&body, "ticket").len(), 43);
}
