//! Paths as models write them: relative to the session's folder, and whether they stay in it.

use std::path::{Component, Path, PathBuf};

/// A path that a tool was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The absolute path, with the symbolic links of everything that exists resolved. What is
    /// read or written, so that it is what was judged.
    pub(super) path: PathBuf,
    /// Whether it is the session's folder or in it.
    pub(super) inside: bool,
}

impl Target {
    /// How people see it: relative to the folder where it is inside.
    pub(super) fn display(&self, cwd: &Path) -> String {
        match self.path.strip_prefix(cwd) {
            Ok(relative) if relative.as_os_str().is_empty() => ".".to_owned(),
            Ok(relative) => relative.display().to_string(),
            Err(_) => self.path.display().to_string(),
        }
    }
}

/// Resolves `path` in `cwd`, which has no symbolic links itself.
///
/// # Errors
/// When it is empty, or leads through something that cannot be resolved.
pub(super) fn resolve(cwd: &Path, path: &str) -> Result<Target, String> {
    if path.is_empty() {
        return Err("The path is empty.".to_owned());
    }
    if path.contains('\0') {
        return Err("The path contains a NUL character.".to_owned());
    }
    let joined = cwd.join(path);
    // The longest part that exists is resolved by the system; what comes after cannot contain
    // links, and `..` in it is resolved by name.
    let mut existing = joined.as_path();
    let mut missing: Vec<Component<'_>> = Vec::new();
    let resolved = loop {
        match existing.canonicalize() {
            Ok(resolved) => break resolved,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A link to nothing exists without existing: writing would follow it.
                if existing.symlink_metadata().is_ok() {
                    return Err(format!("{} is a broken symbolic link.", existing.display()));
                }
            }
            Err(error) => return Err(format!("{path}: {error}.")),
        }
        let mut components = existing.components();
        match components.next_back() {
            Some(last) => missing.push(last),
            None => return Err(format!("{path} cannot be resolved.")),
        }
        existing = components.as_path();
    };
    let mut path = resolved;
    for component in missing.into_iter().rev() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(Target {
        inside: path.starts_with(cwd),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn links_and_dots_do_not_lead_out_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let cwd = base.join("work");
        fs::create_dir_all(cwd.join("src")).unwrap();
        fs::create_dir(base.join("work2")).unwrap();
        fs::write(base.join("secret"), "").unwrap();
        symlink(base.join("secret"), cwd.join("link")).unwrap();
        symlink(&base, cwd.join("up")).unwrap();
        symlink(cwd.join("src"), cwd.join("in")).unwrap();
        for (path, expected, inside) in [
            ("src/a", "work/src/a", true),
            (".", "work", true),
            ("src/../b", "work/b", true),
            ("new/../../x", "x", false),
            ("../secret", "secret", false),
            ("../work2/x", "work2/x", false),
            ("link", "secret", false),
            ("up/other/file", "other/file", false),
            ("up/work/src", "work/src", true),
            ("in/new/file", "work/src/new/file", true),
        ] {
            let target = resolve(&cwd, path).unwrap();
            assert_eq!(
                (target.path, target.inside),
                (base.join(expected), inside),
                "{path}"
            );
        }
        symlink(base.join("nothing"), cwd.join("broken")).unwrap();
        assert!(
            resolve(&cwd, "broken")
                .unwrap_err()
                .contains("broken symbolic link")
        );
        assert!(resolve(&cwd, "").is_err());
    }
}
