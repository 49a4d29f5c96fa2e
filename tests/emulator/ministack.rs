//! The emulator of AWS: one server of its own port, folder and environment.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;

/// Region and account of everything in here.
pub(crate) const REGION: &str = "us-east-1";

/// Starts the server, waits until nobody holds our end of its standard input
/// any more, and takes it down with all that it had started: a test program
/// that is killed leaves nothing behind.
const KEEPER: &str = r#"
    "$0" >"$1/server.log" 2>&1 </dev/null &
    cat >/dev/null
    kill $!
    rm -rf "$1"
    kill -KILL -- -$$
"#;

/// A server under way; ended when dropped, or with this process.
#[derive(Debug)]
pub(crate) struct Ministack {
    keeper: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

impl Ministack {
    /// Starts a server. `endpoint` is where its functions call AWS: itself, or a
    /// proxy before it. `settings` are more of its environment.
    pub(crate) fn start(port: u16, endpoint: &str, settings: &[(&str, &str)]) -> Self {
        let server = root().join("target/tools/ministack/bin/ministack");
        assert!(
            server.exists(),
            "the emulator is missing; `cargo dev test` installs it, and then runs this test"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).arg(&server).arg(path);
        // Functions inherit the server's environment, so it has nothing of ours.
        keeper.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        keeper.env("HOME", path).env("TMPDIR", path);
        keeper.env("S3_DATA_DIR", path.join("s3")).env("STATE_DIR", path.join("state"));
        keeper.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1");
        keeper.env("AWS_ENDPOINT_URL", endpoint).env("MINISTACK_REGION", REGION);
        keeper.env("LAMBDA_EXECUTOR", "local").envs(settings.iter().copied());
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let keeper = keeper.spawn().unwrap();
        let this = Self { keeper, address: SocketAddr::from(([127, 0, 0, 1], port)), folder };
        clock::wait_for("the emulator to be healthy", || {
            get(this.address, "/_ministack/health").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        this
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The end of what it has said, for whoever wonders why a test failed.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("server.log")).unwrap_or_default();
        let from = log.len().saturating_sub(20_000);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// One GET, whole.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // What came before an error is looked at.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).ok()
}
