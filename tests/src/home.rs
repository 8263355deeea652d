//! A scratch world for one test: a home for the daemon, a repository to work
//! in, an environment that names only what is needed.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use portable_pty::CommandBuilder;
use serde_json::Value;
use tempfile::TempDir;

use crate::pty::Pty;
use crate::scenario::Scenario;
use crate::{binaries, process, until};

/// See the module.
pub struct Home {
    root: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Home {
    /// A home whose model follows this scenario.
    pub fn new(scenario: Scenario) -> Self {
        let mut home = Self::without_model();
        let path = home.root.path().join("scenario.json");
        std::fs::write(&path, scenario.to_json()).expect("the scenario can be written");
        home.set("COPILOT_SCRIPTED_MODEL", &path.display().to_string());
        home
    }

    /// A home without any model.
    pub fn without_model() -> Self {
        // A socket's path has room for about a hundred bytes.
        let root = tempfile::Builder::new()
            .prefix("ct-")
            .tempdir_in("/tmp")
            .expect("a scratch folder can be made");
        let path = root.path();
        for folder in ["home", "person", "project"] {
            std::fs::create_dir(path.join(folder)).unwrap();
        }
        let variables = [
            ("COPILOTD_HOME", path.join("home").display().to_string()),
            ("HOME", path.join("person").display().to_string()),
            (
                "PATH",
                format!(
                    "{}:/usr/local/bin:/usr/bin:/bin",
                    binaries::folder().display()
                ),
            ),
            ("SHELL", "/bin/bash".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("USER", "tester".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        let home = Self { root, variables };
        home.write("README.md", "# A scratch project\n");
        for arguments in [
            &["init", "--quiet", "--initial-branch", "main"][..],
            &["add", "--all"],
            &[
                "-c",
                "user.name=Tester",
                "-c",
                "user.email=tester@example.invalid",
                "commit",
                "--quiet",
                "--message",
                "Start",
            ],
        ] {
            let output = home.command("git", arguments).output().expect("git runs");
            assert!(output.status.success(), "git {arguments:?}: {output:?}");
        }
        home
    }

    /// Sets an environment variable for everything started from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(existing, _)| existing != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The environment of everything in this home.
    pub fn environment(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The scratch folder that everything is in.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `COPILOTD_HOME`.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The repository that sessions work in.
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.path().join("run/copilotd.sock")
    }

    /// Writes a file of the project, with its folders.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).expect("a project file can be written");
    }

    /// Reads a file of the project; nothing when it does not exist.
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.project().join(name)).ok()
    }

    /// Writes the daemon's settings.
    pub fn write_settings(&self, text: &str) {
        let folder = self.path().join("config");
        std::fs::create_dir_all(&folder).unwrap();
        // As editors do it: whole or not at all.
        let new = folder.join("settings.json.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join("settings.json")).unwrap();
    }

    /// Any program, in the project, with this home's environment only and
    /// nothing on standard input.
    pub fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .current_dir(self.project())
            .stdin(Stdio::null());
        command
    }

    /// `copilot` with these arguments, not yet started.
    pub fn copilot_command(&self, arguments: &[&str]) -> Command {
        self.command(binaries::binary("copilot"), arguments)
    }

    /// Runs `copilot` to its end.
    pub fn copilot(&self, arguments: &[&str]) -> Run {
        self.copilot_command(arguments)
            .output()
            .expect("copilot can be started")
            .into()
    }

    /// Runs `copilot` to its end with this text on standard input.
    pub fn copilot_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self
            .copilot_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("copilot can be started");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .expect("copilot reads its input");
        child.wait_with_output().expect("copilot ends").into()
    }

    /// Starts `copilot` in a terminal of its own.
    pub fn terminal(&self, arguments: &[&str]) -> Pty {
        let mut command = CommandBuilder::new(binaries::binary("copilot"));
        command.args(arguments);
        self.in_terminal(command)
    }

    /// Starts any program in a terminal of its own.
    pub fn in_terminal(&self, mut command: CommandBuilder) -> Pty {
        command.env_clear();
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command.cwd(self.project());
        Pty::spawn(command)
    }

    /// Starts the daemon and returns when it answers.
    pub fn start_daemon(&self) {
        self.copilot(&["daemon", "start"]).expect_code(0);
    }

    /// The daemon in the foreground as our own child, ready to be used.
    pub fn foreground_daemon(&self) -> Child {
        let child = self
            .command(binaries::binary("copilotd"), &["--foreground"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("copilotd can be started");
        self.wait_for_socket();
        child
    }

    /// Kills the daemon without a warning and waits until it is gone.
    pub fn kill_daemon(&self) {
        let daemons = self.daemons();
        assert!(!daemons.is_empty(), "there is no daemon to kill");
        process::kill(&daemons);
        until("the end of the daemon", || {
            daemons
                .iter()
                .all(|pid| !process::is_alive(*pid))
                .then_some(())
        });
    }

    /// Waits until somebody listens on the daemon's socket.
    pub fn wait_for_socket(&self) {
        until("a daemon that listens", || {
            std::os::unix::net::UnixStream::connect(self.socket()).ok()
        });
    }

    /// `copilot sessions list --all --json`, as its elements.
    pub fn sessions(&self) -> Vec<Value> {
        let run = self.copilot(&["sessions", "list", "--all", "--json"]);
        run.expect_code(0);
        let value: Value = serde_json::from_str(&run.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {run:?}"));
        value
            .get("sessions")
            .unwrap_or(&value)
            .as_array()
            .unwrap_or_else(|| panic!("no list of sessions: {value}"))
            .clone()
    }

    /// The id of the only session there is, once there is one.
    pub fn only_session(&self) -> String {
        until("the session in the list", || {
            match self.sessions().as_slice() {
                [] => None,
                [session] => Some(
                    session["id"]
                        .as_str()
                        .unwrap_or_else(|| panic!("a session without id: {session}"))
                        .to_owned(),
                ),
                more => panic!("more than one session: {more:?}"),
            }
        })
    }

    /// Running daemons of this home.
    pub fn daemons(&self) -> Vec<u32> {
        process::with_environment("COPILOTD_HOME", &self.path().display().to_string())
            .into_iter()
            .filter(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name.trim() == "copilotd")
            })
            .collect()
    }

    /// The daemon of this home, which runs.
    pub fn daemon(&self) -> u32 {
        match self.daemons().as_slice() {
            [pid] => *pid,
            other => panic!("one daemon, not {other:?}"),
        }
    }

    /// Everything the daemon of this home has logged.
    pub fn daemon_log(&self) -> String {
        let Ok(entries) = std::fs::read_dir(self.path().join("data/logs")) else {
            return String::new();
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}---", self.daemon_log());
        }
        // A process may start another one while it is being killed.
        loop {
            let left = process::of_folder(self.root.path());
            if left.is_empty() {
                break;
            }
            process::kill(&left);
            std::thread::yield_now();
        }
    }
}

impl Run {
    /// Fails the test with everything that was said, unless it ended so.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "exit code\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.stdout, self.stderr
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Standard output as one JSON value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not a JSON line ({error}): {line}"))
            })
            .collect()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
