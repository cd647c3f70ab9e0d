//! An SVG document under construction.

use std::fmt::Write;

use base64::Engine;

use super::colour::Colour;
use super::text::{FAMILY, Weight};

/// Which point of the text lies at the given position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// How text is set.
#[derive(Debug, Clone, Copy)]
pub struct TextStyle {
    /// Size in points.
    pub size: f64,
    /// Weight.
    pub weight: Weight,
    /// Colour.
    pub colour: Colour,
    /// Anchor.
    pub anchor: Anchor,
    /// Rotation about the anchor, degrees counter-clockwise.
    pub rotation: f64,
}

impl TextStyle {
    /// Regular text of one size.
    pub fn new(size: f64, colour: Colour, anchor: Anchor) -> Self {
        Self {
            size,
            weight: Weight::Regular,
            colour,
            anchor,
            rotation: 0.0,
        }
    }

    /// The same in another weight.
    pub fn weight(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    /// The same, turned.
    pub fn rotated(self, rotation: f64) -> Self {
        Self { rotation, ..self }
    }
}

/// An SVG document of fixed size, in points.
pub struct Canvas {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Canvas {
    /// An empty white page. The title is for screen readers and tool tips.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self {
            width,
            height,
            title: title.to_owned(),
            body: String::new(),
        }
    }

    /// Appends raw elements. Writing to a string cannot fail.
    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: f64) {
        self.push(format_args!(
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{colour}" stroke-width="{}"/>"#,
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1),
            number(width)
        ));
    }

    /// A line through points; fewer than two draw nothing.
    pub fn polyline(&mut self, points: &[(f64, f64)], colour: Colour, width: f64) {
        self.path(points, colour, width, r#"stroke-linecap="round""#);
    }

    /// A broken line through points; fewer than two draw nothing.
    pub fn dashed(&mut self, points: &[(f64, f64)], colour: Colour, width: f64) {
        self.path(points, colour, width, r#"stroke-dasharray="2.4 1.6""#);
    }

    fn path(&mut self, points: &[(f64, f64)], colour: Colour, width: f64, stroke: &str) {
        if points.len() > 1 {
            let points = coordinates(points);
            self.push(format_args!(
                r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{}" stroke-linejoin="round" {stroke}/>"#,
                number(width)
            ));
        }
    }

    /// A filled area without outline.
    pub fn polygon(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64) {
        if points.len() > 2 {
            let points = coordinates(points);
            self.push(format_args!(
                r#"<polygon points="{points}" fill="{colour}" fill-opacity="{}"/>"#,
                number(opacity)
            ));
        }
    }

    /// A filled disc.
    pub fn disc(&mut self, centre: (f64, f64), radius: f64, colour: Colour) {
        self.push(format_args!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="{colour}"/>"#,
            number(centre.0),
            number(centre.1),
            number(radius)
        ));
    }

    /// A circle's outline.
    pub fn ring(&mut self, centre: (f64, f64), radius: f64, colour: Colour) {
        self.push(format_args!(
            r#"<circle cx="{}" cy="{}" r="{}" fill="none" stroke="{colour}" stroke-width="0.8"/>"#,
            number(centre.0),
            number(centre.1),
            number(radius)
        ));
    }

    /// A filled rectangle: left, top, width, height.
    pub fn rectangle(&mut self, area: [f64; 4], colour: Colour) {
        let [x, y, width, height] = area.map(number);
        self.push(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"/>"#
        ));
    }

    /// A picture in PNG format, its pixels as sharp squares: left, top, width, height.
    pub fn picture(&mut self, area: [f64; 4], png: &[u8]) {
        let [x, y, width, height] = area.map(number);
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        self.push(format_args!(
            r#"<image x="{x}" y="{y}" width="{width}" height="{height}" image-rendering="pixelated" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>"#
        ));
    }

    /// Text with its baseline at `at`.
    pub fn text(&mut self, at: (f64, f64), text: &str, style: TextStyle) {
        self.markup(at, &escape(text), style);
    }

    /// Text followed by an italic symbol with a subscript: `Capacity α` and `M`.
    pub fn text_with_symbol(
        &mut self,
        at: (f64, f64),
        text: &str,
        (symbol, subscript): (&str, &str),
        style: TextStyle,
    ) {
        let (text, symbol, subscript) = (escape(text), escape(symbol), escape(subscript));
        let (drop, small) = (number(0.18 * style.size), number(0.72 * style.size));
        let markup = format!(
            r#"{text} <tspan font-style="italic" font-weight="400">{symbol}</tspan><tspan font-weight="400" font-size="{small}" dy="{drop}">{subscript}</tspan>"#
        );
        self.markup(at, &markup, style);
    }

    fn markup(&mut self, at: (f64, f64), markup: &str, style: TextStyle) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = match style.weight {
            Weight::Regular => "",
            Weight::Bold => r#" font-weight="600""#,
        };
        let (x, y) = (number(at.0), number(at.1));
        let turn = if style.rotation == 0.0 {
            String::new()
        } else {
            format!(
                r#" transform="rotate({} {x} {y})""#,
                number(-style.rotation)
            )
        };
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{}"{weight} text-anchor="{anchor}" fill="{}"{turn}>{}</text>"#,
            number(style.size),
            style.colour,
            markup
        ));
    }

    /// The finished document.
    pub fn finish(self) -> String {
        let (width, height) = (number(self.width), number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" height=\"{height}pt\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\" role=\"img\">\n<title>{}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n{}</svg>\n",
            escape(&self.title),
            self.body
        )
    }
}

fn coordinates(points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|&(x, y)| format!("{},{}", number(x), number(y)))
        .collect();
    points.join(" ")
}

/// A length with at most two decimals: a hundredth of a point is finer than any printer, and files stay small.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

fn escape(text: &str) -> String {
    // Control characters are not allowed in XML.
    text.replace(char::is_control, "\u{FFFD}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_text_is_escaped() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(0.126), "0.13");
        assert_eq!(number(100.0), "100");
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
        assert_eq!(escape("conv\u{1}1"), "conv\u{FFFD}1");
    }
}
