//! Whatever lies where the database should be: refused untouched, or kept under another name.

use std::os::unix::fs::PermissionsExt as _;

use copilotd::store::{OpenError, open};
use rusqlite::Connection;

use crate::harness::{Scratch, state, write};

/// Opens over what was prepared and expects it under another name, with words.
fn expect_set_aside(scratch: &Scratch, words: &str) -> std::path::PathBuf {
    let (store, notices) = scratch.open_noticing();
    assert!(notices[0].0.contains(words), "{notices:?}");
    assert!(notices[0].0.contains(".damaged-"), "{notices:?}");
    write(&store, "a", vec![state("x")]);
    assert!(store.load("a", 1).unwrap().is_some());
    drop(store);
    drop(scratch.open());
    let kept = scratch.kept();
    kept.first().unwrap().clone()
}

#[test]
fn a_file_that_is_no_database() {
    for content in [&b""[..], b"x", b"a letter to somebody, longer than a header, which is a hundred bytes long: and so this goes on and on and on"] {
        let scratch = Scratch::new();
        std::fs::write(scratch.path(), content).unwrap();
        let kept = expect_set_aside(&scratch, "nothing in it could be read");
        assert_eq!(std::fs::read(kept).unwrap(), content);
    }
}

#[test]
fn a_database_of_another_program() {
    let scratch = Scratch::new();
    let other = Connection::open(scratch.path()).unwrap();
    other
        .execute_batch("CREATE TABLE sessions (id); INSERT INTO sessions VALUES ('theirs');")
        .unwrap();
    drop(other);
    let before = std::fs::read(scratch.path()).unwrap();
    let kept = expect_set_aside(&scratch, "another program");
    assert_eq!(std::fs::read(kept).unwrap(), before);
}

#[test]
fn a_database_of_ours_with_other_tables() {
    let scratch = Scratch::new();
    drop(scratch.open());
    Connection::open(scratch.path())
        .unwrap()
        .execute_batch("DROP TABLE states")
        .unwrap();
    expect_set_aside(&scratch, "damaged");
}

#[test]
fn a_folder_a_link_to_nowhere_a_pipe() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).unwrap();
    std::fs::write(scratch.path().join("inside"), "kept").unwrap();
    let kept = expect_set_aside(&scratch, "cannot be read as a file");
    assert_eq!(std::fs::read(kept.join("inside")).unwrap(), b"kept");

    let scratch = Scratch::new();
    std::os::unix::fs::symlink("/nowhere/at/all", scratch.path()).unwrap();
    expect_set_aside(&scratch, "cannot be read as a file");

    let scratch = Scratch::new();
    nix::unistd::mkfifo(&scratch.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    expect_set_aside(&scratch, "cannot be read as a file");
}

#[test]
fn a_link_to_a_database_is_followed() {
    let real = Scratch::new();
    write(&real.open(), "a", vec![state("x")]);
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(real.path(), scratch.path()).unwrap();
    assert!(scratch.open().load("a", 1).unwrap().is_some());
    assert!(scratch.path().symlink_metadata().unwrap().is_symlink());
}

#[test]
fn rights_that_are_missing_are_taken_back() {
    let scratch = Scratch::new();
    write(&scratch.open(), "a", vec![state("x")]);
    let set = |mode| {
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o000, 0o400, 0o666] {
        set(mode);
        assert!(scratch.open().load("a", 1).unwrap().is_some());
        let found = scratch.path().metadata().unwrap().permissions().mode();
        assert_eq!(found & 0o777, 0o600);
    }
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    for is_in_wal in [false, true] {
        let scratch = Scratch::new();
        write(&scratch.open(), "a", vec![state("x")]);
        let newer = Connection::open(scratch.path()).unwrap();
        newer
            .set_db_config(
                rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                is_in_wal,
            )
            .unwrap();
        newer.execute_batch("PRAGMA user_version = 7777").unwrap();
        drop(newer);
        let snapshot = || {
            let mut files: Vec<_> = std::fs::read_dir(scratch.folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| !path.to_string_lossy().ends_with("-shm"))
                .map(|path| (path.clone(), std::fs::read(path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let before = snapshot();
        assert_eq!(before.len(), if is_in_wal { 3 } else { 2 });
        for _ in 0..2 {
            let error = open(&scratch.path()).unwrap_err();
            assert!(
                matches!(error, OpenError::Newer { found: 7777, .. }),
                "{error}"
            );
            assert!(error.to_string().contains("newer release"), "{error}");
            assert_eq!(snapshot(), before);
        }
    }
}

#[test]
fn a_wal_without_its_database_is_not_taken_for_the_next_one() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(&store, "a", vec![state("x")]);
    let wal = std::fs::read(scratch.beside("-wal")).unwrap();
    drop(store);
    std::fs::remove_file(scratch.path()).unwrap();
    std::fs::write(scratch.beside("-wal"), &wal).unwrap();
    let (store, notices) = scratch.open_noticing();
    assert!(notices[0].0.contains("was gone"), "{notices:?}");
    assert!(store.load("a", 1).unwrap().is_none());
    assert_eq!(std::fs::read(&scratch.kept()[0]).unwrap(), wal);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_in_words() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path(), "a file").unwrap();
    let error = open(&scratch.path().join("inside/db")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("could not prepare the folder"),
        "{error}"
    );
}

#[test]
fn things_set_aside_in_the_same_second_get_different_names() {
    let scratch = Scratch::new();
    for n in 0..5 {
        std::fs::write(scratch.path(), format!("number {n}")).unwrap();
        drop(scratch.open_noticing());
    }
    let mut contents: Vec<_> = scratch
        .kept()
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap_or_default())
        .filter(|text| text.starts_with("number"))
        .collect();
    contents.sort();
    assert_eq!(contents.len(), 5, "{contents:?}");
}
