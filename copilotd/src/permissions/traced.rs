//! Compares the engine with what a real bash starts.
//!
//! Commands are made at random from a grammar and a vocabulary that is full of tricks. Each that
//! random rules allow is run by bash in a scratch folder, with a `PATH` that has nothing but
//! recorders: scripts that write down what they were started with. Then everything that was
//! started must be allowed by a rule or only read, and nothing may have been written that no
//! rule allows to be written. Only bash is needed, and nothing outside of the scratch folder can
//! be started by name.

// Failing loudly is what tests are for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::shell;
use super::{Decision, Guard, Request, Rule, RuleSet, Source, decide};

/// Programs that only record that they were started.
const PROGRAMS: &[&str] = &[
    "git", "rm", "cargo", "push", "alpha", "beta", "ls", "cat", "grep",
];
/// Programs that record it, and then run their arguments as they should.
const WRAPPERS: &[&str] = &[
    "env", "timeout", "nohup", "nice", "xargs", "find", "bash", "sh",
];

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "git", "rm", "cargo", "push", "status", "alpha", "beta", "ls", "cat", "-l", "x", "out",
            "a b", "echo",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            "'rm x'", "\"rm x\"", "\"$(rm x)\"", "$(rm x)", "`rm x`", "$X", "\"$X\"", "${X}",
            "${X:-$(rm x)}", "'a;b'", "\\;", "a\\ b", "#", "a#b", "#c", "{a,b}", "{rm,x}", "*", "?",
            "$((1+1))", "$((a[$(rm x)]))", "<(rm x)", "~", "$'rm\\nx'", "\"", "'", "\\", "''", "{}",
            "{", "}", "!", "[", "]]", "$IFS", "rm$IFS'x'", "=", "a=b", "-", "--", "-c", "-n", "1",
            "$@", "$*", "\"$@\"", "$1", "é", "\u{a0}", "&", "<<<", "2>&1", ">out", "2>/dev/null",
            "</dev/null", ">other", "$", "$\"rm\"", "\\\n", "\"a\nb\"", "'a\nrm x'",
        ]).prop_map(str::to_owned),
    ]
}

fn simple() -> impl Strategy<Value = String> {
    let program = prop_oneof![
        8 => prop::sample::select(vec![
            "git status", "git", "cargo", "alpha", "beta x", "ls", "cat", "echo", "printf %s",
            "true", "cd out", "pwd",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "env", "env A=1", "timeout 5", "nohup", "nice -n 5", "command", "exec", "eval",
            "builtin", "time", "time -p", "xargs", "xargs -n1", "xargs -I{}", "bash -c", "sh -c",
            "find . -exec", "! ", "coproc", "rm", "push", "export", "declare", "read", "read -r",
            "set -e", "set", "trap", "alias", "unset", "test", "[", "[[", "let", "printf -v",
            "shift", "exit", "return", "source", ".", "hash -p", "enable -n", "type", "wait",
            "mapfile", "getopts", "local", "PATH=. ", "LC_ALL=C", "IFS=x", "IFS= read", "x=1",
            "x=1;", "PATH=.;", "a[0]=1", "x+=1", "X=(a)",
        ]).prop_map(str::to_owned),
        1 => words(),
    ];
    (program, prop::collection::vec(words(), 0..4)).prop_map(|(program, words)| {
        std::iter::once(program)
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    })
}

fn script() -> impl Strategy<Value = String> {
    let leaf = simple().boxed();
    leaf.prop_recursive(4, 12, 3, |inner| {
        let operator = prop::sample::select(vec![
            " | ", " && ", " || ", "; ", " & ", "\n", ";", "|", "&&", "&", " |& ", "\n\n", " \\\n",
            " # c\n", "#", " #", "\n#", ";;", " ;\n", "&\n", "&&\n", "|\n", "\t", " \n ",
        ]);
        let around = prop::sample::select(vec![
            ("(", ")"), ("( ", " )"), ("{ ", "; }"), ("{ ", "\n}"), ("$(", ")"), ("`", "`"),
            ("echo $(", ")"), ("echo \"$(", ")\""), ("echo \"", "\""), ("echo '", "'"),
            ("if ", "; then echo; fi"), ("if true; then ", "\nfi"), ("if true\nthen\n", "; else ls; fi"),
            ("for x in a b; do ", "; done"), ("for x in ", "; do echo; done"),
            ("while false; do ", "; done"), ("until ", "; do break; done"),
            ("case x in x) ", ";; esac"), ("f() { ", "; }; f"), ("ls() { ", "; }; ls"),
            ("function f { ", "; }"), ("! ", ""), ("time ", ""), ("cat <<E\n", "\nE\n"),
            ("cat <<'E'\n", "\nE\n"), ("cat <<E | alpha\n", "\nE\n"), ("cat <<-E\n\t", "\n\tE\n"),
            ("cat <<E; ", "\nE\n"), ("cat <<E && beta\n", "\nE\n"), ("cat <<E > out/x\n", "\nE\n"),
            ("echo $(cat <<'E'\n", "\nE\n)"), ("echo \"$(cat <<'E'\n", "\nE\n)\""),
            ("bash -c '", "'"), ("bash -c \"", "\""), ("eval '", "'"), ("eval ", ""),
            ("cat <(", ")"), ("cat >(", ")"), ("[[ -n ", " ]]"), ("[ ", " ]"), ("((", "))"),
            ("echo $((", "))"), ("", " > out/y"), ("", " >> other"), ("", " < x"), ("", " 2>&1"),
            ("", " &> out/z"), ("> out/w ", ""), ("", " <<< x"), ("", " <<< \"$(rm x)\""), ("x=", ""),
            ("x=$(", ")"), ("", " #"), ("# ", "\nls"), ("echo a\\\n", ""), ("echo ${x:-", "}"),
            ("coproc ", ""), ("trap '", "' EXIT"), ("\\", ""), ("'", "'"), ("\"", "\""),
        ]);
        prop_oneof![
            3 => (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("{left}{operator}{right}")),
            2 => (around, inner).prop_map(|((before, after), inner)| format!("{before}{inner}{after}")),
        ]
    })
}

fn rule_texts() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "shell(git status)",
            "shell(git:*)",
            "shell(cargo:*)",
            "shell(alpha:*)",
            "shell(alpha)",
            "shell(beta x:*)",
            "shell(echo:*)",
            "shell(cat:*)",
            "write(out)",
        ]),
        1..5,
    )
}

fn rule_set(texts: &[&str]) -> RuleSet {
    let rule = |text: &&str| (text.parse::<Rule>().unwrap(), Source::Flag);
    RuleSet {
        allow: texts.iter().map(rule).collect(),
        guard: Guard::new(Vec::new(), None),
        ..RuleSet::default()
    }
}

/// In the log, where a line is what was started once: ends a word.
const WORD: u8 = 1;
/// In the log: a line break in a word.
const LINE: u8 = 2;

/// A scratch folder with recorders, far from everything else.
struct Ground {
    scratch: tempfile::TempDir,
    bash: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let ground = Self {
            scratch: tempfile::tempdir().unwrap(),
            bash: program("bash").unwrap(),
        };
        std::fs::create_dir(ground.recorders()).unwrap();
        for name in PROGRAMS.iter().chain(WRAPPERS) {
            let real = program(name).filter(|_| WRAPPERS.contains(name));
            let then = real.map_or_else(String::new, |path| format!("exec {path:?} \"$@\""));
            // One write, so that recorders that run at once do not mix: bash writes line by line,
            // so there is only one line.
            let text = format!(
                "#!{} -p\nrecord=; for word in {name} \"$@\"; do record+=$word$'\\{WORD:o}'; done\n\
                 record=${{record//$'\\n'/$'\\{LINE:o}'}}\nprintf '%s\\n' \"$record\" >> {:?}\n{then}\n",
                ground.bash.display(),
                ground.log(),
            );
            let file = ground.recorders().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        ground
    }

    fn recorders(&self) -> PathBuf {
        self.scratch.path().join("recorders")
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    fn far(&self) -> PathBuf {
        self.scratch.path().join("far")
    }

    fn project(&self) -> PathBuf {
        self.far().join("from/everything/project")
    }

    /// Makes the project as it is before every command.
    fn tidy(&self) {
        let _ = std::fs::remove_dir_all(self.far());
        let _ = std::fs::remove_file(self.log());
        std::fs::create_dir_all(self.project().join("out")).unwrap();
        std::fs::write(self.project().join("x"), "x\n").unwrap();
    }

    /// Runs a command and returns what was started and which files are new or changed.
    fn run(&self, command: &str) -> (Vec<Vec<String>>, Vec<PathBuf>) {
        self.tidy();
        let before = files(&self.far());
        // Everything that is started holds descriptor 9, so that its end is the end of all.
        let mut bash = Command::new(&self.bash);
        bash.args(["-c", "exec 9>&1 >/dev/null 2>&1; exec \"$0\" -c \"$1\""])
            .arg(&self.bash)
            .arg(command)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", self.recorders())
            .env("HOME", self.far())
            // A function that calls itself ends soon.
            .env("FUNCNEST", "5")
            .env("X", "rm x")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = bash.spawn().unwrap();
        let mut all = child.stdout.take().unwrap();
        let (ended, end) = mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let _ = all.read_to_end(&mut Vec::new());
            let _ = ended.send(());
        });
        // What does not end by itself, such as a loop, is ended.
        let _ = end.recv_timeout(Duration::from_secs(10));
        let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        child.wait().unwrap();
        waiting.join().unwrap();
        let log = std::fs::read(self.log()).unwrap_or_default();
        let after = files(&self.far());
        let changed = after
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(*text));
        (
            records(&log),
            changed.map(|(path, _)| path.clone()).collect(),
        )
    }
}

/// Where a program really is.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn records(log: &[u8]) -> Vec<Vec<String>> {
    let log = String::from_utf8_lossy(log);
    let words = |line: &str| {
        let words = line.split_terminator(char::from(WORD));
        words
            .map(|word| word.replace(char::from(LINE), "\n"))
            .collect()
    };
    log.lines().map(words).collect()
}

/// Every file below, with what is in it.
fn files(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.insert(
                entry.path(),
                std::fs::read(entry.path()).unwrap_or_default(),
            );
        }
    }
    found
}

/// Runs what is allowed of random commands until `enough` says so of how many were run.
fn hunt(seed: u64, enough: impl Fn(usize) -> bool) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let ground = Ground::new();
    ground.tidy();
    let folder = ground.project().canonicalize().unwrap();
    let (mut made, mut run) = (0_usize, 0);
    while !enough(run) {
        made += 1;
        assert!(
            made < 1_000 || run > made / 1_000,
            "hardly any command is allowed"
        );
        let command = script().new_tree(&mut runner).unwrap().current();
        let texts = rule_texts().new_tree(&mut runner).unwrap().current();
        let rules = rule_set(&texts);
        let request = Request::Shell {
            command: command.clone(),
        };
        if !matches!(decide(&request, &rules, &folder), Decision::Allow { .. }) {
            continue;
        }
        run += 1;
        let (started, changed) = ground.run(&command);
        for argv in started {
            let is_wrapper = WRAPPERS.contains(&argv[0].as_str());
            assert!(
                is_wrapper || shell::starts_allowed(&argv, &rules),
                "the rules {texts:?} allowed\n{command}\nand it started {argv:?}"
            );
        }
        for path in changed {
            let covered = texts.contains(&"write(out)") && path.starts_with(folder.join("out"));
            let path = path.display();
            assert!(
                covered,
                "the rules {texts:?} allowed\n{command}\nand it changed {path}"
            );
        }
    }
}

#[test]
fn what_was_started_is_recorded_word_by_word() {
    let ground = Ground::new();
    let (mut started, changed) = ground.run("ls '' 'a\nb' é & git & wait; env alpha x");
    started.sort();
    let expected = [
        &["alpha", "x"][..],
        &["env", "alpha", "x"],
        &["git"],
        &["ls", "", "a\nb", "é"],
    ];
    assert_eq!(started, expected);
    assert_eq!(changed, [] as [PathBuf; 0]);
}

#[test]
fn bash_starts_nothing_that_was_not_allowed() {
    hunt(0, |run| run >= 150);
}

#[test]
#[ignore = "long: ten minutes of commands"]
fn bash_starts_nothing_that_was_not_allowed_for_ten_minutes() {
    let started = Instant::now();
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    hunt(seed.as_secs(), |_| {
        started.elapsed() > Duration::from_secs(600)
    });
}
