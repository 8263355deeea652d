//! Whether the network of this machine changed: an address, a way out, a cable. On Linux the kernel
//! says so; elsewhere nobody does, and heartbeats notice.
//!
//! Much of what the kernel says changes nothing, such as an address whose lifetime was renewed:
//! `Known` remembers what there is, and only what is new or gone is a change.

#[cfg(target_os = "linux")]
pub(super) use linux::Changes;

#[cfg(any(target_os = "linux", test))]
mod known {
    use std::collections::HashSet;

    /// As much is remembered; beyond that everything counts as new.
    const MOST: usize = 4096;

    const HEADER: usize = 16;
    const NEW_LINK: u16 = 16;
    const DELETED_LINK: u16 = 17;
    const NEW_ADDRESS: u16 = 20;
    const DELETED_ADDRESS: u16 = 21;
    const NEW_ROUTE: u16 = 24;
    const DELETED_ROUTE: u16 = 25;

    const LINK_FLAG_LOOPBACK: u32 = 0x8;
    const LINK_FLAG_RUNNING: u32 = 0x40;
    const ADDRESS: u16 = 1;
    const LOCAL_ADDRESS: u16 = 2;
    const ROUTE_OUT: u16 = 4;
    const ROUTE_GATEWAY: u16 = 5;
    /// Addresses that reach no further than the link or the machine.
    const NARROW_SCOPES: std::ops::RangeInclusive<u8> = 253..=255;
    const MAIN_TABLE: u8 = 254;

    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    enum Thing {
        /// A link that carries.
        Link(u32),
        Address(u32, Vec<u8>),
        /// A way to everywhere: family, gateway, link.
        WayOut(u8, Vec<u8>, Vec<u8>),
    }

    /// What is known of the network.
    #[derive(Debug, Default)]
    pub(super) struct Known {
        things: HashSet<Thing>,
    }

    impl Known {
        /// Takes in what the kernel said. `true`: something changed.
        pub(super) fn take(&mut self, mut messages: &[u8]) -> bool {
            let mut changed = false;
            while let Some((kind, body, rest)) = message(messages) {
                messages = rest;
                if let Some((thing, is_there)) = thing(kind, body) {
                    changed |= match is_there {
                        true => self.add(thing),
                        false => self.things.remove(&thing),
                    };
                }
            }
            changed
        }

        fn add(&mut self, thing: Thing) -> bool {
            if self.things.len() >= MOST {
                self.things.clear();
            }
            self.things.insert(thing)
        }

        /// What is known may be wrong.
        pub(super) fn forget(&mut self) {
            self.things.clear();
        }
    }

    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn aligned(length: usize) -> usize {
        length.saturating_add(3) & !3
    }

    /// The first of some messages: kind, body, and what follows.
    fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let body = bytes.get(HEADER..length)?;
        let rest = bytes.get(aligned(length)..).unwrap_or_default();
        Some((u16_at(bytes, 4)?, body, rest))
    }

    /// The value of an attribute.
    fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
        loop {
            let length = usize::from(u16_at(bytes, 0)?);
            let value = bytes.get(4..length)?;
            if u16_at(bytes, 2)? == wanted {
                return Some(value);
            }
            bytes = bytes.get(aligned(length)..)?;
        }
    }

    /// What a message is about, and whether that is there now; nothing when it does not matter.
    fn thing(kind: u16, body: &[u8]) -> Option<(Thing, bool)> {
        match kind {
            NEW_LINK | DELETED_LINK => {
                let (index, flags) = (u32_at(body, 4)?, u32_at(body, 8)?);
                let carries = flags & LINK_FLAG_RUNNING != 0 && kind == NEW_LINK;
                let matters = flags & LINK_FLAG_LOOPBACK == 0;
                matters.then_some((Thing::Link(index), carries))
            }
            NEW_ADDRESS | DELETED_ADDRESS => {
                let (scope, index) = (*body.get(3)?, u32_at(body, 4)?);
                let attributes = body.get(8..)?;
                let address = attribute(attributes, LOCAL_ADDRESS)
                    .or_else(|| attribute(attributes, ADDRESS))?;
                let thing = Thing::Address(index, address.to_vec());
                (!NARROW_SCOPES.contains(&scope)).then_some((thing, kind == NEW_ADDRESS))
            }
            NEW_ROUTE | DELETED_ROUTE => {
                let (family, prefix, table) = (*body.first()?, *body.get(1)?, *body.get(4)?);
                let attributes = body.get(12..)?;
                let value = |wanted| attribute(attributes, wanted).unwrap_or_default().to_vec();
                let thing = Thing::WayOut(family, value(ROUTE_GATEWAY), value(ROUTE_OUT));
                (prefix == 0 && table == MAIN_TABLE).then_some((thing, kind == NEW_ROUTE))
            }
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn message(kind: u16, body: &[u8]) -> Vec<u8> {
            let length = u32::try_from(HEADER + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(HEADER, 0);
            bytes.extend(body);
            bytes.resize(aligned(bytes.len()), 0);
            bytes
        }

        fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
            let length = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(aligned(bytes.len()), 0);
            bytes
        }

        fn link(kind: u16, index: u32, flags: u32) -> Vec<u8> {
            let mut body = vec![0; 4];
            body.extend(index.to_ne_bytes());
            body.extend(flags.to_ne_bytes());
            body.extend([0; 4]);
            message(kind, &body)
        }

        fn address(kind: u16, scope: u8, of: [u8; 4]) -> Vec<u8> {
            let mut body = vec![2, 24, 0, scope];
            body.extend(3_u32.to_ne_bytes());
            // Its lifetime, which says nothing.
            body.extend(attribute(6, &[0; 16]));
            body.extend(attribute(LOCAL_ADDRESS, &of));
            message(kind, &body)
        }

        fn route(kind: u16, prefix: u8, table: u8, gateway: [u8; 4]) -> Vec<u8> {
            let mut body = vec![2, prefix, 0, 0, table, 0, 0, 0, 0, 0, 0, 0];
            body.extend(attribute(ROUTE_GATEWAY, &gateway));
            message(kind, &body)
        }

        #[test]
        fn only_what_is_new_or_gone_and_leads_somewhere_is_a_change() {
            let mut known = Known::default();
            let running = LINK_FLAG_RUNNING | 0x1;
            let here = [10, 0, 0, 2];
            for (what, bytes, changed) in [
                (
                    "the loopback",
                    link(NEW_LINK, 1, running | LINK_FLAG_LOOPBACK),
                    false,
                ),
                (
                    "a cable that is not plugged in",
                    link(NEW_LINK, 2, 0x1),
                    false,
                ),
                ("it is plugged in", link(NEW_LINK, 2, running), true),
                (
                    "something else about it",
                    link(NEW_LINK, 2, running | 0x1000),
                    false,
                ),
                ("an address", address(NEW_ADDRESS, 0, here), true),
                ("the same for longer", address(NEW_ADDRESS, 0, here), false),
                (
                    "an address of the link",
                    address(NEW_ADDRESS, 253, [169, 254, 0, 1]),
                    false,
                ),
                (
                    "an address of the machine",
                    address(NEW_ADDRESS, 254, [127, 0, 0, 1]),
                    false,
                ),
                (
                    "a way to a neighbour",
                    route(NEW_ROUTE, 24, MAIN_TABLE, [0; 4]),
                    false,
                ),
                (
                    "a way of another table",
                    route(NEW_ROUTE, 0, 255, [0; 4]),
                    false,
                ),
                (
                    "a way out",
                    route(NEW_ROUTE, 0, MAIN_TABLE, [10, 0, 0, 1]),
                    true,
                ),
                (
                    "the same",
                    route(NEW_ROUTE, 0, MAIN_TABLE, [10, 0, 0, 1]),
                    false,
                ),
                (
                    "another",
                    route(NEW_ROUTE, 0, MAIN_TABLE, [10, 0, 0, 9]),
                    true,
                ),
                (
                    "it is gone",
                    route(DELETED_ROUTE, 0, MAIN_TABLE, [10, 0, 0, 9]),
                    true,
                ),
                (
                    "nobody had it",
                    address(DELETED_ADDRESS, 0, [1, 1, 1, 1]),
                    false,
                ),
                (
                    "the address is gone",
                    address(DELETED_ADDRESS, 0, here),
                    true,
                ),
                ("the cable is pulled", link(NEW_LINK, 2, 0x1), true),
                ("its card, too", link(DELETED_LINK, 2, 0x1), false),
                ("a kind that nobody asked for", message(99, &[0; 64]), false),
            ] {
                assert_eq!(known.take(&bytes), changed, "{what}");
            }
            let several = [
                message(99, &[0; 5]),
                address(NEW_ADDRESS, 254, here),
                link(NEW_LINK, 9, running),
            ];
            assert!(known.take(&several.concat()), "the last of several");
            known.forget();
            assert!(known.take(&link(NEW_LINK, 9, running)));
        }

        #[test]
        fn what_is_cut_off_or_nonsense_is_no_change_and_no_harm() {
            let whole = [
                address(NEW_ADDRESS, 0, [10, 0, 0, 2]),
                route(NEW_ROUTE, 0, MAIN_TABLE, [10, 0, 0, 1]),
            ]
            .concat();
            for end in 0..whole.len() {
                Known::default().take(&whole[..end]);
            }
            for at in 0..whole.len() {
                for value in [0, 1, 3, 4, 15, 16, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    Known::default().take(&bytes);
                }
            }
            assert!(!Known::default().take(&[0; 64]));
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::time::{Duration, Instant};

    use nix::errno::Errno;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::known::Known;

    /// Links, addresses and routes of both families.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
    /// A change is many changes in a moment: a cable, addresses, routes.
    const SETTLE: Duration = Duration::from_millis(500);

    /// See the module.
    pub(crate) struct Changes {
        socket: AsyncFd<OwnedFd>,
        known: Known,
        /// When what changed is told.
        settled_at: Option<Instant>,
    }

    impl Changes {
        /// Notices from now on.
        ///
        /// # Errors
        /// When the kernel does not let it.
        pub(crate) fn watch() -> io::Result<Self> {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let protocol = SockProtocol::NetlinkRoute;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
            #[expect(
                unsafe_code,
                reason = "waiting for a descriptor needs its owner's promise"
            )]
            // SAFETY: an owned descriptor stays open and the same until it is dropped.
            let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
            Ok(Self {
                socket: socket?,
                known: Known::default(),
                settled_at: None,
            })
        }

        /// Waits until the network changed and the change settled. Cancel-safe.
        ///
        /// # Errors
        /// When that cannot be noticed any more.
        pub(crate) async fn next(&mut self) -> io::Result<()> {
            loop {
                if let Some(settled_at) = self.settled_at {
                    tokio::time::sleep_until(settled_at.into()).await;
                    self.read()?;
                    self.settled_at = None;
                    return Ok(());
                }
                self.socket.readable().await?.retain_ready();
                if self.read()? {
                    self.settled_at = Some(Instant::now() + SETTLE);
                }
            }
        }

        /// Reads all that the kernel said. `true`: something changed.
        fn read(&mut self) -> io::Result<bool> {
            let mut bytes = vec![0; 16 * 1024];
            let mut changed = false;
            loop {
                let read = self.socket.try_io(Interest::READABLE, |socket| {
                    // A longer message is cut, and what is cut off says nothing.
                    let flags = MsgFlags::MSG_DONTWAIT;
                    match recv(socket.as_raw_fd(), &mut bytes, flags) {
                        Ok(length) => Ok(Some(length)),
                        // Some of it was lost.
                        Err(Errno::ENOBUFS) => Ok(None),
                        Err(error) => Err(error.into()),
                    }
                });
                match read {
                    Ok(Some(length)) => changed |= self.known.take(&bytes[..length]),
                    Ok(None) => {
                        self.known.forget();
                        changed = true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changed),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::process::Command;

        use super::*;

        fn ip(arguments: &str) {
            let status = Command::new("ip").args(arguments.split(' ')).status();
            assert!(status.unwrap().success(), "ip {arguments}");
        }

        /// In a network of this thread's own, as its child processes have it.
        #[test]
        fn what_the_kernel_says_of_a_real_network_is_understood() {
            let has_ip = Command::new("ip").arg("-V").output().is_ok();
            if !has_ip || nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                let why = "there is no `ip`, or this user may make no network";
                eprintln!("skipped: {why}");
                return;
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut changes = Changes::watch().unwrap();
                let patience = Duration::from_secs(20);
                ip("link set lo up");
                ip("addr add 127.0.0.3/8 scope host dev lo");
                assert!(
                    !changes.read().unwrap(),
                    "an address of the machine is no change"
                );
                for change in [
                    "addr add 192.0.2.2/24 dev lo",
                    "route add default dev lo",
                    "route del default",
                    "addr del 192.0.2.2/24 dev lo",
                ] {
                    ip(change);
                    let noticed = tokio::time::timeout(patience, changes.next()).await;
                    noticed.unwrap_or_else(|_| panic!("{change}")).unwrap();
                }
            });
        }
    }
}

/// See the module.
#[cfg(not(target_os = "linux"))]
pub(super) struct Changes(());

#[cfg(not(target_os = "linux"))]
impl Changes {
    /// Notices nothing.
    pub(super) fn watch() -> std::io::Result<Self> {
        Ok(Self(()))
    }

    /// Never ends.
    pub(super) async fn next(&mut self) -> std::io::Result<()> {
        std::future::pending().await
    }
}
