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
    /// Of the places and everything above them, as far as they exist.
    identities: Vec<Identity>,
    /// One of the places is a file that has other names as well.
    pub(super) has_other_names: bool,
}

/// What the file system itself tells things apart by. Two spellings, a bind mount and a hard
/// link of the same thing have the same one.
type Identity = (u64, u64);

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
        let mut identities = Vec::new();
        for place in all.iter().flat_map(|place| place.ancestors()) {
            if let Some((identity, _)) = look_at(place)
                && !identities.contains(&identity)
            {
                identities.push(identity);
            }
        }
        let has_other_names = all
            .iter()
            .any(|place| look_at(place).is_some_and(|(_, names)| names > 1));
        Self {
            all,
            certain,
            identities,
            has_other_names,
        }
    }

    /// Whether the path can lead nowhere but to `top` or below it.
    pub(super) fn all_inside(&self, top: &Path) -> bool {
        self.certain && self.all.iter().all(|place| place.starts_with(top))
    }

    /// Whether the path may lead to `top` or below it, under any name.
    pub(super) fn any_inside(&self, top: &Path) -> bool {
        self.all.iter().any(|place| broadly_inside(place, top))
            || look_at(top).is_some_and(|(identity, _)| self.identities.contains(&identity))
    }

    /// The one place that the path can lead to, if there is only one.
    pub(super) fn only(&self) -> Option<&Path> {
        match (self.all.as_slice(), self.certain) {
            ([place], true) => Some(place),
            _ => None,
        }
    }
}

/// What `path` is to the file system, and how many names it has if it is a file.
#[cfg(unix)]
fn look_at(path: &Path) -> Option<(Identity, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    let names = if found.is_file() { found.nlink() } else { 1 };
    Some(((found.dev(), found.ino()), names))
}

/// Elsewhere things are told apart by name only.
#[cfg(not(unix))]
fn look_at(_path: &Path) -> Option<(Identity, u64)> {
    None
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

/// `place` is `top` or below it. Case never counts: any folder may be on a file system that
/// ignores it.
pub(super) fn broadly_inside(place: &Path, top: &Path) -> bool {
    let lower = |path: &Path| PathBuf::from(path.to_string_lossy().to_lowercase());
    place.starts_with(top) || lower(place).starts_with(lower(top))
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
    fn another_name_of_the_same_thing_is_inside_too() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("secret")).unwrap();
        std::fs::write(top.join("secret/key"), "").unwrap();
        std::fs::write(top.join("alone"), "").unwrap();
        std::fs::hard_link(top.join("secret/key"), top.join("harmless")).unwrap();
        let linked = Places::of(Path::new("harmless"), &top);
        assert!(linked.has_other_names);
        assert!(linked.any_inside(&top.join("secret/key")));
        assert!(!linked.any_inside(&top.join("secret")));
        assert!(!Places::of(Path::new("alone"), &top).has_other_names);
        assert!(!Places::of(Path::new("secret"), &top).has_other_names);
        assert!(Places::of(Path::new("SECRET/new"), &top).any_inside(&top.join("secret")));
        assert!(!Places::of(Path::new("SECRET/new"), &top).all_inside(&top.join("secret")));
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
