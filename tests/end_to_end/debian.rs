//! Real servers of Debian, on ports of their own.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::clock;
use crate::command::Home;

/// Below the tools of `cargo dev tools`.
pub(crate) fn program(path: &str) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().join("target/tools/debian").join(path)
}

/// A port that was free a moment ago.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        clock::wait_for("a server that listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked to, so that nginx ends those whom it started.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// nginx that serves the files of a home, and the port where it does; `listen` says how,
/// and `http` and `server` what else it does.
pub(crate) fn nginx(home: &Home, http: &str, listen: &str, server: &str) -> (Server, u16) {
    let config = home.file("nginx.conf", "");
    let folder = config.parent().unwrap().display();
    let port = port();
    let text = format!(
        "daemon off;\nworker_processes auto;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{}}\n\
         http {{\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
         default_type text/plain;\n  {http}\n  server {{ listen 127.0.0.1:{port} {listen}; root {folder}; {server} }}\n}}\n"
    );
    let config = home.file("nginx.conf", text);
    let mut nginx = Command::new(program("usr/sbin/nginx"));
    nginx.arg("-e").arg(config.with_file_name("nginx.log")).arg("-c").arg(&config);
    (Server::start(&mut nginx, port), port)
}
