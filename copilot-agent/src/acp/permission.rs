//! Permission requests: what is asked, and what an answer means. Pure.

use agent_client_protocol::v1::schema::{
    Meta, PermissionOption, PermissionOptionKind, RequestPermissionOutcome,
    RequestPermissionResponse,
};

use crate::tools::{Decision, Grant};

/// Words of the person with a denial.
const WORDS: &str = "copilot.words";
/// A reason of the client's own.
const REASON: &str = "copilot.reason";
/// The real paths that a yes is about.
const PATHS: &str = "copilot.paths";
/// What a search that was allowed leaves out.
const WITHHELD: &str = "copilot.withheld";
/// What was decided about a plan, where the client says more than yes or no.
const PLAN: &str = "copilot.plan";
/// The plan is neither carried out nor worked on any more.
const LEAVE: &str = "leave";
/// What a command that was allowed must run with.
const ENVIRONMENT: &str = "copilot.environment";

const ALLOW: &str = "allow-once";
const REJECT: &str = "reject-once";

pub(super) fn options() -> Vec<PermissionOption> {
    vec![
        PermissionOption::new(ALLOW, "Allow once", PermissionOptionKind::AllowOnce),
        PermissionOption::new(REJECT, "Deny", PermissionOptionKind::RejectOnce),
    ]
}

/// What an answer means. Whatever is not plainly a yes is a no.
pub(super) fn decision(response: &RequestPermissionResponse) -> Decision {
    match &response.outcome {
        RequestPermissionOutcome::Selected(selected) if &*selected.option_id.0 == ALLOW => {
            Decision::Allowed(grant(response.meta.as_ref()))
        }
        RequestPermissionOutcome::Cancelled => Decision::Cancelled,
        _ => {
            let said = |key: &str| {
                let text = response.meta.as_ref()?.get(key)?.as_str()?.trim();
                (!text.is_empty()).then(|| text.to_owned())
            };
            if said(PLAN).as_deref() == Some(LEAVE) {
                return Decision::Left;
            }
            Decision::Denied(match (said(WORDS), said(REASON)) {
                (Some(words), _) => {
                    format!("The person denied this and said what to do instead: {words}")
                }
                (None, Some(reason)) => format!("This was denied: {reason}"),
                (None, None) => "The person denied this. Do not try it in another way; choose a \
                                 different approach or ask."
                    .to_owned(),
            })
        }
    }
}

/// What a client says with its yes.
fn grant(meta: Option<&Meta>) -> Grant {
    let said = |key: &str| meta.and_then(|meta| meta.get(key)).cloned();
    Grant {
        // What is said and not understood covers nothing.
        paths: said(PATHS).map(|paths| serde_json::from_value(paths).unwrap_or_default()),
        withheld: said(WITHHELD)
            .and_then(|withheld| serde_json::from_value(withheld).ok())
            .unwrap_or_default(),
        environment: said(ENVIRONMENT)
            .and_then(|environment| serde_json::from_value(environment).ok())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_plain_yes_allows() {
        for (response, expected) in [
            (
                json!({"outcome": {"outcome": "selected", "optionId": "allow-once"}}),
                Ok(()),
            ),
            (
                json!({"outcome": {"outcome": "selected", "optionId": "reject-once"}}),
                Err("Do not try it"),
            ),
            (
                json!({"outcome": {"outcome": "selected", "optionId": "anything"}}),
                Err("denied"),
            ),
            (
                json!({"outcome": {"outcome": "selected", "optionId": "reject-once"}, "_meta": {"copilot.words": "use git mv"}}),
                Err("do instead: use git mv"),
            ),
            (
                json!({"outcome": {"outcome": "selected", "optionId": "reject-once"}, "_meta": {"copilot.reason": "no rule allows it"}}),
                Err("This was denied: no rule allows it"),
            ),
        ] {
            let parsed: RequestPermissionResponse = serde_json::from_value(response).unwrap();
            match (decision(&parsed), expected) {
                (Decision::Allowed(_), Ok(())) => {}
                (Decision::Denied(reason), Err(words)) => {
                    assert!(reason.contains(words), "{reason}")
                }
                (decision, _) => panic!("{decision:?} for {parsed:?}"),
            }
        }
        let left = json!({"outcome": {"outcome": "selected", "optionId": "reject-once"}, "_meta": {"copilot.plan": "leave"}});
        assert_eq!(
            decision(&serde_json::from_value(left).unwrap()),
            Decision::Left
        );
        let cancelled = json!({"outcome": {"outcome": "cancelled"}});
        assert_eq!(
            decision(&serde_json::from_value(cancelled).unwrap()),
            Decision::Cancelled
        );
    }
}
