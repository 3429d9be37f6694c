//! Which library does the arithmetic, found out once by trying.
//!
//! ring has an AES-GCM for AVX2 alone that is up to 1.7 times as fast as AWS-LC's, whose wide path
//! needs AVX-512; elsewhere it is the other way round, and without AES in hardware ChaCha20 beats
//! both. So each seals and opens a few records, in turns, and the best time of each counts: being
//! interrupted makes times longer, never shorter.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::aead::{Algorithm, HEAD, Library, Material, OpenKey, Refused, SealKey, TAG};

/// The whole trial takes no longer than this and one round.
const TRIAL_MAX: Duration = Duration::from_millis(4);
/// Rounds of each contender: some 50 microseconds for all of them together.
const ROUNDS_MAX: usize = 24;
/// What a round seals and opens: small records as requests bring them, and a whole one.
const SIZES: [usize; 5] = [1024, 1024, 1024, 1024, 16 * 1024];
/// ring takes over where it needs at most so many percent of AWS-LC's time.
const WORTH_PERCENT: u128 = 95;

/// What the trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    aes: Library,
    /// AES-GCM is faster than ChaCha20-Poly1305.
    pub(crate) prefers_aes: bool,
}

impl Choice {
    /// Who seals and opens by this algorithm.
    pub(crate) fn library(self, algorithm: Algorithm) -> Library {
        match algorithm {
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => self.aes,
            Algorithm::Chacha20Poly1305 => Library::AwsLc,
        }
    }

    fn of(times: Times) -> Self {
        let Times { aws_lc, ring, chacha } = times;
        let pays = |ring: Duration| ring.as_nanos() * 100 <= aws_lc.as_nanos() * WORTH_PERCENT;
        let aes = if ring.is_some_and(pays) { Library::Ring } else { Library::AwsLc };
        Self { aes, prefers_aes: ring.unwrap_or(aws_lc).min(aws_lc) <= chacha }
    }
}

/// The best time of each.
#[derive(Clone, Copy, Debug)]
struct Times {
    aws_lc: Duration,
    /// `None`: what it sealed was not what the other opened.
    ring: Option<Duration>,
    chacha: Duration,
}

/// The choice for this machine. Made at the first call, which compiling a configuration is.
pub(crate) fn choice() -> Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let (start, times) = (Instant::now(), trial());
        let choice = Choice::of(times);
        tracing::info!(
            aes_gcm = choice.aes.name(),
            first = if choice.prefers_aes { "AES-GCM" } else { "ChaCha20-Poly1305" },
            aws_lc_ns = times.aws_lc.as_nanos(),
            ring_ns = times.ring.map(|time| time.as_nanos()),
            chacha_ns = times.chacha.as_nanos(),
            took_us = start.elapsed().as_micros(),
            "cipher suites tried"
        );
        choice
    })
}

fn trial() -> Times {
    let worst = Times { aws_lc: Duration::MAX, ring: None, chacha: Duration::ZERO };
    run().unwrap_or(worst)
}

fn run() -> Result<Times, Refused> {
    let mut aws_lc = Contender::new(Library::AwsLc, Algorithm::Aes128Gcm)?;
    let mut ring = Contender::new(Library::Ring, Algorithm::Aes128Gcm)?;
    let mut chacha = Contender::new(Library::AwsLc, Algorithm::Chacha20Poly1305)?;
    let mut bytes = vec![0; 16 * 1024 + HEAD + 1 + TAG];
    let (plain, start) = (vec![7; 16 * 1024], Instant::now());
    let agrees = aws_lc.reads(&mut ring, &plain, &mut bytes);
    for _ in 0..ROUNDS_MAX {
        for contender in [&mut aws_lc, &mut ring, &mut chacha] {
            contender.round(&plain, &mut bytes)?;
        }
        if start.elapsed() > TRIAL_MAX {
            break;
        }
    }
    Ok(Times { aws_lc: aws_lc.best, ring: agrees.then_some(ring.best), chacha: chacha.best })
}

/// One library and one algorithm.
struct Contender {
    seal: SealKey,
    open: OpenKey,
    best: Duration,
}

impl Contender {
    fn new(library: Library, algorithm: Algorithm) -> Result<Self, Refused> {
        let key: &[u8] = match algorithm {
            Algorithm::Aes128Gcm => &[1; 16],
            Algorithm::Aes256Gcm | Algorithm::Chacha20Poly1305 => &[1; 32],
        };
        let from = Material { algorithm, key, iv: [2; 12], count: 0 };
        let (seal, open) = (SealKey::new(library, &from)?, OpenKey::new(library, &from)?);
        Ok(Self { seal, open, best: Duration::MAX })
    }

    /// Whether it reads what the other writes; a first record of both.
    fn reads(&mut self, other: &mut Self, plain: &[u8], bytes: &mut [u8]) -> bool {
        let same = |mine: &mut OpenKey, theirs: &mut SealKey, bytes: &mut [u8]| {
            theirs.seal(ASIDE, plain, 23, bytes).is_ok()
                && mine.open(ASIDE, bytes).is_ok_and(|opened| opened.starts_with(plain))
        };
        let Some(bytes) = bytes.get_mut(..plain.len() + 1 + TAG) else { return false };
        same(&mut self.open, &mut other.seal, bytes) && same(&mut other.open, &mut self.seal, bytes)
    }

    fn round(&mut self, plain: &[u8], bytes: &mut [u8]) -> Result<(), Refused> {
        let start = Instant::now();
        for size in SIZES {
            let plain = plain.get(..size).ok_or(Refused)?;
            let bytes = bytes.get_mut(..size + 1 + TAG).ok_or(Refused)?;
            self.seal.seal(ASIDE, plain, 23, bytes)?;
            self.open.open(ASIDE, bytes)?;
        }
        self.best = self.best.min(start.elapsed());
        Ok(())
    }
}

/// The head of no record.
const ASIDE: [u8; HEAD] = [23, 3, 3, 0, 0];

#[cfg(test)]
mod tests;
