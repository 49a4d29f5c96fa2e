//! The target of most rows: nginx with one worker on the targets' core, which
//! answers 30 bytes from memory and counts every request.

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::pinned::{Job, TARGET_CORE};
use crate::launch::{Folder, Process};
use crate::{Failure, clock, must};

/// How often, and how many times, we look whether it listens: 5 s together.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 100;

/// A running nginx, ended when dropped.
pub(super) struct Nginx {
    process: Process,
    plain: u16,
    tls: u16,
    closing: u16,
    certificate: PathBuf,
    log: PathBuf,
    /// How often we asked how many there were: it counts those, too.
    asked: Cell<u64>,
}

impl Nginx {
    /// Starts one on free ports, with a certificate of its own.
    pub(super) fn start(folder: &Folder) -> Result<Self, Failure> {
        let certificate = certify(folder)?;
        let [plain, tls, closing] = free_ports()?;
        // Whoever answers with these 30 bytes is the one started here, and nobody
        // who had the port before it.
        let body = format!("deathstar bench {:>13}", std::process::id());
        let here = folder.path().display();
        let log = folder.path().join("paths.log");
        let config = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {here}/nginx.pid;\n\
             events {{ worker_connections 8192; }}\n\
             http {{\n  access_log off;\n  log_format path $uri;\n\
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n\
             uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
             keepalive_requests 4294967295; keepalive_timeout 1h;\n\
             ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem; ssl_protocols TLSv1.3;\n\
             server {{ listen 127.0.0.1:{plain} backlog=4096;\n\
               location / {{ return 200 \"{body}\\n\"; }}\n\
               location /mix/ {{ access_log {log} path; return 200 \"{body}\\n\"; }}\n\
               location = /status {{ stub_status; }} }}\n\
             server {{ listen 127.0.0.1:{tls} ssl backlog=4096; location / {{ return 200 \"{body}\\n\"; }} }}\n\
             server {{ listen 127.0.0.1:{closing} ssl backlog=4096; keepalive_timeout 0;\n\
               location / {{ return 200 \"{body}\\n\"; }} }}\n}}\n",
            log = log.display()
        );
        let config = folder.write("nginx.conf", &config)?.display().to_string();
        let errors = folder.path().join("nginx.log");
        let job = Job::new(Path::new("nginx"));
        let job = job.args(&["-e", &errors.display().to_string(), "-p", &here.to_string(), "-c", &config]);
        let asked = Cell::new(0);
        let nginx =
            Self { process: job.start(TARGET_CORE, None)?, plain, tls, closing, certificate, log, asked };
        for _ in 0..LOOKS {
            if get(plain, "/").is_ok_and(|answer| answer.contains(&body)) {
                return Ok(nginx);
            }
            sleep(LOOK);
        }
        let why = fs::read_to_string(&errors).unwrap_or_default();
        Err(format!("nginx does not answer: {}", why.lines().last().unwrap_or("it says nothing")))
    }

    /// Keep-alive, in the clear.
    pub(super) fn plain(&self) -> String {
        format!("http://127.0.0.1:{}/", self.plain)
    }

    /// Keep-alive over TLS 1.3.
    pub(super) fn tls(&self) -> String {
        format!("https://127.0.0.1:{}/", self.tls)
    }

    /// TLS 1.3, and the connection ends with each response.
    pub(super) fn closing(&self) -> String {
        format!("https://127.0.0.1:{}/", self.closing)
    }

    /// What to trust, to trust it.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Freezes it for the last `stall` of every `every`, until the answer is dropped.
    /// What is sent to it meanwhile waits in the kernel.
    pub(super) fn stalling(&self, every: Duration, stall_for: Duration) -> Result<Stalls, Failure> {
        let id = i32::try_from(self.process.0.id()).ok().and_then(Pid::from_raw);
        let process = id.ok_or("nginx has no process id")?;
        let (over, ended) = channel();
        let began = clock::monotonic();
        let thread = spawn(move || stall(process, began, every, stall_for, &ended));
        Ok(Stalls { began, over: Some(over), thread: Some(thread) })
    }

    /// How many requests it has counted so far, without those that ask.
    pub(super) fn counted(&self) -> Result<u64, Failure> {
        self.asked.set(self.asked.get() + 1);
        let page = get(self.plain, "/status").map_err(|error| format!("nginx does not count: {error}"))?;
        let all = requests_of(&page).ok_or_else(|| format!("nginx counts in another way: {page:?}"))?;
        Ok(all.saturating_sub(self.asked.get()))
    }

    /// The paths below `/mix/` of all requests so far, in the order they came.
    pub(super) fn paths(&self) -> Result<Vec<String>, Failure> {
        let log = fs::read_to_string(&self.log).map_err(|error| format!("nginx wrote no log: {error}"))?;
        Ok(log.lines().map(ToOwned::to_owned).collect())
    }
}

/// Freezes a process now and then, until it is dropped.
pub(super) struct Stalls {
    began: Instant,
    /// Dropped first, which ends the thread.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    /// How long it has been at it.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        drop(self.over.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Stops and continues a process until `over` hears that its sender is gone.
fn stall(process: Pid, began: Instant, every: Duration, stall: Duration, over: &Receiver<()>) {
    let until = |at: Duration| {
        let ahead = at.saturating_sub(began.elapsed());
        matches!(over.recv_timeout(ahead), Err(RecvTimeoutError::Timeout))
    };
    let mut end = every;
    while until(end.saturating_sub(stall)) {
        let _ = kill_process(process, Signal::STOP);
        let goes_on = until(end);
        let _ = kill_process(process, Signal::CONT);
        if !goes_on {
            return;
        }
        end += every;
    }
}

/// The third number of `stub_status`: requests.
fn requests_of(page: &str) -> Option<u64> {
    let numbers = page[page.find("accepts handled requests")?..].lines().nth(1)?;
    numbers.split_whitespace().nth(2)?.parse().ok()
}

/// Free ports of 127.0.0.1, all different.
fn free_ports<const N: usize>() -> Result<[u16; N], Failure> {
    let broken = |error: std::io::Error| format!("there is no free port: {error}");
    // All are held until the last is known.
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().map_err(broken)?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr().map_err(broken)?.port();
    }
    Ok(ports)
}

/// A key on P-256 and a certificate for 127.0.0.1 that signs itself. It is no
/// certificate authority: a client that trusts it takes it as the server's own.
fn certify(folder: &Folder) -> Result<PathBuf, Failure> {
    let config = "[req]\ndistinguished_name = name\nx509_extensions = extensions\nprompt = no\n\
                  [name]\nCN = deathstar bench\n\
                  [extensions]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
    let config = folder.write("openssl.conf", config)?;
    let certificate = folder.path().join("cert.pem");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-config"]).arg(config);
    command.arg("-keyout").arg(folder.path().join("key.pem")).arg("-out").arg(&certificate);
    // OpenSSL draws dots while it makes a key.
    must(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()))?;
    Ok(certificate)
}

/// A GET over a connection of its own; the whole answer.
pub(super) fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from nginx 1.22.1.
    const STATUS: &str = "Active connections: 1 \nserver accepts handled requests\n 198 198 188941 \n\
                          Reading: 0 Writing: 1 Waiting: 0 \n";

    #[test]
    fn requests_are_the_third_number() {
        assert_eq!(requests_of(STATUS), Some(188_941));
        assert_eq!(requests_of("<html>"), None);
    }

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
