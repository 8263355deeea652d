//! Running other programs: output is streamed, a failure names the command.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

static WITHOUT_INCREMENTAL: AtomicBool = AtomicBool::new(false);

/// From here on every cargo that is started keeps nothing for building the same crate again
/// after a change. That is a third of a target folder, and of no use where nobody changes anything.
pub(crate) fn without_incremental() {
    WITHOUT_INCREMENTAL.store(true, Ordering::Relaxed);
}

/// The repository's root. `cargo xtask` works from any folder inside it.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that started us, so that the toolchain stays the same.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root());
    if WITHOUT_INCREMENTAL.load(Ordering::Relaxed) {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Runs a command to its end with its output on our own; nothing is ever read
/// from standard input.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// As [`run`], and the lines of standard error for which `keep` gives something, for what is said of
/// a failure when much has been printed since.
pub(crate) fn run_and_keep(
    command: &mut Command,
    keep: impl Fn(&str) -> Option<String>,
) -> Result<()> {
    let shown = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut kept = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            let _ = std::io::stderr().write_all(&line);
            let said = keep(&String::from_utf8_lossy(&line));
            kept.extend(said.filter(|said| !kept.contains(said)));
            line.clear();
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}){}", list(&kept));
    }
    Ok(())
}

/// What failed, a line each, below what is said of it.
pub(crate) fn list(failed: &[String]) -> String {
    failed.iter().map(|line| format!("\n  {line}")).collect()
}

/// Whether a program can be started at all with these arguments.
pub(crate) fn works(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a program prints, when it can be started and succeeds.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether we may add packages to this system: as root, with apt. Nobody else is asked for a
/// password by a test run.
pub(crate) fn may_install() -> bool {
    is_root() && works("apt-get", &["--version"])
}

/// Adds packages to this system, without questions. Only where [`may_install`].
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    run(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The version of a package that [`install`] would give.
pub(crate) fn offered(package: &str) -> Option<String> {
    run(Command::new("apt-get").arg("update")).ok()?;
    let output = Command::new("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .map(str::to_owned)
}

fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
