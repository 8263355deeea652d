//! Whether this machine slept. On Linux the system says so when it wakes up; elsewhere nobody
//! does, and heartbeats notice.
//!
//! Nothing is asked again and again, and there is no thread.

use std::time::Duration;

/// Sleep that is shorter breaks no connection.
const SHORTEST: Duration = Duration::from_secs(2);

/// Tells wake-ups from clocks that were set: both stop the timer that [`WakeUps`] waits for.
#[derive(Debug, Clone, Copy)]
struct Asleep {
    /// How long the machine slept in all.
    before: Duration,
}

impl Asleep {
    /// From the time since the start of the machine, with and without sleep. `true`: it slept
    /// since the last time.
    fn slept(&mut self, with_sleep: Duration, without: Duration) -> bool {
        let now = with_sleep.saturating_sub(without);
        let since = now.saturating_sub(self.before);
        self.before = now;
        since >= SHORTEST
    }
}

#[cfg(target_os = "linux")]
pub use linux::WakeUps;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::Asleep;

    /// A time that does not come.
    const NEVER: Duration = Duration::from_secs(1 << 36);

    /// See the module.
    pub struct WakeUps {
        timer: AsyncFd<OwnedFd>,
        asleep: Asleep,
    }

    impl WakeUps {
        /// Notices from now on.
        ///
        /// # Errors
        /// When the system has no such timer.
        pub fn watch() -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
            // It never goes off. It is cancelled when the clock jumps, which it does at a wake-up.
            let when =
                TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
            timer.set(Expiration::OneShot(NEVER.into()), when)?;
            let mut asleep = Asleep {
                before: Duration::ZERO,
            };
            asleep.slept(clock(nix::time::ClockId::CLOCK_BOOTTIME)?, running()?);
            #[expect(
                unsafe_code,
                reason = "waiting for a descriptor needs its owner's promise"
            )]
            // SAFETY: an owned descriptor stays open and the same until it is dropped.
            let timer =
                unsafe { AsyncFd::register_with_interest(timer.into(), Interest::READABLE) };
            Ok(Self {
                timer: timer?,
                asleep,
            })
        }

        /// Waits until the machine slept. Cancel-safe.
        ///
        /// # Errors
        /// When that cannot be noticed any more.
        pub async fn next(&mut self) -> io::Result<()> {
            loop {
                let mut ready = self.timer.readable().await?;
                let mut expirations = [0; 8];
                match nix::unistd::read(ready.get_inner(), &mut expirations) {
                    Err(Errno::EAGAIN) => {
                        ready.clear_ready();
                        continue;
                    }
                    Err(Errno::ECANCELED) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => continue,
                }
                let with_sleep = clock(nix::time::ClockId::CLOCK_BOOTTIME)?;
                if self.asleep.slept(with_sleep, running()?) {
                    return Ok(());
                }
            }
        }
    }

    fn running() -> io::Result<Duration> {
        clock(nix::time::ClockId::CLOCK_MONOTONIC)
    }

    fn clock(id: nix::time::ClockId) -> io::Result<Duration> {
        Ok(nix::time::clock_gettime(id)?.into())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn without_a_wake_up_nothing_is_noticed() {
            let mut wake_ups = WakeUps::watch().unwrap();
            let noticed = tokio::select! {
                biased;
                noticed = wake_ups.next() => Some(noticed),
                () = tokio::task::yield_now() => None,
            };
            assert!(noticed.is_none(), "{noticed:?}");
        }
    }
}

/// See the module.
#[cfg(not(target_os = "linux"))]
pub struct WakeUps(());

#[cfg(not(target_os = "linux"))]
impl WakeUps {
    /// Notices nothing.
    ///
    /// # Errors
    /// Never.
    pub fn watch() -> std::io::Result<Self> {
        Ok(Self(()))
    }

    /// Never ends.
    ///
    /// # Errors
    /// Never.
    pub async fn next(&mut self) -> std::io::Result<()> {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_no_sleep() {
        let s = Duration::from_secs;
        let mut asleep = Asleep { before: s(0) };
        for (with_sleep, without, slept) in [
            (s(100), s(100), false),
            // The clock was set: both go on.
            (s(200), s(200), false),
            (s(3800), s(200), true),
            (s(3900), s(300), false),
            // A nap.
            (s(3902), s(301), false),
            (s(3905), s(302), true),
            (s(3910), s(307), false),
        ] {
            assert_eq!(
                asleep.slept(with_sleep, without),
                slept,
                "{with_sleep:?} {without:?}"
            );
        }
    }
}
