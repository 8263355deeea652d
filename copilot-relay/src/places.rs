//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::relay::network_of;

/// Connections at this moment.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    _of_address: Option<AddressPlace>,
}

/// One of the places of an address; free again when it is dropped.
#[derive(Debug)]
pub struct AddressPlace {
    places: Arc<Places>,
    /// Nothing for loopback, which is not counted.
    address: Option<IpAddr>,
}

impl Places {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_address,
            taken: Mutex::default(),
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// A place for one more connection, if there is one: in all, and of the address it is counted for.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let of_address = match address {
            Some(address) => Some(self.take_of_address(address)?),
            None => None,
        };
        let mut taken = self.lock();
        if taken.all >= self.most {
            // Giving back the place of the address takes the lock.
            drop(taken);
            return None;
        }
        taken.all += 1;
        Some(Place {
            places: Arc::clone(self),
            _of_address: of_address,
        })
    }

    /// One more of the places of this address, if there is one.
    #[must_use]
    pub fn take_of_address(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = Some(network_of(address)).filter(|address| !address.is_loopback());
        if let Some(address) = address {
            let mut taken = self.lock();
            let count = taken.by_address.entry(address).or_insert(0);
            if *count >= self.most_per_address {
                return None;
            }
            *count += 1;
        }
        Some(AddressPlace {
            places: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().all -= 1;
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        let mut taken = self.places.lock();
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// What is learnt of a connection while it is served.
#[derive(Debug, Default)]
pub struct Tenure {
    is_link: AtomicBool,
    /// Behind a proxy: the place of whoever's request it carries.
    of_address: Mutex<Option<AddressPlace>>,
}

impl Tenure {
    /// From now on it is a link socket, which has a lease, and an outbox that overflows.
    pub fn becomes_link(&self) {
        self.is_link.store(true, Ordering::Relaxed);
    }

    /// It carries a request of this address until its next one, or as a link socket until it is closed.
    /// `false`: the address has no place left.
    #[must_use]
    pub fn is_of(&self, places: &Arc<Places>, address: Option<IpAddr>) -> bool {
        let mut held = self
            .of_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Given back first: it may be the last one of the same address.
        *held = None;
        let Some(address) = address else {
            return true;
        };
        *held = places.take_of_address(address);
        held.is_some()
    }
}

/// A connection with its place, which it keeps through TLS and upgrades until it is closed.
///
/// Whoever takes nothing of what is written to it for too long loses it: an answer must not be kept, nor its
/// place, for somebody who does not read it.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    _place: Place,
    tenure: Arc<Tenure>,
    patience: Duration,
    /// Since something waits to be taken. An answer that is not there yet is nothing that waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Held {
    /// Binds the two together. Writing may stand still for `patience`.
    #[must_use]
    pub fn new(stream: TcpStream, place: Place, patience: Duration) -> Self {
        Self {
            stream,
            _place: place,
            tenure: Arc::default(),
            patience,
            stalled: None,
        }
    }

    /// What is learnt of it later.
    #[must_use]
    pub fn tenure(&self) -> Arc<Tenure> {
        Arc::clone(&self.tenure)
    }

    /// What became of an attempt to write, which is given up when there was no progress for too long.
    fn paced<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() || self.tenure.is_link.load(Ordering::Relaxed) {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(context).map(|()| {
            let why = "what was written was not taken in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // Of a TCP stream neither waits; what waits in TLS is written above.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let places = Places::new(8, 2);
        let take = |address: &str| places.take(Some(address.parse().unwrap()));
        let first = take("192.0.2.7");
        let second = take("192.0.2.7");
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.7").is_none());
        assert!(take("192.0.2.8").is_some(), "another address");
        drop(first);
        let again = take("192.0.2.7");
        assert!(again.is_some());
        let here: Vec<_> = (0..6).map(|_| take("127.0.0.1")).collect();
        assert!(
            here.iter().all(Option::is_some),
            "loopback has no limit of its own"
        );
        assert!(
            take("192.0.2.9").is_none() && take("127.0.0.1").is_none(),
            "all taken"
        );
        drop((second, again, here));
        assert_eq!(places.taken(), 0);
        assert!(places.lock().by_address.is_empty());
    }

    #[test]
    fn whose_request_a_connection_carries_has_a_place_as_long_as_it_does() {
        let places = Places::new(8, 1);
        let address = |text: &str| Some(text.parse().unwrap());
        let (first, second) = (Tenure::default(), Tenure::default());
        assert!(first.is_of(&places, address("192.0.2.7")));
        assert!(first.is_of(&places, address("192.0.2.7")), "its next one");
        assert!(!second.is_of(&places, address("192.0.2.7")));
        assert!(second.is_of(&places, address("192.0.2.8")));
        assert!(second.is_of(&places, None), "nobody named");
        drop(first);
        assert!(second.is_of(&places, address("192.0.2.7")));
        drop(second);
        assert!(places.lock().by_address.is_empty());
    }
}
