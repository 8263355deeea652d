//! Builds the page that this relay carries, when it is missing or its sources have changed.
//!
//! Needs Node 20 and the npm registry, and nothing else. `COPILOT_RELAY_WITHOUT_PAGE=1` builds a
//! relay that carries no page, for a machine without Node.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the page is made of, relative to `web`.
const SOURCES: [&str; 7] = [
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "svelte.config.js",
    "vite.config.ts",
];
const WITHOUT_PAGE: &str = "COPILOT_RELAY_WITHOUT_PAGE";
/// Written beside the built page: what it was built from.
const STAMP: &str = ".sources";

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={WITHOUT_PAGE}");
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", web.join("dist").display());
    if std::env::var_os(WITHOUT_PAGE).is_some() {
        return ExitCode::SUCCESS;
    }
    match build(&web) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build(web: &Path) -> Result<(), String> {
    let sources = fingerprint(web)?;
    let dist = web.join("dist");
    let stamp = dist.join(STAMP);
    let current = std::fs::read_to_string(&stamp).is_ok_and(|built| built == sources);
    if current && dist.join("index.html").exists() {
        return Ok(());
    }
    node_is_here()?;
    if !is_installed(web) {
        npm(web, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(web, &["run", "build"])?;
    std::fs::write(&stamp, sources).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn node_is_here() -> Result<(), String> {
    let hint = format!(
        "the relay carries a page for browsers, and building that needs Node 20 or newer with npm \
         (https://nodejs.org). To build a relay without the page set {WITHOUT_PAGE}=1"
    );
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| format!("node cannot be run ({error}): {hint}"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let major = version.trim().trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= 20 => Ok(()),
        _ => Err(format!("node is {}: {hint}", version.trim())),
    }
}

/// npm leaves a copy of the lock file in what it installed.
fn is_installed(web: &Path) -> bool {
    let modified = |path: PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let installed = modified(web.join("node_modules/.package-lock.json"));
    installed.is_some() && installed >= modified(web.join("package-lock.json"))
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(name)
        .args(arguments)
        .current_dir(web)
        .output()
        .map_err(|error| format!("npm cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "`npm {}` failed in web ({}): {}",
        arguments.join(" "),
        output.status,
        // One line, as cargo shows errors.
        String::from_utf8_lossy(&said).trim().replace('\n', " | ")
    ))
}

/// Changes when any source does. Not a secret, and compared with nothing but itself.
fn fingerprint(web: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&web.join(source), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in &files {
        let content =
            std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        file.strip_prefix(web).unwrap_or(file).hash(&mut hasher);
        content.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.file_name() != Some(OsStr::new(".DS_Store")) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
