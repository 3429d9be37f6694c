//! Times of day as text, in UTC.

use config::snapshot::TimePart;

use crate::headers::text;

const NANOS: u64 = 1_000_000_000;
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment taken apart.
struct Moment {
    seconds: u64,
    year: u64,
    /// 1 to 12
    month: u64,
    /// 1 to 31
    day: u64,
    /// 0 to 365
    day_of_year: u64,
    /// 0 is Sunday.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Writes a moment, in nanoseconds since 1970.
pub(super) fn write(parts: &[TimePart], nanos: u64, out: &mut Vec<u8>) {
    let moment = Moment::of(nanos / NANOS);
    let fraction = nanos % NANOS;
    for part in parts {
        match part {
            TimePart::Text(text) => out.extend_from_slice(text),
            TimePart::Field(letter) => moment.field(*letter, out),
            TimePart::Fraction(digits) => {
                let start = out.len();
                text::write(out, format_args!("{fraction:09}"));
                out.truncate(start + usize::from(*digits));
            }
            TimePart::ShortFraction if fraction > 0 => {
                text::write(out, format_args!(".{fraction:09}"));
                while out.last() == Some(&b'0') {
                    out.pop();
                }
            }
            TimePart::ShortFraction => {}
        }
    }
}

impl Moment {
    /// The calendar day by the usual arithmetic on eras of 400 years that begin in March.
    fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        // The shifted year begins on the first of March.
        let before_march = 59 + u64::from(is_leap);
        let day_of_year =
            if month > 2 { of_year + before_march } else { of_year.saturating_sub(306) };
        Self {
            seconds,
            year,
            month,
            day: of_year - (153 * shifted_month + 2) / 5 + 1,
            day_of_year,
            weekday: (days + 4) % 7,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    fn field(&self, letter: u8, out: &mut Vec<u8>) {
        let name = |names: &[&'static str], at: u64| {
            names.get(usize::try_from(at).unwrap_or(usize::MAX)).copied().unwrap_or_default()
        };
        let day = name(&DAYS, self.weekday);
        let month = name(&MONTHS, self.month - 1);
        let short = |name: &'static str| name.get(..3).unwrap_or(name);
        let half = (self.hour + 11) % 12 + 1;
        let two = |out: &mut Vec<u8>, number: u64| text::write(out, format_args!("{number:02}"));
        let spaced = |out: &mut Vec<u8>, number: u64| text::write(out, format_args!("{number:2}"));
        match letter {
            b'a' => text::write(out, short(day)),
            b'A' => text::write(out, day),
            b'b' | b'h' => text::write(out, short(month)),
            b'B' => text::write(out, month),
            b'C' => two(out, self.year / 100),
            b'd' => two(out, self.day),
            b'e' => spaced(out, self.day),
            b'G' => text::write(out, self.week().0),
            b'g' => two(out, self.week().0 % 100),
            b'H' => two(out, self.hour),
            b'I' => two(out, half),
            b'j' => text::write(out, format_args!("{:03}", self.day_of_year + 1)),
            b'k' => spaced(out, self.hour),
            b'l' => spaced(out, half),
            b'M' => two(out, self.minute),
            b'm' => two(out, self.month),
            b'P' => text::write(out, if self.hour < 12 { "am" } else { "pm" }),
            b'p' => text::write(out, if self.hour < 12 { "AM" } else { "PM" }),
            b'S' => two(out, self.second),
            b's' => text::write(out, self.seconds),
            b'U' => two(out, (self.day_of_year + 7 - self.weekday) / 7),
            b'u' => text::write(out, if self.weekday == 0 { 7 } else { self.weekday }),
            b'V' => two(out, self.week().1),
            b'W' => two(out, (self.day_of_year + 7 - (self.weekday + 6) % 7) / 7),
            b'w' => text::write(out, self.weekday),
            b'Y' => text::write(out, self.year),
            b'y' => two(out, self.year % 100),
            b'Z' => text::write(out, "UTC"),
            b'z' => text::write(out, "+0000"),
            _ => {}
        }
    }

    /// Year and week by ISO 8601: a week belongs to the year that its Thursday is in.
    fn week(&self) -> (u64, u64) {
        let since_monday = (self.weekday + 6) % 7;
        let seconds_of = |days: u64| days * 86_400;
        let thursday = Self::of(self.seconds + seconds_of(3) - seconds_of(since_monday));
        (thursday.year, thursday.day_of_year / 7 + 1)
    }
}
