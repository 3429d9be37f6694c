//! Names that clusters are found by, kept looked up: a task a name, on the agent's thread.

mod ask;
mod hosts;
mod resolve;
mod system;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::dns::{Lookup, Question};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::backoff::{Backoff, chance};
pub(crate) use resolve::Stub;
use resolve::{Found, NotFound};

/// Answers that wait to be taken at most; who has another waits.
const QUEUE_MAX: usize = 64;

/// What a name stands for now; `None`: it could not be found out.
pub type Answer = (Question, Option<Vec<IpAddr>>);

/// The tasks, one for each question.
pub(crate) struct Lookups {
    stub: Arc<Stub>,
    tasks: HashMap<Question, Task>,
    answers: mpsc::Sender<Answer>,
}

impl Lookups {
    /// None yet, and where the answers come out.
    pub(crate) fn new(stub: Arc<Stub>) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, taken) = mpsc::channel(QUEUE_MAX);
        (Self { stub, tasks: HashMap::new(), answers }, taken)
    }

    /// Asks these questions from now on, and no others.
    pub(crate) fn follow(&mut self, questions: HashSet<Question>) {
        self.tasks.retain(|question, _| questions.contains(question));
        for question in questions {
            let (stub, answers) = (&self.stub, &self.answers);
            self.tasks.entry(question).or_insert_with_key(|question| {
                let body = keep(stub.clone(), question.clone(), answers.clone());
                Task(tokio::spawn(body).abort_handle())
            });
        }
    }
}

/// Ends with its owner.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks a name up, again and again.
async fn keep(stub: Arc<Stub>, question: Question, answers: mpsc::Sender<Answer>) {
    let lookup = question.lookup.clone();
    let mut backoff = lookup.failure_refresh.map(|(first, most)| Backoff::new(first, most));
    let mut is_failing = false;
    loop {
        let found = stub.find(&question.name, &lookup).await;
        // As in Envoy an answer without addresses is one, but no host of a logical cluster.
        let found = found.and_then(|found| match lookup.logical && found.addresses.is_empty() {
            true => Err(NotFound("there is no address of that name".to_owned())),
            false => Ok(found),
        });
        let wait = wait(&lookup, found.as_ref().ok(), backoff.as_mut(), chance());
        let addresses = match found {
            Ok(found) => {
                is_failing = false;
                Some(found.addresses)
            }
            Err(NotFound(reason)) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(name = %question.name, %reason, "a cluster's name is not found");
                }
                None
            }
        };
        if answers.send((question.clone(), addresses)).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// How long an answer, or that there was none, is good for. `chance` from 0 to 1.
fn wait(
    lookup: &Lookup,
    found: Option<&Found>,
    backoff: Option<&mut Backoff>,
    chance: f64,
) -> Duration {
    match (found, backoff) {
        (None, None) => lookup.refresh,
        (None, Some(backoff)) => backoff.wait(),
        (Some(found), backoff) => {
            if let Some(backoff) = backoff {
                backoff.reset();
            }
            let ttl = found.ttl.filter(|ttl| lookup.respect_ttl && !ttl.is_zero());
            ttl.map_or(lookup.refresh, |ttl| ttl.max(lookup.ttl_least))
                + lookup.jitter.mul_f64(chance)
        }
    }
}

#[cfg(test)]
mod tests;
