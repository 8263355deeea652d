//! Slash commands in a real terminal, the agent's own among them.

use copilot_tests::{Home, Scenario};
use serde_json::json;

/// An agent that has a command, and answers every prompt with it.
const AGENT: &str = r#"
say() { printf '%s\n' "$1"; }
update() { say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'"$1"'}}'; }
reply() { say '{"jsonrpc":"2.0","id":'"$id"',"result":'"$1"'}'; }
while IFS= read -r line; do
  id=${line#*'"id":'}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*) reply '{"protocolVersion":1,"agentCapabilities":{}}' ;;
    *'"method":"session/new"'*)
      reply '{"sessionId":"s"}'
      update '{"sessionUpdate":"available_commands_update","availableCommands":[{"name":"review","description":"Review the changes","input":{"hint":"WHAT"}}]}' ;;
    *'"method":"session/prompt"'*)
      text=${line#*'"text":"'}; text=${text%%'"'*}
      update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"You said: '"$text"'."}}'
      reply '{"stopReason":"end_turn"}' ;;
  esac
done
"#;

#[test]
fn commands_are_offered_picked_and_given_to_whom_they_are_for() {
    let home = Home::new(Scenario::new());
    home.write("agent.sh", AGENT);
    let agent = home.project().join("agent.sh");
    let settings = json!({
        "agent": "mine",
        "agents": {"mine": {"command": "sh", "args": [agent]}},
        "trustedFolders": [home.project()],
    });
    home.write_settings(&settings.to_string());
    let mut terminal = home.terminal(&[]);
    terminal.wait_for_text("ask for something");

    // Before the agent runs nobody knows what it has.
    terminal.send("/review the parser\r");
    terminal.wait_for_text("there is no command /review; Enter again gives it to the agent");
    terminal.send("\r");
    terminal.wait_for_text("You said: /review the parser.");

    // Then it is offered after ours, and is no longer doubted.
    terminal.send("/re");
    terminal.wait_for("what fits, ours first", |screen| {
        let text = screen.contents();
        let at = |what: &str| text.find(what);
        let (rename, review) = (at("❯ /rename TITLE"), at("/review WHAT"));
        rename.is_some() && rename < review && text.contains("Review the changes")
    });
    terminal.send("\u{1b}[A");
    terminal.wait_for_text("❯ /review WHAT");
    terminal.send("\t");
    terminal.wait_until_gone("/rename TITLE");
    terminal.send("again\r");
    terminal.wait_for_text("You said: /review again.");

    // Enter puts a command in, and carries out one that is whole.
    terminal.send("/ex");
    terminal.wait_for_text("❯ /exit");
    terminal.send("\r\r");
    assert_eq!(terminal.wait(), 0);
}
