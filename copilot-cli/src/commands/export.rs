//! `copilot sessions export ID`: the whole conversation on stdout.

use ipc_proto::paths::Paths;

use super::sessions::{folder, summary_json};
use super::{connected, find_session};
use crate::args::ExportFormat;
use crate::client::{Attached, Identity, read_content, session_id};
use crate::error::{CliError, Exit};
use crate::export::{Contents, json, markdown};
use crate::output::Output;
use crate::terminal;
use crate::turn_view::TurnView;

pub(super) async fn run(
    paths: &Paths,
    wanted: &str,
    format: ExportFormat,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("sessions export")).await?;
    let summary = find_session(&mut client, wanted).await?;
    let mut attached =
        Attached::subscribe(client, &summary.resource, Some(terminal::TURNS)).await?;
    attached.fetch_all().await?;
    // From here on the session may go on without us: what is exported is what is here.
    let (mut client, mirror) = attached.leave().await?;
    if format == ExportFormat::Json {
        out.json(&json::Document::new(summary_json(&summary), &mirror))?;
        return Ok(Exit::Done);
    }
    let mut facts = vec![("session", session_id(&summary.resource).to_owned())];
    facts.extend(folder(&summary).map(|path| ("folder", path.display().to_string())));
    facts.push(("agent", summary.provider.clone()));
    facts.push(("created", summary.created_at.clone()));
    facts.push(("changed", summary.modified_at.clone()));
    out.data(&markdown::heading(&summary.title, &facts))?;
    let Some(chat) = mirror.chat() else {
        return Ok(Exit::Done);
    };
    let turns = chat.turns.iter().map(TurnView::from);
    let active = chat.active_turn.iter().map(TurnView::from);
    for (number, turn) in (1..).zip(turns.chain(active)) {
        let mut contents = Contents::new();
        for uri in markdown::wanted(&turn) {
            let content = read_content(&mut client, &summary.resource, &uri).await?;
            contents.insert(uri, content.map_err(|e| e.to_string()));
        }
        out.data(&markdown::turn(number, &turn, &mirror, &contents))?;
    }
    Ok(Exit::Done)
}
