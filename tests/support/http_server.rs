//! A small HTTP server in this process that fails in the way a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Listens on a port of its own until the process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    log: Log,
    connections: Arc<AtomicUsize>,
}

type Log = Arc<Mutex<Vec<Request>>>;

#[derive(Debug, Clone)]
pub struct Request {
    /// As on the request line: a path, or a whole URL if the server acts as a proxy.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// The number of earlier requests for this path.
    pub before: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Reply {
    head: String,
    body: Vec<u8>,
    manner: Manner,
    /// The body is shorter than its `Content-Length`.
    broken: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Manner {
    #[default]
    Proper,
    /// Repeats the body until the client disconnects.
    Endless,
    /// Sends nothing more until the client disconnects.
    ThenSilent,
    /// Sends nothing at all.
    Mute,
    /// Sends the body one byte at a time.
    Slow,
    /// Sends the head slowly, too.
    SlowFromTheStart,
}

impl Reply {
    pub fn status(status: u16, headers: &str) -> Self {
        Self { head: format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n{headers}"), ..Self::default() }
    }

    /// A file as a correct server sends it: with ranges and an ETag.
    pub fn file(request: &Request, bytes: &[u8]) -> Self {
        match request.range_start() {
            Some(start) if request.header("if-range").is_none_or(|tag| tag == "\"one\"") => {
                if start >= bytes.len() {
                    return Self::status(416, "");
                }
                let range = format!("Content-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                Self::sized(206, &bytes[start..], &range)
            }
            _ => Self::whole(bytes),
        }
    }

    /// The whole file; ranges are ignored.
    pub fn whole(bytes: &[u8]) -> Self {
        Self::sized(200, bytes, "")
    }

    pub fn sized(status: u16, bytes: &[u8], headers: &str) -> Self {
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nETag: \"one\"\r\n{headers}", bytes.len());
        Self { head, body: bytes.to_vec(), ..Self::default() }
    }

    /// Without a length: the body ends when the connection closes, if it does.
    pub fn endless(bytes: &[u8]) -> Self {
        let head = "HTTP/1.1 200 x\r\n".to_owned();
        Self { head, body: bytes.to_vec(), manner: Manner::Endless, broken: false }
    }

    /// Accepts the request and never answers.
    pub fn none() -> Self {
        Self { manner: Manner::Mute, ..Self::default() }
    }

    /// Sends the body one byte at a time, with a pause after each.
    pub fn slowly(self) -> Self {
        Self { manner: Manner::Slow, ..self }
    }

    pub fn slowly_from_the_start(self) -> Self {
        Self { manner: Manner::SlowFromTheStart, ..self }
    }

    /// Stops after `length` bytes of the body.
    pub fn cut(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self.broken = true;
        self
    }

    /// Sends the reply, then stays silent.
    pub fn then_silence(mut self) -> Self {
        self.manner = Manner::ThenSilent;
        self
    }
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, connections) = (Log::default(), Arc::<AtomicUsize>::default());
        let (answer, seen, count) = (Arc::new(answer), log.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                let (answer, seen) = (answer.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { address, log, connections }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of connections accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

/// Answers requests one after the other, until an answer is not sent completely.
fn serve(stream: TcpStream, seen: &Log, answer: &dyn Fn(&Request) -> Reply) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    while serve_one(&stream, &mut lines, seen, answer)? {}
    Some(())
}

/// Returns whether the connection stays open.
fn serve_one(
    mut stream: &TcpStream,
    lines: &mut impl Iterator<Item = String>,
    seen: &Log,
    answer: &dyn Fn(&Request) -> Reply,
) -> Option<bool> {
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())))
        .collect();
    let request = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|request| request.path == path).count();
        seen.push(Request { path, headers, before });
        seen.last()?.clone()
    };
    let reply = answer(&request);
    let goes_on = reply.manner == Manner::Proper && !reply.broken;
    let head = format!("{}{}\r\n", reply.head, if goes_on { "" } else { "Connection: close\r\n" });
    let (at_once, slowly) = match reply.manner {
        Manner::Mute => (Vec::new(), Vec::new()),
        Manner::Slow => (head.into_bytes(), reply.body.clone()),
        Manner::SlowFromTheStart => (Vec::new(), [head.as_bytes(), &reply.body].concat()),
        _ => ([head.as_bytes(), &reply.body].concat(), Vec::new()),
    };
    stream.write_all(&at_once).ok()?;
    for octet in slowly {
        stream.write_all(&[octet]).ok()?;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    if reply.manner == Manner::Endless {
        while stream.write_all(&reply.body).is_ok() {}
    }
    if matches!(reply.manner, Manner::ThenSilent | Manner::Mute) {
        // Returns when the client closes its side.
        lines.next();
    }
    Some(goes_on)
}
