//! A process of this machine, as `/proc` shows it. See
//! <https://man7.org/linux/man-pages/man5/proc.5.html>.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use deathstar_statemachine::resources::Metric;

use super::machine::{self, field, kilobytes, processors_in};
use super::{Look, Seen, clause};

/// Reads a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pid: NonZeroU32,
    /// When it began, in ticks since the machine did; once that is known.
    began: Option<u64>,
}

/// What `/proc/PID/stat` says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    /// One letter: Z is dead, and not yet buried.
    state: char,
    /// CPU time of all its threads, in ticks.
    cpu: u64,
    /// When it began, in ticks since the machine did.
    began: u64,
}

impl Process {
    pub(super) const fn new(pid: NonZeroU32) -> Self {
        Self { pid, began: None }
    }

    /// Waits for the kernel.
    pub(super) fn read(&mut self) -> Look {
        let directory = PathBuf::from(format!("/proc/{}", self.pid));
        if !directory.exists() {
            return Look::nothing(format!("there is no process {}", self.pid));
        }
        let stat = machine::text(&directory.join("stat")).and_then(|stat| {
            stat_of(&stat).ok_or_else(|| format!("{}/stat is not understood", directory.display()))
        });
        let stat = match stat {
            Ok(stat) => stat,
            Err(why) => return Look::nothing(why),
        };
        if matches!(stat.state, 'Z' | 'X') {
            return Look::nothing(format!("process {} has ended", self.pid));
        }
        if *self.began.get_or_insert(stat.began) != stat.began {
            return Look::nothing(format!("process {} has ended, and another has its number", self.pid));
        }
        let mut look = Look::default();
        let status = machine::text(&directory.join("status")).unwrap_or_default();
        let limits = fs::read_to_string(directory.join("limits")).unwrap_or_default();
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let processors = field(&status, "Cpus_allowed_list").and_then(processors_in);
        look.seen.push(Seen::count(Metric::Cpu, stat.cpu as f64 / ticks as f64, processors));
        let memory = field(&status, "VmRSS").and_then(kilobytes).map(|memory| {
            let capacity = soft_limit(&limits, "Max address space").or_else(machine::memory);
            Seen::level(Metric::Memory, memory, capacity)
        });
        look.add(memory.ok_or_else(|| format!("process {} says nothing of its memory", self.pid)));
        look.add(
            descriptors(&directory)
                .map(|count| Seen::level(Metric::Descriptors, count, soft_limit(&limits, "Max open files"))),
        );
        look
    }
}

fn descriptors(directory: &Path) -> Result<f64, String> {
    let entries =
        fs::read_dir(directory.join("fd")).map_err(|error| format!("its descriptors: {}", clause(&error)))?;
    Ok(entries.count() as f64)
}

/// The second field is a name in brackets, which may hold blanks and brackets.
fn stat_of(text: &str) -> Option<Stat> {
    let (_, behind) = text.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    // The state is the third field, counted from one.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let state = fields.first()?.chars().next()?;
    Some(Stat { state, cpu: number(14)?.checked_add(number(15)?)?, began: number(22)? })
}

/// The soft limit of a line of `/proc/PID/limits`; nothing when there is none.
fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_fields_behind_it() {
        let text = "42 (a) R 1 (b)) S 1 42 42 0 -1 4194560 1000 0 0 0 150 50 0 0 20 0 3 0 987 1000 200 18446744073709551615";
        assert_eq!(stat_of(text), Some(Stat { state: 'S', cpu: 200, began: 987 }));
        assert_eq!(stat_of("42 (a) S 1"), None);
        assert_eq!(stat_of(""), None);
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n\
                      Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(soft_limit(limits, "Max address space"), None);
        assert_eq!(soft_limit(limits, "Max locked memory"), None);
    }

    #[test]
    fn a_number_that_another_process_has_by_now_is_no_reading() {
        let pid = NonZeroU32::new(std::process::id()).unwrap();
        let mut process = Process::new(pid);
        let look = process.read();
        assert_eq!(look.missing, Vec::<String>::new());
        let names: Vec<&str> = look.seen.iter().map(|seen| seen.metric.name()).collect();
        assert_eq!(names, ["cpu", "memory", "descriptors"]);
        process.began = process.began.map(|began| began + 1);
        let why = format!("process {pid} has ended, and another has its number");
        assert_eq!(process.read(), Look::nothing(why));
    }
}
