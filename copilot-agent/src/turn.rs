//! The loop of a turn: the model, the tools it calls, the model again, until it calls none.
//!
//! Everything that is sent to the client about a turn is sent from here. Each step is kept in
//! the conversation before the next one starts. A cancel is seen at every await.

use std::sync::Arc;

use agent_client_protocol::v1::schema::{
    ContentBlock, ContentChunk, SessionInfoUpdate, SessionUpdate, StopReason,
    ToolCall as AcpToolCall, ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields, ToolKind,
};
use futures_util::StreamExt;
use thiserror::Error;
use tokio::time::{Duration, sleep};
use tokio_util::task::TaskTracker;

use crate::{
    conversation::{Conversation, Message, StateError, ToolCall, ToolResult, ToolStatus, ToolView},
    model::{EndReason, Model, ModelError, ModelEvent, ModelRequest, Usage},
    prompt,
    session::RunningTurn,
    tools::{self, Decision, Host, Outcome, Permission, Tool, ToolContext, text_content},
};

/// Most calls of the model in one turn.
const MAX_MODEL_CALLS: usize = 200;
/// How long a tool may take to clean up after a cancel, before it is left alone.
const CLEAN_UP: Duration = Duration::from_secs(2);

/// Between two looks for room on a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnd {
    /// Why.
    pub reason: StopReason,
    /// What it used.
    pub usage: Usage,
    /// Whether the task was declared complete.
    pub complete: bool,
}

/// Why a turn could not go on.
#[derive(Debug, Error)]
pub enum TurnError {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The conversation cannot be kept.
    #[error("the conversation cannot be kept: {0}")]
    State(#[from] StateError),
    /// The turn was used after its end.
    #[error("the turn has ended")]
    Ended,
}

/// Runs a turn that starts with `text`.
///
/// # Errors
/// When the model fails, or the conversation cannot be kept. What was said until then is kept.
pub async fn run(
    turn: &mut RunningTurn,
    text: String,
    model: Arc<dyn Model>,
    host: Arc<dyn Host>,
    background: TaskTracker,
) -> Result<TurnEnd, TurnError> {
    let is_first = !conversation(turn)?
        .messages()
        .iter()
        .any(Message::is_prompt);
    if let (true, Some(title)) = (is_first, prompt::title(&text)) {
        let info = SessionInfoUpdate::new().title(title);
        host.update(SessionUpdate::SessionInfoUpdate(info)).await;
    }
    let message = Message::User {
        text,
        steering: false,
    };
    keep(turn, message).await?;
    let session = Arc::clone(turn.session());
    let mut running = Loop {
        turn,
        model,
        host,
        background,
        system: prompt::system_prompt(session.cwd()),
        tools: tools::all(),
        usage: Usage::default(),
        complete: false,
    };
    let reason = running.run().await?;
    Ok(TurnEnd {
        reason,
        usage: running.usage,
        complete: running.complete,
    })
}

fn conversation(turn: &mut RunningTurn) -> Result<&mut Conversation, TurnError> {
    turn.conversation_mut().ok_or(TurnError::Ended)
}

/// Adds a message to the conversation. While the disk is full this waits until there is room, or
/// until the turn is cancelled: nothing is built on what is not kept.
async fn keep(turn: &mut RunningTurn, message: Message) -> Result<(), TurnError> {
    let cancel = turn.cancel_token();
    loop {
        match conversation(turn)?.push(message.clone()) {
            Err(error) if error.is_disk_full() && !cancel.is_cancelled() => {
                tracing::warn!(%error, "waiting for room on the disk");
            }
            kept => return Ok(kept?),
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = sleep(FULL_DISK_PAUSE) => {}
        }
    }
}

struct Loop<'a> {
    turn: &'a mut RunningTurn,
    model: Arc<dyn Model>,
    host: Arc<dyn Host>,
    background: TaskTracker,
    system: String,
    tools: Vec<Box<dyn Tool>>,
    usage: Usage,
    complete: bool,
}

/// What comes after a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The next call, or the model again.
    GoOn,
    /// The end of the turn: what it was for is done, or not wanted any more.
    End,
    /// The end of the turn, because somebody cancelled it.
    Cancelled,
}

/// A response of the model.
#[derive(Default)]
struct Response {
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
}

/// How a response ended.
enum ResponseEnd {
    Complete(EndReason),
    Cancelled,
    Failed(ModelError),
}

impl Loop<'_> {
    async fn run(&mut self) -> Result<StopReason, TurnError> {
        for _ in 0..MAX_MODEL_CALLS {
            self.join_steering().await?;
            let mut response = Response::default();
            let end = self.respond(&mut response).await;
            let calls = response.calls.clone();
            // What was shown is kept, also of a response that broke off; calls that it did not
            // complete are not among it.
            let message = Message::Assistant {
                text: response.text,
                reasoning: response.reasoning,
                tool_calls: response.calls,
            };
            keep(self.turn, message).await?;
            let reason = match end {
                ResponseEnd::Complete(reason) => reason,
                ResponseEnd::Cancelled => return Ok(StopReason::Cancelled),
                ResponseEnd::Failed(error) => return Err(error.into()),
            };
            if !calls.is_empty() {
                match self.call_tools(calls).await? {
                    Flow::GoOn => continue,
                    // Words that came in the meantime are answered first.
                    Flow::End if self.join_steering().await? => {
                        self.complete = false;
                        continue;
                    }
                    Flow::End => return Ok(StopReason::EndTurn),
                    Flow::Cancelled => return Ok(StopReason::Cancelled),
                }
            }
            match reason {
                EndReason::Refusal => return Ok(StopReason::Refusal),
                EndReason::MaxTokens => return Ok(StopReason::MaxTokens),
                // Words that came in the meantime are answered in this turn.
                EndReason::Complete if self.join_steering().await? => {}
                EndReason::Complete => return Ok(StopReason::EndTurn),
            }
        }
        Ok(StopReason::MaxTurnRequests)
    }

    /// Adds the texts that wait to join. Returns whether there were any.
    async fn join_steering(&mut self) -> Result<bool, TurnError> {
        let mut any = false;
        while let Some(steering) = self.turn.next_steering() {
            let message = Message::User {
                text: steering.text().to_owned(),
                steering: true,
            };
            keep(self.turn, message).await?;
            steering.joined();
            any = true;
        }
        Ok(any)
    }

    async fn respond(&mut self, response: &mut Response) -> ResponseEnd {
        let cancel = self.turn.cancel_token();
        let mode = self.turn.session().mode().get();
        let request = ModelRequest {
            system: format!("{}{}", self.system, mode.instructions()),
            messages: self
                .turn
                .conversation()
                .map(Conversation::for_model)
                .unwrap_or_default(),
            tools: self
                .tools
                .iter()
                .filter(|tool| tool.is_offered_in(mode))
                .map(|tool| tool.spec())
                .collect(),
            cwd: self.turn.session().cwd().to_owned(),
        };
        // Dropping the stream ends the request.
        tokio::select! {
            biased;
            () = cancel.cancelled() => ResponseEnd::Cancelled,
            end = stream_response(&*self.model, request, &*self.host, response, &mut self.usage) => {
                end.map_or_else(ResponseEnd::Failed, ResponseEnd::Complete)
            }
        }
        .without_calls_unless_complete(response)
    }

    /// Runs the calls of a response, one after the other.
    async fn call_tools(&mut self, calls: Vec<ToolCall>) -> Result<Flow, TurnError> {
        let cancel = self.turn.cancel_token();
        let mut flow = Flow::GoOn;
        for call in calls {
            if cancel.is_cancelled() {
                flow = Flow::Cancelled;
            }
            let result = if flow == Flow::GoOn {
                let (result, next) = self.call_tool(call).await;
                flow = next;
                result
            } else {
                // The model must know that it was not run; people never saw it.
                ToolResult {
                    id: call.id,
                    name: call.name,
                    status: ToolStatus::Cancelled,
                    text: "Not run: the turn ended before.".to_owned(),
                    view: ToolView::default(),
                }
            };
            keep(self.turn, Message::Tool(result)).await?;
        }
        Ok(match cancel.is_cancelled() {
            true => Flow::Cancelled,
            false => flow,
        })
    }

    async fn call_tool(&mut self, call: ToolCall) -> (ToolResult, Flow) {
        let cancel = self.turn.cancel_token();
        let Some(tool) = self.tools.iter().find(|tool| tool.spec().name == call.name) else {
            let names: Vec<_> = self.tools.iter().map(|tool| tool.spec().name).collect();
            let reason = format!(
                "There is no tool {:?}. The tools are {}.",
                call.name,
                names.join(", ")
            );
            return (self.refuse(call, reason).await, Flow::GoOn);
        };
        let ends_turn = call.name == tools::task_complete::NAME;
        let context = ToolContext {
            cwd: self.turn.session().cwd().to_owned(),
            call_id: call.id.clone(),
            host: Arc::clone(&self.host),
            mode: self.turn.session().mode().clone(),
            cancel: cancel.clone(),
            background: self.background.clone(),
            grant: Arc::default(),
        };
        let grant = Arc::clone(&context.grant);
        let prepared = match tool.prepare(&call.input, &context) {
            Ok(prepared) => prepared,
            Err(reason) => return (self.refuse(call, reason).await, Flow::GoOn),
        };
        let mut view = ToolView {
            title: prepared.title,
            kind: match (prepared.permission, tool.kind()) {
                // An edit that turned out to be impossible only tells what it read.
                (Permission::ReadInside, ToolKind::Edit) => ToolKind::Read,
                (_, kind) => kind,
            },
            content: prepared.content,
            locations: prepared.locations,
        };
        let announced = announcement(&call, &view);
        self.host
            .update(SessionUpdate::ToolCall(announced.clone()))
            .await;
        let is_asked = match prepared.permission {
            Permission::NotNeeded => false,
            Permission::ReadInside => self.host.decides_reads(),
            Permission::Needed => true,
        };
        if is_asked {
            let mut request = ToolCallUpdate::from(announced);
            if let Some(details) = prepared.details {
                let found = tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(Outcome::cancelled("Cancelled.")),
                    found = details => found,
                };
                match found {
                    Ok(meta) => request = request.meta(meta),
                    Err(outcome) => return (self.conclude(call, view, outcome).await, Flow::GoOn),
                }
            }
            let decision = tokio::select! {
                biased;
                () = cancel.cancelled() => Decision::Cancelled,
                decision = self.host.request_permission(request) => decision,
            };
            let (outcome, flow) = match decision {
                Decision::Allowed(granted) => {
                    // It is empty until here: a call is asked about once.
                    let _ = grant.set(granted);
                    (None, Flow::GoOn)
                }
                Decision::Denied(reason) => {
                    let outcome = Outcome::new(ToolStatus::Denied, reason);
                    (Some(outcome), Flow::GoOn)
                }
                Decision::Left => {
                    let words = "The person does not want this any more, and nothing instead.";
                    let outcome = Outcome::new(ToolStatus::Denied, words);
                    (Some(outcome), Flow::End)
                }
                Decision::Cancelled => {
                    // Also when only the request was: nobody wants the turn to go on.
                    cancel.cancel();
                    let outcome = Outcome::cancelled("Not run: the turn was cancelled.");
                    (Some(outcome), Flow::Cancelled)
                }
            };
            if let Some(outcome) = outcome {
                return (self.conclude(call, view, outcome).await, flow);
            }
        }
        let fields = ToolCallUpdateFields::new().status(ToolCallStatus::InProgress);
        self.host
            .update(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(
                call.id.clone(),
                fields,
            )))
            .await;
        let outcome = tokio::select! {
            biased;
            outcome = prepared.run => outcome,
            () = async { cancel.cancelled().await; sleep(CLEAN_UP).await } => {
                tracing::warn!(tool = call.name, "a tool did not end after a cancel");
                Outcome::cancelled("Cancelled.")
            }
        };
        if !outcome.content.is_empty() {
            view.content.clone_from(&outcome.content);
        } else if !outcome.text.is_empty() {
            view.content = vec![text_content(outcome.text.clone())];
        }
        let flow = match outcome.status {
            ToolStatus::Cancelled => Flow::Cancelled,
            ToolStatus::Completed if ends_turn => {
                self.complete = true;
                Flow::End
            }
            _ => Flow::GoOn,
        };
        (self.conclude(call, view, outcome).await, flow)
    }

    /// Tells of a call that cannot even be prepared.
    async fn refuse(&self, call: ToolCall, reason: String) -> ToolResult {
        let known = self.tools.iter().find(|tool| tool.spec().name == call.name);
        let view = ToolView {
            title: call.name.clone(),
            kind: known.map(|tool| tool.kind()).unwrap_or_default(),
            ..ToolView::default()
        };
        self.host
            .update(SessionUpdate::ToolCall(announcement(&call, &view)))
            .await;
        self.conclude(call, view, Outcome::failed(reason)).await
    }

    /// Tells how a call ended.
    async fn conclude(&self, call: ToolCall, mut view: ToolView, outcome: Outcome) -> ToolResult {
        let status = match outcome.status {
            ToolStatus::Completed => ToolCallStatus::Completed,
            ToolStatus::Failed | ToolStatus::Denied | ToolStatus::Cancelled => {
                ToolCallStatus::Failed
            }
        };
        if outcome.status != ToolStatus::Completed && outcome.content.is_empty() {
            // The diff of a write that did not happen would say that it did.
            view.content = vec![text_content(outcome.text.clone())];
        }
        let fields = ToolCallUpdateFields::new()
            .status(status)
            .content(view.content.clone());
        let update = ToolCallUpdate::new(call.id.clone(), fields).meta(outcome.meta);
        self.host
            .update(SessionUpdate::ToolCallUpdate(update))
            .await;
        ToolResult {
            id: call.id,
            name: call.name,
            status: outcome.status,
            text: outcome.text,
            view,
        }
    }
}

impl ResponseEnd {
    /// A response that is not complete has no calls: they might have been cut short.
    fn without_calls_unless_complete(self, response: &mut Response) -> Self {
        if !matches!(self, Self::Complete(_)) {
            response.calls.clear();
        }
        self
    }
}

/// Passes a response on as it comes and gathers it in `response`.
async fn stream_response(
    model: &dyn Model,
    request: ModelRequest,
    host: &dyn Host,
    response: &mut Response,
    usage: &mut Usage,
) -> Result<EndReason, ModelError> {
    let mut stream = model.respond(request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            ModelEvent::Text(text) => {
                response.text.push_str(&text);
                host.update(SessionUpdate::AgentMessageChunk(chunk(text)))
                    .await;
            }
            ModelEvent::Reasoning(text) => {
                response.reasoning.push_str(&text);
                host.update(SessionUpdate::AgentThoughtChunk(chunk(text)))
                    .await;
            }
            ModelEvent::ToolCall { name, input } => {
                // The provider's own id may come again in a later response.
                let unique = uuid::Uuid::new_v4().simple().to_string();
                response.calls.push(ToolCall {
                    id: format!("call-{}", &unique[..10]),
                    name,
                    input,
                });
            }
            ModelEvent::End {
                reason,
                usage: used,
            } => {
                *usage += used;
                return Ok(reason);
            }
        }
    }
    Err(ModelError::cut_off(model.name(), "it has no end"))
}

fn chunk(text: String) -> ContentChunk {
    ContentChunk::new(ContentBlock::from(text))
}

fn announcement(call: &ToolCall, view: &ToolView) -> AcpToolCall {
    AcpToolCall::new(call.id.clone(), view.title.clone())
        .name(call.name.clone())
        .kind(view.kind)
        .status(ToolCallStatus::Pending)
        .raw_input(call.input.clone())
        .content(view.content.clone())
        .locations(view.locations.clone())
}

/// The updates that show a conversation to a client that has not seen it.
#[must_use]
pub fn replay(messages: &[Message]) -> Vec<SessionUpdate> {
    let mut updates = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match message {
            Message::User { text, .. } => {
                updates.push(SessionUpdate::UserMessageChunk(chunk(text.clone())));
            }
            Message::Assistant {
                text,
                reasoning,
                tool_calls,
            } => {
                if !reasoning.is_empty() {
                    updates.push(SessionUpdate::AgentThoughtChunk(chunk(reasoning.clone())));
                }
                if !text.is_empty() {
                    updates.push(SessionUpdate::AgentMessageChunk(chunk(text.clone())));
                }
                for call in tool_calls {
                    let result = messages[index..].iter().find_map(|later| match later {
                        Message::Tool(result) if result.id == call.id => Some(result),
                        _ => None,
                    });
                    let view = result.map(|result| result.view.clone()).unwrap_or_default();
                    let status = match result.map(|result| result.status) {
                        Some(ToolStatus::Completed) => ToolCallStatus::Completed,
                        _ => ToolCallStatus::Failed,
                    };
                    let title = if view.title.is_empty() {
                        call.name.clone()
                    } else {
                        view.title.clone()
                    };
                    updates.push(SessionUpdate::ToolCall(
                        announcement(call, &ToolView { title, ..view }).status(status),
                    ));
                }
            }
            // Shown with the call it is of.
            Message::Tool(_) => {}
        }
    }
    updates
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::{FutureExt, future::BoxFuture, stream};
    use serde_json::json;

    use super::*;
    use crate::{
        model::{ErrorKind, ModelStream},
        session::Session,
        tools::testing::TestHost,
    };

    /// A model that always answers the same.
    struct Parrot {
        events: Vec<ModelEvent>,
        requests: Mutex<usize>,
    }

    impl Model for Parrot {
        fn name(&self) -> &str {
            "parrot"
        }

        fn respond(
            &self,
            _request: ModelRequest,
        ) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
            *self.requests.lock().unwrap() += 1;
            let events: Vec<_> = self.events.iter().cloned().map(Ok).collect();
            async move { Ok(stream::iter(events).boxed()) }.boxed()
        }
    }

    async fn turn(events: Vec<ModelEvent>) -> (Result<TurnEnd, TurnError>, Vec<Message>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().canonicalize().unwrap();
        let conversation = Conversation::create(None, "s", &cwd).unwrap();
        let session = Session::new("s".to_owned(), cwd, conversation);
        let mut running = session.begin_turn().unwrap();
        let model = Arc::new(Parrot {
            events,
            requests: Mutex::new(0),
        });
        let host = Arc::new(TestHost::default());
        let result = run(
            &mut running,
            "go".to_owned(),
            model.clone(),
            host,
            TaskTracker::new(),
        )
        .await;
        let messages = running.conversation().unwrap().messages().to_vec();
        let requests = *model.requests.lock().unwrap();
        (result, messages, requests)
    }

    fn end(reason: EndReason) -> ModelEvent {
        ModelEvent::End {
            reason,
            usage: Usage {
                input_tokens: 2,
                output_tokens: 1,
            },
        }
    }

    fn call() -> ModelEvent {
        ModelEvent::ToolCall {
            name: "glob".to_owned(),
            input: json!({"pattern": "*"}),
        }
    }

    #[tokio::test]
    async fn a_response_says_how_a_turn_ends() {
        for (reason, expected) in [
            (EndReason::Complete, StopReason::EndTurn),
            (EndReason::MaxTokens, StopReason::MaxTokens),
            (EndReason::Refusal, StopReason::Refusal),
        ] {
            let (result, _, requests) = turn(vec![end(reason)]).await;
            assert_eq!((result.unwrap().reason, requests), (expected, 1));
        }
    }

    #[tokio::test]
    async fn a_model_that_never_ends_is_stopped() {
        let (result, messages, requests) = turn(vec![call(), end(EndReason::Complete)]).await;
        let end = result.unwrap();
        assert_eq!(end.reason, StopReason::MaxTurnRequests);
        assert_eq!(requests, MAX_MODEL_CALLS);
        assert_eq!(end.usage.input_tokens, 2 * MAX_MODEL_CALLS as u64);
        assert_eq!(messages.len(), 1 + 2 * MAX_MODEL_CALLS);
    }

    #[tokio::test]
    async fn a_response_without_an_end_is_kept_but_not_acted_on() {
        let events = vec![ModelEvent::Text("so far".to_owned()), call()];
        let (result, messages, _) = turn(events).await;
        let Err(TurnError::Model(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.kind, ErrorKind::Stream);
        let Message::Assistant {
            text, tool_calls, ..
        } = &messages[1]
        else {
            panic!("{messages:?}");
        };
        assert_eq!((text.as_str(), tool_calls.len()), ("so far", 0));
        assert_eq!(messages.len(), 2);
    }
}
