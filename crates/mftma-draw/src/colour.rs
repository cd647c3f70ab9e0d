//! Colours: a few that stay distinct for everybody, perceptual scales.

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// Text and axes.
pub const INK: Colour = Colour(0x22, 0x22, 0x22);
/// Secondary text.
pub const GREY: Colour = Colour(0x66, 0x66, 0x66);
/// Grid lines.
pub const LIGHT: Colour = Colour(0xE4, 0xE4, 0xE4);

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:02X}{:02X}{:02X}", self.0, self.1, self.2)
    }
}

/// The colour of the class at `index` among a few: Paul Tol's bright scheme, distinct under the common colour-vision
/// deficiencies and from the colours of the groups. It has six colours; a seventh class has the first again.
pub fn class_colour(index: usize) -> Colour {
    const BRIGHT: [Colour; 6] = [
        Colour(0x44, 0x77, 0xAA),
        Colour(0xEE, 0x66, 0x77),
        Colour(0x22, 0x88, 0x33),
        Colour(0xCC, 0xBB, 0x44),
        Colour(0x66, 0xCC, 0xEE),
        Colour(0xAA, 0x33, 0x77),
    ];
    BRIGHT[index % BRIGHT.len()]
}

/// The colour at `fraction` (0 to 1) of the training, from viridis.
///
/// The scale stops short of its lightest yellow, which is too faint for a thin line on white.
pub fn epoch_colour(fraction: f64) -> Colour {
    let colour = colorous::VIRIDIS.eval_continuous(0.93 * fraction.clamp(0.0, 1.0));
    Colour(colour.r, colour.g, colour.b)
}

/// The colour of a value from 0 to 1 in a map of similarities, from cividis, which looks the same to the colour-blind.
pub fn similarity_colour(value: f64) -> Colour {
    let colour = colorous::CIVIDIS.eval_continuous(value.clamp(0.0, 1.0));
    Colour(colour.r, colour.g, colour.b)
}
