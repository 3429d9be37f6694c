//! The machine: CPUs, memory, and what the process was given of them.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys;

/// The CPUs that this process may run on (its affinity mask), in ascending order.
#[must_use]
pub fn cpus() -> Vec<usize> {
    sys::affinity().unwrap_or_else(|_| vec![0])
}

/// How many CPUs the process' control group lets it use at once: the quota over the period of
/// cgroup v2 or v1, the smallest of the group and its parents, rounded up; `None` without a quota.
#[must_use]
pub fn cpu_limit() -> Option<usize> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_below(Path::new("/sys/fs/cgroup"), &membership)
}

/// How many workers to run: as many as asked for, else one for each CPU that the process may run
/// on and its control group pays for. At least 1.
#[must_use]
pub fn workers(asked: Option<usize>) -> usize {
    let given = || cpus().len().min(cpu_limit().unwrap_or(usize::MAX));
    asked.unwrap_or_else(given).max(1)
}

/// Pins the calling thread to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    sys::set_affinity(cpu)
}

/// Bytes of the process that are in memory (`/proc/self/statm`).
#[must_use]
pub fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0usize) * sys::page_bytes()
}

/// CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    sys::clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that the process has used.
#[must_use]
pub fn process_cpu() -> Duration {
    sys::clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Gives back to the kernel what starting has left behind: memory that the C allocator holds but
/// does not use, and the program's own code, most of which is not run again. What is run comes
/// back page by page from the kernel's cache of the file. Slow: for after start.
pub fn trim() {
    sys::malloc_trim();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter_map(code).for_each(|range| sys::forget_code(&range));
}

/// The addresses of a line of `/proc/self/maps`, if it is code of a file that nobody may write to.
fn code(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (addresses, rights, path) = (fields.next()?, fields.next()?, fields.nth(3)?);
    if rights != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

/// The smallest quota that `membership` (the text of `/proc/self/cgroup`) names below `root`.
fn limit_below(root: &Path, membership: &str) -> Option<usize> {
    let mut smallest = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let quota = if controllers.is_empty() {
            walk_up(root, path, quota_v2)
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            walk_up(&hierarchy_v1(root, controllers), path, quota_v1)
        } else {
            None
        };
        smallest = [smallest, quota].into_iter().flatten().min();
    }
    smallest
}

fn hierarchy_v1(root: &Path, controllers: &str) -> PathBuf {
    let joint = root.join(controllers);
    if joint.is_dir() { joint } else { root.join("cpu") }
}

/// The smallest quota from the group up to its root. In a container with its own view of the tree
/// the path may lead nowhere; the root then is the group itself.
fn walk_up(root: &Path, path: &str, read: fn(&Path) -> Option<usize>) -> Option<usize> {
    let mut group = root.join(path.trim_start_matches('/'));
    let mut smallest = read(root);
    while group.starts_with(root) && group != root {
        smallest = [smallest, read(&group)].into_iter().flatten().min();
        if !group.pop() {
            break;
        }
    }
    smallest
}

fn quota_v2(group: &Path) -> Option<usize> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    rounded_up(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(group: &Path) -> Option<usize> {
    let read = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<i64>().ok();
    let quota = u64::try_from(read("cpu.cfs_quota_us")?).ok()?;
    let period = u64::try_from(read("cpu.cfs_period_us")?).ok()?;
    rounded_up(quota, period)
}

fn rounded_up(quota: u64, period: u64) -> Option<usize> {
    if period == 0 {
        return None;
    }
    usize::try_from(quota.div_ceil(period)).ok().map(|cpus| cpus.max(1))
}

#[cfg(test)]
mod tests;
