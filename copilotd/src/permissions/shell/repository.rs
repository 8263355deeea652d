//! What a repository could make git run: its own configuration, and repositories inside it.
//!
//! Filters, text converters and difference programs have names that a repository chooses, so
//! they cannot be turned off from outside. A repository is plain when its configuration has
//! nothing but keys that are known to run nothing. The person's own configuration is the
//! person's. Reads files of the repository, and never runs git.

use std::path::{Path, PathBuf};

use super::index;
use crate::untrusted;

/// Configuration files larger than this are not read. Bytes.
const MAX_CONFIG_BYTES: u64 = 256 * 1024;

/// Sections in which no key runs anything while something is only read.
const HARMLESS_SECTIONS: &[&str] = &[
    "advice",
    "branch",
    "color",
    "credential",
    "fetch",
    "gc",
    "github",
    "gui",
    "http",
    "init",
    "maintenance",
    "pull",
    "push",
    "rebase",
    "rerere",
    "url",
    "user",
];

/// Keys of other sections that run nothing.
const HARMLESS_KEYS: &[&str] = &[
    "core.abbrev",
    "core.autocrlf",
    "core.bare",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.logallrefupdates",
    "core.precomposeunicode",
    "core.quotepath",
    "core.repositoryformatversion",
    "core.safecrlf",
    "core.symlinks",
    "commit.gpgsign",
    "commit.template",
    "commit.verbose",
    "lfs.repositoryformatversion",
    "lfs.access",
    "merge.conflictstyle",
    "merge.ff",
    "remote.fetch",
    "remote.gh-resolved",
    "remote.mirror",
    "remote.prune",
    "remote.push",
    "remote.pushurl",
    "remote.tagopt",
    "remote.url",
    "tag.gpgsign",
];

/// Whether the repository that git would find from `folder` makes it run nothing. An error
/// reads on after "git".
pub(in crate::permissions) fn plain(folder: &Path) -> Result<(), String> {
    for top in folder.ancestors() {
        let git = top.join(".git");
        match std::fs::metadata(&git) {
            Ok(found) if found.is_dir() => return inspect(&git),
            Ok(_) => return inspect(&linked(&git, top)?),
            Err(_) if git.is_symlink() => {
                return Err("would find a repository behind a link that leads nowhere".to_owned());
            }
            Err(_) => {}
        }
        if top.join("HEAD").exists() && top.join("objects").exists() {
            return Err("would take the folder for a repository".to_owned());
        }
    }
    // Without a repository git has nothing to read, and says so.
    Ok(())
}

/// The repository that a `.git` file names.
fn linked(file: &Path, top: &Path) -> Result<PathBuf, String> {
    let text = read(file)?;
    let path = text
        .trim_end_matches(['\n', '\r'])
        .strip_prefix("gitdir: ")
        .ok_or("would find a repository that cannot be read")?;
    Ok(top.join(path))
}

fn inspect(git: &Path) -> Result<(), String> {
    let common = match git.join("commondir") {
        file if file.exists() => git.join(read(&file)?.trim_end_matches(['\n', '\r'])),
        _ => git.to_owned(),
    };
    for file in [common.join("config"), git.join("config.worktree")] {
        if file.exists() {
            check(&read(&file)?)?;
        }
    }
    index::check(&git.join("index"))
}

fn read(file: &Path) -> Result<String, String> {
    untrusted::read_text(file, MAX_CONFIG_BYTES)
        .map_err(|_| format!("reads {}, which cannot be looked at", file.display()))
}

/// Looks at every key of a configuration file. Forms that are rare are not read.
fn check(text: &str) -> Result<(), String> {
    let unread = || "reads a configuration that cannot be read here".to_owned();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.ends_with('\\') {
            return Err(unread());
        }
        if let Some(header) = line.strip_prefix('[') {
            let inside = header.strip_suffix(']').ok_or_else(unread)?;
            let (name, rest) = inside.split_once(' ').unwrap_or((inside, ""));
            let named = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let quoted = rest.is_empty() || rest.starts_with('"') && rest.ends_with('"');
            if name.is_empty() || !name.chars().all(named) || !quoted {
                return Err(unread());
            }
            section = name.to_ascii_lowercase();
            continue;
        }
        let (key, _) = line.split_once('=').unwrap_or((line, ""));
        let key = key.trim().to_ascii_lowercase();
        let full = format!("{section}.{key}");
        let harmless =
            HARMLESS_SECTIONS.contains(&section.as_str()) || HARMLESS_KEYS.contains(&full.as_str());
        if !harmless {
            return Err(format!(
                "may run what the repository's configuration says (`{full}`)"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository is somebody else's: nobody may ever write to a pipe of its.
    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_not_read() {
        use nix::{sys::stat::Mode, unistd::mkfifo};

        let names = [
            ".git",
            ".git/config",
            ".git/index",
            ".git/commondir",
            ".git/config.worktree",
        ];
        for name in names {
            let scratch = tempfile::tempdir().unwrap();
            let file = scratch.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            mkfifo(&file, Mode::S_IRWXU).unwrap();
            assert!(plain(scratch.path()).is_err(), "{name}");
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
            assert!(plain(scratch.path()).is_err(), "{name}");
        }
    }

    #[test]
    fn only_plain_configuration_is_plain() {
        let table = [
            ("", true),
            (
                "[core]\n\tbare = false\n\trepositoryformatversion = 0\n",
                true,
            ),
            (
                "[remote \"origin\"]\n url = a\n fetch = +refs/heads/*:refs/remotes/origin/*\n",
                true,
            ),
            ("[branch \"main\"]\n remote = origin # why\n; said\n", true),
            ("[core]\n fsmonitor = ./run\n", false),
            ("[CORE]\n FSMonitor = ./run\n", false),
            ("[core] fsmonitor = ./run\n", false),
            ("[core]\n bare = false \\\n fsmonitor = ./run\n", false),
            ("[diff \"x\"]\n textconv = ./run\n", false),
            ("[diff.x]\n textconv = ./run\n", false),
            ("[diff]\n external = ./run\n", false),
            ("[filter \"x\"]\n clean = ./run\n", false),
            ("[include]\n path = elsewhere\n", false),
            ("[includeIf \"gitdir:/\"]\n path = elsewhere\n", false),
            ("[alias]\n status = !./run\n", false),
            ("[extensions]\n partialClone = origin\n", false),
            ("[remote \"origin\"]\n promisor = true\n", false),
            ("[remote \"origin\"]\n uploadpack = ./run\n", false),
            ("[core]\n worktree = /\n", false),
            ("fsmonitor = x\n", false),
            ("[gpg]\n program = ./run\n", false),
        ];
        for (text, plain) in table {
            let checked = check(text);
            assert_eq!(checked.is_ok(), plain, "{text}: {checked:?}");
        }
    }
}
