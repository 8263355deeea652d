//! Agents as shell scripts: what every ACP agent does, and what a test makes of it.

/// What a test may define anew. `$id` is the request's id, `$line` the line as it came, `$text` the
/// prompt.
const FUNCTIONS: &str = r#"
say() { printf '%s\n' "$1"; }
reply() { say '{"jsonrpc":"2.0","id":'"$id"',"result":'"$1"'}'; }
update() { say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'"$1"'}}'; }
text() { update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'"$1"'"}}'; }
# Ends the turn, for the reason $1.
end() { say '{"jsonrpc":"2.0","id":'"$prompt"',"result":{"stopReason":"'"${1:-end_turn}"'"}}'; }
# Asks for permission: $1 the call, $2 the command.
ask() { say '{"jsonrpc":"2.0","id":"ask-'"$1"'","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"'"$1"'","title":"'"$2"'","kind":"execute","rawInput":{"command":"'"$2"'"}},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}'; }

on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{}}'; }
on_new() { reply '{"sessionId":"s"}'; }
on_resume() { reply '{}'; }
on_prompt() { text "you said $text"; end; }
on_cancel() { end cancelled; }
on_steer() { reply '{"accepted":true}'; }
on_answer() { end; }
"#;

const LOOP: &str = r#"
while IFS= read -r line; do
  say "$line" >> "$RECEIVED"
  id=${line#*'"id":'}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*) on_initialize ;;
    *'"method":"session/new"'*) on_new ;;
    *'"method":"session/resume"'*) on_resume ;;
    *'"method":"session/prompt"'*) prompt=$id; text=${line#*'"text":"'}; text=${text%%'"'*}; on_prompt ;;
    *'"method":"session/cancel"'*) on_cancel ;;
    *'"method":"_copilot/steer"'*) on_steer ;;
    *) on_answer ;;
  esac
done
"#;

/// An agent with these functions defined anew. Everything it reads is appended to `$RECEIVED`.
pub(super) fn agent(functions: &str) -> String {
    format!("{FUNCTIONS}\n{functions}\n{LOOP}")
}

/// It asks for permission to run what it is told, and says what became of it.
pub(super) const ASKS: &str = r#"
on_prompt() { ask call "$text"; }
on_answer() { case $line in *'"optionId":"yes"'*) update '{"sessionUpdate":"tool_call_update","toolCallId":"call","status":"completed"}'; text allowed ;; *) text denied ;; esac; end; }
"#;

/// It works until it is cancelled.
pub(super) const WORKS_ON: &str = "on_prompt() { text working; }";
