//! The bundled font, and how wide text is in it.

/// Weight of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Regular.
    Regular,
    /// Semi-bold.
    Bold,
}

/// The font files, subsets of Inter: regular, semi-bold, italic (for symbols); see `crates/mftma-draw/assets/README.md`.
pub const FONTS: [&[u8]; 3] = [
    include_bytes!("../assets/Inter-Regular.otf"),
    include_bytes!("../assets/Inter-SemiBold.otf"),
    include_bytes!("../assets/Inter-Italic.otf"),
];

/// What an SVG viewer is asked for; Arial and DejaVu Sans stand in where Inter is not installed.
pub const FAMILY: &str = "Inter, Helvetica, Arial, 'DejaVu Sans', sans-serif";

/// Width of `text` in points, without kerning (which only makes it narrower, or hardly wider).
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let data = match weight {
        Weight::Regular => FONTS[0],
        Weight::Bold => FONTS[1],
    };
    let Ok(face) = ttf_parser::Face::parse(data, 0) else {
        // The font is compiled in, and a test parses it; a rough width is better than a panic.
        return 0.6 * size * text.chars().count() as f64;
    };
    let units: u32 = text
        .chars()
        .map(|c| {
            face.glyph_index(c)
                .and_then(|glyph| face.glyph_hor_advance(glyph))
                .map_or(u32::from(face.units_per_em()) / 2, u32::from)
        })
        .sum();
    size * f64::from(units) / f64::from(face.units_per_em())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_fonts_hold_every_character_that_figures_use() {
        for data in FONTS {
            let face = ttf_parser::Face::parse(data, 0).unwrap();
            for c in "0123456789 abcxyzABCXYZ αρεκ ± × – − … · % ²".chars() {
                assert!(face.glyph_index(c).is_some(), "no glyph for {c:?}");
            }
        }
    }

    #[test]
    fn width_grows_with_size_and_text() {
        let one = width("conv5_3", 7.0, Weight::Regular);
        assert!(one > 20.0 && one < 35.0, "{one}");
        assert!((width("conv5_3", 14.0, Weight::Regular) - 2.0 * one).abs() < 1e-9);
        assert!(width("conv5_3", 7.0, Weight::Bold) > one);
    }
}
