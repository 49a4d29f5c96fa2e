//! Where a host is: its addresses, and a connection to one of them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use deathstar_statemachine::window::ErrorClass;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::clock;

/// How long addresses are used before they are looked up again. A target that
/// scales out shows new ones, and a test must not go on hitting the old.
pub const ADDRESSES_LAST: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// For the target's or the network's reasons.
    Failed(ErrorClass),
    /// None opened until the deadline.
    TimedOut,
    /// This machine has no socket left for it.
    NoSocket,
}

/// A host by name or by address, and what is known of where it is.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    /// Held while a look-up is under way: whoever comes meanwhile waits for it.
    look_up: Mutex<()>,
    known: RefCell<Known>,
    /// Which address is next, so that all are used.
    turn: Cell<usize>,
}

#[derive(Debug, Default)]
struct Known {
    /// None before the first look-up, and after one that failed.
    addresses: Vec<IpAddr>,
    until: Option<Instant>,
    /// Counts look-ups, successful or not.
    look_ups: u64,
}

impl Host {
    pub(super) fn named(name: &str) -> Self {
        Self::new(name.to_owned(), Known::default())
    }

    /// One that never needs a look-up.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::new(String::new(), Known { addresses: vec![address], ..Known::default() })
    }

    fn new(name: String, known: Known) -> Self {
        Self { name, look_up: Mutex::new(()), known: RefCell::new(known), turn: Cell::new(0) }
    }

    /// Opens a connection to one of the host's addresses. The next one is tried
    /// when one fails or takes more than its share of the time to `deadline`.
    /// Returns when the attempt that succeeded began, too.
    pub(super) async fn connect(
        &self,
        port: u16,
        deadline: Instant,
    ) -> Result<(TcpStream, Instant), NoConnection> {
        let addresses = self.addresses(resolve).await.map_err(|_| NoConnection::Failed(ErrorClass::Dns))?;
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let mut last = NoConnection::Failed(ErrorClass::Refused);
        for tried in 0..addresses.len() {
            let address = addresses[(turn % addresses.len() + tried) % addresses.len()];
            let now = clock::monotonic();
            let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = now + deadline.saturating_duration_since(now) / left;
            match timeout_at(share, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => return Ok((stream, now)),
                Ok(Err(error)) => {
                    last = no_connection(&error);
                    if matches!(last, NoConnection::NoSocket) {
                        return Err(last);
                    }
                }
                // The last address's share ends at the deadline.
                Err(_) => last = NoConnection::TimedOut,
            }
            self.leave_out(address);
        }
        Err(last)
    }

    /// Leaves out an address that does not answer until the next look-up, unless
    /// it is the only one.
    fn leave_out(&self, address: IpAddr) {
        let addresses = &mut self.known.borrow_mut().addresses;
        if addresses.len() > 1 {
            addresses.retain(|other| *other != address);
        }
    }

    /// The host's addresses, looked up with `resolve` when they are not known or no
    /// longer hold. Everyone who waits for the same look-up gets what it found.
    async fn addresses<R, F>(&self, resolve: R) -> io::Result<Vec<IpAddr>>
    where
        R: FnOnce(String) -> F,
        F: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        if let Some(addresses) = self.fresh() {
            return Ok(addresses);
        }
        let look_ups = self.known.borrow().look_ups;
        let _one_at_a_time = self.look_up.lock().await;
        if let Some(addresses) = self.fresh() {
            return Ok(addresses);
        }
        let unresolved = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        if self.known.borrow().look_ups != look_ups {
            // The one that we waited for failed.
            return Err(unresolved());
        }
        let found = resolve(self.name.clone())
            .await
            .and_then(|addresses| if addresses.is_empty() { Err(unresolved()) } else { Ok(addresses) });
        let mut known = self.known.borrow_mut();
        known.look_ups += 1;
        known.until = Some(clock::monotonic() + ADDRESSES_LAST);
        known.addresses = found.as_ref().map(Clone::clone).unwrap_or_default();
        found
    }

    fn fresh(&self) -> Option<Vec<IpAddr>> {
        let known = self.known.borrow();
        let holds = self.name.is_empty() || known.until.is_some_and(|until| clock::monotonic() < until);
        (holds && !known.addresses.is_empty()).then(|| known.addresses.clone())
    }
}

/// Asks the system, on a thread of its own. Several addresses may be of both
/// families; none twice.
async fn resolve(name: String) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for found in lookup_host((name, 0)).await? {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    Ok(addresses)
}

fn no_connection(error: &io::Error) -> NoConnection {
    use rustix::io::Errno;
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    match code {
        // Our limit, not the target's failure.
        Some(Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL) => NoConnection::NoSocket,
        _ if error.kind() == io::ErrorKind::ConnectionReset => NoConnection::Failed(ErrorClass::Reset),
        _ => NoConnection::Failed(ErrorClass::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_together_share_one_look_up() {
        let host = Host::named("example.test");
        let asked = Cell::new(0);
        let ask = || {
            host.addresses(|_| async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(vec![ip(1), ip(2)])
            })
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        for found in [one, two, three] {
            assert_eq!(found.unwrap(), [ip(1), ip(2)]);
        }
        assert_eq!(asked.get(), 1);
        tokio::time::advance(ADDRESSES_LAST).await;
        ask().await.unwrap();
        assert_eq!(asked.get(), 2, "they hold for so long");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_together_share_a_failure_and_the_next_asks_anew() {
        let host = Host::named("example.test");
        let asked = Cell::new(0);
        let ask = || {
            host.addresses(|_| async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Err(io::Error::other("no such name"))
            })
        };
        let (one, two) = tokio::join!(ask(), ask());
        assert!(one.is_err() && two.is_err());
        assert_eq!(asked.get(), 1);
        assert!(ask().await.is_err());
        assert_eq!(asked.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_is_given_up_is_taken_over() {
        let host = Host::named("example.test");
        let never = host.addresses(|_| std::future::pending());
        let given_up = tokio::time::timeout(Duration::from_millis(5), never);
        let next = host.addresses(|_| async { Ok(vec![ip(1)]) });
        let (given_up, next) = tokio::join!(given_up, next);
        assert!(given_up.is_err());
        assert_eq!(next.unwrap(), [ip(1)]);
    }

    /// A listener at an address that answers nobody any more: its queue is full, so
    /// the kernel drops whoever comes. It lasts as long as what is returned.
    async fn full_at(address: IpAddr) -> (SocketAddr, impl Sized) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let soon = Duration::from_millis(50);
        while let Ok(stream) = tokio::time::timeout(soon, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "the queue has no end");
        }
        (address, (listener, waiting))
    }

    #[tokio::test]
    async fn an_address_that_never_answers_is_no_refusal() {
        let (full, _full) = full_at(ip(2)).await;
        let soon = || clock::monotonic() + Duration::from_millis(100);
        // Nobody listens at the first of the two.
        for addresses in [vec![ip(2)], vec![ip(1), ip(2)]] {
            let host = Host::new(String::new(), Known { addresses, ..Known::default() });
            let ended = host.connect(full.port(), soon()).await;
            assert!(matches!(ended, Err(NoConnection::TimedOut)), "{ended:?}");
        }
        // Of two, the one that refuses has the last word, before the time is up.
        let host = Host::new(String::new(), Known { addresses: vec![ip(2), ip(1)], ..Known::default() });
        let ended = host.connect(full.port(), soon()).await;
        assert!(matches!(ended, Err(NoConnection::Failed(ErrorClass::Refused))), "{ended:?}");
    }

    #[tokio::test]
    async fn every_address_has_its_turn_and_one_that_refuses_is_left_out() {
        let listener = tokio::net::TcpListener::bind((ip(2), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = tokio::net::TcpListener::bind((ip(3), port)).await.unwrap();
        let host =
            Host::new(String::new(), Known { addresses: vec![ip(1), ip(2), ip(3)], ..Known::default() });
        let deadline = clock::monotonic() + Duration::from_secs(5);
        let mut reached = Vec::new();
        for _ in 0..4 {
            let (stream, _) = host.connect(port, deadline).await.unwrap();
            reached.push(stream.peer_addr().unwrap().ip());
        }
        drop((listener, other));
        assert_eq!(host.known.borrow().addresses, [ip(2), ip(3)]);
        assert!(reached.contains(&ip(2)) && reached.contains(&ip(3)), "{reached:?}");
    }
}
