//! What the machine has: the capacity of what nobody has limited.

use std::fs;
use std::path::Path;

use super::clause;

/// A file of the kernel's as text; names of processes in it may be any bytes.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {}", path.display(), clause(&error)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Its memory, in bytes.
pub(super) fn memory() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    kilobytes(field(&text, "MemTotal")?)
}

/// Its processors that are there to be used.
pub(super) fn processors() -> Option<f64> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    processors_in(&text).or_else(|| std::thread::available_parallelism().ok().map(|count| count.get() as f64))
}

/// How many processors a list names, such as `0-3,8`; nothing when it names none.
pub(super) fn processors_in(list: &str) -> Option<f64> {
    let mut count: u32 = 0;
    for part in list.trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        count = count.checked_add(to.checked_sub(from)?.checked_add(1)?)?;
    }
    Some(f64::from(count))
}

/// What stands behind a name and a colon at the beginning of a line.
pub(super) fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Bytes of what is written as `17 kB`.
pub(super) fn kilobytes(text: &str) -> Option<f64> {
    let kilobytes: f64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_counted() {
        for (list, count) in [
            ("0\n", Some(1.0)),
            ("0-3", Some(4.0)),
            ("0-3,8,10-11\n", Some(7.0)),
            ("", None),
            ("3-0", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(processors_in(list), count, "{list:?}");
        }
    }

    #[test]
    fn a_field_stands_behind_its_whole_name() {
        let text = "MemFree: 5 kB\nMem:\t2 kB\n";
        assert_eq!(field(text, "Mem").and_then(kilobytes), Some(2048.0));
        assert_eq!(field(text, "MemTotal"), None);
    }

    #[test]
    fn a_machine_has_memory_and_processors() {
        assert!(memory().unwrap() > 1e7);
        assert!(processors().unwrap() >= 1.0);
    }
}
