//! The environment in which an approved command runs: without what could make a program that
//! only reads run another one.

/// What is set, and what is taken away, whatever was approved.
const ALWAYS: &[(&str, Option<&str>)] = &[
    ("CDPATH", None),
    ("GREP_OPTIONS", None),
    ("LESSSECURE", Some("1")),
    ("PAGER", Some("cat")),
    ("RIPGREP_CONFIG_PATH", None),
];

/// The same for a command that only reads, where git must find nothing to run and nobody to
/// ask. Other commands may need what this turns off.
const GIT: &[(&str, Option<&str>)] = &[
    ("GIT_ALLOW_PROTOCOL", Some("none")),
    ("GIT_ASKPASS", Some("false")),
    ("GIT_CONFIG", None),
    ("GIT_CONFIG_PARAMETERS", None),
    ("GIT_DIR", None),
    ("GIT_EXTERNAL_DIFF", None),
    ("GIT_NO_LAZY_FETCH", Some("1")),
    ("GIT_OPTIONAL_LOCKS", Some("0")),
    ("GIT_PAGER", Some("cat")),
    ("GIT_TERMINAL_PROMPT", Some("0")),
    ("GIT_WORK_TREE", None),
];

/// Configuration that git is given with the environment, over what any file says.
const GIT_CONFIG: &[(&str, &str)] = &[
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("diff.autoRefreshIndex", "false"),
    ("diff.submodule", "short"),
    ("gpg.openpgp.program", "false"),
    ("gpg.program", "false"),
    ("gpg.ssh.program", "false"),
    ("gpg.x509.program", "false"),
    ("log.showSignature", "false"),
    ("safe.bareRepository", "explicit"),
    ("status.submoduleSummary", "false"),
    ("submodule.recurse", "false"),
];

/// The variables to set, or to take away, for a command that was approved without asking.
#[must_use]
pub fn pinned(command: &str) -> Vec<(String, Option<String>)> {
    let own = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    let mut all: Vec<_> = ALWAYS.iter().map(own).collect();
    if super::only_reads(&super::parse(command)).is_ok() {
        all.extend(GIT.iter().map(own));
        let count = GIT_CONFIG.len().to_string();
        all.push(("GIT_CONFIG_COUNT".to_owned(), Some(count)));
        for (at, (key, value)) in GIT_CONFIG.iter().enumerate() {
            all.push((format!("GIT_CONFIG_KEY_{at}"), Some((*key).to_owned())));
            all.push((format!("GIT_CONFIG_VALUE_{at}"), Some((*value).to_owned())));
        }
    }
    all
}
