//! Places that a rule must name: secrets, and files that make later commands run something.
//!
//! A folder being trusted, a rule for every path or for a folder around them, and allowing
//! everything do not cover these. The lists are of what is common; no such list is complete, and
//! what is not on it is still judged like every other path.

use std::path::{Path, PathBuf};

use super::paths::{self, Places};

/// What is to be done with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A place that was found to be protected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Protected {
    /// What a rule must name, or something in it.
    pub(super) top: PathBuf,
    /// A sentence without its full stop.
    pub(super) why: &'static str,
}

const SECRET: &str = "secrets are kept there, and no rule names it";
const RUNS: &str =
    "what is written there can make later commands run something, and no rule names it";

/// Secrets in the home folder.
const HOME_SECRETS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".password-store",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".oci",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".config/github-copilot",
    ".config/op",
    ".config/doctl",
    ".config/containers/auth.json",
    ".config/git/credentials",
    ".config/rclone",
    ".copilot",
    ".terraform.d/credentials.tfrc.json",
    ".vault-token",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".m2/settings.xml",
    ".gradle/gradle.properties",
    // Keyrings and browser profiles.
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome",
    ".config/chromium",
    ".config/microsoft-edge",
    ".config/BraveSoftware",
    ".config/vivaldi",
    ".config/opera",
    "snap/firefox",
    "snap/chromium",
    ".var/app",
    "Library/Keychains",
    "Library/Cookies",
    "Library/Safari",
    "Library/Application Support/Google/Chrome",
    "Library/Application Support/Chromium",
    "Library/Application Support/BraveSoftware",
    "Library/Application Support/Microsoft Edge",
    "Library/Application Support/Firefox",
    "Library/Application Support/com.apple.TCC",
    // What was typed.
    ".bash_history",
    ".zsh_history",
    ".zsh_sessions",
    ".histfile",
    ".sh_history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".node_repl_history",
    ".psql_history",
    ".mysql_history",
    ".sqlite_history",
    ".rediscli_history",
];

/// Secrets of the machine, and of running processes.
const SYSTEM_SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/ssl/private",
    "/proc",
    "/run/secrets",
    "/var/run/secrets",
];

/// Files that hold tokens, wherever they are.
pub(super) const SECRET_NAMES: &[&str] = &[
    ".netrc",
    "_netrc",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];

/// What the home folder has that runs at a login, or in place of something else.
const HOME_STARTERS: &[&str] = &[
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".inputrc",
    ".xprofile",
    ".xinitrc",
    ".xsession",
    ".pam_environment",
    ".gitconfig",
    ".config/git",
    ".config/fish",
    ".config/environment.d",
    ".config/systemd",
    ".config/autostart",
    ".local/share/systemd",
    ".local/bin",
    "bin",
    ".cargo/bin",
    ".cargo/env",
    ".npm-global",
    "Library/LaunchAgents",
];

/// What makes programs run something when they are started in or below its folder. Each is one
/// name, or a name in a folder of a name.
const STARTERS: &[&[&str]] = &[
    &[".git"],
    &[".envrc"],
    &[".husky"],
    &[".vscode"],
    &[".idea"],
    &[".devcontainer"],
    &[".devcontainer.json"],
    &[".mcp.json"],
    &[".pre-commit-config.yaml"],
    &[".cargo", "config"],
    &[".cargo", "config.toml"],
    &[".vimrc"],
    &[".exrc"],
    &[".nvimrc"],
    &[".nvim.lua"],
];

/// What of `places` a rule must name for this access, if anything.
pub(super) fn protection(
    places: &Places,
    home: Option<&Path>,
    access: Access,
) -> Option<Protected> {
    let found = |top: PathBuf, why| Some(Protected { top, why });
    if let Some(top) = secret_folders(home).find(|top| places.any_inside(top)) {
        return found(top, SECRET);
    }
    if let Some(top) = places.all.iter().find_map(|place| named_secret(place)) {
        return found(top, SECRET);
    }
    if access == Access::Read {
        return None;
    }
    let in_home = home.into_iter().flat_map(|home| below(home, HOME_STARTERS));
    let starter = in_home
        .chain(std::iter::once(PathBuf::from("/etc")))
        .find(|top| places.any_inside(top))
        .or_else(|| places.all.iter().find_map(|place| starter(place)));
    starter.and_then(|top| found(top, RUNS))
}

/// Folders and files with secrets, as they are spelled and where they really are.
pub(super) fn secret_folders(home: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let in_home = home.into_iter().flat_map(|home| below(home, HOME_SECRETS));
    in_home.chain(SYSTEM_SECRETS.iter().map(PathBuf::from))
}

/// Each of `names` in `home`, and where it leads when that is another place.
fn below<'a>(home: &'a Path, names: &'a [&'a str]) -> impl Iterator<Item = PathBuf> + 'a {
    names.iter().flat_map(move |name| {
        let spelled = home.join(name);
        let real = paths::resolve(&spelled).filter(|real| *real != spelled);
        real.into_iter().chain(std::iter::once(spelled))
    })
}

fn named_secret(place: &Path) -> Option<PathBuf> {
    prefix_ending_with(place, |names| {
        names
            .last()
            .is_some_and(|name| SECRET_NAMES.contains(&name.as_str()))
    })
}

fn starter(place: &Path) -> Option<PathBuf> {
    prefix_ending_with(place, |names| {
        STARTERS.iter().any(|wanted| {
            let end = names.iter().rev().map(String::as_str);
            names.len() >= wanted.len() && end.zip(wanted.iter().rev()).all(|(a, b)| a == *b)
        })
    })
}

/// The first part of `place`, from its root, whose names (in lower case) end as described.
fn prefix_ending_with(place: &Path, ends: impl Fn(&[String]) -> bool) -> Option<PathBuf> {
    let mut prefix = PathBuf::new();
    let mut names = Vec::new();
    for component in place.components() {
        prefix.push(component);
        names.push(component.as_os_str().to_string_lossy().to_lowercase());
        if ends(&names) {
            return Some(prefix);
        }
    }
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Read, Write};

    #[test]
    fn secrets_and_starters_are_found_under_every_name() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        let (home, project) = (top.join("home"), top.join("project"));
        for folder in [
            "home/.config/gh",
            "real-ssh",
            "project/.git/hooks",
            "project/sub",
        ] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(top.join("real-ssh"), home.join(".ssh")).unwrap();
        std::fs::write(home.join(".bash_history"), "").unwrap();
        std::fs::hard_link(home.join(".bash_history"), project.join("notes")).unwrap();
        let table = [
            ("src/main.rs", Read, None),
            ("src/main.rs", Write, None),
            ("../home/.ssh/id_ed25519", Read, Some("home/.ssh")),
            ("../real-ssh/config", Read, Some("real-ssh")),
            ("../home/.SSH/config", Read, Some("home/.ssh")),
            (
                "../home/.config/gh/hosts.yml",
                Write,
                Some("home/.config/gh"),
            ),
            ("../home/.config/other", Write, None),
            ("notes", Read, Some("home/.bash_history")),
            (".npmrc", Read, Some("project/.npmrc")),
            ("sub/.NPMRC", Read, Some("project/sub/.NPMRC")),
            ("id_rsa", Read, Some("project/id_rsa")),
            ("id_rsa.pub", Read, None),
            ("/etc/shadow", Read, Some("/etc/shadow")),
            ("/proc/self/environ", Read, Some("/proc")),
            ("/etc/hosts", Read, None),
            ("/etc/hosts", Write, Some("/etc")),
            (".git/hooks/pre-commit", Read, None),
            (".git/hooks/pre-commit", Write, Some("project/.git")),
            (".git", Write, Some("project/.git")),
            (".gitignore", Write, None),
            (
                ".cargo/config.toml",
                Write,
                Some("project/.cargo/config.toml"),
            ),
            ("config.toml", Write, None),
            ("sub/.envrc", Write, Some("project/sub/.envrc")),
            ("../home/.bashrc", Write, Some("home/.bashrc")),
            (".bashrc", Write, None),
        ];
        for (path, access, expected) in table {
            let places = Places::of(Path::new(path), &project);
            let found = protection(&places, Some(&home), access).map(|found| found.top);
            let expected = expected.map(|path| top.join(path));
            // A link and what it leads to are both protected; either may be found first.
            let same = found == expected
                || expected == Some(home.join(".ssh")) && found == Some(top.join("real-ssh"));
            assert!(same, "{path} {access:?}: {found:?}");
        }
    }
}
