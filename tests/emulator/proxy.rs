//! A proxy before the emulator that fails on cue: the emulator itself neither
//! throttles, nor loses answers, nor cuts connections.
//!
//! One request, one connection: each is read whole, named by the operation of
//! AWS that it asks for, and passed on unless a rule says otherwise. What Step
//! Functions does inside the emulator does not come by here; what clients and
//! functions ask for does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request instead of being passed on.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// AWS refuses: the status and the code of the error.
    Refused(u16, &'static str),
    /// It takes this much longer.
    Slow(Duration),
    /// The connection ends before AWS has seen the request.
    LostBefore,
    /// AWS does it, and the connection ends before the answer.
    LostAfter,
    /// AWS gets it twice.
    Twice,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    operation: String,
    /// What path or body must contain.
    contains: String,
    left: u32,
    fault: Fault,
}

/// A request that came by.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Such as `CreateFunction`.
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    rules_made: Mutex<u64>,
}

/// The proxy.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Ends its rule when dropped.
#[derive(Debug)]
pub(crate) struct RuleGuard {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        self.shared.rules.lock().unwrap().retain(|rule| rule.id != self.id);
    }
}

impl Proxy {
    /// Listens on a port of its own and passes on to `to`, for as long as this
    /// process lives.
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that broke is the client's to notice.
                std::thread::spawn(move || drop(serve(&client, to, &shared)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this to the next `times` requests of `operation` (`*`: any) whose
    /// path or body contains a text.
    #[must_use]
    pub(crate) fn fault(&self, operation: &str, contains: &str, times: u32, fault: Fault) -> RuleGuard {
        let mut made = self.shared.rules_made.lock().unwrap();
        *made += 1;
        let rule = Rule {
            id: *made,
            operation: operation.to_owned(),
            contains: contains.to_owned(),
            left: times,
            fault,
        };
        self.shared.rules.lock().unwrap().push(rule);
        RuleGuard { id: *made, shared: Arc::clone(&self.shared) }
    }

    /// Every request so far of an operation, whose path or body contains a text.
    pub(crate) fn seen(&self, operation: &str, contains: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        let wanted = |one: &&Seen| {
            one.operation == operation && (one.path.contains(contains) || one.body.contains(contains))
        };
        seen.iter().filter(wanted).cloned().collect()
    }
}

impl Shared {
    /// What becomes of a request; counts it.
    fn judge(&self, seen: Seen) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| {
            rule.left > 0
                && (rule.operation == "*" || rule.operation == seen.operation)
                && (seen.path.contains(&rule.contains) || seen.body.contains(&rule.contains))
        });
        self.seen.lock().unwrap().push(seen);
        rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        })
    }
}

fn serve(mut client: &TcpStream, to: SocketAddr, shared: &Shared) -> io::Result<()> {
    let request = read_request(client)?;
    let (path, operation) = operation(&request);
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200_000)]).into_owned();
    let seen = Seen { operation: operation.clone(), path, body: text(&request.body) };
    match shared.judge(seen) {
        Some(Fault::Refused(status, code)) => return client.write_all(&refusal(&operation, status, code)),
        Some(Fault::LostBefore) => return Ok(()),
        Some(Fault::LostAfter) => return pass_on(&request, to).map(drop),
        Some(Fault::Twice) => drop(pass_on(&request, to)?),
        Some(Fault::Slow(by)) => std::thread::sleep(by),
        None => {}
    }
    client.write_all(&pass_on(&request, to)?)
}

#[derive(Debug)]
struct Request {
    /// Its first line and its headers, by lower-case name.
    line: String,
    headers: Vec<(String, String)>,
    /// As it came, chunked or not.
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn read_request(mut client: &TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    let mut request = Request { line, headers: lines.filter_map(header).collect(), body: Vec::new() };
    request.body = bytes.split_off(head_end);
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let chunked = request.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    let whole = |body: &[u8]| match length {
        Some(length) => body.len() >= length,
        None => !chunked || body.ends_with(b"0\r\n\r\n"),
    };
    while !whole(&request.body) {
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.body.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(request)
}

/// Sends a request and reads the whole answer, which ends with the connection.
fn pass_on(request: &Request, to: SocketAddr) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(to)?;
    let mut head = format!("{}\r\n", request.line);
    for (name, value) in &request.headers {
        if !["connection", "expect", "keep-alive"].contains(&name.as_str()) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += "connection: close\r\n\r\n";
    server.write_all(head.as_bytes())?;
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    // The client must not wait for more on this connection.
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let lines = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut rewritten = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    rewritten.extend_from_slice(b"\r\nconnection: close");
    rewritten.extend_from_slice(&answer[end..]);
    Ok(rewritten)
}

/// The path of a request, and the operation of AWS that it asks for.
fn operation(request: &Request) -> (String, String) {
    let mut words = request.line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let operation = if let Some(target) = request.header("x-amz-target") {
        target.rsplit('.').next().unwrap_or_default().to_owned()
    } else if let Some(rest) = path.strip_prefix("/2015-03-31/functions") {
        let invoked = rest.contains("/invocations");
        match (method, rest.split('?').next().unwrap_or_default()) {
            _ if invoked => "Invoke",
            ("POST", "" | "/") => "CreateFunction",
            ("GET", "" | "/") => "ListFunctions",
            ("GET", rest) if rest.ends_with("/configuration") => "GetFunctionConfiguration",
            ("GET", _) => "GetFunction",
            ("DELETE", _) => "DeleteFunction",
            _ => "OtherOfLambda",
        }
        .to_owned()
    } else if path.contains("/event-invoke-config") {
        "PutFunctionEventInvokeConfig".to_owned()
    } else if path.contains("/account-settings") {
        "GetAccountSettings".to_owned()
    } else if let Some(rest) = path.strip_prefix("/schedules") {
        match (method, rest.starts_with('/')) {
            ("POST", true) => "CreateSchedule",
            ("PUT", true) => "UpdateSchedule",
            ("DELETE", true) => "DeleteSchedule",
            ("GET", true) => "GetSchedule",
            _ => "ListSchedules",
        }
        .to_owned()
    } else {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
        action.map_or_else(|| format!("S3{method}"), ToOwned::to_owned)
    };
    (path.to_owned(), operation)
}

/// An error as the services write it: JSON, with the code in a header, too; XML
/// where a service speaks that.
fn refusal(operation: &str, status: u16, code: &str) -> Vec<u8> {
    let message = format!("refused by a test: {code}");
    let xml = operation.starts_with("S3") || operation.contains("Stack") || operation == "GetCallerIdentity";
    let (kind, body) = if xml {
        let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let body = if operation.starts_with("S3") {
            error
        } else {
            format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>")
        };
        ("text/xml", body)
    } else {
        ("application/x-amz-json-1.0", format!("{{\"__type\":\"{code}\",\"message\":\"{message}\"}}"))
    };
    format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: {kind}\r\nx-amzn-errortype: {code}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
