//! Turns that change a real folder in every way, and are taken back.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

struct World {
    scratch: TempDir,
    kept: Kept,
}

/// A folder as text: path, mode and content of everything in it.
fn picture(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap();
            let mode = found.permissions().mode() & 0o7777;
            let content = match () {
                () if found.is_symlink() => format!("-> {:?}", fs::read_link(&path).unwrap()),
                () if found.is_dir() => {
                    waiting.push(path.clone());
                    format!("folder {mode:o}")
                }
                () => format!("{mode:o} {:?}", fs::read(&path).unwrap()),
            };
            lines.push(format!("{name:?} {content}"));
        }
    }
    lines.sort();
    lines
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("project");
        fs::create_dir(&folder).unwrap();
        let place = scratch.path().join("kept");
        let kept = Kept::new(place, folder, Vec::new(), limits);
        Self { scratch, kept }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("project")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A turn that does this.
    fn turn(&mut self, number: u64, work: impl FnOnce(&Self)) -> TurnChanges {
        self.kept.protect(number, &[]).unwrap();
        work(self);
        self.kept.finish().unwrap().unwrap()
    }

    fn kinds(turn: &TurnChanges) -> Vec<(String, ChangeKind)> {
        let one = |change: &Change| (change.path().display().to_string(), change.kind());
        turn.changes.iter().map(one).collect()
    }

    fn words(&self, number: Option<u64>) -> String {
        self.kept.undo(number).unwrap_err().to_string()
    }
}

#[test]
fn a_turn_that_changes_everything_is_taken_back_byte_for_byte() {
    let mut world = World::new();
    world.write("edited.txt", "old\r\nlines\n");
    world.write("binary", [0, 159, 146, 150, 255, b'\n', 0]);
    world.write("renamed/from.txt", "moves");
    world.write("deleted.txt", "was here");
    world.write("gone/deep/file", "deep");
    world.write("script.sh", "#!/bin/sh\n");
    world.mode("script.sh", 0o755);
    world.write("becomes-folder", "a file");
    world.write("becomes-file/inside", "x");
    world.write("locked/inside", "x");
    world.write("empty", "");
    symlink("edited.txt", world.path("link")).unwrap();
    symlink("/nowhere/at/all", world.path("dangling")).unwrap();
    let odd = world
        .folder()
        .join(std::ffi::OsStr::from_bytes(b"odd\xff\nname \xe2\x80\xae%"));
    fs::write(&odd, "odd").unwrap();
    let before = picture(&world.folder());

    let turn = world.turn(1, |world| {
        world.write("edited.txt", "new");
        world.write("binary", [1, 2, 3, 0]);
        fs::rename(world.path("renamed"), world.path("other")).unwrap();
        fs::remove_file(world.path("deleted.txt")).unwrap();
        fs::remove_dir_all(world.path("gone")).unwrap();
        world.mode("script.sh", 0o600);
        fs::remove_file(world.path("becomes-folder")).unwrap();
        world.write("becomes-folder/a/b", "new");
        fs::remove_dir_all(world.path("becomes-file")).unwrap();
        world.write("becomes-file", "a file now");
        world.write("locked/inside", "y");
        world.mode("locked", 0o555);
        world.write("new/folder/file", "new");
        fs::create_dir(world.path("new/empty")).unwrap();
        fs::remove_file(world.path("link")).unwrap();
        symlink("binary", world.path("link")).unwrap();
        fs::remove_file(world.path("dangling")).unwrap();
        fs::write(&odd, "changed").unwrap();
    });
    assert!(turn.changes.len() >= 18, "{:?}", World::kinds(&turn));
    let after = picture(&world.folder());
    let plan = world.kept.plan(None).unwrap();
    assert_eq!((plan.turn.number, plan.changed_since.len()), (1, 0));
    assert_eq!(picture(&world.folder()), after, "a plan changes nothing");

    let (turn, restored) = world.kept.undo(None).unwrap();
    assert_eq!(picture(&world.folder()), before);
    assert_eq!(restored.restored.len(), turn.changes.len());
    assert_eq!((restored.left.len(), restored.lost.len()), (0, 0));
    assert_eq!(
        world.words(None),
        "no turn changed a file that is not undone"
    );
    assert_eq!(world.words(Some(1)), "turn 1 is undone already");
    assert_eq!(world.words(Some(2)), "turn 2 changed no files");
}

#[test]
fn what_changed_since_is_named_and_nothing_is_touched() {
    let mut world = World::new();
    world.write("a", "1");
    world.write("b", "1");
    world.turn(1, |world| {
        world.write("a", "2");
        world.write("b", "2");
        world.write("made", "2");
    });
    world.write("b", "3");
    fs::remove_file(world.path("made")).unwrap();
    let before = picture(&world.folder());
    assert_eq!(
        world.words(None),
        "nothing was undone, because this changed since: b"
    );
    assert_eq!(picture(&world.folder()), before);
    // What is as before the turn already is fine, what a later turn did is not.
    world.write("b", "2");
    world.turn(2, |world| world.write("a", "4"));
    assert!(world.words(Some(1)).ends_with(": a"));
    world.kept.undo(None).unwrap();
    world.kept.undo(None).unwrap();
    assert_eq!(fs::read(world.path("a")).unwrap(), b"1");
    assert_eq!(fs::read(world.path("b")).unwrap(), b"1");
}

#[test]
fn a_mode_or_a_new_file_in_a_new_folder_counts_as_changed_since() {
    let mut world = World::new();
    world.write("a", "1");
    world.turn(1, |world| {
        world.write("a", "2");
        world.write("new/file", "2");
    });
    world.mode("a", 0o600);
    assert!(world.words(None).ends_with(": a"));
    world.mode("a", 0o644);
    world.write("new/mine", "keep");
    let (_, restored) = world.kept.undo(None).unwrap();
    assert_eq!(restored.left, [PathBuf::from("new")]);
    assert!(world.path("new/mine").exists() && !world.path("new/file").exists());
}

#[test]
fn a_link_in_the_way_is_never_followed() {
    let mut world = World::new();
    let outside = world.scratch.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "2").unwrap();
    world.write("folder/file", "1");
    world.turn(1, |world| world.write("folder/file", "2"));
    fs::remove_dir_all(world.path("folder")).unwrap();
    symlink(&outside, world.path("folder")).unwrap();
    assert!(world.words(None).contains("folder/file"));
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"2");
    // Nor when it is looked at before a turn.
    let turn = world.turn(2, |_| fs::write(outside.join("file"), "3").unwrap());
    assert_eq!(World::kinds(&turn), []);
}

#[test]
fn what_is_ignored_is_left_alone_unless_a_tool_names_it() {
    let mut world = World::new();
    world.write(".gitignore", "/target\n*.log\n!keep.log\n");
    world.write("sub/.gitignore", "secret\n");
    for name in ["target/a", "x.log", "keep.log", "sub/secret", ".git/config"] {
        world.write(name, "1");
    }
    let change_all = |world: &World| {
        for name in ["target/a", "x.log", "keep.log", "sub/secret", ".git/config"] {
            world.write(name, "2");
        }
        world.write("target/new", "2");
        // What was ignored before is not known, and so it is not new now.
        world.write(".gitignore", "");
    };
    let turn = world.turn(1, change_all);
    let expected = [
        (".gitignore".to_owned(), ChangeKind::Edited),
        ("keep.log".to_owned(), ChangeKind::Edited),
    ];
    assert_eq!(World::kinds(&turn), expected);
    world.kept.undo(None).unwrap();

    let outside = world.scratch.path().join("elsewhere/new/file");
    let named = [world.path("x.log"), outside.clone()];
    world.kept.protect(2, &[]).unwrap();
    world.kept.protect(2, &named).unwrap();
    world.write("x.log", "3");
    fs::create_dir_all(outside.parent().unwrap()).unwrap();
    fs::write(&outside, "made").unwrap();
    let turn = world.kept.finish().unwrap().unwrap();
    assert_eq!(turn.changes.len(), 4, "{:?}", World::kinds(&turn));
    world.kept.undo(None).unwrap();
    assert_eq!(fs::read(world.path("x.log")).unwrap(), b"2");
    assert!(!world.scratch.path().join("elsewhere").exists());
}

#[test]
fn in_a_folder_that_is_too_large_only_what_tools_name_is_kept() {
    let mut world = World::with(Limits {
        entries: 3,
        ..Limits::default()
    });
    for name in ["a", "b", "c", "d"] {
        world.write(name, "1");
    }
    world.kept.protect(1, &[world.path("a")]).unwrap();
    assert_eq!(world.kept.limited(), Some("it has more than 3 files"));
    assert!(!world.kept.covers(1));
    world.write("a", "2");
    world.write("b", "2");
    let turn = world.kept.finish().unwrap().unwrap();
    assert_eq!(World::kinds(&turn), [("a".to_owned(), ChangeKind::Edited)]);
    assert!(turn.limited.is_some());
    world.kept.undo(None).unwrap();
    assert_eq!(fs::read(world.path("a")).unwrap(), b"1");
}

#[test]
fn a_file_that_is_too_large_is_named_and_the_rest_is_taken_back() {
    let mut world = World::with(Limits {
        file_bytes: 10,
        ..Limits::default()
    });
    world.write("large", [b'x'; 100]);
    world.write("small", "1");
    world.turn(1, |world| {
        world.write("large", [b'y'; 100]);
        world.write("small", "2");
        world.write("new", [b'z'; 100]);
    });
    let (_, restored) = world.kept.undo(None).unwrap();
    assert_eq!(restored.lost, [PathBuf::from("large")]);
    assert_eq!(fs::read(world.path("small")).unwrap(), b"1");
    assert!(!world.path("new").exists());
    assert!(restored.sentence(1).contains("too large to be kept: large"));
}

#[test]
fn a_turn_that_was_cut_off_is_known_after_a_restart_and_a_restore_can_be_repeated() {
    let mut world = World::new();
    world.write("a", "1");
    world.write("b", "1");
    world.kept.protect(1, &[]).unwrap();
    world.write("a", "2");
    let place = world.scratch.path().join("kept");
    assert!(Kept::was_cut_off(&place));
    let again = || Kept::new(place.clone(), world.folder(), Vec::new(), Limits::default());
    let mut kept = again();
    kept.finish().unwrap();
    // The same turn goes on.
    kept.protect(1, &[]).unwrap();
    world.write("b", "2");
    kept.finish().unwrap();
    assert!(!Kept::was_cut_off(&place));
    // A restore that ended in the middle.
    world.write("a", "1");
    let (turn, restored) = again().undo(Some(1)).unwrap();
    assert_eq!((turn.changes.len(), restored.restored.len()), (2, 1));
    assert_eq!(fs::read(world.path("b")).unwrap(), b"1");
}

#[test]
fn what_was_damaged_is_not_restored() {
    let mut world = World::new();
    world.write("a", "1");
    world.turn(1, |world| world.write("a", "2"));
    for blob in fs::read_dir(world.scratch.path().join("kept/blobs")).unwrap() {
        fs::write(blob.unwrap().path(), "?").unwrap();
    }
    assert_eq!(
        world.words(None),
        "what was kept of a is damaged; nothing was changed"
    );
    assert_eq!(fs::read(world.path("a")).unwrap(), b"2");
}

#[test]
fn only_the_newest_turns_are_kept_and_only_what_they_need() {
    let mut world = World::with(Limits {
        turns: 2,
        ..Limits::default()
    });
    world.write("a", "0");
    world.write("unchanged", "same");
    for number in 1..=4 {
        world.turn(number, |world| world.write("a", number.to_string()));
    }
    assert!(world.words(Some(1)).contains("from 3 on"));
    world.kept.tidy(false).unwrap();
    let blobs = world.scratch.path().join("kept/blobs");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 2, "2 and 3");
    world.kept.undo(Some(4)).unwrap();
    assert_eq!(fs::read(world.path("a")).unwrap(), b"3");
}

#[test]
fn a_quick_change_of_the_same_length_is_seen() {
    let mut world = World::new();
    world.write("a", "1");
    for number in 1..=5 {
        let turn = world.turn(number, |world| world.write("a", format!("{}", number + 1)));
        assert_eq!(turn.changes.len(), 1, "turn {number}");
    }
}

/// Prints how long a folder of 5,000 files takes; see docs/undo.md.
#[test]
#[ignore = "a measurement"]
fn five_thousand_files() {
    let mut world = World::new();
    for number in 0..5000 {
        let name = format!("{}/{}/file{number}", number % 10, number % 100);
        world.write(&name, format!("{number}").repeat(1500));
    }
    // Until the clock of the file system has gone on.
    let script = "sleep 3";
    std::process::Command::new("sh")
        .args(["-c", script])
        .status()
        .unwrap();
    for name in ["first", "second", "third"] {
        let started = std::time::Instant::now();
        world.kept.protect(1, &[]).unwrap();
        let before = started.elapsed();
        let started = std::time::Instant::now();
        world.kept.finish().unwrap();
        eprintln!("{name}: before {before:?}, after {:?}", started.elapsed());
    }
}
