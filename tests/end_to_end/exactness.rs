//! The load that was asked for, counted by someone else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::command::Home;

/// `deathstar target`, in a process of its own. Killed when dropped.
struct Target {
    child: Child,
    address: String,
}

impl Target {
    fn start(home: &Home, args: &[&str]) -> Self {
        let args: Vec<&str> = std::iter::once("target").chain(args.iter().copied()).collect();
        let mut command = home.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("its address").to_owned();
        Self { child, address }
    }

    /// A number on its page of metrics.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.trim().parse().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn five_hundred_a_second_for_ten_seconds_are_five_thousand() {
    let home = Home::new();
    let target = Target::start(&home, &["--service", "1ms", "--errors", "10%", "--body", "100"]);
    let output = home.run(&format!(
        "name: exact\nattacks:\n  - {{ name: x, url: 'http://{}/', rate: 500/s, duration: 10s }}\nworkers: 2\n",
        target.address
    ));
    home.assert_nothing_left();
    let report = output.exits(0).report();
    let arrivals = report.arrivals();
    assert_eq!(arrivals.scheduled, 5000);
    assert_eq!((arrivals.timed_out, arrivals.lost), (0, 0));
    assert_eq!(target.metric("deathstar_target_received_total "), arrivals.sent());
    assert_eq!(target.metric("deathstar_target_requests_total{code=\"200\"} "), arrivals.completed);
    assert_eq!(target.metric("deathstar_target_requests_total{code=\"500\"} "), arrivals.failed);
    // One in ten of those served fails, rounded to a whole request.
    assert!(arrivals.failed.abs_diff(arrivals.sent() / 10) <= 1, "{arrivals:?}");
    assert_eq!(report.0["attacks"][0]["rate"]["scheduled"], 500.0);
    assert_eq!(report.0["duration_s"], 10.0);
    assert_eq!(report.0["attacks"][0]["timeline"].as_array().unwrap().len(), 10);
}
