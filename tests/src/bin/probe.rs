//! Connects to the daemon's socket with nothing but its path and prints what
//! the daemon thinks of it: `local`, `agent`, or why it was not welcome. The
//! suites run it where nothing of the product is to be found.

#![allow(clippy::print_stdout)]

use copilot_tests::{Client, Trust};

fn main() {
    let socket = std::env::args_os().nth(1).unwrap_or_default();
    match Client::greet(socket.as_ref()) {
        Ok(client) => match client.trust() {
            Trust::Local => println!("local"),
            Trust::Agent => println!("agent"),
            Trust::Remote => println!("remote"),
        },
        Err(error) => println!("refused: {error}"),
    }
}
