//! A client for the tests of tools: it allows everything and remembers what it was told.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use agent_client_protocol::v1::schema::{SessionUpdate, ToolCallUpdate};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::mode::SharedMode;

use super::{Answer, Decision, Grant, Host, Outcome, Prepared, Question, Tool, ToolContext};

#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) updates: Mutex<Vec<SessionUpdate>>,
    pub(crate) questions: Mutex<Vec<Question>>,
    pub(crate) answer: Mutex<Option<Answer>>,
    /// The client does not read: updates wait for ever.
    pub(crate) stuck: AtomicBool,
}

impl Host for TestHost {
    fn update(&self, update: SessionUpdate) -> BoxFuture<'_, ()> {
        self.updates.lock().unwrap().push(update);
        if self.stuck.load(Ordering::Relaxed) {
            return std::future::pending().boxed();
        }
        async {}.boxed()
    }

    fn request_permission(&self, _call: ToolCallUpdate) -> BoxFuture<'_, Decision> {
        async { Decision::Allowed(Grant::default()) }.boxed()
    }

    fn ask<'a>(&'a self, _call_id: &'a str, question: &'a Question) -> BoxFuture<'a, Answer> {
        self.questions.lock().unwrap().push(question.clone());
        let answer = self.answer.lock().unwrap().clone();
        async move { answer.unwrap_or(Answer::Declined) }.boxed()
    }

    fn shows_terminal_output(&self) -> bool {
        true
    }

    fn decides_reads(&self) -> bool {
        false
    }
}

impl TestHost {
    /// The streamed output of shell calls.
    pub(crate) fn terminal_output(&self) -> String {
        self.updates
            .lock()
            .unwrap()
            .iter()
            .filter_map(|update| match update {
                SessionUpdate::ToolCallUpdate(update) => update.meta.as_ref(),
                _ => None,
            })
            .filter_map(|meta| meta.get("terminal_output")?.get("data")?.as_str())
            .collect()
    }
}

pub(crate) fn context(cwd: &Path) -> (ToolContext, Arc<TestHost>) {
    let host = Arc::new(TestHost::default());
    let context = ToolContext {
        cwd: cwd.canonicalize().unwrap(),
        call_id: format!("call-{}", uuid::Uuid::new_v4()),
        host: host.clone(),
        mode: SharedMode::default(),
        cancel: CancellationToken::new(),
        background: TaskTracker::new(),
        grant: Arc::default(),
    };
    (context, host)
}

/// Prepares a call. A wrong input is an error.
pub(crate) fn prepare(tool: &dyn Tool, cwd: &Path, input: &Value) -> Result<Prepared, String> {
    tool.prepare(input, &context(cwd).0)
}

/// Runs a call without asking. A wrong input is a failure.
pub(crate) async fn run(tool: &dyn Tool, cwd: &Path, input: Value) -> Outcome {
    match prepare(tool, cwd, &input) {
        Ok(prepared) => prepared.run.await,
        Err(error) => Outcome::failed(error),
    }
}
