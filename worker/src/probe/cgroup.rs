//! A control group of this machine, version 2. See
//! <https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v2.html>.

use std::fs;
use std::path::{Path, PathBuf};

use deathstar_statemachine::resources::Metric;

use super::machine::{self, processors_in};
use super::{Look, Seen};

/// Reads a control group: the processes in it together.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    directory: PathBuf,
}

impl Cgroup {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Waits for the kernel. It counts no descriptors.
    pub(super) fn read(&self) -> Look {
        let mut look = Look::default();
        look.add(self.cpu());
        look.add(self.memory());
        look
    }

    fn cpu(&self) -> Result<Seen, String> {
        let used = self.stat("cpu.stat", "usage_usec")?;
        Ok(Seen::count(Metric::Cpu, used / 1e6, self.processors()))
    }

    /// What may be used at once: the quota, and no more than there are.
    fn processors(&self) -> Option<f64> {
        let there = self.optional("cpuset.cpus.effective").and_then(|list| processors_in(&list));
        let there = there.or_else(machine::processors);
        let quota = self.optional("cpu.max").and_then(|text| quota(&text));
        least(quota, there)
    }

    /// Without files that are only kept as long as nobody needs the room.
    fn memory(&self) -> Result<Seen, String> {
        let path = self.directory.join("memory.current");
        let used = machine::text(&path)?;
        let used: f64 = used.trim().parse().map_err(|_| format!("{} is no number", path.display()))?;
        let inactive = self.stat("memory.stat", "inactive_file").unwrap_or(0.0);
        let limit = self.optional("memory.max").and_then(|text| text.trim().parse().ok());
        let capacity = least(limit, machine::memory());
        Ok(Seen::level(Metric::Memory, (used - inactive).max(0.0), capacity))
    }

    fn optional(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(file)).ok()
    }

    /// The number behind a name and a blank at the beginning of a line.
    fn stat(&self, file: &str, name: &str) -> Result<f64, String> {
        let path = self.directory.join(file);
        let text = machine::text(&path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| format!("{} has no {name}", path.display()))
    }
}

/// Processors that `cpu.max` allows: a quota and its period, both in microseconds.
fn quota(text: &str) -> Option<f64> {
    let mut fields = text.split_ascii_whitespace();
    let (quota, period): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn least(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_processors() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        for none in ["max 100000", "", "5", "0 100000", "5 0"] {
            assert_eq!(quota(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_lesser_limit_counts() {
        assert_eq!(least(Some(1.0), Some(2.0)), Some(1.0));
        assert_eq!(least(None, Some(2.0)), Some(2.0));
        assert_eq!(least(None, None), None);
    }
}
