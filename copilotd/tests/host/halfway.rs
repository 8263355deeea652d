//! What is left half-way: whoever asked is gone, the disk refuses, the daemon ends.

use std::time::Duration;

use copilotd::audit::Who;
use serde_json::json;

use super::client::{TestClient, start};
use super::world::{World, chat_of, new_uri};

/// Longer than anything takes that works, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing can be written while another program holds the database.
struct DiskHeld(rusqlite::Connection);

impl DiskHeld {
    fn of(world: &World) -> Self {
        let database = world.host.shared.paths.data_dir.join("sessions.db");
        let connection = rusqlite::Connection::open(database).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// Lets a request begin, and drops it as a transport does whose client is gone.
async fn leave_half_way(asking: impl Future) {
    let begun = tokio::time::timeout(Duration::ZERO, asking).await;
    assert!(begun.is_err(), "it was done at once");
}

fn id_of(session: &str) -> &str {
    session.strip_prefix("ahp-session:/").unwrap()
}

#[tokio::test]
async fn a_session_is_deleted_whole_though_whoever_asked_is_gone() {
    let world = World::new("").await;
    world.change_remote(|remote| remote.require_github_repository = Some(false));
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    b.subscribe("ahp-root://", json!({})).await;
    let session = a.create(&world, json!({"remote": true})).await;
    a.run(&session, "one", "hello").await;
    assert!(world.host.shared.remote.is_on(id_of(&session)));

    leave_half_way(a.send("disposeSession", json!({"channel": session}))).await;
    b.until("the end of the session", |m| {
        m["method"] == "root/sessionRemoved"
    })
    .await;
    assert!(world.host.live_sessions().is_empty());
    assert!(!world.host.shared.remote.is_on(id_of(&session)));
    assert_eq!(
        b.refused("subscribe", json!({"channel": session})).await.0,
        -32001
    );
}

#[tokio::test]
async fn a_session_is_created_whole_though_whoever_asked_is_gone() {
    let world = World::new("").await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    b.subscribe("ahp-root://", json!({})).await;
    let session = new_uri();
    let asking = a.send("createSession", world.new_session(&session, json!({})));
    leave_half_way(asking).await;
    b.until("the new session", |m| {
        m["method"] == "root/sessionAdded" && m["params"]["summary"]["resource"] == session
    })
    .await;
    b.watch(&session).await;
    b.run(&session, "one", "hello").await;
}

#[tokio::test]
async fn a_session_whose_actor_has_ended_is_not_listed_as_live() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let handle = world.host.live(id_of(&session)).unwrap();
    leave_half_way(a.send("disposeSession", json!({"channel": session}))).await;
    let ended = tokio::time::timeout(PATIENCE, handle.inputs.closed()).await;
    ended.expect("the session ends");
    assert!(world.host.live_sessions().is_empty());
}

#[tokio::test]
async fn stored_sessions_can_be_looked_at_while_a_new_one_waits_for_the_disk() {
    let world = World::new("").await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let stored = stored_session(&world).await;
    let new = new_uri();
    let disk = DiskHeld::of(&world);
    let creating = a.send("createSession", world.new_session(&new, json!({})));
    let looking = async {
        let looked = tokio::time::timeout(PATIENCE, b.watch(&stored)).await;
        looked.expect("the stored session is shown");
        assert_eq!(b.chat(&stored).turns.len(), 1);
        // The new one is not there before it is kept, and nobody else can have its id.
        let (code, _) = b.refused("subscribe", json!({"channel": new})).await;
        assert_eq!(code, -32001);
        let again = world.new_session(&new, json!({}));
        let (_, words) = b.refused("createSession", again).await;
        assert!(words.contains("already"), "{words}");
        disk.release();
    };
    let (created, ()) = tokio::join!(creating, looking);
    let reply = a
        .until("the reply to createSession", |m| m["id"] == created)
        .await;
    assert!(reply.get("error").is_none(), "{reply}");
    a.watch(&new).await;
    a.run(&new, "one", "hello").await;
}

#[tokio::test]
async fn the_end_of_the_daemon_waits_for_no_disk_that_refuses() {
    let world = World::new("on_prompt() { text working; }").await;
    let mut a = world.client("terminal A").await;
    let busy = a.create(&world, json!({})).await;
    let quiet = a.create(&world, json!({})).await;
    for session in [&busy, &quiet] {
        a.prompt(session, "one", "go").await;
        a.hears(session, "working").await;
    }
    let disk = DiskHeld::of(&world);
    // One waits for the disk already when the end comes, the other one will.
    let queued = json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "q1",
        "message": start("two", "later")["message"]});
    a.dispatch(&chat_of(&busy), queued).await;
    let ended = tokio::time::timeout(PATIENCE, world.host.suspend_all()).await;
    ended.expect("the sessions end");
    disk.release();
}

/// A session with one turn that is only in the store.
async fn stored_session(world: &World) -> String {
    let mut c: TestClient = world.client("terminal C").await;
    let session = c.create(world, json!({})).await;
    c.run(&session, "one", "hello").await;
    let id = id_of(&session);
    assert!(world.host.close_session(id, Who::daemon()).await);
    world.host.disconnect(&c.client).await;
    let left = async {
        while world.host.live(id).is_some() {
            tokio::task::yield_now().await;
        }
    };
    let left = tokio::time::timeout(PATIENCE, left).await;
    left.expect("the session leaves memory");
    session
}
