//! Every limit of the relay, in one place. What happens beyond one is said where it is enforced; each is
//! refused with words and counted in the metrics.

use std::time::Duration;

use crate::bucket::Rate;

/// What one relay allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Machines of one account.
    pub machines: u32,
    /// Devices of one account.
    pub devices: u32,
    /// Link sockets and long polls at once.
    pub sockets: usize,
    /// Connections at once, whatever they do.
    pub connections: usize,
    /// Connections at once from one address (an IPv6 network of 64 bits counts as one); behind a proxy, those
    /// that carry a request of, or a socket to, the address that the proxy names. Loopback is not counted.
    pub connections_per_address: usize,
    /// Link sockets of one device at once; the tabs of a browser share a device.
    pub sockets_per_device: usize,
    /// Link sockets of one pairing at once: whoever has its link shares them.
    pub sockets_per_pairing: usize,
    /// Channels of one device's socket, and of one device to one machine over all its sockets.
    pub channels_per_device: usize,
    /// Channels that one device or one pairing opens, over all its sockets.
    pub channel_opens: Rate,
    /// Channels that are opened to one machine, by whomever.
    pub channel_opens_at_machine: Rate,
    /// Channels of one machine with devices.
    pub channels_per_machine: usize,
    /// Channels of one machine with those who pair. Besides the others, so that neither keep the other out.
    pub pairing_channels_per_machine: usize,
    /// Pairings of one machine that are open at once.
    pub pairings_per_machine: usize,
    /// How long a pairing may be open.
    pub pairing_lifetime: Duration,
    /// Tickets, pairing tickets and claims that wait to be used.
    pub tickets: usize,
    /// Of those, tickets of one device or one pairing.
    pub tickets_per_party: usize,
    /// How long a ticket or a claim may be used.
    pub ticket_lifetime: Duration,
    /// Requests for tickets, claims and enrolment from one address.
    pub secrets_per_address: Rate,
    /// Messages on a machine's socket. Beyond it the relay reads more slowly.
    pub machine_messages: Rate,
    /// Messages on a device's socket. Beyond it the relay reads more slowly.
    pub device_messages: Rate,
    /// Credit of each direction of a channel.
    pub window_bytes: u32,
    /// Messages of one direction of a channel that may wait in the relay; only a sender of many tiny ones
    /// towards a reader that stands still gets there.
    pub waiting_messages: u64,
    /// Control messages that may wait for one socket that does not read.
    pub waiting_control_messages: usize,
    /// Idle channels are closed after this.
    pub channel_idle: Duration,
    /// The first message from the device must come within this.
    pub channel_first_message: Duration,
    /// How often machines and devices ping.
    pub heartbeat: Duration,
    /// A socket that was not heard for this long is gone.
    pub lease: Duration,
    /// A socket that did not say hello for this long is closed.
    pub hello: Duration,
    /// How long a receive of a long poll waits.
    pub poll_wait: Duration,
    /// The head of a request, and a TLS handshake, must be complete within this.
    pub request_head: Duration,
    /// The body of a request must be there within this.
    pub request_body: Duration,
    /// Of an answer something must be taken within this, again and again. Link sockets have their lease.
    pub answer_taken: Duration,
    /// What waits for a socket that is being closed must be written within this.
    pub last_words: Duration,
    /// Bytes of a JSON body.
    pub body_bytes: usize,
    /// About as many bytes are in the answer to one receive of a long poll.
    pub poll_bytes: usize,
    /// How long draining waits for the sockets to leave.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            machines: 100,
            devices: 100,
            sockets: 16_384,
            connections: 20_000,
            connections_per_address: 256,
            sockets_per_device: 16,
            sockets_per_pairing: 8,
            channels_per_device: 16,
            channel_opens: Rate {
                burst: 64,
                per_second: 1.0,
            },
            channel_opens_at_machine: Rate {
                burst: 64,
                per_second: 8.0,
            },
            channels_per_machine: 64,
            pairing_channels_per_machine: 8,
            pairings_per_machine: 8,
            pairing_lifetime: Duration::from_secs(15 * 60),
            tickets: 10_000,
            tickets_per_party: 32,
            ticket_lifetime: Duration::from_secs(30),
            secrets_per_address: Rate {
                burst: 120,
                per_second: 2.0,
            },
            machine_messages: Rate {
                burst: 20_000,
                per_second: 10_000.0,
            },
            device_messages: Rate {
                burst: 2_000,
                per_second: 1_000.0,
            },
            window_bytes: 1024 * 1024,
            waiting_messages: 16_384,
            waiting_control_messages: 1_024,
            channel_idle: Duration::from_secs(60 * 60),
            channel_first_message: Duration::from_secs(30),
            heartbeat: Duration::from_secs(30),
            lease: Duration::from_secs(75),
            hello: Duration::from_secs(10),
            poll_wait: Duration::from_secs(25),
            request_head: Duration::from_secs(10),
            request_body: Duration::from_secs(20),
            answer_taken: Duration::from_secs(20),
            last_words: Duration::from_secs(5),
            body_bytes: 8 * 1024,
            poll_bytes: 1024 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}
