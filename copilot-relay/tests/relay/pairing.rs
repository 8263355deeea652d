//! A device is let in by a machine, and is put out again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Relay, Socket, code, id, string};

fn open(request: u64, machine: &str) -> Value {
    json!({"type": "channel-open", "request": request, "machineId": machine})
}

#[tokio::test]
async fn a_pairing_leads_to_its_machine_and_works_once() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let (mut socket, at_device, at_machine) = relay.begin_pairing(&mut machine, &id(9)).await;
    socket.send(at_device, b"first").await;
    assert_eq!(machine.receive().await, (at_machine, b"first".to_vec()));
    machine.send(at_machine, b"second").await;
    assert_eq!(socket.receive().await, (at_device, b"second".to_vec()));
    // One channel on a socket of a pairing.
    socket
        .say(json!({"type": "channel-open", "request": 2}))
        .await;
    assert_eq!(socket.hear("channel-refused").await["reason"], "busy");

    let admit = |device| json!({"type": "device-admit", "channel": at_machine, "deviceId": device, "name": "phone"});
    machine.say(admit(id(7))).await;
    assert_eq!(socket.hear("claim").await["deviceId"], id(7));
    // A second device on the same channel is not let in.
    machine.say(admit(id(8))).await;
    machine.settle().await;
    let ticket = relay
        .post(
            &format!("/api/v1/pairings/{}/ticket", id(9)),
            "",
            Value::Null,
        )
        .await;
    assert_eq!(code(ticket).await, (404, "no-such-pairing".into()));
    socket.settle().await;
}

#[tokio::test]
async fn a_pairing_ends_when_it_is_closed_or_old_or_its_machine_is_gone() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let other_token = relay.join(&id(2)).await;
    let mut machine = relay.machine(&token).await;
    let mut other = relay.machine(&other_token).await;
    let pairing = id(9);
    let path = format!("/api/v1/pairings/{pairing}/ticket");
    let is_open = async || relay.post(&path, "", Value::Null).await.status() == 200;
    let begin = json!({"type": "pairing-open", "pairingId": pairing, "expiresInMs": 60_000});
    let end = json!({"type": "pairing-close", "pairingId": pairing});
    async fn said(socket: &mut Socket, message: &Value) {
        socket.say(message.clone()).await;
        socket.settle().await;
    }

    assert!(!is_open().await);
    said(&mut machine, &begin).await;
    assert!(is_open().await);
    // Not the other machine's to end or to take.
    said(&mut other, &end).await;
    said(&mut other, &begin).await;
    let ticket = relay.post(&path, "", Value::Null).await;
    assert_eq!(ticket.json::<Value>().await.unwrap()["machineId"], id(1));
    said(&mut machine, &end).await;
    assert!(!is_open().await);

    said(&mut machine, &begin).await;
    relay.clock.advance(Duration::from_secs(60));
    assert!(!is_open().await);

    said(&mut machine, &begin).await;
    assert!(is_open().await);
    machine.close().await;
    crate::support::soon("the end of the machine", async {
        while is_open().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_device_is_cut_at_once_and_cannot_come_back() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    let unused_ticket = relay.ticket(&device_token).await;
    let (at_device, at_machine) = device.channel(&mut machine, &id(1)).await;
    // What the machine says before it revokes still arrives.
    machine.send(at_machine, b"goodbye").await;
    machine
        .say(json!({"type": "device-revoke", "deviceId": id(7)}))
        .await;
    assert_eq!(device.receive().await, (at_device, b"goodbye".to_vec()));
    let closed = device.hear("channel-closed").await;
    assert_eq!(
        (&closed["channel"], &closed["reason"]),
        (&json!(at_device), &json!("revoked"))
    );
    assert_eq!(machine.hear("channel-closed").await["reason"], "revoked");
    assert_eq!(device.hear("machine-removed").await["machineId"], id(1));
    assert!(device.ended().await.unwrap().contains("not paired"));

    let ticket = relay
        .post("/api/v1/tickets", &device_token, Value::Null)
        .await;
    assert_eq!(code(ticket).await, (401, "unauthorized".into()));
    // A ticket from before leads to a socket that reaches nothing and ends.
    let mut back = relay.greet(&unused_ticket).await;
    assert_eq!(back.hear("machines").await["machines"], json!([]));
    assert!(back.ended().await.unwrap().contains("not paired"));
}

#[tokio::test]
async fn a_machine_that_states_its_devices_puts_out_all_others() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let stays = relay.pair(&mut machine, &id(7)).await;
    let goes = relay.pair(&mut machine, &id(8)).await;
    let (mut stays, _) = relay.device(&stays).await;
    let (mut goes, _) = relay.device(&goes).await;
    // One that never paired is not let in by being named.
    machine
        .say(json!({"type": "devices", "deviceIds": [id(7), id(6)]}))
        .await;
    goes.hear("machine-removed").await;
    assert!(goes.ended().await.is_some());
    stays.channel(&mut machine, &id(1)).await;
}

#[tokio::test]
async fn two_machines_and_two_devices_never_cross() {
    let relay = Relay::start().await;
    let mut machines = Vec::new();
    let mut devices = Vec::new();
    for n in [1, 2] {
        let token = relay.join(&id(n)).await;
        let mut machine = relay.machine(&token).await;
        let token = relay.pair(&mut machine, &id(10 + n)).await;
        let (device, seen) = relay.device(&token).await;
        assert_eq!(seen.as_array().unwrap().len(), 1);
        assert_eq!(seen[0]["machineId"], id(n));
        machines.push(machine);
        devices.push(device);
    }
    let [first, second] = &mut devices[..] else {
        unreachable!()
    };
    let [one, two] = &mut machines[..] else {
        unreachable!()
    };
    // The other's machine, and one that does not exist, are the same to a device.
    for wanted in [id(2), id(99)] {
        first.say(open(1, &wanted)).await;
        let refused = first.hear("channel-refused").await;
        assert_eq!(refused["reason"], "unknown");
        assert_eq!(
            refused["message"],
            "There is no such machine, or this device is not paired with it."
        );
    }
    let (a, at_one) = first.channel(one, &id(1)).await;
    let (b, at_two) = second.channel(two, &id(2)).await;
    // Numbers are a socket's own: the same number means another channel elsewhere.
    assert_eq!((a, at_one), (b, at_two));
    first.send(a, b"from the first").await;
    second.send(b, b"from the second").await;
    assert_eq!(one.receive().await, (at_one, b"from the first".to_vec()));
    assert_eq!(two.receive().await, (at_two, b"from the second".to_vec()));
    // A machine cannot revoke, close or feed what is not its own.
    two.say(json!({"type": "device-revoke", "deviceId": id(11)}))
        .await;
    two.say(json!({"type": "channel-close", "channel": at_one + 7, "reason": "done"}))
        .await;
    two.send(at_one + 7, b"stray").await;
    two.settle().await;
    one.send(at_one, b"still here").await;
    assert_eq!(first.receive().await, (a, b"still here".to_vec()));
}

#[tokio::test]
async fn a_device_that_pairs_again_sees_the_new_machine_at_once() {
    let relay = Relay::start().await;
    let first = relay.join(&id(1)).await;
    let second = relay.join(&id(2)).await;
    let mut first = relay.machine(&first).await;
    let mut second = relay.machine(&second).await;
    let token = relay.pair(&mut first, &id(7)).await;
    let (mut device, _) = relay.device(&token).await;
    let claimed = relay.claim(&mut second, &id(7), &token).await;
    let claimed = claimed.json::<Value>().await.unwrap();
    assert_eq!(string(&claimed, "deviceToken"), token, "it keeps its token");
    let changed = device.hear("machine-changed").await;
    assert_eq!(
        (&changed["machineId"], &changed["online"]),
        (&json!(id(2)), &json!(true))
    );
    device.channel(&mut second, &id(2)).await;
    device.channel(&mut first, &id(1)).await;
}

#[tokio::test]
async fn a_machine_takes_no_device_from_another_one() {
    let relay = Relay::start().await;
    let first = relay.join(&id(1)).await;
    let second = relay.join(&id(2)).await;
    let mut first = relay.machine(&first).await;
    let mut second = relay.machine(&second).await;
    let token = relay.pair(&mut first, &id(7)).await;
    let of_another = relay.pair(&mut second, &id(8)).await;
    let (mut device, _) = relay.device(&token).await;
    // The second machine knows the device's id and has somebody claim it.
    for shown in ["", &of_another] {
        let refused = relay.claim(&mut second, &id(7), shown).await;
        assert_eq!(code(refused).await, (403, "device-known".into()));
    }
    // The device heard nothing of it, its token is as good as before, and nobody else has one.
    device.settle().await;
    device.channel(&mut first, &id(1)).await;
    let (_, seen) = relay.device(&token).await;
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen[0]["machineId"], id(1));
}

#[tokio::test]
async fn a_device_that_lost_its_token_pairs_again_with_its_only_machine() {
    let relay = Relay::start().await;
    let machine = relay.join(&id(1)).await;
    let mut machine = relay.machine(&machine).await;
    let lost = relay.pair(&mut machine, &id(7)).await;
    let token = relay.pair(&mut machine, &id(7)).await;
    assert_ne!(lost, token);
    let ticket = relay.post("/api/v1/tickets", &lost, Value::Null).await;
    assert_eq!(code(ticket).await, (401, "unauthorized".into()));
    let (mut device, _) = relay.device(&token).await;
    device.channel(&mut machine, &id(1)).await;
}

#[tokio::test]
async fn a_claim_of_a_device_that_was_revoked_meanwhile_is_void() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let (mut socket, _, channel) = relay.begin_pairing(&mut machine, &id(9)).await;
    machine
        .say(
            json!({"type": "device-admit", "channel": channel, "deviceId": id(7), "name": "phone"}),
        )
        .await;
    let claim = socket.hear("claim").await["claim"].take();
    machine
        .say(json!({"type": "device-revoke", "deviceId": id(7)}))
        .await;
    assert_eq!(machine.hear("channel-closed").await["reason"], "revoked");
    let claimed = relay
        .post("/api/v1/devices/claim", "", json!({"claim": claim}))
        .await;
    assert_eq!(code(claimed).await, (401, "unauthorized".into()));
}
