//! The title of a session and its settings.

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use serde_json::{Value, json};

use super::super::identity::Trust;
use super::{Admitted, Context, MAX_TITLE_CHARS, Rejection, shown};
use crate::session::mode::{self, Mode};
use crate::session::remote;

/// A title as it is kept.
///
/// # Errors
/// Why it is none, for people.
pub fn title(text: &str) -> Result<String, Rejection> {
    let title = text.trim();
    if title.is_empty()
        || title.chars().count() > MAX_TITLE_CHARS
        || title.chars().any(char::is_control)
    {
        return Err(format!(
            "a title has 1 to {MAX_TITLE_CHARS} characters and no line breaks"
        ));
    }
    Ok(title.to_owned())
}

pub(super) fn title_changed(a: &SessionTitleChangedAction) -> Result<Admitted, Rejection> {
    let title = title(&a.title)?;
    Ok(Admitted::Apply(StateAction::SessionTitleChanged(
        SessionTitleChangedAction { title },
    )))
}

pub(super) fn config_changed(
    ctx: &Context<'_>,
    a: &SessionConfigChangedAction,
) -> Result<Admitted, Rejection> {
    if a.replace == Some(true) {
        return Err("settings of a session are changed one by one, not replaced".into());
    }
    if a.config.is_empty() {
        return Err("no setting is named".into());
    }
    let mut config = JsonObject::new();
    for (key, value) in &a.config {
        let value = match key.as_str() {
            remote::REMOTE => json!(remote_access(ctx, value)?),
            mode::MODE => {
                let name = value.as_str().ok_or("`mode` is a text")?;
                json!(name.parse::<Mode>()?.name())
            }
            mode::ALLOW_ALL => json!(allow_all(ctx, value)?),
            key if mode::FIXED.contains(&key) => {
                return Err(format!("`{key}` holds for the life of a session"));
            }
            key => return Err(format!("a session has no setting {}", shown(key))),
        };
        config.insert(key.clone(), value);
    }
    Ok(Admitted::Configure(SessionConfigChangedAction {
        config,
        replace: None,
    }))
}

/// Turning it on is for those who sit at the machine, where nothing speaks against it.
fn remote_access(ctx: &Context<'_>, value: &Value) -> Result<bool, Rejection> {
    let on = value.as_bool().ok_or("`remote` is true or false")?;
    match ctx.remote_refused {
        Some(why) if on => Err(why.to_owned()),
        _ => Ok(on),
    }
}

/// Allowing everything is for those who sit at the machine, where nothing forbids it. Ending it is
/// for everybody.
fn allow_all(ctx: &Context<'_>, value: &Value) -> Result<bool, Rejection> {
    let on = value.as_bool().ok_or("`allowAll` is true or false")?;
    if on && ctx.identity.trust != Trust::Local {
        return Err("only somebody at this machine may allow everything".into());
    }
    match ctx.allow_all_forbidden_by {
        Some(file) if on => Err(format!("{} forbids to allow everything", file.display())),
        _ => Ok(on),
    }
}
