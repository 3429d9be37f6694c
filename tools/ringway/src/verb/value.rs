//! Values of flags as people write them.

use std::time::Duration;

/// A time: `10s`, `500ms`, `250us`, `2m`, `1h`, or seconds without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "" | "s" => 1.0,
        "h" => 3600.0,
        "m" => 60.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return Err(format!("{unit:?} is no unit of time; try 10s, 500ms or 2m")),
    };
    let number: f64 = number.parse().map_err(|_| "a time such as 10s, 500ms or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// A number of bytes: `64`, `16k`, `16M`, `1G`, each 1024 of the last.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit.trim_end_matches("iB") {
        "" | "B" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(format!("{unit:?} is no unit of bytes; try 64, 16k or 16M")),
    };
    let number: u64 = number.parse().map_err(|_| "a number such as 64, 16k or 16M".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too many bytes".to_owned())
}

/// The number in front and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = text.split_at(text.find(|c| !digits(c)).unwrap_or(text.len()));
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in
            [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1_500), ("0.25 s", 250)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "ten", "5 parsecs", "1.2.3", "-1"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in
            [("64", 64), ("16k", 16 << 10), ("16MiB", 16 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "1.5k", "9x", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
