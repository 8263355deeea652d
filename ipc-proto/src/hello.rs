//! How a connection begins: the client's hello, and the daemon's welcome or refusal.
//!
//! Owns three byte layouts that are frozen for ever, because they are what programs of different releases
//! understand of each other before they agree on a version. Must never use bincode or depend on a version;
//! later releases may append bytes, which this one ignores.

use bytes::{Buf, BufMut};

use crate::frame::{FrameError, Kind};

/// The lowest protocol version that this build speaks.
pub const PROTOCOL_MIN: u16 = 1;
/// The highest protocol version that this build speaks.
pub const PROTOCOL_MAX: u16 = 1;

const MAGIC: &[u8; 8] = b"COPILOTD";
/// Keeps a refusal well inside one frame.
const MAX_HINT_BYTES: usize = 4096;

/// What a connection may do, as the daemon judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A person's own program: may do everything.
    Local,
    /// A program that an agent started: may only read.
    Agent,
}

/// The client's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The lowest protocol version the client speaks.
    pub min: u16,
    /// The highest protocol version the client speaks.
    pub max: u16,
    /// The client's build, for people; at most 255 bytes travel.
    pub build: String,
}

/// The daemon's answer when a version is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version both sides use from here on.
    pub version: u16,
    /// What this connection may do.
    pub trust: Trust,
    /// The daemon's build, for people; at most 255 bytes travel.
    pub build: String,
}

/// The daemon's answer when no version is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The lowest protocol version the daemon speaks.
    pub min: u16,
    /// The highest protocol version the daemon speaks.
    pub max: u16,
    /// The daemon's build, for people; at most 255 bytes travel.
    pub build: String,
    /// What the person can do about it.
    pub hint: String,
}

impl Hello {
    /// The hello of this build.
    #[must_use]
    pub fn new(build: &str) -> Self {
        Self {
            min: PROTOCOL_MIN,
            max: PROTOCOL_MAX,
            build: build.to_owned(),
        }
    }

    /// The frame's payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u16(self.min);
        bytes.put_u16(self.max);
        put_short_text(&self.build, &mut bytes);
        bytes
    }

    /// Reads a payload. Bytes after the layout are ignored.
    ///
    /// # Errors
    /// When the bytes are not this layout.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::after_magic(Kind::Hello, payload)?;
        Ok(Self {
            min: fields.number()?,
            max: fields.number()?,
            build: fields.short_text()?,
        })
    }
}

impl Welcome {
    /// The frame's payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u16(self.version);
        bytes.put_u8(match self.trust {
            Trust::Local => 0,
            Trust::Agent => 1,
        });
        put_short_text(&self.build, &mut bytes);
        bytes
    }

    /// Reads a payload. Bytes after the layout are ignored, and a level of trust that this build does not
    /// know counts as the lowest.
    ///
    /// # Errors
    /// When the bytes are not this layout.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::after_magic(Kind::Welcome, payload)?;
        Ok(Self {
            version: fields.number()?,
            trust: if fields.byte()? == 0 {
                Trust::Local
            } else {
                Trust::Agent
            },
            build: fields.short_text()?,
        })
    }
}

impl Refused {
    /// The frame's payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u16(self.min);
        bytes.put_u16(self.max);
        put_short_text(&self.build, &mut bytes);
        let hint = shortened(&self.hint, MAX_HINT_BYTES);
        bytes.put_u16(hint.len() as u16);
        bytes.put_slice(hint.as_bytes());
        bytes
    }

    /// Reads a payload. Bytes after the layout are ignored.
    ///
    /// # Errors
    /// When the bytes are not this layout.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::after_magic(Kind::Refused, payload)?;
        let (min, max, build) = (fields.number()?, fields.number()?, fields.short_text()?);
        let hint_bytes = fields.number()?;
        Ok(Self {
            min,
            max,
            build,
            hint: fields.text(usize::from(hint_bytes))?,
        })
    }
}

/// What the daemon answers to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A version is shared.
    Welcome(Welcome),
    /// None is.
    Refused(Refused),
}

/// Decides what a daemon that speaks `PROTOCOL_MIN..=PROTOCOL_MAX` answers: the highest shared version, or
/// a refusal that says which of the two programs is the older one.
#[must_use]
pub fn answer(hello: &Hello, build: &str, trust: Trust) -> Answer {
    answer_between(PROTOCOL_MIN, PROTOCOL_MAX, hello, build, trust)
}

fn answer_between(min: u16, max: u16, hello: &Hello, build: &str, trust: Trust) -> Answer {
    let (lowest, highest) = (min.max(hello.min), max.min(hello.max));
    if lowest <= highest {
        return Answer::Welcome(Welcome {
            version: highest,
            trust,
            build: build.to_owned(),
        });
    }
    let hint = if hello.max < min {
        format!(
            "this command ({}) is older than the running daemon ({build}): update the command, or run \
             the one that came with the daemon",
            hello.build
        )
    } else {
        format!(
            "the running daemon ({build}) is older than this command ({}): run `copilot daemon stop` \
             with the version that started it, and the next command starts the new one",
            hello.build
        )
    };
    Answer::Refused(Refused {
        min,
        max,
        build: build.to_owned(),
        hint,
    })
}

fn put_short_text(text: &str, bytes: &mut Vec<u8>) {
    let text = shortened(text, usize::from(u8::MAX));
    bytes.put_u8(text.len() as u8);
    bytes.put_slice(text.as_bytes());
}

/// The longest beginning of `text` with at most `max` bytes that ends between two characters.
fn shortened(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Reads the fields of a layout one after the other.
struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn after_magic(kind: Kind, payload: &'a [u8]) -> Result<Self, FrameError> {
        match payload.strip_prefix(MAGIC) {
            Some(rest) => Ok(Self { kind, rest }),
            None => Err(FrameError::Handshake {
                kind,
                what: "it does not begin with COPILOTD",
            }),
        }
    }

    fn too_short(&self) -> FrameError {
        FrameError::Handshake {
            kind: self.kind,
            what: "it is too short",
        }
    }

    fn number(&mut self) -> Result<u16, FrameError> {
        self.rest.try_get_u16().map_err(|_| self.too_short())
    }

    fn byte(&mut self) -> Result<u8, FrameError> {
        self.rest.try_get_u8().map_err(|_| self.too_short())
    }

    fn text(&mut self, bytes: usize) -> Result<String, FrameError> {
        let (text, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or_else(|| self.too_short())?;
        self.rest = rest;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(FrameError::Handshake {
                kind: self.kind,
                what: "its text is not UTF-8",
            }),
        }
    }

    fn short_text(&mut self) -> Result<String, FrameError> {
        let bytes = self.byte()?;
        self.text(usize::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(min: u16, max: u16) -> Hello {
        Hello {
            min,
            max,
            build: "copilot 2".to_owned(),
        }
    }

    #[test]
    fn the_highest_shared_version_is_chosen() {
        // (daemon, client, chosen): one release older and newer on either side must still meet.
        let cases = [
            ((1, 1), (1, 1), Some(1)),
            ((1, 2), (1, 1), Some(1)),
            ((1, 1), (1, 2), Some(1)),
            ((2, 3), (1, 2), Some(2)),
            ((1, 2), (2, 3), Some(2)),
            ((1, 3), (2, 2), Some(2)),
            ((2, 3), (1, 1), None),
            ((1, 1), (2, 3), None),
            ((1, 1), (2, 1), None),
            ((1, 1), (0, u16::MAX), Some(1)),
        ];
        for (daemon, client, chosen) in cases {
            let answer = answer_between(
                daemon.0,
                daemon.1,
                &hello(client.0, client.1),
                "d",
                Trust::Local,
            );
            let version = match answer {
                Answer::Welcome(welcome) => Some(welcome.version),
                Answer::Refused(refused) => {
                    assert_eq!((refused.min, refused.max), daemon);
                    None
                }
            };
            assert_eq!(version, chosen, "daemon {daemon:?}, client {client:?}");
        }
    }

    #[test]
    fn a_refusal_says_which_program_is_the_older_one() {
        let hint = |min, max| match answer_between(2, 2, &hello(min, max), "d", Trust::Local) {
            Answer::Refused(refused) => refused.hint,
            Answer::Welcome(welcome) => panic!("{welcome:?}"),
        };
        assert!(hint(1, 1).starts_with("this command (copilot 2) is older"));
        assert!(hint(3, 4).starts_with("the running daemon (d) is older"));
    }

    #[test]
    fn layouts_survive_a_round_trip_and_ignore_what_follows() {
        let refused = Refused {
            min: 3,
            max: 9,
            build: "b".to_owned(),
            hint: "update it".to_owned(),
        };
        let welcome = Welcome {
            version: 7,
            trust: Trust::Agent,
            build: "ü".to_owned(),
        };
        let with_tail = |mut bytes: Vec<u8>| {
            bytes.extend([0xff; 5]);
            bytes
        };
        assert_eq!(
            Hello::decode(&with_tail(hello(1, 2).encode())).unwrap(),
            hello(1, 2)
        );
        assert_eq!(
            Welcome::decode(&with_tail(welcome.encode())).unwrap(),
            welcome
        );
        assert_eq!(
            Refused::decode(&with_tail(refused.encode())).unwrap(),
            refused
        );
    }

    #[test]
    fn long_texts_are_shortened_between_characters() {
        let long = Hello {
            min: 1,
            max: 1,
            build: "ü".repeat(200),
        };
        assert_eq!(
            Hello::decode(&long.encode()).unwrap().build,
            "ü".repeat(127)
        );
        let long = Refused {
            min: 1,
            max: 1,
            build: String::new(),
            hint: "x".repeat(100_000),
        };
        assert_eq!(
            Refused::decode(&long.encode()).unwrap().hint.len(),
            MAX_HINT_BYTES
        );
    }

    #[test]
    fn every_cut_of_a_layout_is_an_error() {
        let hello = hello(1, 1).encode();
        let welcome = Welcome {
            version: 1,
            trust: Trust::Local,
            build: "b".to_owned(),
        }
        .encode();
        let refused = Refused {
            min: 1,
            max: 1,
            build: "b".to_owned(),
            hint: "h".to_owned(),
        }
        .encode();
        for cut in 0..hello.len() {
            assert!(Hello::decode(&hello[..cut]).is_err());
        }
        for cut in 0..welcome.len() {
            assert!(Welcome::decode(&welcome[..cut]).is_err());
        }
        for cut in 0..refused.len() {
            assert!(Refused::decode(&refused[..cut]).is_err());
        }
    }

    #[test]
    fn an_unknown_level_of_trust_counts_as_the_lowest() {
        let mut bytes = Welcome {
            version: 1,
            trust: Trust::Local,
            build: String::new(),
        }
        .encode();
        bytes[10] = 9;
        assert_eq!(Welcome::decode(&bytes).unwrap().trust, Trust::Agent);
    }
}
