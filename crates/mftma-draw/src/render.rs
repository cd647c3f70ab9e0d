//! SVGs read and made into PNGs, with the bundled font only: the same picture on every machine.

use anyhow::{Context, Result};
use resvg::{tiny_skia, usvg};

use super::text::FONTS;

/// Renders an SVG at a resolution in dots per inch (1 pt = 1/72 inch).
pub fn to_png(svg: &str, dots_per_inch: f32) -> Result<Vec<u8>> {
    let tree = parse(svg)?;
    // usvg counts in CSS pixels, 96 to the inch.
    let zoom = dots_per_inch / 96.0;
    let size = tree.size();
    let (width, height) = (
        (size.width() * zoom).ceil() as u32,
        (size.height() * zoom).ceil() as u32,
    );
    let mut pixels = tiny_skia::Pixmap::new(width, height)
        .with_context(|| format!("a picture of {width} x {height} pixels is too large"))?;
    resvg::render(
        &tree,
        tiny_skia::Transform::from_scale(zoom, zoom),
        &mut pixels.as_mut(),
    );
    pixels.encode_png().context("cannot encode the PNG")
}

pub(crate) fn parse(svg: &str) -> Result<usvg::Tree> {
    let mut options = usvg::Options {
        font_family: "Inter".into(),
        ..usvg::Options::default()
    };
    let fonts = options.fontdb_mut();
    for font in FONTS {
        fonts.load_font_data(font.to_vec());
    }
    fonts.set_sans_serif_family("Inter");
    usvg::Tree::from_str(svg, &options).context("the figure is not valid SVG")
}

/// Every text that sticks out of the page, for tests of figures; the error where the SVG cannot be read.
pub fn clipped_texts(svg: &str) -> Vec<String> {
    fn walk(group: &usvg::Group, size: usvg::Size, found: &mut Vec<String>) {
        for node in group.children() {
            match node {
                usvg::Node::Group(inner) => walk(inner, size, found),
                usvg::Node::Text(text) => {
                    let area = text.abs_bounding_box();
                    if area.left() < 0.0
                        || area.top() < 0.0
                        || area.right() > size.width()
                        || area.bottom() > size.height()
                    {
                        found.push(text.chunks().iter().map(|chunk| chunk.text()).collect());
                    }
                }
                _ => {}
            }
        }
    }
    let tree = match parse(svg) {
        Ok(tree) => tree,
        Err(error) => return vec![format!("{error:#}")],
    };
    let mut found = Vec::new();
    walk(tree.root(), tree.size(), &mut found);
    found
}
