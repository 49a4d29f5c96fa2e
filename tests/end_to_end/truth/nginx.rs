//! A real server of Debian, watched through Debian's exporter for Prometheus.

use std::fmt::Write;
use std::process::Command;

use super::scenario::{Enough, number, repeat};
use crate::command::Home;
use crate::debian::{Server, nginx, port, program};

/// nginx packs 256 KiB of text anew for each request, at the highest level, with as many
/// processes as there are processors: it is bound by them, and by nothing else.
#[test]
fn nginx_that_packs_is_bound_by_the_processors() {
    repeat("nginx through node_exporter", Enough::All, || {
        let home = Home::new();
        let mut text = String::new();
        for line in 0_u64..6000 {
            let _ = writeln!(text, "{line} {:016x} of it", line.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        home.file("page.txt", &text);
        let packs = "access_log off; gzip on; gzip_comp_level 9; gzip_types text/plain;";
        let (_nginx, web) = nginx(&home, packs, "", "");
        let exporter = port();
        let mut node_exporter = Command::new(program("usr/bin/prometheus-node-exporter"));
        node_exporter.args([
            "--collector.disable-defaults",
            "--collector.cpu",
            "--collector.meminfo",
            "--collector.filefd",
        ]);
        node_exporter.arg(format!("--web.listen-address=127.0.0.1:{exporter}"));
        let _exporter = Server::start(&mut node_exporter, exporter);
        let output = home.run_alone_on("0", || {
            format!(
                "name: nginx\nattacks:\n  - name: packed\n    url: http://127.0.0.1:{web}/page.txt\n    headers: {{ accept-encoding: gzip }}\n    timeout: 10s\n    load: {{ steps: {{ rates: [10/s, 20/s, 40/s, 60/s, 80/s, 120/s, 200/s], each: 4s }} }}\n    resources: [{{ prometheus: 'http://127.0.0.1:{exporter}/metrics', every: 500ms }}]\n"
            )
        });
        let report = output.exits(0).report().0["attacks"][0].clone();
        let binding = &report["binding_resource"];
        let curve = report["curve"].as_array().unwrap();
        let most = curve.iter().filter_map(|step| number(&step["achieved"])).fold(0.0, f64::max);
        let full_at = number(&binding["full_at"]).unwrap_or(f64::NAN);
        let found = format!(
            "{} {}, full at {full_at:.0}/s; {most:.0}/s were answered at most",
            binding["verdict"].as_str().unwrap_or("–"),
            binding["name"].as_str().unwrap_or("–")
        );
        // What it answered at most is what it could.
        let right = binding["verdict"] == "binds"
            && binding["name"] == "cpu"
            && (full_at - most).abs() <= most * 0.25;
        if right { Ok(found) } else { Err(found) }
    });
}
