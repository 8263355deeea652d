//! The small project that the demo works on, with one mistake in it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const README: &str = "# Greeting\n\nSays hello. `tests/run.sh` checks that it does.\n";

const GREETING: &str = "#!/usr/bin/env bash\nset -euo pipefail\n\necho \"Helo, world\"\n";

const TESTS: &str = r#"#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")/.."

said="$(bash src/greeting.sh)"
if [[ "$said" != "Hello, world" ]]; then
    echo "FAILED: expected \"Hello, world\", got \"$said\""
    exit 1
fi
echo "ok: $said"
"#;

/// The file that the session is to change, from the project's folder.
pub(super) const CHANGED: &str = "src/greeting.sh";

/// Makes the project as a git repository with one commit.
pub(super) fn create(folder: &Path) -> Result<()> {
    for (name, content, mode) in [
        ("README.md", README, 0o644),
        (CHANGED, GREETING, 0o755),
        ("tests/run.sh", TESTS, 0o755),
    ] {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, content)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    git(folder, &["init", "--quiet", "--initial-branch", "main"])?;
    git(folder, &["config", "user.name", "Demo"])?;
    git(folder, &["config", "user.email", "demo@example.invalid"])?;
    git(folder, &["add", "--all"])?;
    git(folder, &["commit", "--quiet", "--message", "Say hello"])?;
    Ok(())
}

/// What has changed since, as a patch.
pub(super) fn diff(folder: &Path) -> Result<String> {
    git(folder, &["--no-pager", "diff", "--no-color"])
}

/// Whether the project's own tests pass now.
pub(super) fn tests_pass(folder: &Path) -> Result<bool> {
    let status = Command::new("bash")
        .arg("tests/run.sh")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start bash")?;
    Ok(status.success())
}

/// Runs git as if nobody had configured it, so that the demo is the same
/// everywhere.
fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
