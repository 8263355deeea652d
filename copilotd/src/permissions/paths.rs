//! Where a path leads: `~`, `.`, `..` and symbolic links resolved as far as they exist.
//! Looks at names and links only; never opens a file.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows before it gives up.
const MAX_LINKS: usize = 40;

/// Every place that a path may mean. Programs disagree about `..` behind a link and about
/// `~`, so one spelling can have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// Absolute, without links where those exist. At least one.
    pub(super) all: Vec<PathBuf>,
    /// False when something on the way could not be looked at: then nothing may be allowed.
    pub(super) certain: bool,
}

impl Places {
    /// Where `path`, asked for by an agent that works in `folder`, may lead.
    pub(super) fn of(path: &Path, folder: &Path) -> Self {
        let mut spellings = vec![folder.join(path)];
        let mut certain = true;
        if starts_with_tilde(path) {
            match expand_home(path) {
                Some(expanded) => spellings.push(expanded),
                None => certain = false,
            }
        }
        let mut all = Vec::new();
        for spelling in spellings {
            let tidy = normalise(&spelling);
            for candidate in [&spelling, &tidy] {
                let place = resolve(candidate).unwrap_or_else(|| {
                    certain = false;
                    tidy.clone()
                });
                if !all.contains(&place) {
                    all.push(place);
                }
            }
        }
        Self { all, certain }
    }

    /// Whether the path can lead nowhere but to `top` or below it.
    pub(super) fn all_inside(&self, top: &Path) -> bool {
        self.certain && self.all.iter().all(|place| place.starts_with(top))
    }

    /// Whether the path may lead to `top` or below it. Ignores case where file systems do.
    pub(super) fn any_inside(&self, top: &Path) -> bool {
        self.all.iter().any(|place| broadly_inside(place, top))
    }
}

/// Where the path of a rule or a setting leads: relative to `folder`, `~` expanded.
/// `None` when it cannot be told.
pub(super) fn place_of(path: &Path, folder: &Path) -> Option<PathBuf> {
    let expanded = expand_home(path)?;
    resolve(&normalise(&folder.join(expanded)))
}

/// `~` and `~/…` become the home folder; other paths are returned as they are.
/// `None` for `~name` and when there is no home folder.
#[must_use]
pub fn expand_home(path: &Path) -> Option<PathBuf> {
    if !starts_with_tilde(path) {
        return Some(path.to_owned());
    }
    let rest = path.strip_prefix("~").ok()?;
    let home = std::env::home_dir().filter(|home| home.is_absolute())?;
    Some(home.join(rest))
}

fn starts_with_tilde(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"~")
}

/// Removes `.` and `..` by looking at the text alone.
pub(super) fn normalise(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// `place` is `top` or below it; on systems whose file systems ignore case, so does this.
pub(super) fn broadly_inside(place: &Path, top: &Path) -> bool {
    if cfg!(any(target_os = "macos", windows)) {
        let lower = |path: &Path| PathBuf::from(path.to_string_lossy().to_lowercase());
        return lower(place).starts_with(lower(top));
    }
    place.starts_with(top)
}

/// Follows links the way the kernel does, and goes on by name where nothing exists yet.
/// Unlike `canonicalize` this also finds where a dangling link would create a file.
/// `None` for a relative path, a loop, and what may not be looked at.
pub(super) fn resolve(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    let mut links = 0;
    let mut real = PathBuf::new();
    let mut rest: VecDeque<PathBuf> = pieces(path).collect();
    while let Some(piece) = rest.pop_front() {
        match piece.components().next() {
            Some(Component::ParentDir) => {
                real.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            Some(_) => real.push(&piece),
        }
        match std::fs::symlink_metadata(&real) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = std::fs::read_link(&real).ok()?;
                real.pop();
                for piece in pieces(&target).rev() {
                    rest.push_front(piece);
                }
            }
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => {}
                _ => return None,
            },
        }
    }
    Some(real)
}

/// The components as paths of their own; an absolute one resets what it is pushed onto.
fn pieces(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components()
        .map(|component| PathBuf::from(component.as_os_str()))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn resolves_what_exists_and_keeps_what_does_not() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("real/deep")).unwrap();
        std::fs::write(top.join("real/file"), "").unwrap();
        symlink("real", top.join("link")).unwrap();
        symlink(top.join("real/deep"), top.join("deep")).unwrap();
        symlink("real/new", top.join("dangling")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        symlink("/", top.join("root")).unwrap();
        let table = [
            ("real", Some("real")),
            ("link", Some("real")),
            ("link/file", Some("real/file")),
            ("link/not/yet", Some("real/not/yet")),
            ("not/../yet", Some("yet")),
            ("deep/..", Some("real")),
            ("deep/../x", Some("real/x")),
            ("dangling", Some("real/new")),
            ("dangling/x", Some("real/new/x")),
            ("real/file/x", Some("real/file/x")),
            ("loop", None),
            ("loop/x", None),
        ];
        for (path, expected) in table {
            let expected = expected.map(|path| top.join(path));
            assert_eq!(resolve(&top.join(path)), expected, "{path}");
        }
        assert_eq!(resolve(&top.join("root/etc")), Some(PathBuf::from("/etc")));
        assert_eq!(resolve(Path::new("/../..")), Some(PathBuf::from("/")));
        assert_eq!(resolve(Path::new("relative")), None);
    }

    #[test]
    fn parents_behind_a_link_mean_both_places() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("inside")).unwrap();
        std::fs::create_dir_all(top.join("outside/deep")).unwrap();
        symlink(top.join("outside/deep"), top.join("inside/link")).unwrap();
        let places = Places::of(Path::new("link/../x"), &top.join("inside"));
        assert!(places.any_inside(&top.join("inside")));
        assert!(places.any_inside(&top.join("outside")));
        assert!(!places.all_inside(&top.join("inside")));
        assert!(!Places::of(Path::new("~nobody/x"), &top).certain);
    }

    #[test]
    fn home_is_expanded() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(expand_home(Path::new("~")), Some(home.clone()));
        assert_eq!(expand_home(Path::new("~/a")), Some(home.join("a")));
        assert_eq!(expand_home(Path::new("a/~")), Some(PathBuf::from("a/~")));
        assert_eq!(expand_home(Path::new("~other/a")), None);
    }
}
