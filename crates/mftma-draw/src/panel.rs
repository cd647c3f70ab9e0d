//! One panel of a small-multiples figure, and the colour bar beside them.

use super::canvas::{Anchor, Canvas, TextStyle};
use super::colour::{Colour, GREY, INK, LIGHT};
use super::scale::{Scale, format_tick};
use super::text::{Weight, width as text_width};

/// Size of tick labels, points.
const TICK_TEXT: f64 = 6.5;
/// Size of layer names, points: they stand close together.
const CATEGORY_TEXT: f64 = 5.5;
/// Height of the capital letters and figures of the font, in units of its size.
const CAP_HEIGHT: f64 = 0.727;

/// A point of a line with its standard error: x, y, error.
pub type Band = (f64, f64, f64);

/// A rectangle with scales on both axes.
pub struct Panel {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Scale,
    y: Scale,
}

impl Panel {
    /// A panel at (left, top) of the given size, for values in the two ranges.
    pub fn new([left, top, width, height]: [f64; 4], x: (f64, f64), y: (f64, f64)) -> Self {
        Self {
            left,
            top,
            width,
            height,
            x: Scale::new(x, (left, left + width)),
            y: Scale::new(y, (top + height, top)),
        }
    }

    /// Grid lines at the ticks, and with `labels` their values at the left edge.
    pub fn y_axis(&self, canvas: &mut Canvas, ticks: &[f64], labels: bool) {
        let label = |text: String| if labels { text } else { String::new() };
        let ticks: Vec<_> = labelled(ticks)
            .map(|(tick, text)| (tick, label(text)))
            .collect();
        self.y_marks(canvas, &ticks);
    }

    /// Grid lines at places of their own, with what stands beside them.
    pub fn y_marks(&self, canvas: &mut Canvas, ticks: &[(f64, String)]) {
        for (tick, label) in ticks {
            let y = self.y.at(*tick);
            canvas.line((self.left, y), (self.left + self.width, y), LIGHT, 0.5);
            if !label.is_empty() {
                let style = TextStyle::new(TICK_TEXT, INK, Anchor::End);
                let at = (self.left - 3.0, y + CAP_HEIGHT / 2.0 * TICK_TEXT);
                canvas.text(at, label, style);
            }
        }
    }

    /// Ticks and values along the lower edge.
    pub fn x_axis(&self, canvas: &mut Canvas, ticks: &[f64]) {
        let ticks: Vec<_> = labelled(ticks).collect();
        self.x_marks(canvas, &ticks);
    }

    /// Ticks along the lower edge at places of their own, rising, with what stands below them; where that would touch what stands
    /// below the next, the tick stays bare.
    pub fn x_marks(&self, canvas: &mut Canvas, ticks: &[(f64, String)]) {
        let bottom = self.top + self.height;
        let mut free = f64::INFINITY;
        for (tick, label) in ticks.iter().rev() {
            let x = self.x.at(*tick);
            canvas.line((x, bottom), (x, bottom + 2.5), INK, 0.5);
            let half = 0.5 * text_width(label, TICK_TEXT, Weight::Regular);
            if x + half > free {
                continue;
            }
            free = x - half - 0.2 * TICK_TEXT;
            let style = TextStyle::new(TICK_TEXT, INK, Anchor::Middle);
            canvas.text((x, bottom + 4.5 + TICK_TEXT), label, style);
        }
    }

    /// A line from the lower to the upper edge.
    pub fn vertical(&self, canvas: &mut Canvas, x: f64, colour: Colour) {
        let x = self.x.at(x);
        canvas.line((x, self.top), (x, self.top + self.height), colour, 0.7);
    }

    /// A line from the left to the right edge.
    pub fn horizontal(&self, canvas: &mut Canvas, y: f64, colour: Colour) {
        let y = self.y.at(y);
        canvas.line((self.left, y), (self.left + self.width, y), colour, 0.7);
    }

    /// Names at 0, 1, 2, … along the lower edge, turned to read upwards; without `labels` only the tick marks. Where they would
    /// touch, every second or third is set, the last always.
    pub fn x_names(&self, canvas: &mut Canvas, names: &[String], labels: bool) {
        let bottom = self.top + self.height;
        let space = self.x.at(1.0) - self.x.at(0.0);
        let every = (CATEGORY_TEXT / space).ceil().max(1.0) as usize;
        for (index, name) in names.iter().enumerate() {
            let x = self.x.at(index as f64);
            canvas.line((x, bottom), (x, bottom + 2.0), INK, 0.5);
            if labels && (names.len() - 1 - index).is_multiple_of(every) {
                let style = TextStyle::new(CATEGORY_TEXT, INK, Anchor::End).rotated(90.0);
                let at = (x + CAP_HEIGHT / 2.0 * CATEGORY_TEXT, bottom + 4.0);
                canvas.text(at, name, style);
            }
        }
    }

    /// Names at 0, 1, 2, … along the left edge; without `labels` only the tick marks.
    pub fn y_names(&self, canvas: &mut Canvas, names: &[String], labels: bool) {
        for (index, name) in names.iter().enumerate() {
            let y = self.y.at(index as f64);
            canvas.line((self.left - 2.0, y), (self.left, y), INK, 0.5);
            if labels {
                let style = TextStyle::new(CATEGORY_TEXT, INK, Anchor::End);
                let at = (self.left - 4.0, y + CAP_HEIGHT / 2.0 * CATEGORY_TEXT);
                canvas.text(at, name, style);
            }
        }
    }

    /// The left and the lower edge, drawn last so that bands do not cover them.
    pub fn frame(&self, canvas: &mut Canvas) {
        let (left, bottom) = (self.left, self.top + self.height);
        canvas.line((left, self.top), (left, bottom), INK, 0.6);
        canvas.line((left, bottom), (left + self.width, bottom), INK, 0.6);
    }

    /// A band of one standard error either way, as far as it lies in the panel.
    pub fn band(&self, canvas: &mut Canvas, points: &[Band], colour: Colour) {
        let ends: Vec<_> = points.iter().map(|&(x, y, e)| (x, y - e, y + e)).collect();
        if ends.len() > 1 {
            self.interval_band(canvas, &ends, colour);
        }
    }

    /// A band between the ends of intervals, as far as it lies in the panel: x, lower end, upper end. That of a single point is
    /// a bar.
    pub fn interval_band(&self, canvas: &mut Canvas, ends: &[(f64, f64, f64)], colour: Colour) {
        let within = |x, y| {
            let (x, y) = self.at(x, y);
            (x, y.clamp(self.top, self.top + self.height))
        };
        if let &[(x, low, high)] = ends {
            canvas.line(within(x, low), within(x, high), colour, 0.7);
            return;
        }
        let upper = ends.iter().map(|&(x, _, high)| within(x, high));
        let lower = ends.iter().rev().map(|&(x, low, _)| within(x, low));
        let outline: Vec<_> = upper.chain(lower).collect();
        canvas.polygon(&outline, colour, 0.15);
    }

    /// A line through the points, and with `marks` a dot at each.
    pub fn line(&self, canvas: &mut Canvas, points: &[Band], colour: Colour, marks: bool) {
        let points: Vec<_> = points.iter().map(|&(x, y, _)| self.at(x, y)).collect();
        canvas.polyline(&points, colour, 1.0);
        if marks {
            for &point in &points {
                canvas.disc(point, 1.3, colour);
            }
        }
    }

    /// A broken line through the points.
    pub fn dashed(&self, canvas: &mut Canvas, points: &[Band], colour: Colour) {
        let points: Vec<_> = points.iter().map(|&(x, y, _)| self.at(x, y)).collect();
        canvas.dashed(&points, colour, 0.9);
    }

    /// A disc at each point, with a bar of one standard error either way.
    pub fn dots(&self, canvas: &mut Canvas, points: &[Band], colour: Colour) {
        for &(x, y, error) in points {
            canvas.line(self.at(x, y - error), self.at(x, y + error), colour, 0.7);
            canvas.disc(self.at(x, y), 1.7, colour);
        }
    }

    /// A ring at each point.
    pub fn rings(&self, canvas: &mut Canvas, points: &[Band], colour: Colour) {
        for &(x, y, _) in points {
            canvas.ring(self.at(x, y), 3.0, colour);
        }
    }

    /// The position of a pair of values.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }
}

/// Ticks with their values as labels.
fn labelled(ticks: &[f64]) -> impl Iterator<Item = (f64, String)> + '_ {
    let step = ticks.windows(2).map(|w| w[1] - w[0]).next().unwrap_or(1.0);
    ticks
        .iter()
        .map(move |&tick| (tick, format_tick(tick, step)))
}

/// A stepped colour bar, first entry at the bottom, with a title above it: left, top, width, height.
pub fn colour_bar(
    canvas: &mut Canvas,
    [left, top, width, height]: [f64; 4],
    title: &str,
    entries: &[(String, Colour)],
) {
    canvas.text(
        (left, top - 5.0),
        title,
        TextStyle::new(TICK_TEXT, GREY, Anchor::Start),
    );
    let step = height / entries.len().max(1) as f64;
    for (index, (label, colour)) in entries.iter().enumerate() {
        let y = top + height - step * (index + 1) as f64;
        // A hair of overlap, so that no white shows between the steps.
        canvas.rectangle([left, y, width, step + 0.2], *colour);
        canvas.text(
            (
                left + width + 3.0,
                y + step / 2.0 + CAP_HEIGHT / 2.0 * TICK_TEXT,
            ),
            label,
            TextStyle::new(TICK_TEXT, INK, Anchor::Start),
        );
    }
}

/// Small print at the foot of a page of the given size, broken into lines where it is too long.
pub fn footnote(canvas: &mut Canvas, text: &str, (width, height): (f64, f64)) {
    const SIZE: f64 = 5.0;
    const MARGIN: f64 = 6.0;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().cloned().unwrap_or_default();
        let longer = if line.is_empty() {
            word.to_owned()
        } else {
            format!("{line} {word}")
        };
        if text_width(&longer, SIZE, Weight::Regular) > width - 2.0 * MARGIN {
            lines.push(word.to_owned());
        } else if let Some(line) = lines.last_mut() {
            *line = longer;
        }
    }
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate() {
        let y = height - 4.0 - 1.3 * SIZE * (count - 1 - index) as f64;
        canvas.text(
            (MARGIN, y),
            &line,
            TextStyle::new(SIZE, GREY, Anchor::Start),
        );
    }
}
