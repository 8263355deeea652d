//! `docs/self-hosting.md` is followed word for word, and its unit is one that systemd takes.

use copilot_tests::Home;

const PAGE: &str = include_str!("../../docs/self-hosting.md");
const UNIT: &str = include_str!("../../systemd/copilot-relay.service");

/// What the page says to type, in its order.
fn commands() -> String {
    let mut commands = String::new();
    let mut inside = false;
    for line in PAGE.lines() {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn the_page_leads_to_a_relay_with_a_certificate_that_is_trusted_by_name_alone() {
    let home = Home::without_model();
    // Free at this moment, and nobody else on this machine is given it so soon.
    let port = std::net::TcpListener::bind("0.0.0.0:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let script = format!(
        "set -euo pipefail\n{}\n\
         # The page, over a certificate that curl trusts through ca.crt alone.\n\
         curl --silent --fail --head --cacert ca.crt https://$NAME:$PORT/\n\
         if curl --silent --cacert ca.crt https://127.0.0.1:$PORT/; then exit 9; fi\n\
         stat --format='%a %n' ca.key relay.key data data/enrolment-token\n\
         kill %1\nwait %1\n",
        commands()
    );
    let output = home
        .command("bash", &["-c", &script])
        .env("PORT", port.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    for expected in [
        "ready\n",
        "strict-transport-security: max-age",
        "600 ca.key\n600 relay.key\n700 data\n600 data/enrolment-token\n",
    ] {
        assert!(
            said.contains(expected),
            "{expected:?} in\n{said}\n{complaints}"
        );
    }
    assert!(
        said.contains(&format!("listening on https://localhost:{port}\n")),
        "{said}"
    );
    assert!(
        said.lines().any(|line| line.len() == 43),
        "an enrolment token in\n{said}"
    );
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_confines() {
    let home = Home::without_model();
    let unit = home.root().join("copilot-relay.service");
    // systemd looks whether the program is there.
    let program = copilot_tests::binary("copilot-relay").display().to_string();
    std::fs::write(
        &unit,
        UNIT.replace("/usr/local/bin/copilot-relay", &program),
    )
    .unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = home.command("systemd-analyze", arguments);
        match command.arg(&unit).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            output => Some(output.unwrap()),
        }
    };
    let Some(verified) = analyze(&["verify"]) else {
        return;
    };
    let complaints = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    let Some(security) = analyze(&["security", "--offline=true", "--threshold=30", "--no-pager"])
    else {
        return;
    };
    let report = String::from_utf8_lossy(&security.stdout);
    assert!(security.status.success(), "{report}");
}
