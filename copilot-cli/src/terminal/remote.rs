//! Remote access in the live area: the link, its QR code, and pairing the first device.
//!
//! Pure. What is on is what the session's state says; this only remembers what a person wants to
//! see, and how far pairing is.

use super::app::Effect;
use super::line::{Colour, Line, Style};
use super::pairing::Progress;
use crate::client::Remote;
use crate::output::colours;
use crate::qr;
use crate::text::one_line;

/// What the session's state says; nothing while it is off.
pub(super) use crate::client::remote as of;

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

    /// Shows the link, or a pairing link while no device is paired.
    pub(super) fn open(&mut self) -> Vec<Effect> {
        self.open = true;
        self.pairing = Pairing::Making;
        vec![Effect::Pair]
    }

    /// Hides it. A pairing link that nobody opened is left to expire.
    pub(super) fn close(&mut self) -> Vec<Effect> {
        self.open = false;
        match std::mem::take(&mut self.pairing) {
            Pairing::None => Vec::new(),
            _ => vec![Effect::EndPairing],
        }
    }

    /// The session can be reached.
    pub(super) fn is_on(&mut self) -> Vec<Effect> {
        match self.asked.take() {
            Some(Asked::On) => self.open(),
            None => Vec::new(),
        }
    }

    /// The session cannot be reached.
    pub(super) fn is_off(&mut self) -> Vec<Effect> {
        if self.open { self.close() } else { Vec::new() }
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
            Pairing::None | Pairing::Making => String::new(),
        };
        let (pairing, words) = match progress {
            None | Some(Progress::NotNeeded) => (Pairing::None, None),
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

/// Remote access in the status line.
pub(super) fn in_status(remote: &Remote) -> (String, Style) {
    let style = match remote.is_connected() {
        true => Style::of(Colour::Cyan),
        false => Style::of(Colour::Yellow),
    };
    let words = match (remote.is_connected(), remote.watching) {
        (true, 0) => "remote".to_owned(),
        (true, watching) => format!("remote ({watching} watching)"),
        (false, _) => format!("remote {}", one_line(&remote.state)),
    };
    (words, style)
}

/// The state of the link in one sentence.
fn sentence(remote: &Remote) -> String {
    let devices = match remote.watching {
        0 => "no device is watching".to_owned(),
        1 => "one device is watching".to_owned(),
        many => format!("{many} devices are watching"),
    };
    let relay = remote.relay.as_deref().map(one_line).unwrap_or_default();
    if remote.is_connected() {
        return format!("Remote access is on: {relay}, {devices}");
    }
    let since = remote.since.as_deref().map(clock).unwrap_or_default();
    let because = remote.why.as_deref().map(one_line);
    let because = because.map_or(String::new(), |why| format!(" because {why}"));
    format!(
        "Remote access is on, {}{since}{because}",
        one_line(&remote.state)
    )
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
        assert_eq!(panel.is_off(), [Effect::EndPairing]);
        assert!(panel.is_off().is_empty());
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
            "Remote access is on, reconnecting because the relay does not answer"
        );
    }
}
