//! Variables: which may be set without changing what runs. A name that is
//! neither listed nor plainly a script's own may not.

/// Variables that programs show things by, and that no program runs something by.
const EXPORTED: &[&str] = &[
    "CARGO_TERM_COLOR",
    "CI",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "LANG",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_NUMERIC",
    "LC_TIME",
    "LINES",
    "NODE_ENV",
    "NO_COLOR",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "RUST_TEST_THREADS",
    "TZ",
];

/// Lower-case names that shells or programs give a meaning.
const TAKEN: &[&str] = &[
    "argv",
    "cdpath",
    "fignore",
    "fpath",
    "histchars",
    "mailpath",
    "manpath",
    "module_path",
    "options",
    "path",
    "prompt",
    "psvar",
    "signals",
    "status",
    "watch",
];

/// Whether a command may be run with this variable and value in its environment.
pub(super) fn is_harmless(name: &str, value: Option<&str>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.,:=@+-".contains(c);
    EXPORTED.contains(&name) && value.is_some_and(|value| value.chars().all(plain))
}

/// Whether a name is one that scripts make up for themselves, so that setting it changes
/// nothing else.
pub(super) fn is_local(name: &str) -> bool {
    let own = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    own && !TAKEN.contains(&name) && !name.contains("proxy") && !name.starts_with("npm_")
}
