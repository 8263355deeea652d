//! Where the real binaries are.
//!
//! `cargo xtask test` builds them and says where in `COPILOT_TEST_BIN_DIR`.
//! A plain `cargo test` finds them beside its own target folder and builds
//! what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set by `cargo xtask test`: the folder of the binaries under test.
const FOLDER_VARIABLE: &str = "COPILOT_TEST_BIN_DIR";

/// Package and binary.
const BINARIES: [(&str, &str); 4] = [
    ("copilotd", "copilotd"),
    ("copilot-cli", "copilot"),
    ("copilot-agent", "copilot-agent"),
    ("copilot-relay", "copilot-relay"),
];

/// The path of one of the product's binaries.
pub fn binary(name: &str) -> PathBuf {
    folder().join(name)
}

/// The folder of all of them.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => beside_the_tests(),
    })
}

/// `target/debug` of the test that runs, which is `target/debug/deps/<test>`.
fn beside_the_tests() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("a test lies in a target folder")
        .to_path_buf();
    let missing: Vec<_> = BINARIES
        .iter()
        .filter(|(_, name)| !folder.join(name).is_file())
        .collect();
    if !missing.is_empty() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.arg("build").current_dir(env!("CARGO_MANIFEST_DIR"));
        for (package, _) in missing {
            cargo.args(["--package", package]);
            if *package == "copilotd" {
                cargo.args(["--features", "copilotd/pause-points"]);
            }
        }
        let status = cargo.status().expect("cargo can be started");
        assert!(status.success(), "the binaries under test do not build");
    }
    folder
}
