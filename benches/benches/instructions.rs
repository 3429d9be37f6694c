//! What a request costs in instructions, step by step, against the budgets of `src/steps.rs`.
//!
//! Time on a shared machine says little; instructions repeat. Each step runs twice under valgrind,
//! the second time more often: the difference is the step's own, whatever making ready took. That
//! needs no runner of a matching version, and no names of functions that a compiler may inline.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;

use ringway_benches::{STEPS, Step};

/// How often a step is done in the first run: it warms up what grows with use.
const WARM: u64 = 100;
/// What the program is told to be the one that is counted.
const COUNTED: &str = "--counted";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, times] = words.as_slice()
        && flag == COUNTED
    {
        return be_counted(name, times);
    }
    if cfg!(debug_assertions) {
        return skip("this build is not optimised: use cargo bench");
    }
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        return skip("valgrind does not run: install the package valgrind");
    }
    // Cargo adds flags of its own.
    let wanted = words.iter().find(|word| !word.starts_with("--"));
    let is_wanted = |step: &&Step| wanted.is_none_or(|part| step.name.contains(part.as_str()));
    let steps: Vec<&Step> = STEPS.iter().filter(is_wanted).collect();
    if steps.is_empty() {
        eprintln!("no step has {wanted:?} in its name");
        return ExitCode::FAILURE;
    }
    println!("{:>12} {:>12}  step", "instructions", "budget");
    let counts = count_all(&steps);
    let kept = steps.iter().zip(counts).filter(|(step, count)| is_kept(step, count)).count();
    if kept == steps.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn be_counted(name: &str, times: &str) -> ExitCode {
    let step = STEPS.iter().find(|step| step.name == name).expect("a step");
    let mut run = (step.prepare)();
    run(times.parse().expect("a number"));
    ExitCode::SUCCESS
}

/// Counts all steps, on all cores.
fn count_all(steps: &[&Step]) -> Vec<Result<u64, String>> {
    let counted = Mutex::new(vec![Err("was not counted".to_owned()); steps.len()]);
    let next = Mutex::new(0..steps.len());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(at) = { next.lock().expect("not poisoned").next() } {
                    let count = count_fairly(steps[at]);
                    counted.lock().expect("not poisoned")[at] = count;
                }
            });
        }
    });
    counted.into_inner().expect("not poisoned")
}

/// Prints what a step has taken, and whether it may.
fn is_kept(step: &Step, count: &Result<u64, String>) -> bool {
    let Step { name, budget, .. } = step;
    match count {
        Ok(count) if count * 5 < budget * 4 => {
            println!(
                "{count:>12} {budget:>12}  {name}: the budget may come down to {}",
                fair(*count)
            );
            true
        }
        Ok(count) if count <= budget => {
            println!("{count:>12} {budget:>12}  {name}");
            true
        }
        Ok(count) => {
            println!("{count:>12} {budget:>12}  {name}: TOO MANY");
            eprintln!(
                "{name}: {count} instructions, the budget is {budget}. If they are worth it, raise \
                 it to {} in benches/src/steps.rs and say why in the commit; benches/README.md \
                 tells how to see where they go.",
                fair(*count)
            );
            false
        }
        Err(why) => {
            println!("{:>12} {budget:>12}  {name}: {why}", "?");
            false
        }
    }
}

/// A budget for something that takes so many: a tenth more.
fn fair(count: u64) -> u64 {
    count + count.div_ceil(10)
}

/// The least of up to three counts: now and then the tables' random keys have one take longer.
fn count_fairly(step: &Step) -> Result<u64, String> {
    let mut least = count(step)?;
    for _ in 0..2 {
        if least > step.budget {
            least = least.min(count(step)?);
        }
    }
    Ok(least)
}

/// The instructions of one time.
fn count(step: &Step) -> Result<u64, String> {
    let few = instructions(step, WARM)?;
    let many = instructions(step, WARM + step.times)?;
    Ok(many.saturating_sub(few).div_ceil(step.times))
}

/// The instructions of a process that makes ready and does the step so many times.
fn instructions(step: &Step, times: u64) -> Result<u64, String> {
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(itself)
        .args([COUNTED, step.name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    // ==123== I   refs:      1,234,567
    let line = text.lines().find(|line| line.contains("== I") && line.contains("refs:"));
    let digits: String = line
        .and_then(|line| line.rsplit_once(':'))
        .map(|(_, count)| count.chars().filter(char::is_ascii_digit).collect())
        .unwrap_or_default();
    match digits.parse() {
        Ok(count) if output.status.success() => Ok(count),
        _ => Err(format!("valgrind has failed: {text}")),
    }
}

/// Says what was not tested, to whoever runs all tests as well.
fn skip(why: &str) -> ExitCode {
    println!("SKIPPED instructions of benches: {why}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "instructions of benches: {why}");
    }
    ExitCode::SUCCESS
}
