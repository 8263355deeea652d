//! The direction of dependencies, as `ARCHITECTURE.md` draws it. A part that
//! must not know another one cannot come to know it by accident.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        // The graph must not depend on who asks first.
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .expect("cargo metadata describes the workspace")
}

fn member<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.name.as_str() == name)
        .unwrap_or_else(|| panic!("no crate {name} in the workspace"))
}

/// Names a crate depends on in its manifest, for what it ships (and builds
/// with), not for its tests.
fn direct(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

/// Names of everything that ends up in a crate's binary.
fn transitive(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![&package.id];
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        waiting.extend(nodes[id].deps.iter().filter_map(|dependency| {
            dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind != DependencyKind::Development)
                .then_some(&dependency.pkg)
        }));
    }
    seen.remove(&package.id);
    seen.into_iter()
        .map(|id| metadata[id].name.to_string())
        .collect()
}

/// Checks that nothing forbidden is in a crate's binary.
#[track_caller]
fn never(metadata: &Metadata, name: &str, forbidden: &[&str]) {
    let found = transitive(metadata, member(metadata, name));
    for forbidden in forbidden {
        assert!(
            !found.contains(*forbidden),
            "{name} must never see {forbidden}"
        );
    }
}

#[test]
fn the_frames_know_no_daemon_no_agent_and_no_screen() {
    never(
        &metadata(),
        "ipc-proto",
        &[
            "copilotd",
            "copilot-cli",
            "copilot-agent",
            "ahp",
            "ahp-types",
            "agent-client-protocol",
            "agent-client-protocol-schema",
            "genai",
            "ratatui",
            "crossterm",
            "clap",
        ],
    );
}

#[test]
fn the_link_knows_no_session_no_daemon_and_does_no_io() {
    never(
        &metadata(),
        "link-proto",
        &[
            "copilotd",
            "copilot-cli",
            "copilot-agent",
            "ipc-proto",
            "ahp",
            "ahp-types",
            "agent-client-protocol-schema",
            "tokio",
            "tungstenite",
            "hyper",
            "aes-gcm",
            "p256",
        ],
    );
}

#[test]
fn the_command_line_never_sees_the_daemon_the_agent_a_model_or_a_websocket() {
    never(
        &metadata(),
        "copilot-cli",
        &[
            "copilotd",
            "copilot-agent",
            "agent-client-protocol",
            "agent-client-protocol-schema",
            "genai",
            "reqwest",
            "hyper",
            "tungstenite",
            "tokio-tungstenite",
            "rusqlite",
        ],
    );
}

#[test]
fn the_agent_never_sees_the_daemon_or_a_client_protocol() {
    never(
        &metadata(),
        "copilot-agent",
        &[
            "copilotd",
            "copilot-cli",
            "ahp",
            "ahp-types",
            "ipc-proto",
            "ratatui",
            "interprocess",
        ],
    );
}

#[test]
fn the_daemon_sees_no_command_line_no_agent_and_no_model() {
    never(
        &metadata(),
        "copilotd",
        &[
            "copilot-cli",
            "copilot-agent",
            "agent-client-protocol",
            "genai",
            "ratatui",
            "crossterm",
        ],
    );
}

#[test]
fn the_relay_never_sees_what_it_carries() {
    never(
        &metadata(),
        "copilot-relay",
        &[
            "copilotd",
            "copilot-cli",
            "copilot-agent",
            "ipc-proto",
            "ahp",
            "ahp-types",
            "agent-client-protocol",
            "agent-client-protocol-schema",
            "genai",
            "ratatui",
            "crossterm",
        ],
    );
}

#[test]
fn only_the_daemon_knows_both_the_client_and_the_agent_protocol() {
    let metadata = metadata();
    let both: Vec<_> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| {
            let names = transitive(&metadata, package);
            names.contains("ahp-types") && names.contains("agent-client-protocol-schema")
        })
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(both, ["copilotd"]);
}

#[test]
fn bincode_is_for_the_local_socket_alone() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        assert_eq!(
            direct(package).contains("bincode"),
            package.name.as_str() == "ipc-proto",
            "{} and bincode",
            package.name
        );
    }
}

#[test]
fn there_is_no_openssl_anywhere() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        never(
            &metadata,
            package.name.as_str(),
            &["openssl", "openssl-sys", "native-tls"],
        );
    }
}

#[test]
fn every_crate_takes_its_lints_and_its_versions_from_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not inherit the lints",
            package.name
        );
        for line in manifest.lines() {
            let is_version = line.contains("version = \"") || line.contains("= \"=");
            assert!(
                !is_version,
                "{}: a version of its own: {line}",
                package.name
            );
        }
        for field in ["version", "edition", "rust-version", "license"] {
            assert!(
                manifest.contains(&format!("{field}.workspace = true")),
                "{} does not inherit its {field}",
                package.name
            );
        }
    }
}
