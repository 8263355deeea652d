//! A timer that wakes the daemon once, when it is due. The runtime's own timers wake it on the way
//! as well when they are far ahead: they are in wheels that have to be turned.

use std::time::Instant;

/// See the module.
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: Option<linux::Timer>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self {
            // The runtime's timers do as well, with a few wake-ups more.
            #[cfg(target_os = "linux")]
            timer: linux::Timer::new()
                .inspect_err(|error| tracing::warn!(%error, "there is no timer of the system's"))
                .ok(),
        }
    }

    /// Waits until then. Cancel-safe.
    pub(super) async fn until(&mut self, at: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &mut self.timer {
            match timer.until(at).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "the timer of the system's failed");
                    self.timer = None;
                }
            }
        }
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd as _, AsRawFd, RawFd};
    use std::time::{Duration, Instant};

    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer that is due now would be one that is not set.
    const SHORTEST: Duration = Duration::from_micros(1);

    struct Owned(TimerFd);

    impl AsRawFd for Owned {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    pub(super) struct Timer {
        timer: AsyncFd<Owned>,
        set: Option<Instant>,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = Owned(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
            #[expect(
                unsafe_code,
                reason = "waiting for a descriptor needs its owner's promise"
            )]
            // SAFETY: the descriptor stays open and the same until its owner is dropped.
            let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
            Ok(Self {
                timer: timer?,
                set: None,
            })
        }

        pub(super) async fn until(&mut self, at: Instant) -> io::Result<()> {
            if self.set != Some(at) {
                let ahead = at.saturating_duration_since(Instant::now()).max(SHORTEST);
                let when = Expiration::OneShot(ahead.into());
                let timer = &self.timer.get_ref().0;
                timer.set(when, TimerSetTimeFlags::empty())?;
                self.set = Some(at);
            }
            // What was ready before belongs to an earlier time.
            while Instant::now() < at {
                self.timer.readable().await?.clear_ready();
            }
            self.set = None;
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn it_is_due_when_it_was_set_for_also_after_it_was_given_up_and_set_again() {
            let mut timer = Timer::new().unwrap();
            let begin = Instant::now();
            let soon = begin + Duration::from_millis(20);
            tokio::select! {
                biased;
                ended = timer.until(begin + Duration::from_secs(3600)) => panic!("{ended:?}"),
                () = tokio::task::yield_now() => {}
            }
            timer.until(soon).await.unwrap();
            assert!(Instant::now() >= soon);
            timer.until(begin).await.unwrap();
            let later = Instant::now() + Duration::from_millis(5);
            timer.until(later).await.unwrap();
            assert!(Instant::now() >= later);
        }
    }
}
