//! Measures over layers as small panels: an SVG, a PNG or a PDF.

use std::collections::BTreeSet;
use std::path::Path;

use mftma::measures::{Measure, Reading};
use mftma_draw::{
    Anchor, Canvas, Colour, GREY, INK, Panel, TextStyle, Weight, class_colour, epoch_colour,
    footnote, nice_ticks, text_width,
};

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
    /// A page of vector graphics.
    Pdf,
}

impl Kind {
    /// The format that a file's ending asks for. Devices and pipes get an SVG.
    pub fn of_path(path: &Path) -> Result<Self, SettingsError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("pdf") => Ok(Self::Pdf),
            None if crate::report::in_place(path) => Ok(Self::Svg),
            _ => Err(SettingsError::Flags {
                problem: format!(
                    "--plot {}: the name ends in none of .svg, .png, .pdf",
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
            Self::Pdf => mftma_draw::to_pdf(&svg),
        }
    }
}

/// What is drawn: curves over layers, in a panel for each measure.
pub struct Plot {
    /// Names of the layers, along the horizontal axis.
    pub layers: Vec<String>,
    /// Names of the curves; a single curve is not named.
    pub curves: Vec<String>,
    /// One panel after another.
    pub panels: Vec<Measured>,
    /// What stands below, in small print.
    pub note: String,
}

/// One measure over layers.
pub struct Measured {
    /// Which.
    pub measure: &'static Measure,
    /// For each curve its value in each layer; `None` leaves a gap.
    pub values: Vec<Vec<Option<Reading>>>,
}

/// Lengths are points (1/72 inch).
const WIDTH: f64 = 510.0;
const PANEL_HEIGHT: f64 = 130.0;
/// Room to the left of a panel, for its title and its numbers; above it; between it and the next.
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const GAP: f64 = 14.0;
/// Size of titles and of the legend.
const TEXT: f64 = 7.5;
/// Size of the layers' names.
const NAMES: f64 = 5.5;
/// Height of a line of the legend.
const LINE: f64 = 12.0;
/// Room for the small print.
const FOOT: f64 = 30.0;
/// Longest name of a layer or a curve, in characters.
const LONGEST: usize = 24;

impl Plot {
    /// Draws the panels two abreast.
    pub fn draw(&self) -> String {
        let layers = distinct(&self.layers, LONGEST);
        let below = 8.0
            + layers
                .iter()
                .map(|name| text_width(name, NAMES, Weight::Regular))
                .fold(0.0, f64::max)
            + 2.0 * TEXT;
        let legend = Legend::new(&self.curves);
        let row = TOP + PANEL_HEIGHT + below;
        let rows = self.panels.len().div_ceil(2).max(1);
        let height = legend.height() + rows as f64 * row + FOOT;
        let mut canvas = Canvas::new(WIDTH, height, "Measures over layers");
        legend.draw(&mut canvas);
        let width = (WIDTH - 2.0 * LEFT - 2.0 * GAP) / 2.0;
        for (index, measured) in self.panels.iter().enumerate() {
            let left = LEFT + (index % 2) as f64 * (width + GAP + LEFT);
            let top = legend.height() + (index / 2) as f64 * row + TOP;
            measured.draw(&mut canvas, [left, top, width, PANEL_HEIGHT], &layers);
            let at = (left + width / 2.0, top + PANEL_HEIGHT + below - 0.5 * TEXT);
            canvas.text(at, "Layer", TextStyle::new(TEXT, INK, Anchor::Middle));
        }
        footnote(&mut canvas, &self.note, (WIDTH, height));
        canvas.finish()
    }
}

impl Measured {
    fn draw(&self, canvas: &mut Canvas, area: [f64; 4], layers: &[String]) {
        let (low, high) = self.range();
        let ticks = nice_ticks(low, high, 5);
        let y = (ticks[0], ticks[ticks.len() - 1]);
        // Half a step on either side.
        let x = (-0.5, layers.len().max(1) as f64 - 0.5);
        let panel = Panel::new(area, x, y);
        panel.y_axis(canvas, &ticks, true);
        for (curve, values) in self.values.iter().enumerate() {
            draw_curve(canvas, &panel, values, colour(curve, self.values.len()));
        }
        panel.frame(canvas);
        panel.x_names(canvas, layers, true);
        self.title(canvas, area);
    }

    /// The least and the greatest value or end of an interval.
    fn range(&self) -> (f64, f64) {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for reading in self.values.iter().flatten().flatten() {
            let ends = reading.interval.map(|i| [i.lower, i.upper]);
            for value in ends.into_iter().flatten().chain([reading.value]) {
                if value.is_finite() {
                    (low, high) = (low.min(value), high.max(value));
                }
            }
        }
        match (low.is_finite(), high - low) {
            (false, _) => (0.0, 1.0),
            // A flat line still needs an axis around it.
            (true, width) if width <= 1e-12 * high.abs() => {
                let pad = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
                (low - pad, high + pad)
            }
            (true, _) => (low, high),
        }
    }

    /// The measure's name and symbol, and below them its unit, along the vertical axis.
    fn title(&self, canvas: &mut Canvas, [left, top, _, height]: [f64; 4]) {
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
        let (name, unit, middle) = (self.measure.title, self.measure.unit, top + height / 2.0);
        let x = left - if unit.is_empty() { 28.0 } else { 36.0 };
        if self.measure.symbol.0.is_empty() {
            canvas.text((x, middle), name, style);
        } else {
            canvas.text_with_symbol((x, middle), name, self.measure.symbol, style);
        }
        if !unit.is_empty() {
            let style = TextStyle::new(5.5, GREY, Anchor::Middle).rotated(90.0);
            canvas.text((left - 28.0, middle), unit, style);
        }
    }
}

/// A line with a mark at each layer and a band between the ends of intervals; both break where a layer has no value.
fn draw_curve(canvas: &mut Canvas, panel: &Panel, values: &[Option<Reading>], colour: Colour) {
    let known: Vec<(usize, Reading)> = values
        .iter()
        .enumerate()
        .filter_map(|(at, reading)| Some((at, (*reading)?)))
        .filter(|(_, reading)| reading.value.is_finite())
        .collect();
    for run in known.chunk_by(|a, b| a.0 + 1 == b.0) {
        let ends: Vec<(f64, f64, f64)> = run
            .iter()
            .filter_map(|&(at, reading)| {
                let interval = reading.interval?;
                let known = interval.lower.is_finite() && interval.upper.is_finite();
                known.then_some((at as f64, interval.lower, interval.upper))
            })
            .collect();
        if !ends.is_empty() && ends.len() == run.len() {
            panel.interval_band(canvas, &ends, colour);
        }
        let line: Vec<_> = run
            .iter()
            .map(|&(at, reading)| (at as f64, reading.value, 0.0))
            .collect();
        panel.line(canvas, &line, colour, true);
    }
}

/// The colour of one curve of several.
fn colour(curve: usize, of: usize) -> Colour {
    if of <= 6 {
        class_colour(curve)
    } else {
        epoch_colour(curve as f64 / (of - 1) as f64)
    }
}

/// The names of curves beside their colours, in as many lines as they need.
struct Legend {
    /// Position and name of each.
    entries: Vec<((f64, f64), String)>,
    lines: usize,
}

impl Legend {
    fn new(curves: &[String]) -> Self {
        const MARK: f64 = 16.0;
        let mut entries = Vec::new();
        if curves.len() < 2 {
            return Self { entries, lines: 0 };
        }
        let (mut x, mut line) = (LEFT, 0);
        for name in distinct(curves, 2 * LONGEST) {
            let width = MARK + text_width(&name, TEXT, Weight::Regular) + TEXT;
            if x > LEFT && x + width > WIDTH {
                (x, line) = (LEFT, line + 1);
            }
            entries.push(((x, LINE * (line as f64 + 1.0)), name));
            x += width;
        }
        Self {
            entries,
            lines: line + 1,
        }
    }

    fn height(&self) -> f64 {
        if self.lines == 0 {
            0.0
        } else {
            LINE * self.lines as f64 + 4.0
        }
    }

    fn draw(&self, canvas: &mut Canvas) {
        for (index, ((x, y), name)) in self.entries.iter().enumerate() {
            let colour = colour(index, self.entries.len());
            let middle = y - 0.36 * TEXT;
            canvas.line((*x, middle), (x + 12.0, middle), colour, 1.2);
            canvas.disc((x + 6.0, middle), 1.6, colour);
            let style = TextStyle::new(TEXT, INK, Anchor::Start);
            canvas.text((x + 16.0, *y), name, style);
        }
    }
}

/// Names of at most `longest` characters, all different where the names are: the beginnings of long ones, or their ends or
/// both where those differ more; what still is the same is numbered.
fn distinct(names: &[String], longest: usize) -> Vec<String> {
    let cut = |name: &String, head: usize| {
        let length = name.chars().count();
        if length <= longest {
            return name.clone();
        }
        let tail = longest - 1 - head;
        let start = name.chars().take(head);
        start
            .chain(['…'])
            .chain(name.chars().skip(length - tail))
            .collect()
    };
    let different = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let mut best: Vec<String> = Vec::new();
    for head in [longest - 1, 0, longest / 2] {
        let names: Vec<String> = names.iter().map(|name| cut(name, head)).collect();
        if different(&names) > different(&best) {
            best = names;
        }
    }
    let mut used = BTreeSet::new();
    for (index, name) in best.iter_mut().enumerate() {
        if !used.insert(name.clone()) {
            *name = format!("{} #{}", name, index + 1);
            used.insert(name.clone());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_names_stay_different() {
        let short = owned(&["conv1", "conv2"]);
        assert_eq!(distinct(&short, 10), short);
        let ends = owned(&["features.module.layer_0", "features.module.layer_1"]);
        assert_eq!(distinct(&ends, 9), ["….layer_0", "….layer_1"]);
        let both = owned(&[
            "a.module.encoder.layer.out_proj",
            "b.module.encoder.layer.out_proj",
        ]);
        assert_eq!(distinct(&both, 8), ["a.modul…", "b.modul…"]);
        let middle = owned(&[
            "module.encoder.layer0.out_proj",
            "module.encoder.layer1.out_proj",
        ]);
        assert_eq!(different(&distinct(&middle, 10)), 2);
        let none: Vec<String> = Vec::new();
        assert_eq!(distinct(&none, 10), none);
    }

    fn different(names: &[String]) -> usize {
        names.iter().collect::<BTreeSet<_>>().len()
    }

    fn plot(layers: usize, curves: usize) -> Plot {
        let measures = ["capacity", "radius", "centre_correlation"];
        let panels = measures.map(|name| Measured {
            measure: mftma::measures::MEASURES
                .iter()
                .find(|measure| measure.name == name)
                .unwrap(),
            values: (0..curves)
                .map(|curve| {
                    (0..layers)
                        .map(|layer| {
                            (layer != 1)
                                .then(|| Reading::new(0.1 + (curve + layer) as f64, None, None))
                        })
                        .collect()
                })
                .collect(),
        });
        Plot {
            layers: (0..layers)
                .map(|layer| format!("features.{layer}.a very long name of a layer <{layer}>"))
                .collect(),
            curves: (0..curves)
                .map(|curve| format!("/a/long/folder/of/networks/network_{curve}.safetensors"))
                .collect(),
            panels: panels.into(),
            note: "The setting of everything, in a long line of small print; ".repeat(6),
        }
    }

    #[test]
    fn nothing_sticks_out_of_the_page() {
        for (layers, curves) in [(1, 1), (3, 2), (60, 7), (5, 12)] {
            let svg = plot(layers, curves).draw();
            assert_eq!(mftma_draw::clipped_texts(&svg), Vec::<String>::new());
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn only_several_curves_are_named() {
        assert!(!plot(3, 1).draw().contains("network_0"));
        let svg = plot(3, 2).draw();
        assert!(svg.contains("network_0") && svg.contains("network_1"));
        // A gap at layer 1 leaves a single layer on its left, which has no line.
        assert_eq!(svg.matches("<polyline").count(), 0);
        assert_eq!(plot(4, 2).draw().matches("<polyline").count(), 3 * 2);
    }
}
