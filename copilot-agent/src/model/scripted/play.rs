//! Plays a response of a scenario as a stream. Nothing is prepared ahead: a text that is
//! repeated a million times costs no memory, and dropping the stream ends every wait at once.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    super::{EndReason, ErrorKind, ModelError, ModelEvent, ModelStream, Usage},
    Response, Step,
};

/// How often a waited-for file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Characters of a piece of text when no pace is set.
const PIECE_CHARS: usize = 200;

struct Player {
    steps: std::vec::IntoIter<Step>,
    /// A text that is being repeated, and how many times are left.
    repeating: Option<(String, u64)>,
    ready: VecDeque<ModelEvent>,
    pace: Duration,
    cwd: PathBuf,
    usage: Usage,
    over: bool,
}

pub(super) fn play(response: &Response, pace: Duration, cwd: PathBuf) -> ModelStream {
    let player = Player {
        steps: response.steps.clone().into_iter(),
        repeating: None,
        ready: VecDeque::new(),
        pace,
        cwd,
        usage: response.usage,
        over: false,
    };
    stream::unfold(player, |mut player| async move {
        let event = player.next().await?;
        Some((event, player))
    })
    .boxed()
}

impl Player {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                if !self.pace.is_zero()
                    && matches!(event, ModelEvent::Text(_) | ModelEvent::Reasoning(_))
                {
                    tokio::time::sleep(self.pace).await;
                }
                return Some(Ok(event));
            }
            if let Some((text, times)) = &mut self.repeating {
                if *times > 0 {
                    *times -= 1;
                    let pieces = pieces(text, self.pace.is_zero());
                    self.ready.extend(pieces.map(ModelEvent::Text));
                } else {
                    self.repeating = None;
                }
                continue;
            }
            let Some(step) = self.steps.next() else {
                self.over = true;
                return Some(Ok(ModelEvent::End {
                    reason: EndReason::Complete,
                    usage: self.usage,
                }));
            };
            if let Err(error) = self.take(step).await {
                self.over = true;
                return Some(Err(error));
            }
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), ModelError> {
        match step {
            Step::Say { text, .. } if text.is_empty() => {}
            Step::Say { text, repeat } => self.repeating = Some((text, repeat)),
            Step::Think(text) => self
                .ready
                .extend(pieces(&text, self.pace.is_zero()).map(ModelEvent::Reasoning)),
            Step::Tools(calls) => self.ready.extend(
                calls
                    .into_iter()
                    .map(|(name, input)| ModelEvent::ToolCall { name, input }),
            ),
            Step::Delay(duration) => tokio::time::sleep(duration).await,
            Step::WaitForFile(path) => {
                let path = self.cwd.join(path);
                while !path.exists() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            Step::WriteFile(path) => {
                let path = self.cwd.join(path);
                std::fs::write(&path, "").map_err(|error| {
                    ModelError::new(
                        ErrorKind::Model,
                        format!("The scenario cannot write {}: {error}.", path.display()),
                        "Correct write_file in the scenario.",
                    )
                })?;
            }
            Step::Fail(error) => return Err(error),
        }
        Ok(())
    }
}

/// A text in the pieces that it is streamed in: words, or larger ones.
fn pieces(text: &str, large: bool) -> impl Iterator<Item = String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        match pieces.last_mut() {
            Some(piece) if large && piece.len() + word.len() <= PIECE_CHARS => piece.push_str(word),
            _ => pieces.push(word.to_owned()),
        }
    }
    pieces.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    async fn played(steps: Vec<Step>, cwd: PathBuf) -> Vec<Result<ModelEvent, ModelError>> {
        let response = Response {
            steps,
            ..Response::default()
        };
        play(&response, Duration::ZERO, cwd).collect().await
    }

    #[tokio::test]
    async fn steps_are_played_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let events = played(
            vec![
                Step::WriteFile("marker".to_owned()),
                Step::WaitForFile("marker".to_owned()),
                Step::Say {
                    text: "a b ".to_owned(),
                    repeat: 2,
                },
                Step::Tools(vec![("view".to_owned(), Value::Null)]),
            ],
            folder.path().to_owned(),
        )
        .await;
        let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            events,
            [
                ModelEvent::Text("a b ".to_owned()),
                ModelEvent::Text("a b ".to_owned()),
                ModelEvent::ToolCall {
                    name: "view".to_owned(),
                    input: Value::Null
                },
                ModelEvent::End {
                    reason: EndReason::Complete,
                    usage: Usage::default()
                },
            ]
        );
        assert!(folder.path().join("marker").exists());
    }

    #[tokio::test]
    async fn a_failure_ends_the_stream() {
        let error = ModelError::new(ErrorKind::Auth, "no", "do");
        let steps = vec![Step::Fail(error.clone()), Step::Think("x".to_owned())];
        assert_eq!(played(steps, PathBuf::from("/")).await, [Err(error)]);
    }
}
