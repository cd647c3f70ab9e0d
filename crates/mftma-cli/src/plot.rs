//! Measures over layers as small panels, an SVG or a PNG.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use crate::settings::SettingsError;

/// Dots per inch of PNGs.
const RESOLUTION: f32 = 200.0;

/// Formats of `--plot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Vector graphics.
    Svg,
    /// Pixels.
    Png,
}

impl Kind {
    /// The format that a file's ending asks for. Devices and pipes get an SVG.
    pub fn of_path(path: &Path) -> Result<Self, SettingsError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            None if crate::report::in_place(path) => Ok(Self::Svg),
            _ => Err(SettingsError::Flags {
                problem: format!(
                    "--plot {}: the name ends in neither .svg nor .png",
                    path.display()
                ),
                remedy: format!("--plot {}", path.with_extension("svg").display()),
            }),
        }
    }

    /// The bytes of a file of this format.
    pub fn encode(self, svg: String) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Svg => Ok(svg.into_bytes()),
            Self::Png => mftma_draw::to_png(&svg, RESOLUTION),
        }
    }
}

/// One measure over layers.
pub struct Panel {
    /// Title with its symbol.
    pub title: String,
    /// Value and, where known, the ends of its band, per layer. Not-a-number leaves a gap.
    pub points: Vec<(f64, Option<(f64, f64)>)>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
/// Longest layer name under the axis, in characters.
const NAME: usize = 18;
/// Okabe and Ito's blue.
const COLOUR: &str = "#0072B2";

/// Draws panels two abreast, layers along the horizontal axis. `note` stands below.
pub fn layers(names: &[String], panels: &[Panel], note: &str) -> String {
    let longest = names.iter().map(|n| n.chars().count().min(NAME)).max();
    // Slanted names need room below the axis.
    let bottom = 24.0 + 5.2 * longest.unwrap_or(0) as f64;
    let height = HEIGHT + bottom;
    let rows = panels.len().div_ceil(2).max(1);
    let (total_width, total_height) = (2.0 * WIDTH, rows as f64 * height + 22.0);
    let mut svg = String::new();
    let names = &shortened(names);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height:.0}" viewBox="0 0 {total_width} {total_height:.0}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = ((i % 2) as f64 * WIDTH, (i / 2) as f64 * height);
        let _ = writeln!(svg, r#"<g transform="translate({x} {y:.1})">"#);
        draw(&mut svg, panel, names);
        svg.push_str("</g>\n");
    }
    let _ = writeln!(
        svg,
        r##"<text x="{LEFT}" y="{:.0}" fill="#666666" font-size="10">{}</text>
</svg>"##,
        total_height - 8.0,
        escape(note)
    );
    svg
}

fn draw(svg: &mut String, panel: &Panel, names: &[String]) {
    let ends = panel.points.iter().flat_map(|&(value, band)| {
        let (low, high) = band.unwrap_or((value, value));
        [value, low, high]
    });
    let finite: Vec<f64> = ends.filter(|x| x.is_finite()).collect();
    let ticks = ticks(
        finite.iter().copied().fold(f64::INFINITY, f64::min),
        finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    let step = (WIDTH - LEFT - RIGHT) / names.len().max(1) as f64;
    let x = |i: usize| LEFT + (i as f64 + 0.5) * step;
    let y = |value: f64| TOP + (HEIGHT - TOP) * (1.0 - (value - low) / (high - low));
    let _ = writeln!(
        svg,
        r##"<text x="{LEFT}" y="20" font-size="12" font-weight="bold" fill="#222222">{}</text>"##,
        escape(&panel.title)
    );
    for &tick in &ticks {
        let at = y(tick);
        let _ = writeln!(
            svg,
            r##"<path d="M{LEFT} {at:.1}H{:.1}" stroke="#e0e0e0"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#444444">{}</text>"##,
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            label(tick, ticks[1] - ticks[0])
        );
    }
    // Bands and lines break where a layer has no value.
    let known: Vec<usize> = (0..panel.points.len())
        .filter(|&i| panel.points[i].0.is_finite())
        .collect();
    for run in known.chunk_by(|a, b| a + 1 == *b) {
        let banded: Vec<(usize, f64, f64)> = run
            .iter()
            .filter_map(|&i| {
                let (low, high) = panel.points[i].1?;
                (low.is_finite() && high.is_finite()).then_some((i, low, high))
            })
            .collect();
        if banded.len() == run.len() {
            let mut path = String::new();
            // A band over a single layer is drawn a little wide, or it would be invisible.
            let half = if run.len() == 1 { 5.0 } else { 0.0 };
            for &(i, low, _) in &banded {
                let _ = write!(path, "L{:.1} {:.1}", x(i) - half, y(low));
                if half > 0.0 {
                    let _ = write!(path, "L{:.1} {:.1}", x(i) + half, y(low));
                }
            }
            for &(i, _, high) in banded.iter().rev() {
                let _ = write!(path, "L{:.1} {:.1}", x(i) + half, y(high));
                if half > 0.0 {
                    let _ = write!(path, "L{:.1} {:.1}", x(i) - half, y(high));
                }
            }
            let _ = writeln!(
                svg,
                r#"<path d="M{}Z" fill="{COLOUR}" fill-opacity="0.2"/>"#,
                &path[1..]
            );
        }
        let line: Vec<String> = run
            .iter()
            .map(|&i| format!("{:.1},{:.1}", x(i), y(panel.points[i].0)))
            .collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{COLOUR}" stroke-width="1.8"/>"#,
            line.join(" ")
        );
        for &i in run {
            let _ = writeln!(
                svg,
                r#"<circle cx="{:.1}" cy="{:.1}" r="2.6" fill="{COLOUR}"/>"#,
                x(i),
                y(panel.points[i].0)
            );
        }
    }
    let _ = writeln!(
        svg,
        r##"<path d="M{LEFT} {TOP}V{HEIGHT}H{:.1}" fill="none" stroke="#444444"/>"##,
        WIDTH - RIGHT
    );
    // As many names as fit beside each other.
    let every = (13.0 / step).ceil().max(1.0) as usize;
    // Slanted lines of text are nearer to each other than the points they belong to.
    let size = if step * (every as f64) < 16.0 { 9 } else { 11 };
    for (i, name) in names.iter().enumerate().step_by(every) {
        let _ = writeln!(
            svg,
            r##"<text transform="translate({:.1} {:.1}) rotate(-45)" text-anchor="end" font-size="{size}" fill="#444444">{}</text>"##,
            x(i) + 3.0,
            HEIGHT + 14.0,
            escape(name)
        );
    }
}

/// Names of at most [`NAME`] characters: the beginnings of long ones, or the ends where beginnings would be the same.
fn shortened(names: &[String]) -> Vec<String> {
    let short = |name: &String, ends: bool| {
        let length = name.chars().count();
        if length <= NAME {
            name.clone()
        } else if ends {
            ['…']
                .into_iter()
                .chain(name.chars().skip(length + 1 - NAME))
                .collect()
        } else {
            name.chars().take(NAME - 1).chain(['…']).collect()
        }
    };
    let all = |ends: bool| -> Vec<String> { names.iter().map(|n| short(n, ends)).collect() };
    let different = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let (beginnings, ends) = (all(false), all(true));
    if different(&beginnings) < different(&ends) {
        ends
    } else {
        beginnings
    }
}

/// Three to seven round numbers that enclose a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let (low, high) = match (low.is_finite() && high.is_finite(), high - low) {
        (false, _) => (0.0, 1.0),
        // A flat line still needs an axis around it.
        (true, width) if width <= 1e-12 * high.abs() => {
            let pad = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
            (low - pad, high + pad)
        }
        (true, _) => (low, high),
    };
    let rough = (high - low) / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|&s| s >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step).floor() as i64;
    let last = ((high / step).ceil() as i64).max(first + 1);
    (first..=last).map(|k| k as f64 * step).collect()
}

fn label(tick: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
    format!("{tick:.digits$}")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Control characters are not allowed in XML.
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
