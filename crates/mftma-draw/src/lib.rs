//! Drawing: an SVG canvas, text that is measured before it is placed, scales, panels, and PNGs and PDFs made from the SVGs.
//!
//! Lengths are points (1/72 inch); text is set in the bundled font.

mod canvas;
mod colour;
mod panel;
mod pdf;
mod render;
mod scale;
mod text;

pub use canvas::{Anchor, Canvas, TextStyle};
pub use colour::{Colour, GREY, INK, class_colour, epoch_colour, similarity_colour};
pub use panel::{Band, Panel, colour_bar, footnote};
pub use pdf::to_pdf;
pub use render::{clipped_texts, to_png};
pub use scale::{log_ticks, nice_ticks};
pub use text::{FONTS, Weight, width as text_width};
