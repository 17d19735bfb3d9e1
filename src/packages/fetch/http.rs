//! A single attempt to read a file from its URL, starting at an offset.

use super::credentials::Credentials;
use super::hosts::{Hosts, LookUp, LookUpError, System};
use super::proxy;
use super::url::{Place, Url};
use crate::util::file_error::FileError;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url}: found nothing there ({why})")]
    NotThere { url: Url, why: String },
    #[error("{url}: the server answered 401: it wants a login{}", mend_login(*sent, unread))]
    Unauthorized { url: Url, sent: bool, unread: Vec<std::path::PathBuf> },
    #[error("{url}: the server answered {status}")]
    Status { url: Url, status: u16 },
    #[error("{url}")]
    Transport { url: Url, source: Box<ureq::Error> },
    #[error(
        "{url}: looking up {host} (check the name and the machine's resolver, name another place with --mirror, or try more \
         often with --retries N)"
    )]
    LookUp { url: Url, host: String, source: Arc<io::Error> },
    #[error("{url}: the transfer broke off after {position} bytes")]
    Broken { url: Url, position: u64, source: io::Error },
    #[error("{url}: the transfer ended after {found} bytes, expected {expected}")]
    Truncated { url: Url, expected: u64, found: u64 },
    #[error("{url}: found {found} bytes or more, expected {expected}")]
    Size { url: Url, expected: u64, found: u64 },
    #[error("{url}: found more than {most} bytes, expected fewer")]
    TooLarge { url: Url, most: u64 },
    #[error("{url}: less than {} bytes a second", SLOWEST)]
    TooSlow { url: Url },
    #[error("{url}: asked for octets from {asked} on, the server's Content-Range is {found:?}")]
    Range { url: Url, asked: u64, found: String },
    #[error("{url}: reading")]
    Read { url: Url, source: io::Error },
    #[error("{url}: gave up after {attempts} attempts")]
    GaveUp { url: Url, attempts: u32, source: Box<HttpError> },
    #[error("{url}: not fetched, for the build is offline; build once without --offline")]
    Offline { url: Url },
    #[error("{url}: stopped")]
    Stopped { url: Url },
    #[error("using the cache (another folder may be given with --cache)")]
    Write { source: FileError },
}

/// The remedy if a login is missing or wrong.
fn mend_login(sent: bool, unread: &[std::path::PathBuf]) -> String {
    if sent {
        return " other than the one that is known; correct it in the auth.conf file".to_owned();
    }
    let unread: Vec<String> = unread.iter().map(|path| path.display().to_string()).collect();
    let unread = if unread.is_empty() { String::new() } else { format!(" ({} may not be read)", unread.join(", ")) };
    format!(
        "; put it into /etc/apt/auth.conf, or into a file that APPLBUILD_AUTH_CONF names: \
         machine HOST login NAME password PASSWORD{unread}"
    )
}

/// Concurrent transfers. Six work; with sixteen, name look-ups failed.
pub(in crate::packages) const PARALLEL: usize = 6;

/// Minimum speed in bytes per second, measured over `read_timeout`; a slower transfer is aborted.
pub(in crate::packages) const SLOWEST: u64 = 256;

/// Timeouts and retries of the transfers.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a server may be silent.
    pub read_timeout: Duration,
    /// How often a failed attempt is retried.
    pub retries: u32,
    /// The wait before the first retry; it doubles with each further retry.
    pub first_wait: Duration,
    /// The longest wait, whatever `Retry-After` asks for.
    pub longest_wait: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(30),
            retries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Reads files over HTTP and HTTPS and from local directories.
#[derive(Debug)]
pub struct Client {
    pub(in crate::packages) policy: Policy,
    offline: bool,
    credentials: Credentials,
    /// One agent per scheme, because the proxies may differ.
    plain: Agent,
    secure: Agent,
}

/// A file opened at `offset`.
pub(in crate::packages) struct Opened {
    pub reader: Box<dyn Read + Send>,
    pub offset: u64,
    /// Length of the whole file, if the server reports it.
    pub length: Option<u64>,
    /// A strong ETag, so that only the same file is resumed (RFC 9110, 13.1.5).
    pub validator: Option<String>,
}

/// Why an attempt failed, and whether a retry may succeed.
pub(in crate::packages) struct Failure {
    pub error: HttpError,
    pub again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::packages) enum Again {
    Never,
    Later,
    /// The wait that the server asked for (`Retry-After`).
    After(Duration),
    /// The partial file does not match the server's file.
    FromTheStart,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Client {
    /// A client that uses the proxies of the environment.
    pub fn new(policy: Policy) -> Self {
        // Like curl(1), reads http_proxy in lower case only: in a CGI program HTTP_PROXY comes from the request.
        let plain = proxy::from_environment(&["http_proxy", "all_proxy", "ALL_PROXY"]);
        let secure = proxy::from_environment(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
        Self::with_proxies(policy, plain, secure)
    }

    pub(in crate::packages) fn with_proxies(policy: Policy, plain: Option<Proxy>, secure: Option<Proxy>) -> Self {
        Self::with_look_up(policy, plain, secure, Arc::new(System))
    }

    pub(in crate::packages) fn with_look_up(
        policy: Policy,
        plain: Option<Proxy>,
        secure: Option<Proxy>,
        look_up: Arc<dyn LookUp>,
    ) -> Self {
        let hosts = Hosts::new(look_up);
        let tls = TlsConfig::builder().root_certs(root_certificates()).build();
        let agent = |proxy| {
            proxy::agent(
                Agent::config_builder()
                    .http_status_as_error(false)
                    .user_agent(concat!("applbuild/", env!("CARGO_PKG_VERSION")))
                    .proxy(proxy)
                    .tls_config(tls.clone())
                    .max_redirects(8)
                    // A login is sent only to the host that it was given for.
                    .redirect_auth_headers(RedirectAuthHeaders::Never)
                    // Twice: for the archive's host and the security archive's.
                    .max_idle_connections(2 * PARALLEL)
                    .max_idle_connections_per_host(PARALLEL)
                    .timeout_resolve(Some(policy.connect_timeout))
                    .timeout_connect(Some(policy.connect_timeout))
                    .timeout_recv_response(Some(policy.read_timeout))
                    .timeout_per_read(Some(policy.read_timeout))
                    .timeout_per_write(Some(policy.read_timeout))
                    .build(),
                hosts.clone(),
            )
        };
        let (plain, secure) = (agent(plain), agent(secure));
        Self { policy, offline: false, credentials: Credentials::default(), plain, secure }
    }

    /// This client, with logins for archives that require one.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// A client that fetches nothing: a file that is not cached is an error.
    pub fn offline() -> Self {
        Self { offline: true, ..Self::new(Policy::default()) }
    }

    /// Whether it fetches nothing.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    pub(in crate::packages) fn open(&self, url: &Url, offset: u64, validator: Option<&str>) -> Result<Opened, Failure> {
        if self.offline {
            return Err(Failure { error: HttpError::Offline { url: url.clone() }, again: Again::Never });
        }
        match url.place() {
            Place::File(path) => open_file(url, path, offset),
            Place::Web(text) => self.request(url, text, offset, validator),
        }
    }

    fn request(&self, url: &Url, text: &str, offset: u64, validator: Option<&str>) -> Result<Opened, Failure> {
        let agent = if text.starts_with("https:") { &self.secure } else { &self.plain };
        let mut request = agent.get(text).header(header::ACCEPT_ENCODING, "identity");
        let authorization = self.credentials.authorization(text);
        let sent = authorization.is_some();
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
            if let Some(validator) = validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let response = request.call().map_err(|source| {
            let again = if may_pass(&source) { Again::Later } else { Again::Never };
            Failure { error: not_answered(url, source), again }
        })?;
        if response.status() == StatusCode::UNAUTHORIZED {
            drain(response.into_body());
            let error = HttpError::Unauthorized { url: url.clone(), sent, unread: self.credentials.unread().to_vec() };
            return Err(Failure { error, again: Again::Never });
        }
        read_response(url, response, offset)
    }
}

fn not_answered(url: &Url, source: ureq::Error) -> HttpError {
    if let ureq::Error::Io(error) = &source
        && let Some(LookUpError { host, source }) = error.get_ref().and_then(|error| error.downcast_ref())
    {
        return HttpError::LookUp { url: url.clone(), host: host.clone(), source: source.clone() };
    }
    HttpError::Transport { url: url.clone(), source: Box::new(source) }
}

fn read_response(url: &Url, response: Response<Body>, offset: u64) -> Result<Opened, Failure> {
    let status = response.status();
    let fail = |error, again| Err(Failure { error, again });
    let headers = response.headers();
    let (start, length) = match status {
        StatusCode::OK => (0, response.body().content_length()),
        StatusCode::PARTIAL_CONTENT => {
            let text = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            match content_range(text) {
                Some((start, total)) if start == offset && offset > 0 => (start, total),
                _ => {
                    let error = HttpError::Range { url: url.clone(), asked: offset, found: text.to_owned() };
                    return fail(error, Again::FromTheStart);
                }
            }
        }
        _ => {
            let (head, body) = response.into_parts();
            let headers = &head.headers;
            drain(body);
            let error = HttpError::Status { url: url.clone(), status: status.as_u16() };
            return match status.as_u16() {
                404 | 403 | 410 => {
                    let why = format!("the server answered {}", status.as_u16());
                    fail(HttpError::NotThere { url: url.clone(), why }, Again::Never)
                }
                416 => fail(error, Again::FromTheStart),
                408 | 425 | 429 | 500..=599 => fail(error, retry_after(headers)),
                _ => fail(error, Again::Never),
            };
        }
    };
    let validator = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
    let validator = validator.filter(|tag| tag.starts_with('"')).map(str::to_owned);
    Ok(Opened { reader: Box::new(response.into_body().into_reader()), offset: start, length, validator })
}

/// Reads the body of a response without a file, so that its connection can be reused; skips a long body.
fn drain(body: Body) {
    const MOST: u64 = 64 << 10;
    if body.content_length().is_some_and(|length| length <= MOST) {
        // If reading fails, the connection is not reused.
        let _ = io::copy(&mut body.into_reader().take(MOST), &mut io::sink());
    }
}

fn open_file(url: &Url, path: &Path, offset: u64) -> Result<Opened, Failure> {
    let fail = |source: io::Error| {
        let error = match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                HttpError::NotThere { url: url.clone(), why: "no such file".into() }
            }
            _ => HttpError::Read { url: url.clone(), source },
        };
        Failure { error, again: Again::Never }
    };
    // Opening a FIFO would wait for a writer.
    if !std::fs::metadata(path).map_err(fail)?.is_file() {
        let why = "not a regular file".into();
        return Err(Failure { error: HttpError::NotThere { url: url.clone(), why }, again: Again::Never });
    }
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
    Ok(Opened { reader: Box::new(file), offset, length: Some(length), validator: None })
}

/// Start and total of `bytes START-END/TOTAL` (RFC 9110, 14.4).
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

/// Parses seconds only: mirrors do not send the date format.
fn retry_after(headers: &HeaderMap) -> Again {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Again::Later, |seconds| Again::After(Duration::from_secs(seconds)))
}

/// Whether a retry may succeed.
fn may_pass(error: &ureq::Error) -> bool {
    use ureq::Error;
    match error {
        Error::Io(error) => !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput),
        Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed | Error::Protocol(_) => true,
        Error::ConnectProxyFailed(_) => true,
        _ => false,
    }
}

/// The system's certificate authorities, which may include a site's own; if there are none, Mozilla's as of the build
/// of this program.
fn root_certificates() -> RootCerts {
    const USUAL: [&str; 4] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let named = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let files = named.into_iter().chain(USUAL.map(Into::into));
    for file in files {
        let Ok(bytes) = std::fs::read(file) else { continue };
        let certificates: Vec<_> = ureq::tls::parse_pem(&bytes)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if !certificates.is_empty() {
            return RootCerts::from(certificates);
        }
    }
    RootCerts::WebPki
}
