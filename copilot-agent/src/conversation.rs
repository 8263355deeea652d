//! What was said and done in a session, and its file.
//!
//! A conversation only grows. With a state folder it is kept as JSON lines, one message a
//! line, each written before anything is built on it. A file that cannot be read is never
//! overwritten; only a last line that a crash cut short is dropped.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use agent_client_protocol::v1::schema::{ToolCallContent, ToolCallLocation, ToolKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The format of the file. Changes are additions; this rises only if one cannot be.
const FORMAT: u32 = 1;

/// A call of a tool, as the model asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique in the session; also the id of the ACP tool call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Its input: an object, unless the model made a mistake.
    pub input: Value,
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what it was asked to.
    Completed,
    /// It could not; the text says why.
    Failed,
    /// The person, or a rule of theirs, did not allow it.
    Denied,
    /// The turn was cancelled before it ended.
    Cancelled,
}

/// The result of a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Id of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// How it ended.
    pub status: ToolStatus,
    /// What the model reads.
    pub text: String,
    /// What a person saw, for a replay.
    pub view: ToolView,
}

/// What a person sees of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolView {
    /// One line saying what it does.
    pub title: String,
    /// The kind that clients choose an icon by.
    pub kind: ToolKind,
    /// Text and diffs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ToolCallContent>,
    /// Files it reads or changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<ToolCallLocation>,
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// A person's words.
    User {
        /// The words.
        text: String,
        /// They joined a running turn instead of starting one.
        #[serde(default)]
        steering: bool,
    },
    /// A response of the model.
    Assistant {
        /// What it said; may be empty.
        text: String,
        /// What it thought, where the provider shows it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reasoning: String,
        /// The tools it called.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// The result of one of these calls.
    Tool(ToolResult),
}

impl Message {
    /// Whether this is the prompt that started a turn.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        matches!(
            self,
            Self::User {
                steering: false,
                ..
            }
        )
    }
}

/// Why a conversation cannot be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The id is not one that this agent makes.
    #[error("{0:?} is not the id of a session")]
    Id(String),
    /// There is no such file.
    #[error("there is no stored conversation {0}")]
    Missing(String),
    /// The file is of a newer version or damaged.
    #[error("the conversation in {path} cannot be read: line {line}: {reason}")]
    Damaged {
        /// The file, left as it is.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl StateError {
    /// Whether it passes when somebody makes room on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    session: String,
    cwd: PathBuf,
}

/// The messages of a session, and the file that they are kept in, if any.
#[derive(Debug)]
pub struct Conversation {
    messages: Vec<Message>,
    file: Option<(PathBuf, File)>,
}

impl Conversation {
    /// An empty conversation; kept in `folder` when there is one.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: Option<&Path>, session: &str, cwd: &Path) -> Result<Self, StateError> {
        let Some(folder) = folder else {
            return Ok(Self {
                messages: Vec::new(),
                file: None,
            });
        };
        let path = file_of(folder, session)?;
        let result = fs::create_dir_all(folder)
            .and_then(|()| options().create_new(true).open(&path))
            .and_then(|mut file| {
                let header = Header {
                    format: FORMAT,
                    session: session.to_owned(),
                    cwd: cwd.to_owned(),
                };
                write_line(&mut file, &header)?;
                Ok(file)
            });
        match result {
            Ok(file) => Ok(Self {
                messages: Vec::new(),
                file: Some((path, file)),
            }),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }

    /// The conversation of `session` that is kept in `folder`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read; the file is then left as it is.
    pub fn load(folder: &Path, session: &str) -> Result<Self, StateError> {
        let path = file_of(folder, session)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Missing(session.to_owned()));
            }
            Err(source) => return Err(StateError::Io { path, source }),
        };
        // A line is complete when its line feed was written.
        let complete = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let damaged = |line: usize, reason: String| StateError::Damaged {
            path: path.clone(),
            line,
            reason,
        };
        let mut lines = bytes[..complete]
            .split(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.is_empty());
        let header = lines
            .next()
            .ok_or_else(|| damaged(1, "the file is empty".to_owned()))
            .and_then(|(number, line)| {
                serde_json::from_slice::<Header>(line)
                    .map_err(|error| damaged(number, error.to_string()))
            })?;
        if header.format > FORMAT {
            return Err(damaged(1, "it was written by a newer version".to_owned()));
        }
        let messages = lines
            .map(|(number, line)| {
                serde_json::from_slice::<Message>(line)
                    .map_err(|error| damaged(number, error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let io_error = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        if complete < bytes.len() {
            tracing::warn!(path = %path.display(), "dropping a line that was cut short");
            replace(&path, &bytes[..complete]).map_err(io_error)?;
        }
        let file = options().open(&path).map_err(io_error)?;
        Ok(Self {
            messages,
            file: Some((path, file)),
        })
    }

    /// All messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message, to the file first.
    ///
    /// # Errors
    /// When it cannot be written; it is then not part of the conversation.
    pub fn push(&mut self, message: Message) -> Result<(), StateError> {
        if let Some((path, file)) = &mut self.file {
            write_line(file, &message).map_err(|source| StateError::Io {
                path: path.clone(),
                source,
            })?;
        }
        self.messages.push(message);
        Ok(())
    }

    /// The messages as a model may see them: every call has exactly one result, right after
    /// the response it is in, also when a crash or a cancel left some out.
    #[must_use]
    pub fn for_model(&self) -> Vec<Message> {
        let mut complete = Vec::with_capacity(self.messages.len());
        let mut open: Vec<&ToolCall> = Vec::new();
        for message in &self.messages {
            if let Message::Tool(result) = message {
                let before = open.len();
                open.retain(|call| call.id != result.id);
                if open.len() == before {
                    continue;
                }
            } else {
                complete.extend(open.drain(..).map(interrupted));
            }
            complete.push(message.clone());
            if let Message::Assistant { tool_calls, .. } = message {
                open.extend(tool_calls);
            }
        }
        complete.extend(open.drain(..).map(interrupted));
        complete
    }
}

fn interrupted(call: &ToolCall) -> Message {
    Message::Tool(ToolResult {
        id: call.id.clone(),
        name: call.name.clone(),
        status: ToolStatus::Cancelled,
        text: "Interrupted before it ended; it may have had an effect.".to_owned(),
        view: ToolView::default(),
    })
}

/// The file of a session. Ids come from a client, so only the form that this agent makes is
/// taken: nothing that could name another folder.
fn file_of(folder: &Path, session: &str) -> Result<PathBuf, StateError> {
    let valid = !session.is_empty()
        && session.len() <= 64
        && session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !valid {
        return Err(StateError::Id(session.to_owned()));
    }
    Ok(folder.join(format!("{session}.jsonl")))
}

fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    // A conversation may hold anything that a tool read, so it is the owner's alone.
    options.append(true).mode(0o600);
    options
}

fn write_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let before = file.metadata()?.len();
    // One write, so that a crash leaves at most one incomplete line, at the end.
    file.write_all(&line).inspect_err(|_| {
        // A full disk may take a part of it; the next line must not follow that.
        if let Err(error) = file.set_len(before) {
            tracing::error!(%error, "a line that was cut short could not be taken back");
        }
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("jsonl.new");
    let mut file = options().create(true).truncate(false).open(&temporary)?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user(text: &str) -> Message {
        Message::User {
            text: text.to_owned(),
            steering: false,
        }
    }

    fn calls(ids: &[&str]) -> Message {
        Message::Assistant {
            text: String::new(),
            reasoning: String::new(),
            tool_calls: ids
                .iter()
                .map(|id| ToolCall {
                    id: (*id).to_owned(),
                    name: "view".to_owned(),
                    input: json!({"path": "a"}),
                })
                .collect(),
        }
    }

    fn result(id: &str) -> Message {
        Message::Tool(ToolResult {
            id: id.to_owned(),
            name: "view".to_owned(),
            status: ToolStatus::Completed,
            text: "text".to_owned(),
            view: ToolView::default(),
        })
    }

    #[test]
    fn a_conversation_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut written =
            Conversation::create(Some(folder.path()), "abc-1", Path::new("/w")).unwrap();
        for message in [user("hello"), calls(&["c1"]), result("c1")] {
            written.push(message).unwrap();
        }
        let read = Conversation::load(folder.path(), "abc-1").unwrap();
        assert_eq!(read.messages(), written.messages());
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut written =
            Conversation::create(Some(folder.path()), "abc", Path::new("/w")).unwrap();
        written.push(user("hello")).unwrap();
        let path = folder.path().join("abc.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"role":"user","te"#);
        fs::write(&path, bytes).unwrap();

        let mut read = Conversation::load(folder.path(), "abc").unwrap();
        assert_eq!(read.messages(), [user("hello")]);
        read.push(user("again")).unwrap();
        let read = Conversation::load(folder.path(), "abc").unwrap();
        assert_eq!(read.messages(), [user("hello"), user("again")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_does_not_take_is_not_said() {
        let path = PathBuf::from("/dev/full");
        let file = options().open(&path).unwrap();
        let mut conversation = Conversation {
            messages: Vec::new(),
            file: Some((path, file)),
        };
        let error = conversation.push(user("hello")).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        assert_eq!(conversation.messages(), []);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        Conversation::create(Some(folder.path()), "abc", Path::new("/w")).unwrap();
        let path = folder.path().join("abc.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"garbage\n{\"role\":\"user\",\"text\":\"x\"}\n");
        fs::write(&path, &bytes).unwrap();
        let error = Conversation::load(folder.path(), "abc").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn ids_cannot_name_other_folders() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["", "../x", "a/b", "a.b", &"x".repeat(65)] {
            let error = Conversation::load(folder.path(), id).unwrap_err();
            assert!(matches!(error, StateError::Id(_)), "{id:?}: {error}");
        }
    }

    #[test]
    fn models_see_a_result_for_every_call() {
        let cases = [
            // A crash in the middle of the calls.
            (
                vec![user("a"), calls(&["1", "2"]), result("1"), user("b")],
                vec!["1", "2"],
            ),
            // Nothing missing.
            (vec![user("a"), calls(&["1"]), result("1")], vec!["1"]),
            // A result without a call.
            (vec![user("a"), result("9")], vec![]),
        ];
        for (messages, expected) in cases {
            let mut conversation = Conversation::create(None, "x", Path::new("/w")).unwrap();
            for message in messages {
                conversation.push(message).unwrap();
            }
            let ids: Vec<_> = conversation
                .for_model()
                .into_iter()
                .filter_map(|message| match message {
                    Message::Tool(result) => Some(result.id),
                    _ => None,
                })
                .collect();
            assert_eq!(ids, expected);
        }
    }
}
