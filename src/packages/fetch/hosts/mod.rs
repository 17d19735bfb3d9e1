//! Host addresses, looked up once for all files, and connections to them.
//!
//! ureq asks for the host's addresses on every request, even if it then reuses an open connection.

use crate::util::poison::Unpoisoned;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport};

/// Looks up the addresses of a host.
pub(in crate::packages) trait LookUp: std::fmt::Debug + Send + Sync {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// getaddrinfo(3), which orders addresses according to RFC 6724.
#[derive(Debug)]
pub(in crate::packages) struct System;

impl LookUp for System {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("looking up {host}")]
pub(in crate::packages) struct LookUpError {
    pub host: String,
    pub source: Arc<io::Error>,
}

/// A look-up without an answer after this time is repeated, twice at most, while the earlier ones continue: if an
/// answer is lost, the system's resolver retries only after 5 s (resolv.conf(5)).
const ASK_AGAIN: Duration = Duration::from_secs(2);
const MOST_QUESTIONS: usize = 3;
/// Connect timeout of an address while there are others to try.
const PATIENCE: Duration = Duration::from_secs(3);

/// A cache of host addresses. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::packages) struct Hosts {
    look_up: Arc<dyn LookUp>,
    known: Arc<Mutex<HashMap<String, Arc<Answer>>>>,
}

/// The result of a look-up, once it has finished.
#[derive(Debug, Default)]
struct Answer {
    addresses: Mutex<Option<Result<Vec<IpAddr>, Arc<io::Error>>>>,
    is_there: Condvar,
}

impl Hosts {
    pub fn new(look_up: Arc<dyn LookUp>) -> Self {
        Self { look_up, known: Arc::default() }
    }

    /// Looks up the host, or waits for a look-up in progress. A failure is returned to all waiters and is not cached.
    fn addresses(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, LookUpError> {
        let mut first = false;
        let answer = self
            .known
            .lock()
            .unpoisoned()
            .entry(host.to_owned())
            .or_insert_with(|| {
                first = true;
                Arc::default()
            })
            .clone();
        if first {
            let found = self.ask(host, timeout).map_err(Arc::new);
            if found.is_err() {
                self.known.lock().unpoisoned().remove(host);
            }
            *answer.addresses.lock().unpoisoned() = Some(found);
            answer.is_there.notify_all();
        }
        let waited =
            answer.is_there.wait_timeout_while(answer.addresses.lock().unpoisoned(), timeout, |found| found.is_none());
        let (found, _) = waited.unpoisoned();
        let found = found.clone().unwrap_or_else(|| Err(Arc::new(io::ErrorKind::TimedOut.into())));
        found.map_err(|source| LookUpError { host: host.to_owned(), source })
    }

    /// The first answer counts, even a negative one: the look-up of a host that does not exist is not repeated.
    fn ask(&self, host: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
        let start = Instant::now();
        let (sender, receiver) = mpsc::channel();
        let mut answer = None;
        for number in 1..=MOST_QUESTIONS {
            let (sender, look_up, host) = (sender.clone(), self.look_up.clone(), host.to_owned());
            // The send fails if the receiver has timed out; that is harmless.
            std::thread::Builder::new().spawn(move || sender.send(look_up.look_up(&host)))?;
            let left = timeout.saturating_sub(start.elapsed());
            let wait = if number < MOST_QUESTIONS { ASK_AGAIN.min(left) } else { left };
            answer = receiver.recv_timeout(wait).ok();
            if answer.is_some() || start.elapsed() >= timeout {
                break;
            }
        }
        let addresses = answer.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no addresses"));
        }
        Ok(addresses)
    }

    /// Moves the address that was reached to the front.
    fn prefer(&self, host: &str, reached: IpAddr) {
        if let Some(answer) = self.known.lock().unpoisoned().get(host)
            && let Some(Ok(addresses)) = &mut *answer.addresses.lock().unpoisoned()
        {
            addresses.sort_by_key(|address| *address != reached);
        }
    }

    /// Removes the cached addresses, unless a newer look-up has replaced them.
    fn forget(&self, host: &str, tried: &[SocketAddr]) {
        let mut known = self.known.lock().unpoisoned();
        let same = known.get(host).is_some_and(|answer| match &*answer.addresses.lock().unpoisoned() {
            Some(Ok(addresses)) => addresses.iter().all(|address| tried.iter().any(|tried| tried.ip() == *address)),
            _ => false,
        });
        if same {
            known.remove(host);
        }
    }
}

impl Resolver for Hosts {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(authority), Some(scheme)) = (uri.authority(), uri.scheme()) else {
            return Err(Error::BadUri(uri.to_string()));
        };
        let port = authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
        let addresses = match literal(authority) {
            Some(address) => vec![address],
            None => {
                self.addresses(&host(authority), *timeout.after).map_err(|error| Error::Io(io::Error::other(error)))?
            }
        };
        let mut resolved = self.empty();
        // ureq's list has a capacity of 16.
        addresses.iter().take(16).for_each(|address| resolved.push(SocketAddr::new(*address, port)));
        Ok(resolved)
    }
}

fn host(authority: &Authority) -> String {
    authority.host().to_ascii_lowercase()
}

/// The IP address, if the authority has one instead of a host name.
fn literal(authority: &Authority) -> Option<IpAddr> {
    authority.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Connects to the first of a host's addresses that answers.
#[derive(Debug)]
pub(in crate::packages) struct HostConnector(pub Hosts);

impl<In: Transport> Connector<In> for HostConnector {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let tcp = TcpConnector::default();
        if chained.is_some() {
            return tcp.connect(details, chained);
        }
        let host = details.uri.authority().map(host).unwrap_or_default();
        let (start, timeout) = (Instant::now(), *details.timeout.after);
        let mut last = Error::ConnectionFailed;
        for (number, address) in (1..).zip(&details.addrs) {
            let left = timeout.saturating_sub(start.elapsed());
            let wait = if number < details.addrs.len() { PATIENCE.min(left) } else { left };
            let mut one = self.0.empty();
            one.push(*address);
            let to_one = ConnectionDetails {
                addrs: one,
                timeout: NextTimeout { after: wait.into(), ..details.timeout },
                uri: details.uri,
                config: details.config,
                request_level: details.request_level,
                resolver: details.resolver,
                now: details.now,
                current_time: details.current_time.clone(),
                run_connector: details.run_connector.clone(),
                register_shutdown: details.register_shutdown.clone(),
            };
            match tcp.connect(&to_one, None) {
                Ok(connected) => {
                    self.0.prefer(&host, address.ip());
                    return Ok(connected);
                }
                Err(error) => last = error,
            }
        }
        self.0.forget(&host, &details.addrs);
        Err(last)
    }
}

#[cfg(test)]
mod tests;
