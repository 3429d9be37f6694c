//! Access logs by OTLP: a task a collector, on the agent's thread.
//!
//! One call at a time. What comes meanwhile waits, within a limit, and goes with the next call. A
//! call that fails has lost its records, as in Envoy; while there is no connection they wait.

mod call;
mod outbox;

use std::sync::Arc;
use std::time::Duration;

use config::snapshot::LogCollector;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use call::Line;
use outbox::Figures;

pub(crate) use call::{Clusters, Labels};
pub use outbox::Outbox;

/// The wait before a collector that has failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A collector that nothing was sent to for so long is let go, with its connection.
const IDLE: Duration = Duration::from_secs(300);
/// How long the last records may take at the end of the program.
const LAST: Duration = Duration::from_secs(2);

/// Serves all collectors until `stop` becomes true, and sends what is there then.
pub(crate) async fn run(
    outbox: Outbox,
    clusters: Clusters,
    labels: Labels,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let new = tokio::select! {
            () = stopped(&mut stop) => outbox.unserved(),
            // Those that have ended are taken out of the set.
            Some(_) = tasks.join_next() => continue,
            new = outbox.new_collectors() => new,
        };
        for collector in new {
            let resource = call::resource(&collector, &labels);
            let figures = outbox.figures(&collector);
            let (outbox, clusters) = (outbox.clone(), clusters.clone());
            let exporter = Exporter { collector, outbox, clusters, resource, figures, line: None };
            tasks.spawn(exporter.run(stop.clone()));
        }
        if *stop.borrow() {
            break;
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The word of whoever is to say so: if he has gone, that is the end too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// What sends to one collector.
struct Exporter {
    collector: Arc<LogCollector>,
    outbox: Outbox,
    clusters: Clusters,
    resource: Vec<u8>,
    figures: Arc<Figures>,
    line: Option<Line>,
}

impl Exporter {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let stopping = stop.clone();
        let mut work = std::pin::pin!(self.work(stopping));
        tokio::select! {
            () = &mut work => {}
            () = stopped(&mut stop) => drop(tokio::time::timeout(LAST, &mut work).await),
        }
    }

    /// Ends when there was nothing to do for long, and with the last records of the program.
    async fn work(&mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let ready = tokio::time::timeout(IDLE, self.outbox.ready(&self.collector));
            let is_idle = tokio::select! {
                () = stopped(&mut stop) => false,
                ready = ready => ready.is_err(),
            };
            let is_last = *stop.borrow();
            match (is_idle || is_last) && self.outbox.close(&self.collector) {
                true => return,
                false if is_idle => continue,
                false => {}
            }
            match self.send().await {
                Ok(()) => backoff.reset(),
                Err(_) if is_last => return,
                Err(why) => {
                    let (name, cluster) = (self.collector.shown(), &self.collector.cluster_name);
                    tracing::debug!(name, %cluster, why, "records of an access log are not taken");
                    tokio::select! {
                        () = tokio::time::sleep(backoff.wait()) => {}
                        () = stopped(&mut stop) => {}
                    }
                }
            }
        }
    }

    /// Sends what waits, in one call.
    async fn send(&mut self) -> Result<(), String> {
        let mut line = self.connect().await?;
        let Some((records, count)) = self.outbox.take(&self.collector) else {
            self.line = Some(line);
            return Ok(());
        };
        let outcome = match call::message(&self.resource, &records) {
            None => Err("it is too long".to_owned()),
            Some(message) => {
                drop(records);
                let call = line.export(message, &self.collector);
                let ended = tokio::time::timeout(self.collector.timeout, call).await;
                ended.unwrap_or_else(|_| Err("no answer in time".to_owned()))
            }
        };
        let refused = outcome.as_ref().map_or(count, |refused| count.min(*refused));
        self.figures.add_sent(count - refused);
        self.figures.add_failed(refused);
        // Another host may do better.
        self.line = outcome.is_ok().then_some(line);
        outcome.map(|_| ())
    }

    /// The connection that there is, while its host is one of the cluster's, or a new one.
    async fn connect(&mut self) -> Result<Line, String> {
        let cluster = (self.clusters)(self.collector.cluster).ok_or("there is no such cluster")?;
        if let Some(mut line) = self.line.take()
            && cluster.endpoints.hosts.iter().any(|host| host.address == line.host)
            && line.is_open().await
        {
            return Ok(line);
        }
        Line::open(&cluster, &self.collector).await
    }
}

#[cfg(test)]
mod tests;
