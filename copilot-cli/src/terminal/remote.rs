//! Remote access in the live area: the link, its QR code, and pairing the first device.
//!
//! Pure. What is on is what the session's state says; this only remembers what a person wants to
//! see, and how far pairing is.

use super::app::Effect;
use super::line::{Colour, Line, Style};
use super::pairing::Progress;
use crate::client::{Remote, because};
use crate::output::colours;
use crate::qr;
use crate::text::one_line;

/// What the session's state says; nothing while it is off.
pub(super) use crate::client::remote as of;

/// What is said when a session can be reached no more.
const GONE: &str = "remote access is off; no device sees anything of this session any more";

/// What was asked for here and has not happened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To turn it on.
    On,
}

/// How far pairing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Pairing {
    /// It is not needed, or over.
    #[default]
    None,
    /// No link can be made now, so there is nothing that a device could open.
    Refused,
    /// The link is being made.
    Making,
    /// A device may open the link.
    Open(String),
    /// A device of this name shows its code.
    Waiting { link: String, name: String },
    /// The code was typed.
    Checking(String),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RemotePanel {
    open: bool,
    asked: Option<Asked>,
    pairing: Pairing,
    /// Whether the session could be reached when that was last looked at.
    was_on: bool,
}

impl RemotePanel {
    /// Whether it is shown.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the next line that is typed is a device's code.
    pub(super) fn wants_code(&self) -> bool {
        matches!(self.pairing, Pairing::Waiting { .. })
    }

    /// Somebody here asked for a change.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.asked = Some(asked);
    }

    /// The change was refused.
    pub(super) fn refused(&mut self) {
        self.asked = None;
    }

    /// Shows the link, or a pairing link while no device can come through this relay.
    pub(super) fn open(&mut self) -> Vec<Effect> {
        self.open = true;
        self.pairing = Pairing::Making;
        vec![Effect::Pair]
    }

    /// Hides it. A pairing link that nobody opened is left to expire.
    pub(super) fn close(&mut self) -> Vec<Effect> {
        self.open = false;
        match std::mem::take(&mut self.pairing) {
            Pairing::None | Pairing::Refused => Vec::new(),
            _ => vec![Effect::EndPairing],
        }
    }

    /// The session can be reached.
    pub(super) fn is_on(&mut self) -> Vec<Effect> {
        self.was_on = true;
        match self.asked.take() {
            Some(Asked::On) => self.open(),
            None => Vec::new(),
        }
    }

    /// The session cannot be reached. Returns what people are told, when it could before.
    pub(super) fn is_off(&mut self) -> (Vec<Effect>, Option<&'static str>) {
        let was_on = std::mem::take(&mut self.was_on);
        let effects = if self.open { self.close() } else { Vec::new() };
        (effects, was_on.then_some(GONE))
    }

    /// The code was typed.
    pub(super) fn typed(&mut self) {
        if let Pairing::Waiting { link, .. } = &self.pairing {
            self.pairing = Pairing::Checking(link.clone());
        }
    }

    /// Takes in how far pairing is; `None` when it is over. Returns what people are told.
    pub(super) fn advance(&mut self, progress: Option<Progress>) -> Option<String> {
        let link = match &self.pairing {
            Pairing::Open(link) | Pairing::Waiting { link, .. } | Pairing::Checking(link) => {
                link.clone()
            }
            Pairing::None | Pairing::Refused | Pairing::Making => String::new(),
        };
        let (pairing, words) = match progress {
            None if self.pairing == Pairing::Refused => return None,
            None | Some(Progress::NotNeeded) => (Pairing::None, None),
            Some(Progress::Refused(why)) => (Pairing::Refused, Some(one_line(&why))),
            Some(Progress::Link(link)) => (Pairing::Open(link), None),
            Some(Progress::Waiting(name)) => (Pairing::Waiting { link, name }, None),
            Some(Progress::WrongCode(left)) => {
                let words = format!("that was not the code; open the link once more ({left} left)");
                (Pairing::Open(link), Some(words))
            }
            Some(Progress::Paired(name)) => {
                let words = format!("{} is paired", one_line(&name));
                (Pairing::None, Some(words))
            }
            Some(Progress::Ended(why)) => {
                let words = format!("no device was paired: {why}; /remote makes a new link");
                self.open = false;
                (Pairing::None, Some(words))
            }
        };
        self.pairing = pairing;
        words
    }

    /// The rows of the live area. The QR code gives way when there is no room for it.
    pub(super) fn rows(&self, remote: Option<&Remote>, columns: usize, room: usize) -> Vec<Line> {
        let Some(remote) = remote.filter(|_| self.open) else {
            return Vec::new();
        };
        let heading = |text: String| Line::styled(text, Style::of(Colour::Cyan)).hanging(2);
        let mut rows = vec![heading(sentence(remote))];
        let (link, words) = match &self.pairing {
            Pairing::Making => return rows,
            Pairing::Refused => {
                let words = "no device can be paired now; /remote tries again";
                rows.push(Line::styled(words, Style::DIM));
                return rows;
            }
            Pairing::None => (remote.link.as_deref(), "On a paired device:".to_owned()),
            Pairing::Open(link) => (
                Some(link.as_str()),
                "Open or scan this on your device. It works once, for ten minutes:".to_owned(),
            ),
            Pairing::Waiting { name, .. } => {
                let name = one_line(name);
                rows.push(Line::styled(
                    format!("{name} shows a code. Type it here and press Enter."),
                    Style::BOLD,
                ));
                return rows;
            }
            Pairing::Checking(_) => {
                rows.push(Line::styled("checking the code …", Style::DIM));
                return rows;
            }
        };
        let Some(link) = link else { return rows };
        if is_own(remote) {
            let words = "This relay is reached from this machine alone; `copilot remote on` says how a phone gets here";
            rows.push(Line::styled(words, Style::DIM).hanging(2));
        }
        rows.push(Line::plain(words));
        rows.push(Line::styled(link.to_owned(), Style::BOLD));
        let coloured = colours();
        if let Some(code) = qr::rows(link, coloured) {
            let width = code.first().map_or(0, |row| row.chars().count());
            if width <= columns && code.len() + rows.len() + 3 <= room {
                let style = match coloured {
                    true => Style::of(Colour::Paper),
                    false => Style::PLAIN,
                };
                rows.extend(code.into_iter().map(|row| Line::styled(row, style)));
            } else {
                let words =
                    "this window is too small for the QR code; it is drawn when there is room";
                rows.push(Line::styled(words, Style::DIM));
            }
        }
        rows.push(Line::styled("Esc or Ctrl+E hides this", Style::DIM));
        rows
    }
}

/// Whether the relay is on this machine: only such a one goes without TLS.
fn is_own(remote: &Remote) -> bool {
    let relay = remote.relay.as_deref();
    relay.is_some_and(|relay| relay.starts_with("http://"))
}

/// Remote access in the status line.
pub(super) fn in_status(remote: &Remote) -> (String, Style) {
    let (mut words, style) = match remote.is_connected() {
        true => ("remote".to_owned(), Style::of(Colour::Cyan)),
        false => {
            let words = format!("remote {}", one_line(&remote.state));
            (words, Style::of(Colour::Yellow))
        }
    };
    if remote.watching > 0 {
        words.push_str(&format!(" ({} watching)", remote.watching));
    }
    (words, style)
}

/// The relay, the state of the link and who watches, in one sentence.
fn sentence(remote: &Remote) -> String {
    let relay = remote.relay.as_deref();
    let mut facts: Vec<String> = relay.map(one_line).into_iter().collect();
    if !remote.is_connected() {
        let since = remote.since.as_deref().map(clock).unwrap_or_default();
        let why = remote.why.as_deref();
        let why = why.map(|why| one_line(because(why, relay)));
        let because = why.map_or(String::new(), |why| format!(" because {why}"));
        facts.push(format!("{}{since}{because}", one_line(&remote.state)));
    }
    facts.push(match remote.watching {
        0 => "no device is watching".to_owned(),
        1 => "one device is watching".to_owned(),
        many => format!("{many} devices are watching"),
    });
    format!("Remote access is on: {}", facts.join(", "))
}

/// ` since 14:05`, in the time of this place.
fn clock(since: &str) -> String {
    let Ok(at) = since.parse::<jiff::Timestamp>() else {
        return String::new();
    };
    let zoned = at.to_zoned(jiff::tz::TimeZone::system());
    format!(" since {:02}:{:02}", zoned.hour(), zoned.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Remote {
        Remote {
            state: "connected".to_owned(),
            relay: Some("https://r.example".to_owned()),
            link: Some("https://r.example/#m=1&s=2".to_owned()),
            ..Remote::default()
        }
    }

    fn text(panel: &RemotePanel, remote: &Remote, room: usize) -> Vec<String> {
        let rows = panel.rows(Some(remote), 80, room);
        rows.iter().map(Line::text).collect()
    }

    #[test]
    fn turning_it_on_here_shows_a_pairing_link_and_then_the_sessions_own() {
        let mut panel = RemotePanel::default();
        assert!(panel.is_on().is_empty(), "turned on elsewhere");
        panel.ask(Asked::On);
        assert_eq!(panel.is_on(), [Effect::Pair]);
        assert_eq!(
            panel.advance(Some(Progress::Link("https://r.example/#pair=x".into()))),
            None
        );
        let shown = text(&panel, &on(), 60);
        assert_eq!(
            shown[0],
            "Remote access is on: https://r.example, no device is watching"
        );
        assert_eq!(shown[2], "https://r.example/#pair=x");
        assert!(shown[3].contains(['█', '▀', '▄', ' ']), "{shown:?}");
        assert!(!panel.wants_code());
        panel.advance(Some(Progress::Waiting("Ada's phone".into())));
        assert!(panel.wants_code());
        assert_eq!(
            text(&panel, &on(), 60)[1],
            "Ada's phone shows a code. Type it here and press Enter."
        );
        panel.typed();
        assert!(!panel.wants_code());
        let words = panel.advance(Some(Progress::WrongCode(2))).unwrap();
        assert_eq!(
            words,
            "that was not the code; open the link once more (2 left)"
        );
        panel.advance(Some(Progress::Waiting("Ada's phone".into())));
        let words = panel
            .advance(Some(Progress::Paired("Ada's phone".into())))
            .unwrap();
        assert_eq!(words, "Ada's phone is paired");
        assert_eq!(text(&panel, &on(), 60)[2], "https://r.example/#m=1&s=2");
        panel.advance(None);
        assert!(panel.close().is_empty());
        assert!(text(&panel, &on(), 60).is_empty());
    }

    #[test]
    fn the_code_gives_way_to_a_small_window_and_the_link_never_does() {
        let mut panel = RemotePanel::default();
        panel.open();
        panel.advance(Some(Progress::NotNeeded));
        let shown = text(&panel, &on(), 10);
        assert_eq!(shown[2], "https://r.example/#m=1&s=2");
        assert!(shown[3].contains("too small"), "{shown:?}");
    }

    #[test]
    fn leaving_ends_a_pairing_that_is_under_way() {
        let mut panel = RemotePanel::default();
        panel.open();
        assert_eq!(panel.close(), [Effect::EndPairing]);
        panel.open();
        panel.advance(Some(Progress::Link("l".into())));
        panel.is_on();
        assert_eq!(panel.is_off(), (vec![Effect::EndPairing], Some(GONE)));
        assert_eq!(panel.is_off(), (Vec::new(), None), "it is said once");
    }

    #[test]
    fn the_status_says_whether_devices_can_come() {
        let watched = Remote {
            watching: 2,
            ..on()
        };
        assert_eq!(in_status(&watched).0, "remote (2 watching)");
        let lost = Remote {
            state: "reconnecting".to_owned(),
            why: Some("the relay does not answer".to_owned()),
            ..on()
        };
        assert_eq!(in_status(&lost).0, "remote reconnecting");
        assert_eq!(
            sentence(&lost),
            "Remote access is on: https://r.example, reconnecting because the relay does not answer, \
             no device is watching"
        );
        let away = Remote {
            why: Some("the relay https://r.example cannot be reached: it is away".to_owned()),
            watching: 1,
            ..lost
        };
        assert_eq!(in_status(&away).0, "remote reconnecting (1 watching)");
        assert_eq!(
            sentence(&away),
            "Remote access is on: https://r.example, reconnecting because it is away, one device is watching"
        );
    }

    #[test]
    fn a_link_that_cannot_be_made_is_told_and_nothing_is_shown_that_no_device_could_open() {
        let mut panel = RemotePanel::default();
        panel.open();
        let words = panel.advance(Some(Progress::Refused("no device can be paired: x".into())));
        assert_eq!(words.as_deref(), Some("no device can be paired: x"));
        assert_eq!(panel.advance(None), None);
        let shown = text(&panel, &on(), 60);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[1].contains("/remote tries again"), "{shown:?}");
        assert!(panel.close().is_empty());
    }

    #[test]
    fn a_relay_that_only_this_machine_reaches_is_said_to_be_one() {
        let mut panel = RemotePanel::default();
        panel.open();
        panel.advance(Some(Progress::NotNeeded));
        let own = Remote {
            relay: Some("http://127.0.0.1:4000".to_owned()),
            ..on()
        };
        assert!(text(&panel, &own, 60)[1].contains("from this machine alone"));
    }
}
