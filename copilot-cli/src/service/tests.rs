//! Installing and removing in a scratch folder, with a service manager that only remembers what it was asked.

use std::collections::HashMap;

use super::*;

/// A service in a scratch folder and the commands that were run for it.
struct Scene {
    scratch: tempfile::TempDir,
    service: Service,
    ran: Vec<String>,
    /// What commands come to whose beginning is here; the others succeed.
    outcomes: HashMap<&'static str, (bool, &'static str)>,
    daemon_listens: bool,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let service = systemd(scratch.path(), "/usr/bin/copilotd");
        let outcomes = HashMap::from([("systemctl --user is-active", (false, ""))]);
        Self {
            scratch,
            service,
            ran: Vec::new(),
            outcomes,
            daemon_listens: false,
        }
    }

    fn with(
        &mut self,
        work: impl FnOnce(&Service, &mut Run<'_>, bool, &mut Vec<u8>) -> Result<(), ServiceError>,
    ) -> (Result<(), ServiceError>, String) {
        let Self {
            service,
            ran,
            outcomes,
            daemon_listens,
            ..
        } = self;
        let mut run = |invocation: &Invocation| {
            let command = invocation.to_string();
            let planned = outcomes
                .iter()
                .find(|(beginning, _)| command.starts_with(**beginning));
            let (success, said) = planned.map_or((true, ""), |(_, outcome)| *outcome);
            if said == "no such program" {
                return Err(io::ErrorKind::NotFound.into());
            }
            ran.push(command);
            Ok(Outcome {
                success,
                said: said.to_owned(),
            })
        };
        let mut out = Vec::new();
        let result = work(service, &mut run, *daemon_listens, &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    fn install(&mut self) -> (Result<(), ServiceError>, String) {
        self.with(|service, run, listens, out| service.install(run, || listens, out))
    }

    fn uninstall(&mut self, dry_run: bool) -> (Result<(), ServiceError>, String) {
        self.with(|service, run, _, out| service.uninstall(run, dry_run, out))
    }

    /// The commands since the last call.
    fn ran(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ran)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.service.folder.join(name)
    }

    /// Output with the scratch folder written as `~`.
    fn plain(&self, output: &str) -> String {
        output.replace(&self.scratch.path().display().to_string(), "~")
    }
}

fn systemd(scratch: &Path, daemon: &str) -> Service {
    let target = Target::new(None, Path::new(daemon), |_| None);
    let folder = scratch.join("systemd/user");
    Service {
        manager: Manager::Systemd,
        folder,
        units: target.systemd().unwrap(),
    }
}

#[test]
fn installs_once_and_changes_nothing_the_second_time() {
    let mut scene = Scene::new();
    let (result, said) = scene.install();
    result.unwrap();
    assert_eq!(
        scene.plain(&said),
        "wrote ~/systemd/user/copilotd.service\n\
         wrote ~/systemd/user/copilotd.socket\n\
         ran systemctl --user daemon-reload\n\
         ran systemctl --user enable --now copilotd.socket\n\
         to keep it after you log out: loginctl enable-linger\n"
    );
    for unit in &scene.service.units {
        assert_eq!(
            std::fs::read_to_string(scene.path(unit.name)).unwrap(),
            unit.text
        );
    }
    let files = std::fs::read_dir(&scene.service.folder).unwrap().count();
    assert_eq!(files, 2, "nothing else is left in the folder");

    scene
        .outcomes
        .insert("systemctl --user is-active", (true, ""));
    let (result, said) = scene.install();
    result.unwrap();
    assert!(
        said.starts_with("unchanged") && !said.contains("wrote"),
        "{said}"
    );
}

#[test]
fn an_older_unit_of_ours_is_replaced_and_a_running_service_is_not_cut_off() {
    let mut scene = Scene::new();
    scene.install().0.unwrap();
    scene.ran();
    scene
        .outcomes
        .insert("systemctl --user is-active", (true, ""));
    // It listens because the service runs, which is no reason to refuse.
    scene.daemon_listens = true;
    scene.service = systemd(scene.scratch.path(), "/opt/new/copilotd");
    let (result, said) = scene.install();
    result.unwrap();
    let said = scene.plain(&said);
    assert!(
        said.contains("replaced ~/systemd/user/copilotd.service"),
        "{said}"
    );
    assert!(
        said.contains("unchanged ~/systemd/user/copilotd.socket"),
        "{said}"
    );
    assert!(
        said.contains("keeps its old definition until you run:"),
        "{said}"
    );
    let ran = scene.ran();
    assert!(
        !ran.iter().any(|command| command.contains("stop")),
        "{ran:?}"
    );
}

#[test]
fn a_unit_of_somebody_else_stops_everything_before_anything_is_changed() {
    let mut scene = Scene::new();
    let theirs = scene.path("copilotd.socket");
    std::fs::create_dir_all(&scene.service.folder).unwrap();
    std::fs::write(&theirs, "[Socket]\nListenStream=/their/own\n").unwrap();
    for (result, said) in [scene.install(), scene.uninstall(false)] {
        assert!(matches!(result, Err(ServiceError::NotOurs { path }) if path == theirs));
        assert_eq!(said, "");
    }
    assert!(scene.ran().is_empty());
    assert!(!scene.path("copilotd.service").exists());
    assert!(
        std::fs::read_to_string(&theirs)
            .unwrap()
            .contains("/their/own")
    );

    // A masked unit is a link to /dev/null.
    std::fs::remove_file(&theirs).unwrap();
    std::os::unix::fs::symlink("/dev/null", &theirs).unwrap();
    assert!(matches!(
        scene.install().0,
        Err(ServiceError::NotOurs { .. })
    ));
}

#[test]
fn a_daemon_that_runs_by_itself_is_a_reason_to_stop() {
    let mut scene = Scene::new();
    scene.daemon_listens = true;
    let (result, _) = scene.install();
    let error = result.unwrap_err();
    assert!(error.to_string().contains("copilot daemon stop"), "{error}");
    assert!(!scene.service.folder.exists());
}

#[test]
fn a_missing_or_failing_manager_is_said_in_words() {
    let mut scene = Scene::new();
    scene
        .outcomes
        .insert("systemctl --user is-active", (false, "no such program"));
    let error = scene.install().0.unwrap_err();
    assert!(
        error.to_string().starts_with("`systemctl` was not found"),
        "{error}"
    );
    assert!(!scene.service.folder.exists());

    let no_bus = "Failed to connect to bus: No medium found";
    scene
        .outcomes
        .insert("systemctl --user is-active", (false, no_bus));
    let error = scene.install().0.unwrap_err();
    assert!(error.to_string().contains(no_bus), "{error}");
    assert!(error.to_string().contains("log in directly"), "{error}");
    assert!(!scene.service.folder.exists());

    scene
        .outcomes
        .insert("systemctl --user is-active", (false, ""));
    scene
        .outcomes
        .insert("systemctl --user enable", (false, "Access denied"));
    let (result, said) = scene.install();
    assert_eq!(
        result.unwrap_err().to_string(),
        "`systemctl --user enable --now copilotd.socket` failed: Access denied"
    );
    assert!(
        said.contains("wrote") && said.contains("daemon-reload"),
        "{said}"
    );
}

#[test]
fn uninstalling_stops_the_service_and_removes_only_what_was_installed() {
    let mut scene = Scene::new();
    scene.install().0.unwrap();
    scene.ran();
    std::fs::write(scene.path("other.service"), "").unwrap();

    let (result, said) = scene.uninstall(true);
    result.unwrap();
    let expected = "# run: systemctl --user disable --now copilotd.socket\n\
         # run: systemctl --user stop copilotd.service\n\
         # remove: ~/systemd/user/copilotd.service\n\
         # remove: ~/systemd/user/copilotd.socket\n\
         # run: systemctl --user daemon-reload\n";
    assert_eq!(scene.plain(&said), expected);
    assert!(scene.ran().is_empty());
    assert!(scene.path("copilotd.socket").exists());

    scene.uninstall(false).0.unwrap();
    let ran = scene.ran();
    assert_eq!(ran.last().unwrap(), "systemctl --user daemon-reload");
    assert!(
        ran.contains(&"systemctl --user disable --now copilotd.socket".to_owned()),
        "{ran:?}"
    );
    assert!(!scene.path("copilotd.socket").exists() && !scene.path("copilotd.service").exists());
    assert!(scene.path("other.service").exists());

    let (result, said) = scene.uninstall(false);
    result.unwrap();
    assert_eq!(said, "# the service is not installed\n");
    assert!(scene.ran().is_empty());
}

#[test]
fn a_launchd_agent_is_loaded_once() {
    let scratch = tempfile::tempdir().unwrap();
    let target = Target::new(None, Path::new("/usr/local/bin/copilotd"), |_| None);
    let mut scene = Scene::new();
    scene.service = Service {
        manager: Manager::Launchd { uid: 501 },
        folder: scratch.path().to_owned(),
        units: target.launchd().unwrap(),
    };
    scene
        .outcomes
        .insert("launchctl print", (false, "Could not find service"));
    scene.install().0.unwrap();
    let bootstrap = format!(
        "launchctl bootstrap gui/501 {}/dev.copilotd.plist",
        scratch.path().display()
    );
    assert!(scene.ran().contains(&bootstrap));
    scene.outcomes.insert("launchctl print", (true, ""));
    scene.install().0.unwrap();
    assert_eq!(scene.ran(), ["launchctl print gui/501/dev.copilotd"]);
    scene.uninstall(false).0.unwrap();
    assert_eq!(
        scene.ran(),
        [
            "launchctl print gui/501/dev.copilotd",
            "launchctl bootout gui/501/dev.copilotd"
        ]
    );
}

#[test]
fn a_daemon_that_is_not_there_is_not_installed() {
    let paths = Paths::under(Path::new("/srv/ada"));
    for daemon in ["copilotd", "/nowhere/copilotd"] {
        let result = install(&paths, Path::new(daemon), true, &mut Vec::new());
        assert!(matches!(result, Err(ServiceError::NoDaemon { .. })));
    }
}

/// Cuts what a dry run prints into its files, as a person would who wants to check them.
fn files_in(printed: &str) -> Vec<(&str, &str)> {
    let units = printed.split("# run: ").next().unwrap();
    let files = units.split("# file: ").skip(1);
    files.map(|file| file.split_once('\n').unwrap()).collect()
}

#[test]
fn systemd_accepts_what_a_dry_run_prints() {
    let missing = Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if missing.is_err() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    // Every character that means something to systemd.
    let odd = scratch.path().join("100% \"a\\b\" $x 'y' #z");
    std::fs::create_dir(&odd).unwrap();
    let programs = scratch.path().join("100% $x #z");
    std::fs::create_dir(&programs).unwrap();
    let daemon = programs.join("copilotd");
    std::fs::copy("/bin/true", &daemon).unwrap();
    for home in [None, Some(odd.as_path())] {
        let target = Target::new(home, &daemon, |_| None);
        let folder = scratch.path().join("units");
        let units = target.systemd().unwrap();
        let service = Service {
            manager: Manager::Systemd,
            folder: folder.clone(),
            units,
        };
        let mut printed = Vec::new();
        service.describe_install(&mut printed).unwrap();
        assert!(!folder.exists(), "a dry run writes nothing");

        let printed = String::from_utf8(printed).unwrap();
        let files = files_in(&printed);
        assert_eq!(files.len(), 2);
        let verified = tempfile::tempdir().unwrap();
        for (path, text) in &files {
            let name = Path::new(path).file_name().unwrap();
            std::fs::write(verified.path().join(name), text).unwrap();
        }
        let output = Command::new("systemd-analyze")
            .args(["--user", "verify", "copilotd.service", "copilotd.socket"])
            .current_dir(verified.path())
            .env("XDG_RUNTIME_DIR", scratch.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{said}\n{printed}"
        );
    }
}
