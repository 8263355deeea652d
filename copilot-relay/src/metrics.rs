//! What the relay counts, in the text format of Prometheus.
//!
//! Must never have a label that names anybody: no ids, no addresses, no names.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $label:literal,)*) => {
        /// Why something was refused, limited or cut: the label of `relay_refused_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            const LABELS: &'static [&'static str] = &[$($label),*];
        }
    };
}

reasons! {
    /// `Host` is another one.
    Host = "host",
    /// `Origin` is another one.
    Origin = "origin",
    /// A token, ticket or claim that is not, or no longer, good.
    Unauthorized = "unauthorized",
    /// A request that makes no sense.
    Malformed = "malformed",
    /// One address asks for secrets too often.
    Rate = "rate",
    /// Too many connections.
    Connections = "connections",
    /// Too many sockets, machines, devices, pairings, channels or tickets.
    Full = "full",
    /// Something larger than is allowed.
    Size = "size",
    /// A request head, handshake, hello or answer that took too long.
    Slow = "slow",
    /// A socket that was not heard for the lease.
    Lease = "lease",
    /// A socket that does not read.
    Reader = "reader",
    /// A channel whose sender exceeded its credit.
    Overrun = "overrun",
    /// A channel on which nothing was sent for too long.
    Idle = "idle",
    /// Came while the relay was leaving.
    Draining = "draining",
    /// The relay itself failed.
    Internal = "internal",
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What there is at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Connections, whatever they do.
    pub connections: u64,
    /// Machines that are online.
    pub machines: u64,
    /// Sockets of devices.
    pub devices: u64,
    /// Sockets of those who pair.
    pub pairing_sockets: u64,
    /// Pairings that are open.
    pub pairings: u64,
    /// Channels.
    pub channels: u64,
    /// Payload bytes that wait for sockets that read slowly.
    pub waiting_bytes: u64,
}

/// All counters of one relay.
#[derive(Debug, Default)]
pub struct Metrics {
    /// HTTP requests, upgrades included.
    pub requests: Counter,
    /// Sockets and long polls that were opened.
    pub sockets: Counter,
    /// Control messages that came.
    pub control_messages: Counter,
    /// Sealed messages that were carried.
    pub frames: Counter,
    /// Their payload bytes.
    pub frame_bytes: Counter,
    /// How often a socket that sends too fast was read more slowly.
    pub throttled: Counter,
    /// Channels that were opened.
    pub channels: Counter,
    /// Devices that were admitted.
    pub devices_admitted: Counter,
    refused: [Counter; Reason::LABELS.len()],
}

impl Metrics {
    /// Counts a refusal.
    pub fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].increment();
    }

    /// How often something was refused for this reason.
    #[must_use]
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].get()
    }

    /// Everything as text.
    #[must_use]
    pub fn render(&self, present: Present) -> String {
        let mut text = String::with_capacity(4096);
        let gauges = [
            ("relay_connections", "Open connections", present.connections),
            ("relay_machines_online", "Machines online", present.machines),
            ("relay_device_sockets", "Device sockets", present.devices),
            (
                "relay_pairing_sockets",
                "Sockets of devices that pair",
                present.pairing_sockets,
            ),
            ("relay_pairings", "Open pairings", present.pairings),
            ("relay_channels", "Open channels", present.channels),
            (
                "relay_waiting_bytes",
                "Payload bytes that wait for slow readers",
                present.waiting_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            sample(&mut text, name, help, "gauge");
            line(&mut text, name, value);
        }
        let counters = [
            ("relay_requests_total", "HTTP requests", &self.requests),
            (
                "relay_sockets_total",
                "Link sockets and long polls opened",
                &self.sockets,
            ),
            (
                "relay_control_messages_total",
                "Control messages received",
                &self.control_messages,
            ),
            (
                "relay_frames_total",
                "Sealed messages carried",
                &self.frames,
            ),
            (
                "relay_frame_bytes_total",
                "Payload bytes of sealed messages carried",
                &self.frame_bytes,
            ),
            (
                "relay_throttled_total",
                "Times a socket that sends too fast was read more slowly",
                &self.throttled,
            ),
            ("relay_channels_total", "Channels opened", &self.channels),
            (
                "relay_devices_admitted_total",
                "Devices admitted",
                &self.devices_admitted,
            ),
        ];
        for (name, help, counter) in counters {
            sample(&mut text, name, help, "counter");
            line(&mut text, name, counter.get());
        }
        let name = "relay_refused_total";
        sample(&mut text, name, "Refusals and cuts by reason", "counter");
        for (label, counter) in Reason::LABELS.iter().zip(&self.refused) {
            line(
                &mut text,
                &format!("{name}{{reason=\"{label}\"}}"),
                counter.get(),
            );
        }
        text
    }
}

fn sample(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_number_once() {
        let metrics = Metrics::default();
        metrics.refuse(Reason::Overrun);
        metrics.frame_bytes.add(7);
        let text = metrics.render(Present {
            machines: 3,
            ..Present::default()
        });
        for expected in [
            "\nrelay_machines_online 3\n",
            "\nrelay_frame_bytes_total 7\n",
            "\n# TYPE relay_refused_total counter\n",
            "\nrelay_refused_total{reason=\"overrun\"} 1\n",
            "\nrelay_refused_total{reason=\"internal\"} 0\n",
        ] {
            assert_eq!(text.matches(expected).count(), 1, "{expected}\n{text}");
        }
    }
}
