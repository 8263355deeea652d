//! Keeps the link as it is wanted: looks at what is wanted and what is, takes the step that
//! [`super::next`] decides, and waits for something to change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use link_proto::links::RelayUrl;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::api::{self, Access};
use super::backoff::{Backoff, random};
use super::connection::{self, End, Kind};
use super::next::{Connection, Goal, OwnRelay, Step, Wanted, next};
use super::outside::{Happened, Outside};
use super::own_relay::{self, Running};
use super::wire::Way;
use super::{Link, lock};
use crate::remote::{LinkState, LinkStatus};
use crate::session::Input;

/// How long channels have to end when the daemon does.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a link lasts that nothing needs any more, so that devices hear what is gone.
const LINGERS: Duration = Duration::from_secs(1);

/// The relay that is to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Own,
    Elsewhere(Access),
    /// None, and what to do about it.
    Nowhere(String),
}

/// What the supervisor's tasks tell it. There are at most a few of them; when it is full they wait.
enum Event {
    OwnRelay(u64, Result<Box<(Running, RelayUrl)>, String>),
    Up(u64),
    Ended(u64, End),
}

struct Supervisor {
    link: Arc<Link>,
    events: mpsc::Sender<Event>,
    target: Target,
    goal: Goal,
    own: OwnRelay,
    running: Option<(Running, RelayUrl)>,
    own_backoff: Backoff,
    /// Since when the own relay runs.
    own_since: Option<Instant>,
    connection: Connection,
    backoff: Backoff,
    prefer: Way,
    /// Tells what was begun anew from what was given up: connections, and starts of the own relay.
    attempt: u64,
    task: Option<AbortOnDropHandle<()>>,
    own_attempt: u64,
    own_task: Option<AbortOnDropHandle<()>>,
    /// Since when nothing needs the link.
    unneeded_since: Option<Instant>,
}

/// Runs until `stop`.
pub async fn run(link: Arc<Link>, stop: CancellationToken) {
    let (events, mut told) = mpsc::channel(16);
    let mut supervisor = Supervisor {
        link: Arc::clone(&link),
        events,
        target: Target::Nowhere(String::new()),
        goal: 0,
        own: OwnRelay::Stopped,
        running: None,
        own_backoff: Backoff::default(),
        own_since: None,
        connection: Connection::Down,
        backoff: Backoff::default(),
        prefer: Way::WebSocket,
        attempt: 0,
        task: None,
        own_attempt: 0,
        own_task: None,
        unneeded_since: None,
    };
    let shared = &link.host.shared;
    let mut sessions = shared.remote.watch();
    let mut settings = shared.watch_settings();
    let mut managed = shared.watch_managed();
    let mut pairings = link.pairings_changed.subscribe();
    let mut login = link.login.subscribe();
    let mut outside = Outside::default();
    loop {
        sessions.mark_unchanged();
        settings.mark_unchanged();
        managed.mark_unchanged();
        pairings.mark_unchanged();
        login.mark_unchanged();
        let wanted = supervisor.wanted();
        outside.watch(wanted != Wanted::Nothing);
        let step = next(
            wanted,
            supervisor.own,
            supervisor.connection,
            Instant::now(),
        );
        let wake = match step {
            Step::Rest => None,
            Step::Wait(until) => Some(until),
            step => {
                supervisor.take(step).await;
                continue;
            }
        };
        // An open pairing wants the link until its time is over.
        let end_of_pairing = lock(&link.pairings).next_end();
        let end_of_need = link.pairings_need_link_until();
        let end_of_link = supervisor.lingers_until();
        let wake = [wake, end_of_pairing, end_of_need, end_of_link];
        let wake = wake.into_iter().flatten().min();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(event) = told.recv() => supervisor.told(event),
            why = own_relay_end(&mut supervisor.running) => supervisor.own_relay_failed(why),
            happened = outside.next() => supervisor.happened(happened),
            _ = sessions.changed() => {}
            _ = settings.changed() => {}
            _ = managed.changed() => {}
            _ = pairings.changed() => {}
            _ = login.changed() => {}
            () = until(wake) => {}
        }
    }
    drop((supervisor.task.take(), supervisor.own_task.take()));
    if let Some((running, _)) = supervisor.running.take() {
        running.stop().await;
    }
    link.tasks.close();
    // What does not end by itself ends with the process.
    let _ = tokio::time::timeout(GOODBYE, link.tasks.wait()).await;
}

async fn own_relay_end(running: &mut Option<(Running, RelayUrl)>) -> String {
    match running {
        Some((running, _)) => running.ended().await,
        None => std::future::pending().await,
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

impl Supervisor {
    /// What is wanted now. Notes it when that is another relay than before.
    fn wanted(&mut self) -> Wanted {
        let target = self.target_now();
        if target != self.target {
            self.goal += 1;
            self.backoff.reset();
            self.prefer = Way::WebSocket;
            self.target = target;
            let no_relay = match &self.target {
                Target::Nowhere(why) => Some(why.clone()),
                _ => None,
            };
            let relay = match &self.target {
                Target::Elsewhere(access) => Some(access.relay.to_string()),
                _ => None,
            };
            self.set_status(|status| {
                status.no_relay = no_relay;
                status.relay = relay;
            });
        }
        let needed = !self.link.host.shared.remote.is_empty()
            || self.link.pairings_need_link_until().is_some();
        let now = Instant::now();
        self.unneeded_since = match needed {
            true => None,
            false => self.unneeded_since.or(Some(now)),
        };
        let lingers = self.lingers_until().is_some_and(|until| now < until);
        match &self.target {
            _ if !needed && !lingers => Wanted::Nothing,
            Target::Own => Wanted::Own(self.goal),
            Target::Elsewhere(_) => Wanted::Elsewhere(self.goal),
            Target::Nowhere(_) => Wanted::Nothing,
        }
    }

    /// Until when the link lasts though nothing needs it.
    fn lingers_until(&self) -> Option<Instant> {
        let is_made = matches!(self.connection, Connection::Alive(_));
        self.unneeded_since
            .filter(|_| is_made)
            .map(|since| since + LINGERS)
    }

    fn target_now(&self) -> Target {
        let shared = &self.link.host.shared;
        let (managed, managed_file) = shared.managed();
        if managed.remote_forbidden {
            return Target::Nowhere(format!("{} does not allow it", managed_file.display()));
        }
        let set = shared.settings().remote.relay;
        let login = self.link.login.borrow().clone();
        match (set, login) {
            (Some(set), login) => match (set.parse::<RelayUrl>(), login) {
                (Err(error), _) => Target::Nowhere(format!("the setting `remote.relay` is of no use: {error}")),
                (Ok(relay), Some(access)) if access.relay == relay => Target::Elsewhere(access),
                (Ok(relay), _) => Target::Nowhere(format!(
                    "this machine has not joined the relay {relay}; join it with `copilot login --relay {relay}`"
                )),
            },
            (None, Some(access)) => Target::Elsewhere(access),
            (None, None) if self.link.own_relay.is_some() => Target::Own,
            (None, None) => Target::Nowhere(
                "there is no relay; install `copilot-relay` beside `copilotd`, or join one with `copilot login --relay URL`"
                    .into(),
            ),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Rest | Step::Wait(_) => {}
            Step::StartOwnRelay => self.start_own_relay(),
            Step::StopOwnRelay => {
                self.own_attempt += 1;
                self.own_task = None;
                self.own = OwnRelay::Stopped;
                self.own_since = None;
                if let Some((running, _)) = self.running.take() {
                    running.stop().await;
                }
            }
            Step::Dial(goal) => self.dial(goal),
            Step::HangUp => {
                self.attempt += 1;
                self.task = None;
                self.connection = Connection::Down;
                self.set_status(|status| status.become_state(LinkState::Off, None));
            }
        }
    }

    fn start_own_relay(&mut self) {
        let Some(home) = self.link.own_relay.clone() else {
            return;
        };
        self.own = OwnRelay::Starting;
        self.own_attempt += 1;
        let (attempt, events) = (self.own_attempt, self.events.clone());
        self.set_status(|status| status.become_state(status.dialing(), None));
        self.own_task = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let started = own_relay::start(&home).await.map(Box::new);
            // The supervisor is gone when nobody hears it, and the relay with it.
            let _ = events.send(Event::OwnRelay(attempt, started)).await;
        })));
    }

    fn dial(&mut self, goal: Goal) {
        self.connection = Connection::Alive(goal);
        self.attempt += 1;
        let (attempt, events) = (self.attempt, self.events.clone());
        let (link, target, prefer) = (Arc::clone(&self.link), self.target.clone(), self.prefer);
        let own = self.running.as_ref().map(|(_, url)| url.clone());
        self.set_status(|status| status.become_state(status.dialing(), status.why.clone()));
        self.task = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let end = match access(&link, target, own).await {
                Ok((client, access)) => {
                    let up = || {
                        // The link is used also when nobody notes that it is.
                        let _ = events.try_send(Event::Up(attempt));
                    };
                    connection::run(&link, &client, &access, prefer, up).await
                }
                Err(why) => End {
                    why,
                    kind: Kind::Failed,
                    lasted: Duration::ZERO,
                    prefer,
                },
            };
            // The supervisor is gone when nobody hears it.
            let _ = events.send(Event::Ended(attempt, end)).await;
        })));
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::OwnRelay(attempt, started) if attempt == self.own_attempt => match started {
                Ok(started) => {
                    let (running, url) = *started;
                    self.own = OwnRelay::Running;
                    self.own_since = Some(Instant::now());
                    let relay = Some(url.to_string());
                    self.running = Some((running, url));
                    self.set_status(|status| status.relay = relay);
                }
                Err(why) => self.own_relay_failed(why),
            },
            Event::Up(attempt) if attempt == self.attempt => {
                tracing::info!("the link is up");
                self.set_status(|status| status.become_state(LinkState::Connected, None));
            }
            Event::Ended(attempt, end) if attempt == self.attempt => self.ended(end),
            // Of something that was given up.
            _ => {}
        }
    }

    fn ended(&mut self, end: End) {
        let End {
            why,
            kind,
            lasted,
            prefer,
        } = end;
        tracing::warn!(%why, "the link is down");
        if kind == Kind::Slept {
            self.backoff.reset();
        }
        if kind == Kind::Unauthorized
            && self.target == Target::Own
            && let Some(home) = &self.link.own_relay
        {
            // Its data was lost, or is another's; it is joined anew.
            home.keep_token(None);
        }
        self.task = None;
        self.prefer = prefer;
        self.connection = Connection::Failed(Instant::now() + self.backoff.ended(lasted, random()));
        self.set_status(|status| status.become_state(LinkState::Reconnecting, Some(why)));
    }

    /// Something happened around the link. It is tried at once, however often that failed before.
    fn happened(&mut self, happened: Happened) {
        self.backoff.reset();
        let is_up = self.link.host.shared.link.status().state == LinkState::Connected;
        match (self.connection, happened) {
            (Connection::Down, _) => return,
            (Connection::Failed(_), _) => {}
            (Connection::Alive(_), Happened::NetworkChanged) if is_up => {
                self.link.doubt.send_replace(());
                return;
            }
            (Connection::Alive(_), _) => {
                self.attempt += 1;
                self.task = None;
                let why = match happened {
                    Happened::WokeUp => "this machine slept",
                    Happened::NetworkChanged => "the network changed",
                };
                let why = Some(why.to_owned());
                self.set_status(|status| status.become_state(LinkState::Reconnecting, why));
            }
        }
        tracing::info!(?happened, "the link is tried at once");
        self.connection = Connection::Failed(Instant::now());
    }

    fn own_relay_failed(&mut self, why: String) {
        tracing::warn!(%why, "the own relay");
        self.running = None;
        let ran = self
            .own_since
            .take()
            .map_or(Duration::ZERO, |s| s.elapsed());
        let wait = self.own_backoff.ended(ran, random());
        self.own = OwnRelay::Failed(Instant::now() + wait);
        self.set_status(|status| status.become_state(LinkState::Reconnecting, Some(why)));
    }

    /// Changes what people see of the link, in sessions too.
    fn set_status(&self, change: impl FnOnce(&mut LinkStatus)) {
        let shared = &self.link.host.shared;
        let before = shared.link.status();
        shared.link.set(|status| {
            change(status);
            status.machine = Some(self.link.machine.id.to_string());
        });
        if shared.link.status() == before {
            return;
        }
        for session in self.link.host.live_sessions() {
            if shared.remote.is_on(&session.id) {
                // One with a full queue looks at the link after its next input.
                let _ = session.inputs.try_send(Input::LinkChanged);
            }
        }
    }
}

/// How to talk to the relay, joining the own one where that has not happened yet.
async fn access(
    link: &Link,
    target: Target,
    own: Option<RelayUrl>,
) -> Result<(reqwest::Client, Access), String> {
    let relay = match (target, own) {
        (Target::Elsewhere(access), _) => {
            return Ok((link.client(&access.relay)?.clone(), access));
        }
        (Target::Own, Some(relay)) => relay,
        _ => return Err("there is no relay".into()),
    };
    let client = link.client(&relay)?.clone();
    let home = link.own_relay.as_ref().ok_or("there is no relay")?;
    if let Some(token) = home.token() {
        return Ok((client, Access { relay, token }));
    }
    let (id, name) = (link.machine.id, &link.machine.info.name);
    let joined = api::join(&client, &relay, home.enrolment_token()?, None, id, name).await;
    let token = joined.map_err(|e| e.to_string())?;
    home.keep_token(Some(token.clone()));
    Ok((client, Access { relay, token }))
}
