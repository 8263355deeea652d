//! Who is online, and how soon a device knows.

use std::time::Duration;

use copilot_relay::metrics::Reason;
use serde_json::json;

use crate::support::{Relay, id};

#[tokio::test]
async fn a_device_sees_a_machine_come_and_go_at_once() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, seen) = relay.device(&device_token).await;
    assert_eq!(seen[0]["name"], "tower");
    assert_eq!(seen[0]["online"], true);
    let came = seen[0]["since"].as_str().unwrap().to_owned();
    machine.close().await;
    let changed = device.hear("machine-changed").await;
    assert_eq!(changed["online"], false);
    let went = changed["since"].as_str().unwrap().to_owned();
    assert!(went > came && went.ends_with('Z'), "{came} {went}");
    device
        .say(json!({"type": "channel-open", "request": 1, "machineId": id(1)}))
        .await;
    let refused = device.hear("channel-refused").await;
    assert_eq!(
        (&refused["request"], &refused["reason"]),
        (&json!(1), &json!("offline"))
    );
    // A device that comes later sees since when.
    let (_late, seen) = relay.device(&device_token).await;
    assert_eq!(seen[0]["online"], false);
    assert_eq!(seen[0]["since"].as_str().unwrap()[..19], went[..19]);
    relay.machine(&token).await;
    assert_eq!(device.hear("machine-changed").await["online"], true);
}

#[tokio::test]
async fn a_machine_that_is_silent_for_the_lease_is_offline() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    let lease = relay.started.relay.limits.lease;
    let almost = lease - Duration::from_secs(1);
    for _ in 0..3 {
        relay.clock.advance(almost);
        // Each ping renews it.
        machine.settle().await;
        device.settle().await;
    }
    relay.clock.advance(almost);
    device.settle().await;
    relay.clock.advance(Duration::from_secs(1));
    assert_eq!(device.hear("machine-changed").await["online"], false);
    assert!(machine.ended().await.unwrap().contains("Nothing was heard"));
    assert_eq!(relay.refused(Reason::Lease), 1);
}

#[tokio::test]
async fn the_newest_socket_of_a_machine_is_the_one_that_counts() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut older = relay.machine(&token).await;
    let device_token = relay.pair(&mut older, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    device.channel(&mut older, &id(1)).await;
    let mut newer = relay.machine(&token).await;
    assert!(older.ended().await.unwrap().contains("connected again"));
    // Online all the time; the channel ended with the older socket.
    assert_eq!(device.hear("machine-changed").await["online"], true);
    assert_eq!(device.hear("channel-closed").await["reason"], "gone");
    device.channel(&mut newer, &id(1)).await;
}

#[tokio::test]
async fn a_restarted_relay_knows_everybody_and_nobody_is_online() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let Relay {
        started,
        data,
        enrolment,
        ..
    } = relay;
    started.end().await;
    assert_eq!(machine.ended().await, None, "an end is no refusal");
    let relay = Relay::in_folder(data, |_| {}).await;
    assert_eq!(relay.enrolment, enrolment);
    let (mut device, seen) = relay.device(&device_token).await;
    assert_eq!(seen[0]["online"], false);
    let mut machine = relay.machine(&token).await;
    assert_eq!(device.hear("machine-changed").await["online"], true);
    device.channel(&mut machine, &id(1)).await;
}
