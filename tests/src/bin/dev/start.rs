//! `start`: how long until the first request is on its way.
//!
//! From the moment that `deathstar run` is started to the first byte of its
//! first request, as a listener of ours sees it. The lead between the decision
//! on a round and its load is in it: 100 ms.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::launch::{Folder, binary, start_run, words_of_run};
use crate::memory::where_and_when;
use crate::{Failure, clock, no_arguments, say};

/// How many runs are timed.
const RUNS: usize = 20;
/// What the median must stay below.
const GOAL: Duration = Duration::from_millis(300);
/// When we stop waiting for a run's first byte.
const PATIENCE: Duration = Duration::from_secs(10);

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    no_arguments(arguments)?;
    let binary = binary()?;
    let folder = Folder::new("start")?;
    let broken = |error: std::io::Error| format!("cannot listen on 127.0.0.1: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(broken)?;
    listener.set_nonblocking(true).map_err(broken)?;
    let address = listener.local_addr().map_err(broken)?;
    let config = format!(
        "name: start\nattacks:\n  - name: first\n    url: http://{address}/\n    rate: 1/s\n    duration: 1s\n"
    );
    let config = folder.write("start.yaml", &config)?;
    say(&format!("dev: timing {RUNS} runs"));

    let mut times = Vec::new();
    for _ in 0..RUNS {
        let started = clock::monotonic();
        let mut process = start_run(&binary, &folder, &config)?;
        let Some(stream) = first_byte(&listener, started) else {
            return Err(format!("no request came within {PATIENCE:?}:\n{}", words_of_run(&folder)));
        };
        times.push(started.elapsed());
        answer(stream);
        let status = process.0.wait().map_err(|error| format!("cannot wait for the run: {error}"))?;
        if !status.success() {
            return Err(format!("a run ended with {status}:\n{}", words_of_run(&folder)));
        }
    }

    times.sort_unstable();
    let median = (times[RUNS / 2 - 1] + times[RUNS / 2]) / 2;
    let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    println!("\nFrom the start of a run to its first byte, {RUNS} runs, on {}\n", where_and_when());
    println!("| min ms | median ms | max ms |\n|---:|---:|---:|");
    println!("| {} | {} | {} |", ms(times[0]), ms(median), ms(times[RUNS - 1]));
    if median < GOAL { Ok(()) } else { Err(format!("the median is not under {} ms", ms(GOAL))) }
}

/// Waits for a connection and its first byte.
fn first_byte(listener: &TcpListener, started: Instant) -> Option<TcpStream> {
    while started.elapsed() < PATIENCE {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nonblocking(false).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                let mut byte = [0];
                return (stream.read(&mut byte).ok()? == 1).then_some(stream);
            }
            // A look each 0.2 ms: precise enough, and light on the run's cores.
            Err(_) => std::thread::sleep(Duration::from_micros(200)),
        }
    }
    None
}

/// Answers the request whose first byte was read. A peer that has left is not
/// what is timed here.
fn answer(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    let _ = stream.read(&mut rest);
    let _ = stream.write_all(RESPONSE);
}
