//! How a phone can reach this machine: a browser gives a page its keys only over HTTPS, so the relay on
//! loopback is for this machine alone. What is offered depends on what is installed here.

/// What there is to say while the relay is this machine's own. `has` tells whether a program is installed.
pub(super) fn ways(has: impl Fn(&str) -> bool) -> Vec<String> {
    let mut ways = vec![
        "this machine's own relay is reached from this machine alone; a phone needs HTTPS. For that".to_owned(),
    ];
    if has("tailscale") {
        ways.push(
            "  over your tailnet: run `copilot-relay serve --listen 127.0.0.1:8080 --behind-proxy --data DIR \
             --public-url https://NAME.TAILNET.ts.net` and `tailscale serve --bg 8080`"
                .to_owned(),
        );
    }
    if has("cloudflared") {
        ways.push(
            "  through a tunnel: run `copilot-relay serve --listen 127.0.0.1:8080 --behind-proxy --data DIR \
             --public-url https://NAME` and `cloudflared tunnel run --url http://127.0.0.1:8080 TUNNEL`"
                .to_owned(),
        );
    }
    ways.push(
        "  on a server with a name: run `copilot-relay serve --listen 0.0.0.0:443 --acme NAME --data DIR`, or use a \
         certificate of your own"
            .to_owned(),
    );
    ways.push(
        "  then `copilot login --relay https://NAME`; docs/self-hosting.md shows each way"
            .to_owned(),
    );
    ways
}

/// Whether a program is on `PATH`.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_is_offered_and_the_certificate_always() {
        let offered = |installed: &[&str]| ways(|program| installed.contains(&program)).join("\n");
        for (installed, tailnet, tunnel) in [
            (&[][..], false, false),
            (&["tailscale"], true, false),
            (&["cloudflared"], false, true),
            (&["tailscale", "cloudflared"], true, true),
        ] {
            let text = offered(installed);
            assert_eq!(text.contains("tailscale serve"), tailnet, "{text}");
            assert_eq!(text.contains("cloudflared tunnel"), tunnel, "{text}");
            assert!(text.contains("--acme") && text.contains("copilot login --relay"));
        }
    }
}
