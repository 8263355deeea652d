//! What an agent's tool call would do, in the words of the permission engine. Pure but for looking
//! at where paths lead.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use agent_client_protocol_schema::v1::ToolKind;
use ahp_types::common::JsonObject;
use serde_json::Value;

use crate::agent::translate::Call;
use crate::permissions::{Request, real_path};

/// What a tool call would do, as far as it is known. An unknown shape is a tool by its name, which
/// only an explicit rule allows.
pub(super) fn wanted(
    call: &Call,
    folder: &Path,
    built_in: bool,
    addresses: &[IpAddr],
) -> Vec<Request> {
    let input = call.input.as_ref();
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|n| input?.get(n)?.as_str())
            .map(str::to_owned)
    };
    let absolute = |path: String| folder.join(PathBuf::from(path));
    if let Some(command) = input.and_then(|i| i.get("command")) {
        return match command.as_str() {
            Some(command) => vec![Request::Shell {
                command: command.to_owned(),
            }],
            None => vec![by_name(call)],
        };
    }
    let path = text(&["path", "file_path", "abs_path"]).map(absolute);
    let touched = || {
        let mut paths: Vec<PathBuf> = call.diffs().map(|d| folder.join(&d.path)).collect();
        let located = call
            .locations
            .iter()
            .filter_map(|l| l.get("path")?.as_str())
            .map(|p| folder.join(p));
        paths.extend(located);
        paths.extend(path.clone());
        without_repeats(paths, folder)
    };
    match call.kind {
        ToolKind::Edit | ToolKind::Delete | ToolKind::Move => {
            let paths = touched();
            // A move or deletion that names no file, or only one end of it, is not known.
            if paths.is_empty() || !built_in && call.kind == ToolKind::Move {
                return vec![by_name(call)];
            }
            paths
                .into_iter()
                .map(|path| Request::Write { path })
                .collect()
        }
        ToolKind::Read | ToolKind::Search if call.diffs().next().is_none() => match path {
            // The location of our own agent says where the path led when it looked, also when
            // its input names none.
            _ if built_in && !call.locations.is_empty() => touched()
                .into_iter()
                .map(|path| Request::Read { path })
                .collect(),
            Some(path) if only_reads(input) => vec![Request::Read { path }],
            _ => vec![by_name(call)],
        },
        ToolKind::Fetch => match text(&["url"]) {
            Some(url) => vec![Request::Url {
                url,
                addresses: addresses.to_vec(),
            }],
            None => vec![by_name(call)],
        },
        _ => vec![by_name(call)],
    }
}

/// The paths that lead to different places, the first spelling of each.
fn without_repeats(paths: Vec<PathBuf>, folder: &Path) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut kept = paths;
    kept.retain(|path| {
        let request = Request::Read { path: path.clone() };
        let place = real_path(&request, folder).unwrap_or_else(|| path.clone());
        let is_new = !seen.contains(&place);
        seen.push(place);
        is_new
    });
    kept
}

/// Whether the input of a foreign agent's tool has nothing but what reading needs.
fn only_reads(input: Option<&Value>) -> bool {
    const KNOWN: &[&str] = &[
        "path",
        "file_path",
        "abs_path",
        "line",
        "limit",
        "offset",
        "start_line",
        "end_line",
        "pattern",
        "glob",
        "query",
    ];
    input
        .and_then(Value::as_object)
        .is_some_and(|o| o.keys().all(|k| KNOWN.contains(&k.as_str())))
}

fn by_name(call: &Call) -> Request {
    Request::Tool {
        name: call.name.clone().unwrap_or_else(|| call.title.clone()),
    }
}

/// The addresses that an agent says it will connect to.
pub(super) fn addresses(meta: Option<&JsonObject>) -> Vec<IpAddr> {
    let texts = meta.and_then(|meta| meta.get("copilot.addresses")?.as_array());
    let parse = |text: &Value| text.as_str()?.parse().ok();
    texts.into_iter().flatten().filter_map(parse).collect()
}
