//! The emulator, as a process of ours.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::clock;
use crate::message::Message;
use crate::proxy::{Proxy, forward};

/// The region it is in.
pub(crate) const REGION: &str = "us-east-1";

/// How often a start is tried: the port that was free may be taken since.
const STARTS: u32 = 5;

/// Waits until its input ends, which it does with the process that made us,
/// however that ended; then ends the emulator's group ($1) and removes its
/// folder ($2).
const GUARD: &str = r#"read -r _; kill -s KILL -- "-$1"; sleep 0.2; rm -rf -- "$2""#;

/// An emulator with a proxy before it. Ended when dropped, with every function
/// that it runs; a shared one when the tests end, by a guard of its own.
#[derive(Debug)]
pub(crate) struct Ministack {
    process: Child,
    guard: Child,
    address: SocketAddr,
    proxy: Proxy,
    folder: TempDir,
}

impl Ministack {
    /// The one that all tests of this program share, each in an
    /// [`crate::account::Account`] of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Ministack> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// Starts one, with more in its environment, and in that of its functions.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        for _ in 0..STARTS {
            if let Some(started) = Self::try_start(environment) {
                return started;
            }
        }
        panic!("no port stayed free for the emulator in {STARTS} tries");
    }

    /// Nothing when the port was taken.
    fn try_start(environment: &[(&str, &str)]) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("deathstar-emulator-").tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let proxy = Proxy::start();
        let log = File::create(folder.path().join(LOG)).unwrap();
        let process = command(folder.path(), address, &proxy)
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &process.id().to_string()])
            .arg(folder.path())
            // Not in our group: an interrupt of the tests must not end it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, guard, address, proxy, folder };
        if clock::wait_for("the emulator to start", || server.started()) {
            server.proxy.lead_to(address);
            return Some(server);
        }
        let log = server.log();
        assert!(log.contains("already in use"), "the emulator has ended:\n{log}");
        None
    }

    /// Whether it has started, or ended instead; nothing while that is open.
    fn started(&mut self) -> Option<bool> {
        if self.process.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let health = Message::new("GET /_ministack/health HTTP/1.1", &[("host", "localhost")], b"");
        let up = forward(self.address, &health).is_ok_and(|answer| answer.status() == Some(200));
        up.then_some(true)
    }

    /// Where clients find it, through the proxy. Its functions do, too.
    pub(crate) fn url(&self) -> String {
        self.proxy.url()
    }

    /// Where it listens itself, past the proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has said, for whoever has to explain a failure.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }
}

/// The log's name in the folder.
const LOG: &str = "ministack.log";

impl Drop for Ministack {
    fn drop(&mut self) {
        // First, so that it does not end a group whose number is used again.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        if let Some(group) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// The emulator, to be started. Its functions get its whole environment, so it
/// has nothing of ours but the path.
fn command(folder: &Path, address: SocketAddr, proxy: &Proxy) -> Command {
    let program = program();
    assert!(
        program.exists(),
        "the emulator is missing; `cargo dev tools` installs it, as `cargo dev test` does"
    );
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("GATEWAY_PORT", address.port().to_string())
        .env("BIND_HOST", address.ip().to_string())
        .env("MINISTACK_REGION", REGION)
        .env("LAMBDA_EXECUTOR", "local")
        .env("S3_DATA_DIR", folder.join("s3"))
        .env("STATE_DIR", folder.join("state"))
        // For its functions: it calls nothing by this address itself.
        .env("AWS_ENDPOINT_URL", proxy.url())
        .current_dir(folder)
        // A group of its own: its functions are in it, and end with it.
        .process_group(0)
        .stdin(Stdio::null());
    command
}

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("target/tools/ministack/bin/ministack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_ends_with_the_process_that_started_it() {
        let mut server = Ministack::start(&[]);
        // What a process that dies, however it does, leaves to its guard.
        drop(server.guard.stdin.take());
        let ended = clock::wait_for("the emulator to end", || server.process.try_wait().unwrap());
        assert!(!ended.success());
        clock::wait_for("its folder to go", || (!server.folder.path().exists()).then_some(()));
    }
}
