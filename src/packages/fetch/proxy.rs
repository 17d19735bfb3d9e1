//! Proxies of the environment. For `http:` targets ureq asks a proxy for a tunnel. Common proxies allow tunnels to port
//! 443 only, and cannot cache what passes through one. So such a request goes to the proxy itself, in absolute form
//! (RFC 9112, 3.2.2).

use super::hosts::{HostConnector, Hosts};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, Error, Proxy, ProxyProtocol};

/// The proxy of the first variable that is set, with the exceptions of `no_proxy`.
pub(in crate::packages) fn from_environment(variables: &[&str]) -> Option<Proxy> {
    let get = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let exceptions = ["no_proxy", "NO_PROXY"].iter().find_map(get).unwrap_or_default();
    parse(&variables.iter().find_map(get)?, &exceptions)
}

pub(in crate::packages) fn parse(proxy: &str, exceptions: &str) -> Option<Proxy> {
    // http_proxy is often written without its scheme.
    let text = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let given = Proxy::new(&text).ok()?;
    let mut builder = Proxy::builder(given.protocol()).host(given.host()).port(given.port());
    if let Some(name) = given.username() {
        builder = builder.username(name);
    }
    if let Some(word) = given.password() {
        builder = builder.password(word);
    }
    for exception in exceptions.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        builder = builder.no_proxy(exception);
    }
    builder.build().ok()
}

pub(in crate::packages) fn agent(config: Config, hosts: Hosts) -> Agent {
    let chain =
        ().chain(ForwardConnector(HostConnector(hosts.clone())))
            .chain(ConnectProxyConnector::default())
            .chain(HostConnector(hosts.clone()))
            .chain(RustlsConnector::default());
    Agent::with_parts(config, chain, hosts)
}

#[derive(Debug)]
struct ForwardConnector(HostConnector);

impl<In: Transport> Connector<In> for ForwardConnector {
    type Out = Either<In, Forward>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = details.config.proxy().filter(|proxy| {
            proxy.protocol() == ProxyProtocol::Http && !details.needs_tls() && !proxy.is_no_proxy(details.uri)
        }) else {
            return Ok(None);
        };
        let Some(authority) = details.uri.authority() else { return Ok(None) };
        let place: Uri =
            format!("http://{}:{}", proxy.host(), proxy.port()).parse().map_err(|_| Error::InvalidProxyUrl)?;
        let to_proxy = ConnectionDetails {
            uri: &place,
            addrs: details.resolver.resolve(&place, details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let inner = <HostConnector as Connector<()>>::connect(&self.0, &to_proxy, None)?;
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let head = match (proxy.username(), proxy.password()) {
            (None, _) => String::new(),
            (Some(name), word) => {
                let words = format!("{name}:{}", word.unwrap_or_default());
                format!("Proxy-Authorization: Basic {}\r\n", base64(words.as_bytes()))
            }
        };
        let forward = |inner| Either::B(Forward { inner: Box::new(inner), origin: format!("http://{host}"), head });
        Ok(inner.map(forward))
    }
}

/// A connection to a proxy. Each request on it names its whole URL.
#[derive(Debug)]
struct Forward {
    inner: Box<dyn Transport>,
    origin: String,
    /// A header line for the proxy, or empty.
    head: String,
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const GET: &[u8] = b"GET ";
        let output = self.inner.buffers().output();
        let request = &output[..amount];
        let mut sent = amount;
        if let (Some(rest), Some(end)) = (request.strip_prefix(GET), request.windows(2).position(|two| two == b"\r\n"))
        {
            let line = &rest[..end - GET.len()];
            let headers = &request[end + 2..];
            let whole = [GET, self.origin.as_bytes(), line, b"\r\n", self.head.as_bytes(), headers].concat();
            sent = whole.len();
            // Not expected: the buffer holds 128 KiB, and a request has some hundred bytes.
            let room = output.get_mut(..sent).ok_or(Error::LargeResponseHeader(sent, amount))?;
            room.copy_from_slice(&whole);
        }
        self.inner.transmit_output(sent, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Base64 (RFC 4648, 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::fetch::http::{Client, HttpError, Policy};
    use crate::packages::fetch::transfer::{Memory, Size, Stop};
    use crate::packages::fetch::url::Url;
    use applbuild_test_support::http_server::{Reply, Server};
    use appliance_contract::causes::WithCauses as _;

    fn fetch(proxy: &str, exceptions: &str, url: &str) -> Result<Vec<u8>, HttpError> {
        let none = std::time::Duration::ZERO;
        let policy = Policy { retries: 0, first_wait: none, longest_wait: none, ..Policy::default() };
        let proxy = parse(proxy, exceptions);
        assert!(proxy.is_some());
        let client = Client::with_proxies(policy, proxy.clone(), proxy);
        let mut sink = Memory::default();
        client.fetch(&Url::parse(url).unwrap(), &mut sink, Size::AtMost(100), &Stop::default())?;
        Ok(sink.0)
    }

    #[test]
    fn a_proxy_is_asked_for_the_whole_url() {
        let proxy = Server::start(|request| Reply::file(request, b"hello"));
        let place = proxy.url("");
        let url = "http://mirror.invalid:8080/debian/a~b";
        assert_eq!(fetch(&place, "", url).unwrap(), b"hello");
        assert_eq!(proxy.requests()[0].path, url);
        assert_eq!(proxy.requests()[0].header("host"), Some("mirror.invalid:8080"));
        // The name and password belong to the proxy, with or without a scheme.
        let place = place.replace("http://", "me:se%20cret@");
        assert_eq!(fetch(&place, "other.invalid", url).unwrap(), b"hello");
        assert_eq!(proxy.requests()[1].header("proxy-authorization"), Some("Basic bWU6c2UgY3JldA=="));
    }

    #[test]
    fn a_redirect_goes_through_the_proxy_too() {
        let proxy = Server::start(|request| match request.path.as_str() {
            "http://one.invalid/a" => Reply::status(302, "Location: http://two.invalid/b\r\n"),
            _ => Reply::file(request, request.path.as_bytes()),
        });
        assert_eq!(fetch(&proxy.url(""), "", "http://one.invalid/a").unwrap(), b"http://two.invalid/b");
    }

    #[test]
    fn exceptions_are_asked_directly() {
        let server = Server::start(|request| Reply::file(request, b"direct"));
        let proxy = Server::start(|request| Reply::file(request, b"proxy"));
        let url = server.url("a");
        assert_eq!(fetch(&proxy.url(""), "example.org, 127.0.0.1", &url).unwrap(), b"direct");
        assert_eq!(fetch(&proxy.url(""), "example.org", &url).unwrap(), b"proxy");
    }

    #[test]
    fn https_asks_for_a_tunnel() {
        let proxy = Server::start(|_| Reply::status(403, ""));
        let said = fetch(&proxy.url(""), "", "https://mirror.invalid/a").unwrap_err().with_causes();
        assert!(said.contains("https://mirror.invalid/a"), "{said}");
        assert_eq!(proxy.requests()[0].path, "mirror.invalid:443");
    }

    #[test]
    fn base64_agrees_with_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
