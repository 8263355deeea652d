//! The browser that the page is tested in: a Chromium of this system, found or installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{run, say};

/// Names a Chromium to use; the page's suites read it too.
pub(crate) const VARIABLE: &str = "COPILOT_TEST_CHROMIUM";

/// What it is called on PATH, the first that works counts.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
];

/// Where it is when it is not on PATH.
const PLACES: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// 148 does not tell a page that is loaded while offline that it is.
const OLDEST: u32 = 149;

/// The browser, and a font for the emoji in tests and screenshots. What else it needs to draw
/// text are its own dependencies.
const PACKAGES: [&str; 2] = ["chromium", "fonts-noto-color-emoji"];

/// The path of a Chromium that starts. Where there is none it is installed, by whoever may do so
/// (root on a system with apt); otherwise the error says how to get it.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let path = PathBuf::from(named);
        if !starts(&path) {
            bail!(
                "{VARIABLE} names {}, which does not start (`--version`) or is older than {OLDEST}",
                path.display()
            );
        }
        return Ok(path);
    }
    if let Some(path) = found() {
        return Ok(path);
    }
    // One that is too old is brought up to date in the same way.
    if !run::may_install() {
        bail!("{}", missing());
    }
    say::step("installing Chromium, which the page is tested in, with apt-get");
    run::install(&PACKAGES).with_context(missing)?;
    found().with_context(missing)
}

fn found() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    NAMES
        .iter()
        .flat_map(|name| on_path.iter().map(move |folder| folder.join(name)))
        .chain(PLACES.iter().map(PathBuf::from))
        .find(|path| path.is_file() && starts(path))
}

/// Some systems have a script of that name that only says how to get the real one.
fn starts(path: &Path) -> bool {
    run::output(path, &["--version"])
        .is_some_and(|said| major(&said).is_none_or(|major| major >= OLDEST))
}

/// Of `Chromium 156.0.8078.108 built on …`.
fn major(said: &str) -> Option<u32> {
    let numbers = said
        .split_whitespace()
        .filter_map(|word| word.split_once('.'));
    numbers.filter_map(|(major, _)| major.parse().ok()).next()
}

fn missing() -> String {
    let apt = format!(
        "apt-get install --no-install-recommends {}",
        PACKAGES.join(" ")
    );
    format!(
        "Chromium {OLDEST} or newer is missing: the page is tested in a real one. Install it, for instance with\n  \
         {}{apt}        (Debian)\n  \
         dnf install chromium        (Fedora)\n  \
         pacman -S chromium        (Arch)\n  \
         brew install --cask chromium        (macOS)\n\
         or name a Chromium or Chrome that is somewhere else in {VARIABLE}",
        if run::is_root() { "" } else { "sudo " },
    )
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_version_is_read_from_what_browsers_say() {
        let table = [
            (
                "Chromium 156.0.8078.108 built on Debian GNU/Linux 12",
                Some(156),
            ),
            ("Google Chrome 149.0.7000.1", Some(149)),
            ("Brave Browser", None),
        ];
        for (said, expected) in table {
            assert_eq!(major(said), expected, "{said}");
        }
    }
}
