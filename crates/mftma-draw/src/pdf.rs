//! PDFs of one page from SVGs. Text becomes outlines: the page looks the same everywhere and needs no font.

use anyhow::{Result, bail};
use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref};
use resvg::usvg::{self, tiny_skia_path::PathSegment};

use super::render::parse;

/// usvg counts in CSS pixels, 96 to the inch; a PDF in points, 72 to the inch.
const POINTS_PER_PIXEL: f32 = 0.75;

/// The drawing as a PDF of its size; the same SVG gives the same bytes.
///
/// # Errors
/// Where the SVG cannot be read, or holds what this module does not draw (pictures, gradients, masks).
pub fn to_pdf(svg: &str) -> Result<Vec<u8>> {
    let tree = parse(svg)?;
    let (width, height) = (
        tree.size().width() * POINTS_PER_PIXEL,
        tree.size().height() * POINTS_PER_PIXEL,
    );
    let mut page = Page {
        content: Content::new(),
        opacities: Vec::new(),
    };
    // PDF counts from the lower edge.
    page.content
        .transform([POINTS_PER_PIXEL, 0.0, 0.0, -POINTS_PER_PIXEL, 0.0, height]);
    page.group(tree.root())?;
    Ok(page.finish(width, height))
}

/// A page under construction.
struct Page {
    content: Content,
    /// Opacities in use, each a named state of the page.
    opacities: Vec<f32>,
}

impl Page {
    fn group(&mut self, group: &usvg::Group) -> Result<()> {
        if group.clip_path().is_some() || group.mask().is_some() || !group.filters().is_empty() {
            bail!("clipping, masks and filters are not drawn in PDFs; choose SVG or PNG");
        }
        if group.opacity().get() < 1.0 {
            bail!("opacity of groups is not drawn in PDFs; choose SVG or PNG");
        }
        let t = group.transform();
        self.content.save_state();
        self.content.transform([t.sx, t.ky, t.kx, t.sy, t.tx, t.ty]);
        for node in group.children() {
            match node {
                usvg::Node::Group(inner) => self.group(inner)?,
                usvg::Node::Path(path) => self.path(path)?,
                usvg::Node::Text(text) => self.group(text.flattened())?,
                usvg::Node::Image(_) => {
                    bail!("pictures are not drawn in PDFs; choose SVG or PNG")
                }
            }
        }
        self.content.restore_state();
        Ok(())
    }

    fn path(&mut self, path: &usvg::Path) -> Result<()> {
        if !path.is_visible() {
            return Ok(());
        }
        self.content.save_state();
        if let Some(fill) = path.fill() {
            let [red, green, blue] = rgb(fill.paint())?;
            self.opacity(fill.opacity().get());
            self.content.set_fill_rgb(red, green, blue);
            self.outline(path);
            match fill.rule() {
                usvg::FillRule::NonZero => self.content.fill_nonzero(),
                usvg::FillRule::EvenOdd => self.content.fill_even_odd(),
            };
        }
        if let Some(stroke) = path.stroke() {
            self.stroke(stroke)?;
            self.outline(path);
            self.content.stroke();
        }
        self.content.restore_state();
        Ok(())
    }

    fn stroke(&mut self, stroke: &usvg::Stroke) -> Result<()> {
        let [red, green, blue] = rgb(stroke.paint())?;
        self.opacity(stroke.opacity().get());
        self.content
            .set_stroke_rgb(red, green, blue)
            .set_line_width(stroke.width().get())
            .set_miter_limit(stroke.miterlimit().get())
            .set_line_cap(match stroke.linecap() {
                usvg::LineCap::Butt => LineCapStyle::ButtCap,
                usvg::LineCap::Round => LineCapStyle::RoundCap,
                usvg::LineCap::Square => LineCapStyle::ProjectingSquareCap,
            })
            .set_line_join(match stroke.linejoin() {
                usvg::LineJoin::Round => LineJoinStyle::RoundJoin,
                usvg::LineJoin::Bevel => LineJoinStyle::BevelJoin,
                _ => LineJoinStyle::MiterJoin,
            });
        if let Some(dashes) = stroke.dasharray() {
            self.content
                .set_dash_pattern(dashes.iter().copied(), stroke.dashoffset());
        }
        Ok(())
    }

    fn outline(&mut self, path: &usvg::Path) {
        let mut at = (0.0, 0.0);
        for segment in path.data().segments() {
            match segment {
                PathSegment::MoveTo(p) => {
                    self.content.move_to(p.x, p.y);
                    at = (p.x, p.y);
                }
                PathSegment::LineTo(p) => {
                    self.content.line_to(p.x, p.y);
                    at = (p.x, p.y);
                }
                // PDF knows cubic curves only.
                PathSegment::QuadTo(c, p) => {
                    let toward = |from: f32, to: f32| from + 2.0 / 3.0 * (to - from);
                    self.content.cubic_to(
                        toward(at.0, c.x),
                        toward(at.1, c.y),
                        toward(p.x, c.x),
                        toward(p.y, c.y),
                        p.x,
                        p.y,
                    );
                    at = (p.x, p.y);
                }
                PathSegment::CubicTo(a, b, p) => {
                    self.content.cubic_to(a.x, a.y, b.x, b.y, p.x, p.y);
                    at = (p.x, p.y);
                }
                PathSegment::Close => {
                    self.content.close_path();
                }
            }
        }
    }

    fn opacity(&mut self, opacity: f32) {
        let known = self.opacities.iter().position(|&o| o == opacity);
        let index = known.unwrap_or_else(|| {
            self.opacities.push(opacity);
            self.opacities.len() - 1
        });
        self.content
            .set_parameters(Name(format!("o{index}").as_bytes()));
    }

    fn finish(self, width: f32, height: f32) -> Vec<u8> {
        let [catalog, pages, page, content] = [1, 2, 3, 4].map(Ref::new);
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(pages);
        pdf.pages(pages).kids([page]).count(1);
        let mut sheet = pdf.page(page);
        sheet
            .parent(pages)
            .media_box(Rect::new(0.0, 0.0, width, height))
            .contents(content);
        let mut resources = sheet.resources();
        let mut states = resources.ext_g_states();
        for (index, &opacity) in self.opacities.iter().enumerate() {
            let name = format!("o{index}");
            states
                .insert(Name(name.as_bytes()))
                .start::<pdf_writer::writers::ExtGraphicsState>()
                .stroking_alpha(opacity)
                .non_stroking_alpha(opacity);
        }
        states.finish();
        resources.finish();
        sheet.finish();
        pdf.stream(content, &self.content.finish());
        pdf.finish()
    }
}

fn rgb(paint: &usvg::Paint) -> Result<[f32; 3]> {
    match paint {
        usvg::Paint::Color(c) => Ok([c.red, c.green, c.blue].map(|c| f32::from(c) / 255.0)),
        _ => bail!("gradients and patterns are not drawn in PDFs; choose SVG or PNG"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anchor, Canvas, GREY, INK, TextStyle};

    fn drawing() -> Canvas {
        let mut canvas = Canvas::new(200.0, 100.0, "A drawing");
        canvas.polyline(&[(10.0, 10.0), (60.0, 90.0), (90.0, 20.0)], INK, 0.8);
        canvas.dashed(&[(10.0, 50.0), (190.0, 50.0)], GREY, 0.5);
        canvas.polygon(&[(10.0, 10.0), (60.0, 90.0), (90.0, 20.0)], INK, 0.15);
        let style = TextStyle::new(8.0, INK, Anchor::Start);
        canvas.text((100.0, 50.0), "Capacity", style);
        canvas
    }

    #[test]
    fn a_page_has_the_size_of_the_drawing_and_shows_what_is_on_it() {
        let pdf = to_pdf(&drawing().finish()).unwrap();
        assert_eq!(pdf, to_pdf(&drawing().finish()).unwrap());
        assert!(pdf.starts_with(b"%PDF-") && pdf.ends_with(b"%%EOF"));
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.contains("/MediaBox [0 0 200 100]"), "{text}");
        // Opaque and see-through; a dash pattern; outlines of letters.
        assert_eq!(text.matches("/ca ").count(), 2);
        assert!(text.contains("] 0 d\n"));
        assert!(text.matches(" c\n").count() > 20);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let mut canvas = drawing();
        canvas.picture([0.0, 0.0, 10.0, 10.0], &tiny_png());
        let error = to_pdf(&canvas.finish()).unwrap_err().to_string();
        assert!(error.contains("pictures"), "{error}");
        assert!(to_pdf("<svg").is_err());
    }

    fn tiny_png() -> Vec<u8> {
        let pixels = resvg::tiny_skia::Pixmap::new(1, 1).unwrap();
        pixels.encode_png().unwrap()
    }
}
