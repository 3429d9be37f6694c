//! Percentile plots as PNG and SVG: how long the slowest of so many requests took.

use std::{fs, io, path::Path, sync::OnceLock};

use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    prelude::*,
    style::register_font,
};

use super::{Error, Series, human};

const SIZE: (u32, u32) = (1000, 600);
const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x55, 0x55, 0x55),
];

/// Where Debian's and others' packages put a font that has the letters we need.
const FONTS: [&str; 5] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/freefont/FreeSans.ttf",
];

/// Draws the plot into a file of the kind that its name says: `.png` or `.svg`.
pub fn draw(path: &Path, title: &str, series: &[Series]) -> Result<(), Error> {
    let kind = path.extension().map(|kind| kind.to_ascii_lowercase());
    match kind.as_deref().and_then(|kind| kind.to_str()) {
        Some("png") => draw_png(path, title, series),
        Some("svg") => draw_svg(path, title, series),
        _ => Err(Error::Plot(format!("{} is neither .png nor .svg", path.display()))),
    }
}

/// Draws the plot into a PNG file of 1000 by 600. Without a font on the machine it has lines and
/// grid but no words: then the text plot has them.
pub fn draw_png(path: &Path, title: &str, series: &[Series]) -> Result<(), Error> {
    writable(path)?;
    let area = BitMapBackend::new(path, SIZE).into_drawing_area();
    paint(&area, title, series, has_font()).map_err(|error| Error::Plot(error.to_string()))
}

/// Draws the same as SVG.
pub fn draw_svg(path: &Path, title: &str, series: &[Series]) -> Result<(), Error> {
    writable(path)?;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    paint(&area, title, series, has_font()).map_err(|error| Error::Plot(error.to_string()))
}

/// A file that cannot be written is told by its name, which the drawing's own error lacks.
fn writable(path: &Path) -> Result<(), Error> {
    let told = |source: io::Error| Error::File { path: path.to_owned(), source };
    fs::File::create(path).map(drop).map_err(told)
}

/// Finds a font, once for the process: the library keeps it for good.
fn has_font() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        FONTS
            .iter()
            .filter_map(|path| fs::read(path).ok())
            .any(|bytes| register_font("sans-serif", FontStyle::Normal, Vec::leak(bytes)).is_ok())
    })
}

pub(super) fn paint<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    title: &str,
    series: &[Series],
    words: bool,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let lines: Vec<Vec<(f64, f64)>> = series.iter().map(points).collect();
    let (rarest, low, high) = bounds(&lines);
    let mut builder = ChartBuilder::on(area);
    builder.margin(15);
    if words {
        builder.caption(title, ("sans-serif", 22)).x_label_area_size(45).y_label_area_size(75);
    }
    let mut chart = builder.build_cartesian_2d(
        Rareness { decades: rarest },
        (low..high).log_scale().with_key_points(ticks(low, high)),
    )?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(BLACK.mix(0.15)).light_line_style(TRANSPARENT);
    if words {
        mesh.x_desc("percentile").y_desc("latency").label_style(("sans-serif", 15));
        mesh.axis_desc_style(("sans-serif", 16)).y_label_formatter(&|ns| short(*ns));
    }
    mesh.draw()?;
    for ((one, line), color) in series.iter().zip(lines).zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        let drawn = chart.draw_series(LineSeries::new(line, style))?;
        if words {
            let name = format!("{} ({})", one.name, one.histogram.len());
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        }
    }
    if words && !series.is_empty() {
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperLeft).margin(12).legend_area_size(30);
        legend.label_font(("sans-serif", 16)).background_style(WHITE.mix(0.85));
        legend.border_style(BLACK.mix(0.3)).draw()?;
    }
    area.present()
}

/// The line: for each order of rareness (0 is all, 2 the slowest hundredth) the latency in ns.
fn points(series: &Series) -> Vec<(f64, f64)> {
    let histogram = &series.histogram;
    let last = (histogram.len().max(1) as f64).log10();
    let mut line = Vec::new();
    if histogram.is_empty() {
        return line;
    }
    const STEPS: u32 = 200;
    for step in 0..=STEPS {
        let rareness = last * f64::from(step) / f64::from(STEPS);
        let quantile = 1.0 - 10_f64.powf(-rareness);
        line.push((rareness, histogram.value_at_quantile(quantile).max(1) as f64));
    }
    line.push((last, histogram.max().max(1) as f64));
    line
}

/// What must be seen: the rarest, and the lowest and highest latency, with some room.
fn bounds(lines: &[Vec<(f64, f64)>]) -> (f64, f64, f64) {
    let all = || lines.iter().flatten();
    let rarest = all().map(|point| point.0).fold(2.0, f64::max);
    let low = all().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = all().map(|point| point.1).fold(0.0, f64::max);
    if low.is_finite() { (rarest, low / 1.3, high * 1.3) } else { (rarest, 1e3, 1e9) }
}

/// Round latencies between the bounds: 1, 2 and 5 of each decade.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let decade = low.max(1.0).log10().floor() as i32;
    (decade..decade + 14)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

fn short(ns: f64) -> String {
    let text = human(ns.round() as u64);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    match number.split_once('.') {
        Some((whole, rest)) if rest.bytes().all(|byte| byte == b'0') => format!("{whole} {unit}"),
        _ => text,
    }
}

/// The horizontal axis: orders of rareness, named by their percentiles.
struct Rareness {
    decades: f64,
}

impl Ranged for Rareness {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (value / self.decades * f64::from(limit.1 - limit.0)) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        // 0, 50, 75 and 90, and then each further nine.
        let first = [0.0, 2_f64.log10(), 4_f64.log10()];
        let nines = (1..=12).map(f64::from);
        first.into_iter().chain(nines).filter(|at| *at <= self.decades).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.decades
    }
}

impl ValueFormatter<f64> for Rareness {
    fn format_ext(&self, value: &f64) -> String {
        let percent = 100.0 * (1.0 - 10_f64.powf(-value));
        let digits = (value - 2.0).ceil().max(0.0) as usize;
        format!("{percent:.digits$}%")
    }
}
