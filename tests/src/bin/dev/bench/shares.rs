//! The row of recording: two workers together send the arrivals of one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::figures::json_numbers;
use super::generators::{Arrivals, run};
use super::rounds::Bench;
use super::table::{Book, Table};
use crate::{Failure, say};

/// Requests by path, as the target logged them.
type Paths = BTreeMap<String, u64>;

/// What a run sent.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    arrivals: Arrivals,
    /// Arrivals due in each second.
    seconds: Vec<String>,
    paths: Paths,
}

pub(super) fn recording(bench: &Bench, book: &mut Book) -> Result<(), Failure> {
    let work = "recording";
    say("dev: recording, one worker and two");
    let one = sent_by(bench, 1, book)?;
    let two = sent_by(bench, 2, book)?;
    let mut table =
        Table::new(&["workers", "due", "sent", "due in each second", "by path, as the target logged it"]);
    for (workers, sent) in [("1", &one), ("2", &two)] {
        let paths: Vec<String> = sent.paths.iter().map(|(path, count)| format!("{path} {count}")).collect();
        table.row(&[
            workers,
            &sent.arrivals.scheduled.to_string(),
            &sent.arrivals.sent().to_string(),
            &sent.seconds.join(", "),
            &paths.join(", "),
        ]);
    }
    println!("### The same arrivals from one worker and from two\n\n{}", table.text());
    let same = (if one == two { "the same" } else { "they differ" }).to_owned();
    let goal = "two workers send the same arrivals as one: in all, in each second, on each path";
    book.line(work, goal, Some((same, one == two)));
    Ok(())
}

/// A ramp and a mix, so that when and what both depend on the arrival's number.
fn sent_by(bench: &Bench, workers: u32, book: &mut Book) -> Result<Sent, Failure> {
    let config = format!(
        "name: shares\nworkers: {workers}\nattacks:\n  - name: mix\n    base_url: {}mix\n    load:\n      \
         ramp: {{ from: 100/s, to: 1999/s, over: 4s }}\n    requests:\n      - {{ get: /a, weight: 5 }}\n      \
         - {{ get: /b, weight: 3 }}\n      - {{ get: /c }}\n",
        bench.nginx.plain()
    );
    let config = bench.folder.write("shares.yaml", &config)?.display().to_string();
    let before = bench.nginx.counted()?;
    let logged = bench.nginx.paths()?.len();
    let ended = run(&bench.programs, &bench.folder, &config).run(&bench.folder, Duration::from_secs(4))?;
    let counted = bench.nginx.counted()? - before;
    let arrivals = Arrivals::of(&ended.output).ok_or("there is no report")?;
    book.compare(&format!("recording, {workers} workers"), arrivals.sent(), counted);
    let seconds = json_numbers(&ended.output, &["attacks", "timeline"], "scheduled")
        .ok_or("the report has no timeline")?
        .iter()
        .map(|due| format!("{due:.0}"))
        .collect();
    let mut paths = Paths::new();
    for path in bench.nginx.paths()?.into_iter().skip(logged) {
        *paths.entry(path).or_default() += 1;
    }
    Ok(Sent { arrivals, seconds, paths })
}
