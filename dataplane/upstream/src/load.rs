//! How requests divide over priorities: Envoy's calculation.

/// What of a priority's hosts is usable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) hosts: u64,
    pub(crate) healthy: u64,
    pub(crate) degraded: u64,
    /// The same by weight.
    pub(crate) weight: u64,
    pub(crate) healthy_weight: u64,
    pub(crate) degraded_weight: u64,
}

/// What a priority gets, in percent of all requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) healthy: u64,
    pub(crate) degraded: u64,
    /// Too few of its hosts are usable: health is not looked at.
    pub(crate) is_panic: bool,
}

/// What of the configuration counts here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// What a hundredth of the hosts is trusted with, in hundredths of the requests.
    pub(crate) overprovisioning_percent: u32,
    /// Health goes by weight, not by number.
    pub(crate) by_weight: bool,
    /// A priority with a smaller share of usable hosts is in panic (0: none ever is).
    pub(crate) panic_percent: u8,
}

/// Divides the requests: what a priority cannot take goes to the next, first to healthy hosts, then
/// to degraded ones.
pub(crate) fn divide(counts: &[Count], trust: Trust) -> Vec<Load> {
    let available = |part: u64, all: u64| {
        let scaled = u64::from(trust.overprovisioning_percent).saturating_mul(part);
        scaled.checked_div(all).unwrap_or(0).min(100)
    };
    let health: Vec<(u64, u64)> = counts
        .iter()
        .map(|count| match trust.by_weight {
            true => (
                available(count.healthy_weight, count.weight),
                available(count.degraded_weight, count.weight),
            ),
            false => {
                (available(count.healthy, count.hosts), available(count.degraded, count.hosts))
            }
        })
        .collect();
    let total = health.iter().map(|(healthy, degraded)| healthy + degraded).sum::<u64>().min(100);
    let mut loads = vec![Load::default(); counts.len()];
    if total > 0 {
        spread(&health, total, &mut loads);
    }
    if trust.panic_percent == 0 && total == 0 {
        // There is nobody, but it has to be somewhere that nobody is found.
        if let Some(first) = loads.first_mut() {
            first.healthy = 100;
        }
        return loads;
    }
    for (load, count) in loads.iter_mut().zip(counts) {
        let usable = 100 * (count.healthy + count.degraded);
        let is_low = usable < u64::from(trust.panic_percent) * count.hosts;
        let is_empty = count.hosts == 0 && trust.panic_percent > 0;
        load.is_panic = total < 100 && (is_low || is_empty);
    }
    if loads.iter().all(|load| load.is_panic) {
        spread_in_panic(counts, &mut loads);
    }
    loads
}

fn spread(health: &[(u64, u64)], total: u64, loads: &mut [Load]) {
    let mut left = 100;
    for (load, (healthy, _)) in loads.iter_mut().zip(health) {
        load.healthy = (healthy * 100 / total).min(left);
        left -= load.healthy;
    }
    for (load, (_, degraded)) in loads.iter_mut().zip(health) {
        load.degraded = (degraded * 100 / total).min(left);
        left -= load.degraded;
    }
    // What rounding leaves over is for the first who can take something.
    if let Some(at) = health.iter().position(|(healthy, _)| *healthy > 0) {
        loads.iter_mut().skip(at).take(1).for_each(|load| load.healthy += left);
    } else if let Some(at) = health.iter().position(|(_, degraded)| *degraded > 0) {
        loads.iter_mut().skip(at).take(1).for_each(|load| load.degraded += left);
    }
}

/// With every priority in panic the number of their hosts decides, whatever their health is.
fn spread_in_panic(counts: &[Count], loads: &mut [Load]) {
    let all = counts.iter().map(|count| count.hosts).sum::<u64>();
    let mut left = 100;
    for (load, count) in loads.iter_mut().zip(counts) {
        load.healthy = (100 * count.hosts).checked_div(all).unwrap_or(0);
        load.degraded = 0;
        left -= load.healthy;
    }
    let first = counts.iter().position(|count| count.hosts > 0).unwrap_or(0);
    loads.iter_mut().skip(first).take(1).for_each(|load| load.healthy += left);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Healthy, degraded and other hosts of each priority.
    fn loads(levels: &[(u64, u64, u64)], panic_percent: u8) -> Vec<(u64, u64, bool)> {
        let counts: Vec<_> = levels
            .iter()
            .map(|(healthy, degraded, other)| Count {
                hosts: healthy + degraded + other,
                healthy: *healthy,
                degraded: *degraded,
                ..Count::default()
            })
            .collect();
        let trust = Trust { overprovisioning_percent: 140, by_weight: false, panic_percent };
        let loads = divide(&counts, trust);
        loads.iter().map(|load| (load.healthy, load.degraded, load.is_panic)).collect()
    }

    #[test]
    fn priorities_take_what_the_ones_before_cannot() {
        // The tables of Envoy's documentation on priority levels.
        let of = |p0: u64, p1: u64, p2: u64| {
            let level = |percent| (percent, 0, 100 - percent);
            let loads = loads(&[level(p0), level(p1), level(p2)], 50);
            loads.iter().map(|(healthy, ..)| *healthy).collect::<Vec<_>>()
        };
        assert_eq!(of(100, 100, 100), [100, 0, 0]);
        assert_eq!(of(72, 72, 100), [100, 0, 0]);
        assert_eq!(of(71, 71, 100), [99, 1, 0]);
        assert_eq!(of(50, 50, 100), [70, 30, 0]);
        assert_eq!(of(25, 100, 100), [35, 65, 0]);
        assert_eq!(of(25, 25, 100), [35, 35, 30]);
        assert_eq!(of(0, 0, 100), [0, 0, 100]);
    }

    #[test]
    fn too_few_usable_hosts_mean_panic() {
        // Both priorities below what they need, but one has enough for the threshold.
        assert_eq!(loads(&[(20, 0, 80), (50, 0, 50)], 50), [(29, 0, true), (71, 0, false)]);
        assert_eq!(loads(&[(20, 0, 80), (20, 0, 80)], 50), [(50, 0, true), (50, 0, true)]);
        assert_eq!(loads(&[(0, 0, 10), (0, 0, 20)], 50), [(34, 0, true), (66, 0, true)]);
        // All can be taken: no panic, however few they are in the first.
        assert_eq!(loads(&[(1, 0, 99), (100, 0, 0)], 50), [(1, 0, false), (99, 0, false)]);
        assert_eq!(loads(&[(0, 0, 4), (0, 0, 4)], 0), [(100, 0, false), (0, 0, false)]);
        assert_eq!(loads(&[(0, 0, 0)], 50), [(100, 0, true)]);
    }

    #[test]
    fn degraded_hosts_come_after_all_healthy_ones() {
        assert_eq!(loads(&[(1, 1, 0), (1, 0, 1)], 0), [(70, 0, false), (30, 0, false)]);
        assert_eq!(loads(&[(1, 4, 5), (1, 0, 9)], 0), [(18, 66, false), (16, 0, false)]);
    }
}
