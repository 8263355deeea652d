//! Clients that cannot keep up, beside those of a test.

use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::attached::Attached;
use crate::client::Client;
use crate::home::Home;

/// How often the slow reader takes a byte.
const A_BYTE_EACH: Duration = Duration::from_secs(1);

/// One that does not read, one that reads a byte a second, and one that comes, subscribes to
/// everything and goes, again and again. They end when this is dropped.
pub struct SlowClients {
    silent: Attached,
    others: Vec<Worker>,
}

struct Worker {
    stop: Sender<()>,
    thread: Option<JoinHandle<Attached>>,
}

impl SlowClients {
    /// Lets them look at a session.
    pub fn beside(home: &Home, session: &str) -> Self {
        Self::watching(home, session, &[])
    }

    /// The same, and at these channels as well.
    pub fn watching(home: &Home, session: &str, channels: &[String]) -> Self {
        let subscribe = |client: &mut Client| {
            for channel in channels {
                // A command's output may be over by now.
                let _ = client.try_request("subscribe", json!({"channel": channel}));
            }
        };
        let attach = |title: &str| {
            let mut attached = Attached::attach(home, title, session);
            subscribe(&mut attached.client);
            attached
        };
        let slow = Worker::spawn(attach("a byte a second"), |attached, stopped| {
            let mut byte = [0];
            // Until it is cut off, or has waited long enough.
            while !stopped(A_BYTE_EACH)
                && std::io::Read::read_exact(attached.client.stream(), &mut byte).is_ok()
            {
            }
        });
        let socket = home.socket();
        let session = session.to_owned();
        let channels = channels.to_vec();
        let restless = Worker::spawn(attach("restless"), move |_, stopped| {
            while !stopped(Duration::ZERO) {
                // A daemon that is busy may keep it waiting; nobody else has to.
                let Ok(mut client) = Client::greet(&socket) else {
                    continue;
                };
                client.initialize("restless");
                let own = [
                    format!("ahp-session:/{session}"),
                    format!("ahp-chat:/{session}"),
                ];
                // What it is told it does not look at: it shall cost the daemon, not this machine.
                let all: Vec<&String> = own.iter().chain(&channels).collect();
                for (id, channel) in all.iter().enumerate() {
                    let params = json!({"channel": channel});
                    let _ = client.send(&json!({
                        "jsonrpc": "2.0", "id": id + 100, "method": "subscribe", "params": params,
                    }));
                }
                for _ in all {
                    let _ = client.discard();
                }
            }
        });
        Self {
            silent: attach("silent"),
            others: vec![slow, restless],
        }
    }

    /// Ends what they do and gives them back: the one that did not read, the slow reader, and the
    /// restless one.
    pub fn stop(self) -> Vec<Attached> {
        let mut all = vec![self.silent];
        for mut worker in self.others {
            // It may have ended by itself.
            let _ = worker.stop.send(());
            let thread = worker.thread.take().expect("it is joined once");
            all.push(thread.join().expect("a slow client ends"));
        }
        all
    }
}

impl Worker {
    /// `work` is asked to look now and then, with how long it wants to wait, whether it shall stop.
    fn spawn(
        mut attached: Attached,
        work: impl FnOnce(&mut Attached, &dyn Fn(Duration) -> bool) + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            work(&mut attached, &|time| {
                !matches!(
                    stopped.recv_timeout(time),
                    Err(mpsc::RecvTimeoutError::Timeout)
                )
            });
            attached
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}
