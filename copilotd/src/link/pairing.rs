//! Pairings: links that were given out, and who came with one. Which tries are left is decided here;
//! keys and sockets are elsewhere.
//!
//! A link works once, for ten minutes, and for three tries in all, counted as handshakes and as
//! codes. A wrong code refuses everybody who waits: one of them may not be who the person means.

use std::time::{Duration, Instant};

use link_proto::channel::RefusalReason;
use link_proto::ids::PairingId;
use link_proto::keys::{PairingSecret, PublicKey};
use link_proto::links::{PAIRING_LIFETIME_MS, PAIRING_TRIES};
use link_proto::noise::PairingCode;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::devices::Paired;

/// Pairings that may be open at once; the oldest makes room.
const MAX_OPEN: usize = 8;
/// How long the link stays after a pairing has ended: a device has yet to hear it, and to get its token.
const LINGER: Duration = Duration::from_secs(30);
/// How long it is remembered how a pairing ended, for whoever asks.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What becomes of a device that waits for its code to be typed.
#[derive(Debug)]
pub enum Verdict {
    /// It is paired.
    Paired {
        /// The device as it is kept.
        device: Paired,
        /// The session that the link was made for.
        session: Option<Uuid>,
    },
    /// It is not.
    Refused(Refused),
}

/// Why a device is not paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For the device.
    pub reason: RefusalReason,
    /// For its person.
    pub message: &'static str,
    /// When trying again makes sense.
    pub tries_left: Option<u8>,
}

const EXPIRED: &str = "this link is older than ten minutes; make a new one at the machine";
const USED: &str = "this link was used already; make a new one at the machine";
const TOO_MANY: &str = "this link had its three tries; make a new one at the machine";
const WRONG_CODE: &str = "that was not the code this device shows; open the link once more";
const DECLINED: &str = "the person at the machine ended this pairing";

fn refused(reason: RefusalReason, message: &'static str) -> Refused {
    Refused {
        reason,
        message,
        tries_left: None,
    }
}

/// A device that shows its code.
#[derive(Debug)]
pub struct Waiting {
    /// What it shows.
    pub code: PairingCode,
    /// Its key, to be trusted when the code is typed.
    pub key: PublicKey,
    /// Its own name for itself, made fit to show.
    pub name: String,
    /// Told what becomes of it; closed when the device went away.
    pub verdict: oneshot::Sender<Verdict>,
}

/// How a pairing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nobody came yet.
    Open,
    /// Somebody shows a code.
    Waiting {
        /// What the newest device calls itself.
        name: String,
    },
    /// A device was paired.
    Paired {
        /// Its id.
        device: String,
        /// Its name.
        name: String,
    },
    /// It ended without a device, for this reason.
    Ended(&'static str),
}

/// What became of a code that was typed.
#[derive(Debug)]
pub enum Typed {
    /// It is the code of this device, which is to be kept and then told.
    Right(Waiting),
    /// It is nobody's; so many more may be typed.
    Wrong(u8),
    /// Nobody shows a code.
    NobodyWaits,
    /// The pairing has ended, for this reason.
    Ended(&'static str),
}

struct Pairing {
    id: PairingId,
    secret: PairingSecret,
    session: Option<Uuid>,
    expires_at: Instant,
    handshakes_left: u8,
    codes_left: u8,
    waiting: Vec<Waiting>,
    /// Whether the relay has heard of it: before that its link leads nowhere.
    announced: bool,
    outcome: Option<(Instant, Progress)>,
    /// Whether its end was given out by [`Pairings::take_ended`].
    reported: bool,
}

/// A pairing that ended without a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub id: PairingId,
    /// The session that its link was made for.
    pub session: Option<Uuid>,
    /// For people.
    pub why: &'static str,
}

impl Ended {
    /// Whether it ended because its time was over, which is nobody's doing.
    pub fn is_by_itself(&self) -> bool {
        self.why == EXPIRED
    }
}

impl Pairing {
    fn end(&mut self, now: Instant, progress: Progress, refusal: &Refused) {
        for waiting in self.waiting.drain(..) {
            // A device that went away needs no words.
            let _ = waiting.verdict.send(Verdict::Refused(refusal.clone()));
        }
        self.outcome.get_or_insert((now, progress));
    }

    /// Ends it when its time is over.
    fn age(&mut self, now: Instant) {
        if self.outcome.is_none() && now >= self.expires_at {
            let refusal = refused(RefusalReason::Expired, EXPIRED);
            self.end(now, Progress::Ended(EXPIRED), &refusal);
        }
    }
}

/// All pairings.
#[derive(Default)]
pub struct Pairings {
    all: Vec<Pairing>,
}

impl Pairings {
    fn find(&mut self, id: PairingId, now: Instant) -> Option<&mut Pairing> {
        let found = self.all.iter_mut().find(|p| p.id == id)?;
        found.age(now);
        Some(found)
    }

    /// Opens one.
    pub fn open(
        &mut self,
        id: PairingId,
        secret: PairingSecret,
        session: Option<Uuid>,
        now: Instant,
    ) {
        self.tidy(now);
        let mut open = self.all.iter_mut().filter(|p| p.outcome.is_none());
        let oldest = open.next();
        if let Some(oldest) = oldest
            && open.count() + 1 >= MAX_OPEN
        {
            let refusal = refused(RefusalReason::Declined, DECLINED);
            oldest.end(now, Progress::Ended("newer links took its place"), &refusal);
        }
        self.all.push(Pairing {
            id,
            secret,
            session,
            expires_at: now + Duration::from_millis(PAIRING_LIFETIME_MS),
            handshakes_left: PAIRING_TRIES,
            codes_left: PAIRING_TRIES,
            waiting: Vec::new(),
            announced: false,
            outcome: None,
            reported: false,
        });
    }

    /// The open ones and how long they are open yet.
    pub fn open_now(&mut self, now: Instant) -> Vec<(PairingId, Duration)> {
        self.tidy(now);
        let open = self.all.iter().filter(|p| p.outcome.is_none());
        open.map(|p| (p.id, p.expires_at.saturating_duration_since(now)))
            .collect()
    }

    /// When the next one ends by itself.
    pub fn next_end(&self) -> Option<Instant> {
        let open = self.all.iter().filter(|p| p.outcome.is_none());
        open.map(|p| p.expires_at).min()
    }

    /// Somebody came with the link: the secret to shake hands with. Counts as a try.
    ///
    /// # Errors
    /// Why there is no handshake.
    pub fn knock(&mut self, id: PairingId, now: Instant) -> Result<PairingSecret, &'static str> {
        let pairing = self.find(id, now).ok_or(EXPIRED)?;
        match &pairing.outcome {
            Some((_, Progress::Paired { .. })) => return Err(USED),
            Some((_, Progress::Ended(why))) => return Err(why),
            _ => {}
        }
        let left = pairing.handshakes_left.checked_sub(1).ok_or(TOO_MANY)?;
        pairing.handshakes_left = left;
        Ok(pairing.secret.clone())
    }

    /// The handshake is done: the device shows its code.
    pub fn wait(&mut self, id: PairingId, waiting: Waiting, now: Instant) {
        let Some(pairing) = self.find(id, now) else {
            return;
        };
        pairing.waiting.push(waiting);
        if pairing.outcome.is_some() {
            let refusal = refused(RefusalReason::Used, USED);
            pairing.end(now, Progress::Ended(USED), &refusal);
        }
    }

    /// Somebody at the machine typed a code.
    pub fn type_code(&mut self, id: PairingId, typed: &str, now: Instant) -> Typed {
        let Some(pairing) = self.find(id, now) else {
            return Typed::Ended(EXPIRED);
        };
        match &pairing.outcome {
            Some((_, Progress::Paired { .. })) => return Typed::Ended(USED),
            Some((_, Progress::Ended(why))) => return Typed::Ended(why),
            _ => {}
        }
        pairing.waiting.retain(|w| !w.verdict.is_closed());
        if pairing.waiting.is_empty() {
            return Typed::NobodyWaits;
        }
        let right = pairing.waiting.iter().position(|w| w.code.matches(typed));
        if let Some(right) = right {
            return Typed::Right(pairing.waiting.swap_remove(right));
        }
        pairing.codes_left = pairing.codes_left.saturating_sub(1);
        let left = pairing.codes_left.min(pairing.handshakes_left);
        if left == 0 {
            let refusal = refused(RefusalReason::TooManyTries, TOO_MANY);
            pairing.end(now, Progress::Ended(TOO_MANY), &refusal);
            return Typed::Ended(TOO_MANY);
        }
        let refusal = Refused {
            tries_left: Some(left),
            ..refused(RefusalReason::WrongCode, WRONG_CODE)
        };
        for waiting in pairing.waiting.drain(..) {
            // A device that went away needs no words.
            let _ = waiting.verdict.send(Verdict::Refused(refusal.clone()));
        }
        Typed::Wrong(left)
    }

    /// The session that a link was made for.
    pub fn session_of(&self, id: PairingId) -> Option<Uuid> {
        self.all.iter().find(|p| p.id == id)?.session
    }

    /// The device whose code was typed is kept: the link is used, and the session it was made for.
    pub fn paired(&mut self, id: PairingId, device: &Paired, now: Instant) -> Option<Uuid> {
        let pairing = self.find(id, now)?;
        let progress = Progress::Paired {
            device: device.id.to_string(),
            name: device.name.clone(),
        };
        pairing.end(now, progress, &refused(RefusalReason::Used, USED));
        pairing.session
    }

    /// Somebody at the machine ends it.
    pub fn end(&mut self, id: PairingId, now: Instant) {
        if let Some(pairing) = self.find(id, now) {
            let refusal = refused(RefusalReason::Declined, DECLINED);
            pairing.end(now, Progress::Ended("it was ended"), &refusal);
        }
    }

    /// Those that ended without a device, each once.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for pairing in self.all.iter_mut().filter(|p| !p.reported) {
            let Some((_, outcome)) = &pairing.outcome else {
                continue;
            };
            pairing.reported = true;
            if let Progress::Ended(why) = outcome {
                ended.push(Ended {
                    id: pairing.id,
                    session: pairing.session,
                    why,
                });
            }
        }
        ended
    }

    /// The relay has heard of it.
    pub fn announced(&mut self, id: PairingId) {
        if let Some(pairing) = self.all.iter_mut().find(|p| p.id == id) {
            pairing.announced = true;
        }
    }

    /// Whether the relay has heard of it.
    pub fn is_announced(&self, id: PairingId) -> bool {
        self.all.iter().any(|p| p.id == id && p.announced)
    }

    /// Until when the link is needed, as far as is known now; `None` when it is not.
    pub fn link_until(&mut self, now: Instant) -> Option<Instant> {
        self.tidy(now);
        let until = |p: &Pairing| {
            p.outcome
                .as_ref()
                .map_or(p.expires_at, |(ended, _)| *ended + LINGER)
        };
        self.all.iter().map(until).filter(|end| *end > now).max()
    }

    /// How one is; `None` when there is none of this id.
    pub fn progress(&mut self, id: PairingId, now: Instant) -> Option<Progress> {
        let pairing = self.find(id, now)?;
        if let Some((_, outcome)) = &pairing.outcome {
            return Some(outcome.clone());
        }
        let mut there = pairing.waiting.iter().filter(|w| !w.verdict.is_closed());
        Some(match there.next_back() {
            Some(newest) => Progress::Waiting {
                name: newest.name.clone(),
            },
            None => Progress::Open,
        })
    }

    fn tidy(&mut self, now: Instant) {
        for pairing in &mut self.all {
            pairing.age(now);
        }
        self.all.retain(|p| {
            p.outcome
                .as_ref()
                .is_none_or(|(ended, _)| now.saturating_duration_since(*ended) < REMEMBERED)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link_proto::channel::{Answering, Dialing, MachineInfo};
    use link_proto::ids::MachineId;
    use link_proto::keys::PrivateKey;
    use link_proto::links::PairingOffer;

    const ID: PairingId = PairingId([7; 16]);

    fn opened(now: Instant) -> Pairings {
        let mut pairings = Pairings::default();
        pairings.open(ID, PairingSecret::from_bytes([1; 32]), None, now);
        pairings
    }

    /// A device that did its handshake: the code it shows, and where it hears what becomes of it.
    fn came(pairings: &mut Pairings, now: Instant) -> (String, oneshot::Receiver<Verdict>) {
        let secret = pairings.knock(ID, now).unwrap();
        let machine_key = PrivateKey::from_bytes([3; 32]);
        let machine_id = MachineId([4; 16]);
        let device = PrivateKey::generate().unwrap();
        let offer = PairingOffer {
            machine_id,
            machine_key: machine_key.public(),
            pairing_id: ID,
            secret: secret.clone(),
            session: None,
        };
        let (_, first) = Dialing::pair(&offer, &device, "phone", 1 << 20).unwrap();
        let info = MachineInfo {
            name: "m".into(),
            build: "b".into(),
        };
        let answering = Answering {
            machine_id,
            machine_key: &machine_key,
            info: &info,
            window_bytes: 1 << 20,
        };
        let accepted = answering.pairing(ID, &secret, &first).unwrap();
        let (verdict, heard) = oneshot::channel();
        let code = accepted.channel.code();
        let waiting = Waiting {
            code,
            key: accepted.channel.peer(),
            name: accepted.device.name,
            verdict,
        };
        pairings.wait(ID, waiting, now);
        (code.digits(), heard)
    }

    fn wrong(code: &str) -> String {
        let number: u32 = code.parse().unwrap();
        format!("{:06}", (number + 1) % 1_000_000)
    }

    fn reason(mut heard: oneshot::Receiver<Verdict>) -> (RefusalReason, Option<u8>) {
        match heard.try_recv().unwrap() {
            Verdict::Refused(refused) => (refused.reason, refused.tries_left),
            Verdict::Paired { .. } => panic!("it was paired"),
        }
    }

    fn kept(waiting: &Waiting) -> Paired {
        Paired {
            id: link_proto::ids::DeviceId::of(&waiting.key),
            key: waiting.key,
            name: waiting.name.clone(),
            paired_at: String::new(),
            relay: None,
        }
    }

    #[test]
    fn the_right_code_pairs_once() {
        let now = Instant::now();
        let mut pairings = opened(now);
        assert_eq!(pairings.progress(ID, now), Some(Progress::Open));
        assert!(matches!(
            pairings.type_code(ID, "000000", now),
            Typed::NobodyWaits
        ));
        let (code, _heard) = came(&mut pairings, now);
        let (_, other) = came(&mut pairings, now);
        assert_eq!(
            pairings.progress(ID, now),
            Some(Progress::Waiting {
                name: "phone".into()
            })
        );
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        let Typed::Right(waiting) = pairings.type_code(ID, &spaced, now) else {
            panic!("the code is not right")
        };
        pairings.paired(ID, &kept(&waiting), now);
        assert_eq!(reason(other), (RefusalReason::Used, None));
        assert_eq!(pairings.knock(ID, now).unwrap_err(), USED);
        assert!(matches!(
            pairings.type_code(ID, &code, now),
            Typed::Ended(USED)
        ));
        assert!(matches!(
            pairings.progress(ID, now),
            Some(Progress::Paired { .. })
        ));
        assert!(pairings.open_now(now).is_empty());
    }

    #[test]
    fn every_end_without_a_device_is_reported_once() {
        let now = Instant::now();
        let mut pairings = opened(now);
        assert_eq!(pairings.take_ended(), []);
        let late = now + Duration::from_millis(PAIRING_LIFETIME_MS);
        pairings.open_now(late);
        let ended = pairings.take_ended();
        assert_eq!((ended[0].id, ended[0].why), (ID, EXPIRED));
        assert!(ended[0].is_by_itself());
        assert_eq!(pairings.take_ended(), []);

        let mut pairings = opened(now);
        pairings.end(ID, now);
        let ended = pairings.take_ended();
        assert_eq!((ended.len(), ended[0].why), (1, "it was ended"));
        assert!(!ended[0].is_by_itself());

        // A device that was paired is another story.
        let mut pairings = opened(now);
        let (code, _heard) = came(&mut pairings, now);
        let Typed::Right(waiting) = pairings.type_code(ID, &code, now) else {
            panic!("the code is not right")
        };
        pairings.paired(ID, &kept(&waiting), now);
        assert_eq!(pairings.take_ended(), []);
    }

    #[test]
    fn the_link_stays_until_a_device_has_heard_how_it_ended() {
        let now = Instant::now();
        let mut pairings = Pairings::default();
        assert_eq!(pairings.link_until(now), None);
        pairings.open(ID, PairingSecret::from_bytes([1; 32]), None, now);
        let expiry = now + Duration::from_millis(PAIRING_LIFETIME_MS);
        assert_eq!(pairings.link_until(now), Some(expiry));
        let later = now + Duration::from_secs(5);
        pairings.end(ID, later);
        assert_eq!(pairings.link_until(later), Some(later + LINGER));
        assert_eq!(pairings.link_until(later + LINGER), None);
    }

    #[test]
    fn a_link_leads_somewhere_once_the_relay_has_heard_of_it() {
        let mut pairings = opened(Instant::now());
        assert!(!pairings.is_announced(ID));
        pairings.announced(ID);
        assert!(pairings.is_announced(ID));
        assert!(!pairings.is_announced(PairingId([8; 16])));
    }

    #[test]
    fn three_wrong_codes_are_the_end() {
        let now = Instant::now();
        let mut pairings = opened(now);
        for left in [2, 1] {
            let (code, heard) = came(&mut pairings, now);
            assert!(
                matches!(pairings.type_code(ID, &wrong(&code), now), Typed::Wrong(l) if l == left)
            );
            assert_eq!(reason(heard), (RefusalReason::WrongCode, Some(left)));
        }
        let (code, heard) = came(&mut pairings, now);
        assert!(matches!(
            pairings.type_code(ID, &wrong(&code), now),
            Typed::Ended(TOO_MANY)
        ));
        assert_eq!(reason(heard), (RefusalReason::TooManyTries, None));
        assert_eq!(pairings.knock(ID, now).unwrap_err(), TOO_MANY);
    }

    #[test]
    fn a_fourth_handshake_is_refused_also_when_no_code_was_typed() {
        let now = Instant::now();
        let mut pairings = opened(now);
        for _ in 0..3 {
            came(&mut pairings, now);
        }
        assert_eq!(pairings.knock(ID, now).unwrap_err(), TOO_MANY);
    }

    #[test]
    fn ten_minutes_later_it_is_over() {
        let now = Instant::now();
        let mut pairings = opened(now);
        let (code, mut heard) = came(&mut pairings, now);
        let later = now + Duration::from_millis(PAIRING_LIFETIME_MS);
        assert_eq!(pairings.next_end(), Some(later));
        assert!(matches!(
            pairings.type_code(ID, &code, later),
            Typed::Ended(EXPIRED)
        ));
        // What the device is told, and whoever opens the link then.
        let words = "this link is older than ten minutes; make a new one at the machine";
        let Ok(Verdict::Refused(refused)) = heard.try_recv() else {
            panic!("it was not refused")
        };
        assert_eq!(refused, self::refused(RefusalReason::Expired, words));
        assert_eq!(pairings.knock(ID, later).unwrap_err(), words);
        assert_eq!(pairings.next_end(), None);
        assert_eq!(
            pairings.progress(ID, later + REMEMBERED),
            Some(Progress::Ended(EXPIRED))
        );
        assert!(pairings.open_now(later + REMEMBERED).is_empty());
        assert_eq!(pairings.progress(ID, later + REMEMBERED), None);
        assert_eq!(pairings.knock(ID, later + REMEMBERED).unwrap_err(), EXPIRED);
    }

    #[test]
    fn a_device_that_left_is_not_waited_for() {
        let now = Instant::now();
        let mut pairings = opened(now);
        let (code, heard) = came(&mut pairings, now);
        drop(heard);
        assert_eq!(pairings.progress(ID, now), Some(Progress::Open));
        assert!(matches!(
            pairings.type_code(ID, &code, now),
            Typed::NobodyWaits
        ));
    }

    #[test]
    fn the_ninth_link_takes_the_place_of_the_first() {
        let now = Instant::now();
        let mut pairings = opened(now);
        for n in 0..8 {
            let id = PairingId([100 + n; 16]);
            pairings.open(id, PairingSecret::from_bytes([1; 32]), None, now);
        }
        assert_eq!(pairings.open_now(now).len(), MAX_OPEN);
        assert!(pairings.knock(ID, now).is_err());
        pairings.end(PairingId([100; 16]), now);
        assert_eq!(pairings.open_now(now).len(), MAX_OPEN - 1);
    }
}
