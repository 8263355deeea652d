//! Whether a folder is a git repository whose remote is on GitHub.
//!
//! The repository is hostile: only its list of remotes is read, with a command that runs nothing
//! of it. Addresses may hold credentials and are never logged.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::agent::children;

/// Longest that git may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Hosts that are GitHub without being configured.
const GITHUB: [&str; 2] = ["github.com", "ssh.github.com"];
/// What git is told of the daemon's environment.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "XDG_CONFIG_HOME"];

/// Whether one of the remotes of the repository around `folder` is on GitHub or on one of `hosts`.
pub(super) async fn is_on_github(folder: &Path, hosts: &[String]) -> bool {
    remotes(folder)
        .await
        .iter()
        .filter_map(|url| host_of(url))
        .any(|host| is_github(&host, hosts))
}

/// The addresses of the repository's remotes; none when it is no repository, or git does not say.
async fn remotes(folder: &Path) -> Vec<String> {
    let mut command = Command::new("git");
    command.env_clear().arg("--no-pager").arg("-C").arg(folder);
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|n| Some((n, std::env::var_os(n)?)));
    command
        .envs(passed_on)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args(["remote", "--verbose"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let Ok((child, _own)) = children::spawn(&mut command) else {
        return Vec::new();
    };
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let Ok(Ok(output)) = output else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    // `name<tab>address (fetch)`
    let address = |line: &str| {
        let (_, rest) = line.split_once('\t')?;
        let (address, _) = rest.rsplit_once(" (")?;
        Some(address.to_owned())
    };
    text.lines().filter_map(address).collect()
}

/// The host in an address as git takes it: a URL, or `[user@]host:path`.
fn host_of(address: &str) -> Option<String> {
    if address.contains("://") {
        let url = url::Url::parse(address).ok()?;
        let remote = matches!(url.scheme(), "https" | "http" | "ssh" | "git" | "git+ssh");
        return url.host_str().filter(|_| remote).map(str::to_lowercase);
    }
    let (place, _) = address.split_once(':')?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    // With a slash before the colon it is a path on this machine.
    let is_host = !place.contains('/') && !host.is_empty();
    is_host.then(|| host.to_lowercase())
}

fn is_github(host: &str, configured: &[String]) -> bool {
    GITHUB.contains(&host) || configured.iter().any(|c| c.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_decides() {
        let own = ["github.example.com".to_owned()];
        for (address, expected) in [
            ("https://github.com/owner/repo.git", true),
            ("https://user:secret@GitHub.com/owner/repo", true),
            ("git@github.com:owner/repo.git", true),
            ("github.com:owner/repo.git", true),
            ("ssh://git@github.com:22/owner/repo", true),
            ("ssh://git@ssh.github.com:443/owner/repo", true),
            ("git://github.com/owner/repo", true),
            ("https://github.example.com/owner/repo", true),
            ("git@GITHUB.example.com:owner/repo", true),
            ("https://github.com.evil.example/owner/repo", false),
            ("https://evil.example/github.com/repo", false),
            ("https://github.com@evil.example/repo", false),
            ("git@evil.example:github.com/repo", false),
            ("github.com@evil.example:repo", false),
            ("https://notgithub.com/owner/repo", false),
            ("file://github.com/owner/repo", false),
            ("/srv/github.com:owner/repo", false),
            ("./github.com:x", false),
            ("../repo", false),
            ("ext::sh -c github.com", false),
            (":", false),
            ("", false),
        ] {
            let host = host_of(address);
            let got = host.is_some_and(|host| is_github(&host, &own));
            assert_eq!(got, expected, "{address}");
        }
    }

    #[tokio::test]
    async fn remotes_are_those_of_the_repository_around_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let status = std::process::Command::new("git")
                .arg("-C")
                .arg(scratch.path())
                .args(arguments)
                .status();
            assert!(status.unwrap().success(), "git {arguments:?}");
        };
        assert!(!is_on_github(scratch.path(), &[]).await);
        git(&["init", "--quiet"]);
        assert!(!is_on_github(scratch.path(), &[]).await);
        git(&["remote", "add", "origin", "https://example.com/a/b"]);
        assert!(!is_on_github(scratch.path(), &[]).await);
        git(&["remote", "add", "upstream", "git@github.com:a/b.git"]);
        // A pager of the repository is not run, and an alias does not take the command's place.
        git(&["config", "core.pager", "touch ran"]);
        git(&["config", "alias.remote", "!touch ran"]);
        let inner = scratch.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        assert!(is_on_github(&inner, &[]).await);
        assert!(!scratch.path().join("ran").exists());
    }
}
