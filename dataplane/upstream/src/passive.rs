//! What a worker tells the others of hosts and retries, and hears from them.

use std::sync::Arc;

use config::snapshot::{Cluster, ClusterId};

use crate::clusters::Clusters;
use crate::host::HostId;
use crate::joint::Process;
use crate::outlier::{self, Case, Outcome};
use crate::state::{State, find_whole};

impl<K: Copy + Eq> Clusters<K> {
    /// Takes in what has become of a request or a connection to a host. True: the host was ejected
    /// for it, and is not chosen for a while. Costs nothing where hosts are not judged.
    pub fn observe(&mut self, host: HostId, outcome: Outcome, now_ns: u64, random: u64) -> bool {
        let Some(state) = self.state(host) else { return false };
        let State { cluster: Some(cluster), joint: Some(joint), hosts, .. } = state else {
            return false;
        };
        let Some(rules) = cluster.outlier.as_deref() else { return false };
        let Some(host) = find_whole(hosts, host) else { return false };
        let Some(watch) = &host.watch else { return false };
        let case = Case::new(rules, joint, watch, (now_ns, random));
        case.observe(outcome, &mut host.counted)
    }

    /// Compares hosts and lets them in again, where an interval is over. Says how many were
    /// ejected. To be called about once a second.
    pub fn judge(&mut self, now_ns: u64, random: u64) -> u32 {
        let mut ejected = 0;
        for state in &mut self.states {
            let (Some(cluster), Some(joint)) = (&state.cluster, &state.joint) else { continue };
            let Some(rules) = &cluster.outlier else { continue };
            if !rules.answers.is_off() || (rules.split && !rules.local.is_off()) {
                for host in &mut state.hosts {
                    if let Some(watch) = &host.watch {
                        outlier::tell(&mut host.counted, watch);
                    }
                }
            }
            ejected += outlier::judge(rules, joint, now_ns, random);
        }
        ejected
    }

    /// Begins a retry, until [`Self::end_retry`]. False: too many are under way in the process.
    pub fn begin_retry(&mut self, cluster: ClusterId) -> bool {
        let (process, workers) = (&self.process, self.workers);
        let Some(state) = self.states.get_mut(cluster.0 as usize) else { return false };
        let Some(limits) = state.cluster.as_ref().map(|cluster| cluster.limits) else {
            return false;
        };
        let joint = state.joint.get_or_insert_with(|| process.joint(cluster, workers));
        let most = match limits.retry_budget {
            None => limits.max_retries,
            Some(budget) => {
                let part = budget.percent / 100.0 * joint.active() as f64;
                (part as u32).max(budget.min)
            }
        };
        joint.begin_retry(most)
    }

    /// A retry is over, whatever became of it.
    pub fn end_retry(&mut self, cluster: ClusterId) {
        let state = self.states.get(cluster.0 as usize);
        if let Some(joint) = state.and_then(|state| state.joint.as_ref()) {
            joint.end_retry();
        }
    }
}

impl<K: Copy + Eq> State<K> {
    /// Finds what other workers know of this cluster, if there is something to know;
    /// [`Self::rebuild`] is to follow.
    pub(crate) fn join(&mut self, cluster: &Arc<Cluster>, process: &Process, workers: usize) {
        let is_watched = cluster.outlier.is_some();
        if (is_watched || cluster.limits.retry_budget.is_some()) && self.joint.is_none() {
            self.joint = Some(process.joint(cluster.id, workers));
        }
        let Some(joint) = &self.joint else { return };
        if is_watched {
            let mut watches = joint.watches();
            for slot in &self.order {
                let Some(host) = self.hosts.get_mut(*slot as usize) else { continue };
                if host.watch.is_none() {
                    host.watch = Some(watches.watch(host.address));
                }
            }
        } else {
            self.hosts.iter_mut().for_each(|host| host.watch = None);
        }
        self.look_around();
    }

    /// Sees which hosts are ejected.
    pub(crate) fn look_around(&mut self) {
        let Some(joint) = &self.joint else { return };
        self.epoch = joint.epoch();
        for host in &mut self.hosts {
            host.is_ejected = host.watch.as_ref().is_some_and(|watch| watch.is_ejected());
        }
    }

    /// Says how many requests this worker has under way, where the limit on retries goes by that.
    pub(crate) fn tell_active(&self, worker: usize) {
        if self.breaker.has_budget()
            && let Some(joint) = &self.joint
        {
            joint.set_active(worker, self.breaker.requests);
        }
    }
}
