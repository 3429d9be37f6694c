//! Lines of access logs on their way to whoever writes them.
//!
//! A worker writes lines into a block of its own and hands it over when it is full, or once a
//! second. It has a few blocks: while all of them are with the writer, lines are dropped and
//! counted. Nothing waits for the writer.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use config::snapshot::LogTarget;

use crate::limits::{LOG_BLOCK_BYTES, LOG_BLOCKS, LOG_LINE_ROOM, LOG_TARGETS_MAX};

/// What a block takes: a line that passes its end is made there first.
const ROOM: usize = LOG_BLOCK_BYTES + LOG_LINE_ROOM;

/// Lines of one worker, in the order in which they were made.
#[derive(Debug, Default)]
pub struct LogBlock {
    bytes: Vec<u8>,
    /// Whose they are.
    targets: Vec<LogTarget>,
    /// Run by run: the place of its target, and where it ends.
    runs: Vec<(usize, usize)>,
    /// Lines that were dropped before the first of these.
    dropped: Vec<(LogTarget, u64)>,
}

impl LogBlock {
    /// The lines, and where they go.
    pub fn runs(&self) -> impl Iterator<Item = (&LogTarget, &[u8])> {
        let mut start = 0;
        self.runs.iter().filter_map(move |(at, end)| {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            Some((self.targets.get(*at)?, bytes))
        })
    }

    /// Lines that were dropped since the block before.
    pub fn dropped(&self) -> impl Iterator<Item = (&LogTarget, u64)> {
        self.dropped.iter().map(|(target, lines)| (target, *lines))
    }

    /// As new, with the room of a usual one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM);
        self.targets.clear();
        self.runs.clear();
        self.dropped.clear();
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped.is_empty()
    }
}

/// Where a worker's blocks go, and where they come back from.
#[derive(Debug)]
pub struct LogQueue {
    filled: SyncSender<(usize, LogBlock)>,
    empty: Receiver<LogBlock>,
    worker: usize,
}

/// The other end of all workers' queues.
#[derive(Debug)]
pub struct LogDrain {
    filled: Receiver<(usize, LogBlock)>,
    empty: Vec<SyncSender<LogBlock>>,
}

/// A queue for each worker, and their other end.
pub fn log_queues(workers: usize) -> (Vec<LogQueue>, LogDrain) {
    let (to_writer, filled) = sync_channel(workers.saturating_mul(LOG_BLOCKS));
    let mut queues = Vec::with_capacity(workers);
    let mut back = Vec::with_capacity(workers);
    for worker in 0..workers {
        let (give_back, empty) = sync_channel(LOG_BLOCKS);
        // The blocks have no room yet: what is never used costs nothing.
        (0..LOG_BLOCKS).for_each(|_| drop(give_back.try_send(LogBlock::default())));
        queues.push(LogQueue { filled: to_writer.clone(), empty, worker });
        back.push(give_back);
    }
    (queues, LogDrain { filled, empty: back })
}

impl LogDrain {
    /// The next block and the worker whose it is; `None` when all workers have gone.
    pub fn next(&self) -> Option<(usize, LogBlock)> {
        self.filled.recv().ok()
    }

    /// Gives a block back to the worker whose it is.
    pub fn give_back(&self, worker: usize, mut block: LogBlock) {
        block.clear();
        if let Some(empty) = self.empty.get(worker) {
            // There are never more blocks than have room; a worker that has gone wants none.
            drop(empty.try_send(block));
        }
    }
}

/// A worker's lines.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: LogQueue,
    block: Option<LogBlock>,
    dropped: Vec<(LogTarget, u64)>,
    /// A line that did not fit into the block where it was made.
    spill: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(queue: LogQueue) -> Self {
        Self { queue, block: None, dropped: Vec::new(), spill: Vec::new() }
    }

    /// Lets a line be made for a target, at the end of what is there. Says how many were dropped.
    pub(crate) fn write(&mut self, target: &LogTarget, make: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if self.block.is_none() {
            self.block = self.queue.empty.try_recv().ok();
        }
        let Some(block) = &mut self.block else { return self.drop_line(target) };
        if block.bytes.capacity() == 0 {
            block.bytes.reserve_exact(ROOM);
        }
        let start = block.bytes.len();
        make(&mut block.bytes);
        let is_over = block.bytes.len() > LOG_BLOCK_BYTES;
        if !is_over {
            block.close_run(target, start);
            return 0;
        }
        // A line is never torn: it goes whole into the next block, or nowhere.
        self.spill.clear();
        self.spill.extend_from_slice(block.bytes.get(start..).unwrap_or_default());
        block.bytes.truncate(start);
        self.hand_over();
        self.block = self.queue.empty.try_recv().ok();
        let fits = self.spill.len() <= LOG_BLOCK_BYTES;
        let Some(block) = self.block.as_mut().filter(|_| fits) else {
            self.spill.shrink_to(LOG_BLOCK_BYTES);
            return self.drop_line(target);
        };
        block.bytes.reserve_exact(ROOM);
        block.bytes.extend_from_slice(&self.spill);
        block.close_run(target, 0);
        0
    }

    /// Hands over what is there.
    pub(crate) fn hand_over(&mut self) {
        let Some(mut block) = self.block.take() else { return };
        std::mem::swap(&mut block.dropped, &mut self.dropped);
        if block.is_empty() {
            self.block = Some(block);
            return;
        }
        // There is room for all blocks that there are; without a writer the lines are lost.
        if let Err(TrySendError::Full((_, block)) | TrySendError::Disconnected((_, block))) =
            self.queue.filled.try_send((self.queue.worker, block))
        {
            let mut block = block;
            block.clear();
            self.block = Some(block);
        }
    }

    fn drop_line(&mut self, target: &LogTarget) -> u64 {
        let is_full = self.dropped.len() >= LOG_TARGETS_MAX;
        match self.dropped.iter_mut().find(|(known, _)| known == target) {
            Some((_, lines)) => *lines = lines.saturating_add(1),
            None if is_full => {}
            None => self.dropped.push((target.clone(), 1)),
        }
        1
    }
}

impl LogBlock {
    /// What stands behind `start` is this target's.
    fn close_run(&mut self, target: &LogTarget, start: usize) {
        let end = self.bytes.len();
        if end == start {
            return;
        }
        // A target is taken over once a block: its name is counted by all workers together.
        let known = self.targets.iter().position(|known| known == target);
        let at = known.unwrap_or_else(|| {
            self.targets.push(target.clone());
            self.targets.len() - 1
        });
        match self.runs.last_mut() {
            Some((last, until)) if *last == at => *until = end,
            _ => self.runs.push((at, end)),
        }
    }
}

#[cfg(test)]
mod tests;
