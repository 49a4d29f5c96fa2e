//! Rows of the closed model: as fast as the target answers.

use super::generators::Generator::{Ab, DeathStar, H2load, Hey, Oha, Rich, Wrk};
use super::generators::{Kind, Load};
use super::rounds::{Bench, against, cost_table, ours_ran};
use super::table::Book;
use crate::Failure;

const EVERYBODY: &[super::generators::Generator] = &[DeathStar, Rich, Wrk, Oha, H2load, Ab, Hey];

pub(super) fn keep_alive(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "HTTP/1.1 keep-alive, 64 connections, closed loop, 1 worker";
    let url = bench.nginx.plain();
    let load = Load { url: &url, connections: 64, seconds: bench.seconds, kind: Kind::Closed };
    let all = bench.rounds("keep-alive", EVERYBODY, &load, book);
    println!("### {work}\n\n{}", cost_table(&all, Wrk, load.kind));
    against(book, work, &all, Wrk, 1.0);
    against(book, work, &all, Oha, 0.62);
    against(book, work, &all, Rich, 0.42);
    ours_ran(&all)
}

pub(super) fn tls(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "the same over TLS 1.3, 256 connections";
    let url = bench.nginx.tls();
    let load = Load { url: &url, connections: 256, seconds: bench.seconds, kind: Kind::Closed };
    let all = bench.rounds("tls", EVERYBODY, &load, book);
    println!("### HTTP/1.1 keep-alive over TLS 1.3, 256 connections, closed loop, 1 worker\n");
    println!("{}", cost_table(&all, Wrk, load.kind));
    println!("deathstar and oha verify the certificate; wrk, h2load, ab and hey do not.\n");
    against(book, work, &all, Wrk, 1.0);
    against(book, work, &all, Oha, 0.85);
    ours_ran(&all)
}

pub(super) fn connect(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "new TLS connection per request";
    let url = bench.nginx.closing();
    let load = Load { url: &url, connections: 16, seconds: bench.seconds, kind: Kind::Closing };
    let all = bench.rounds("connect", &[DeathStar, Rich, Oha], &load, book);
    println!("### New TLS 1.3 connection per request, 16 at a time, closed loop\n");
    println!("{}", cost_table(&all, Oha, load.kind));
    println!("No config asks for this, so the target ends each connection with its response.\n");
    against(book, work, &all, Oha, 0.9);
    ours_ran(&all)
}
