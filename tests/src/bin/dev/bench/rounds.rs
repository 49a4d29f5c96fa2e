//! Rounds: each generator in turn, then each again, so that what else the machine
//! does falls on all of them alike.

use std::time::Duration;

use super::figures::Spread;
use super::generators::{Generator, Kind, Load, Programs};
use super::nginx::Nginx;
use super::table::{Book, Table, or_dash};
use crate::launch::Folder;
use crate::{Failure, say};

/// What all rows share.
pub(super) struct Bench {
    pub(super) programs: Programs,
    pub(super) folder: Folder,
    pub(super) nginx: Nginx,
    pub(super) rounds: usize,
    /// Of one run at full speed.
    pub(super) seconds: u64,
    /// Whether long runs are cut short, too.
    pub(super) quick: bool,
}

/// One run of a generator.
#[derive(Debug)]
pub(super) struct Sample {
    /// Of the generator, for each request that the target counted, in microseconds.
    pub(super) cpu_us: f64,
    pub(super) peak_kib: u64,
    /// Requests by the target's count, and by the generator's.
    pub(super) counted: u64,
    pub(super) own: Option<u64>,
    pub(super) output: String,
}

/// All runs of one generator.
pub(super) struct Series {
    pub(super) generator: Generator,
    pub(super) title: String,
    pub(super) samples: Vec<Sample>,
    /// Why there are no more.
    pub(super) problem: Option<Failure>,
}

impl Series {
    /// One figure of each run that has it.
    pub(super) fn each(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        self.samples.iter().filter_map(figure).collect()
    }

    pub(super) fn cpu(&self) -> Vec<f64> {
        self.each(|sample| Some(sample.cpu_us))
    }
}

impl Bench {
    /// Lets generators make the same load by turns, against nginx.
    pub(super) fn rounds(
        &self,
        what: &str,
        generators: &[Generator],
        load: &Load<'_>,
        book: &mut Book,
    ) -> Vec<Series> {
        let mut all: Vec<Series> = generators
            .iter()
            .map(|generator| Series {
                generator: *generator,
                title: generator.name().to_owned(),
                samples: Vec::new(),
                problem: None,
            })
            .collect();
        for round in 1..=self.rounds {
            say(&format!("dev: {what}, round {round} of {}", self.rounds));
            for series in all.iter_mut().filter(|series| series.problem.is_none()) {
                match self.once(&format!("{what}, round {round}"), series, load, book) {
                    Ok(sample) => series.samples.push(sample),
                    Err(failure) => {
                        say(&format!("dev: {}: {failure}", series.generator.name()));
                        series.problem = Some(failure);
                    }
                }
            }
        }
        all
    }

    fn once(
        &self,
        what: &str,
        series: &mut Series,
        load: &Load<'_>,
        book: &mut Book,
    ) -> Result<Sample, Failure> {
        let (job, title) = series.generator.job(&self.programs, &self.folder, load)?;
        series.title = title;
        let before = self.nginx.counted()?;
        let ended = job.run(&self.folder, Duration::from_secs(load.seconds))?;
        let counted = self.nginx.counted()? - before;
        let own = series.generator.own_count(&ended.output);
        if series.generator.is_ours() {
            let sent = own.ok_or_else(|| format!("there is no report in {:?}", ended.output))?;
            book.compare(&format!("{what}, {}", series.generator.name()), sent, counted);
        }
        if counted == 0 {
            return Err("the target counted nothing".to_owned());
        }
        let cpu_us = ended.cpu.as_secs_f64() * 1e6 / counted as f64;
        Ok(Sample { cpu_us, peak_kib: ended.peak_kib, counted, own, output: ended.output })
    }
}

/// The series of one generator; the rows name those that they ran.
pub(super) fn of(all: &[Series], generator: Generator) -> &Series {
    all.iter().find(|series| series.generator == generator).expect("it was among those that ran")
}

/// A failure when a run of ours failed: that is never a matter of what is installed.
pub(super) fn ours_ran(all: &[Series]) -> Result<(), Failure> {
    let problem =
        all.iter().filter(|series| series.generator.is_ours()).find_map(|series| series.problem.clone());
    problem.map_or(Ok(()), Err)
}

/// Notes how our CPU time compares with another's, and whether it is within the goal.
pub(super) fn against(book: &mut Book, work: &str, all: &[Series], theirs: Generator, limit: f64) {
    let ours = of(all, Generator::DeathStar);
    let theirs = of(all, theirs);
    let name = theirs.generator.name();
    let goal = format!("CPU per request ≤ {limit:.2} × {name}");
    if let Some(problem) = ours.problem.as_ref().or(theirs.problem.as_ref()) {
        return book.missing(work, &goal, problem);
    }
    let ratio = Spread::ratio(&ours.cpu(), &theirs.cpu());
    book.line(work, &goal, ratio.map(|ratio| (format!("{} ×", ratio.text(2)), ratio.median <= limit)));
}

/// What every generator cost, and how that compares with the one that all are
/// measured by.
pub(super) fn cost_table(all: &[Series], yardstick: Generator, kind: Kind) -> String {
    let by = of(all, yardstick);
    let versus = format!("× {}", by.generator.name());
    let mut table = Table::new(&[
        "generator",
        "CPU µs a request",
        &versus,
        "requests of a run, counted by the target",
        "by itself",
        "peak MiB",
    ]);
    for series in all {
        if let Some(problem) = &series.problem {
            table.row(&[&series.title, &format!("none: {problem}"), "–", "–", "–", "–"]);
            continue;
        }
        let digits = if matches!(kind, Kind::Closing) { 0 } else { 2 };
        let cost = Spread::of(&series.cpu());
        let ratio = Spread::ratio(&series.cpu(), &by.cpu());
        let last = series.samples.last();
        table.row(&[
            &series.title,
            &or_dash(cost, |cost| cost.text(digits)),
            &or_dash(ratio, |ratio| ratio.text(2)),
            &or_dash(last, |sample| sample.counted.to_string()),
            &or_dash(last.and_then(|sample| sample.own), |own| own.to_string()),
            &or_dash(Spread::of(&series.each(|sample| Some(sample.peak_kib as f64 / 1024.0))), |peak| {
                format!("{:.0}", peak.median)
            }),
        ]);
    }
    table.text()
}
