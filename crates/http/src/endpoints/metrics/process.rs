//! What the kernel reports about this process, from `/proc`. Where there is none, the metrics are missing.

use std::fs;

use super::definitions as of;
use super::exposition::Exposition;

/// Ticks per second of the times in `/proc`: a constant of the interface of Linux.
const TICKS: f64 = 100.0;

/// The fields of `/proc/self/stat` after the name of the program, by their numbers in proc(5) less 3.
const USER_TIME: usize = 14 - 3;
const SYSTEM_TIME: usize = 15 - 3;
const START_TIME: usize = 22 - 3;

pub(super) fn gather(into: &mut Exposition) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    // The name in parentheses may contain spaces and parentheses.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
    if let (Some(user), Some(system)) = (ticks(USER_TIME), ticks(SYSTEM_TIME)) {
        into.add(&of::CPU, user + system);
    }
    let boot = number_after(&read("/proc/stat"), "btime");
    if let (Some(boot), Some(start)) = (boot, ticks(START_TIME)) {
        into.add(&of::START_TIME, boot + start);
    }
    let status = read("/proc/self/status");
    for (metric, name) in [(&of::RESIDENT_MEMORY, "VmRSS:"), (&of::VIRTUAL_MEMORY, "VmSize:")] {
        if let Some(kibibytes) = number_after(&status, name) {
            into.add(metric, kibibytes * 1024.0);
        }
    }
    if let Some(threads) = number_after(&status, "Threads:") {
        into.add(&of::THREADS, threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is that of this folder.
        into.add(&of::OPEN_FDS, (open.count() as u64).saturating_sub(1));
    }
    if let Some(most) = number_after(&read("/proc/self/limits"), "Max open files") {
        into.add(&of::MAX_FDS, most);
    }
}

/// The first number of the line that begins with a name.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_after_a_name_is_the_first_of_its_line() {
        let text = "Max open files            1024      524288       files\nVmRSS:\t 12 kB\n";
        assert_eq!(number_after(text, "Max open files"), Some(1024.0));
        assert_eq!(number_after(text, "VmRSS:"), Some(12.0));
        assert_eq!(number_after(text, "Threads:"), None);
    }
}
