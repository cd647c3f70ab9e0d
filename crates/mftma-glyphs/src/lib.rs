//! Builds the embedded data set `glyphs` from Debian's font packages.
//!
//! The 94 printable ASCII characters are 94 classes; each typeface gives one image per class. What is done with the fonts,
//! in this order, with the thresholds below (`datasets/glyphs/README.md` reports what they did):
//!
//! 1. Only packages named in `packages.csv` are read, a list kept by hand with the licence of each; the package's copyright
//!    file must hold the wording of that licence.
//! 2. A face must draw all 94 characters (none missing, blank or the `.notdef` box), tell upper from lower case, be large
//!    enough in the frame, and look like ASCII to a nearest-mean classifier built from all other faces.
//! 3. Faces closer than `DUPLICATE` are the same design: one stays.
//! 4. Whole families (with their superfamily: `DejaVu Sans`, `DejaVu Serif`) are drawn for the test split; training faces
//!    closer than `RELATED` to a test face are dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, GzBuilder};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use ttf_parser::{Face, OutlineBuilder, name_id};

/// Where fonts are read and the data set is written.
#[derive(Debug, Clone)]
pub struct Request {
    /// Root of the Debian system whose font packages are drawn.
    pub fonts: PathBuf,
    /// Folder of the data set; its `packages.csv` names the packages.
    pub out: PathBuf,
    /// Folder for pictures of all images of either split, for looking at.
    pub sheet: Option<PathBuf>,
}

/// The classes, in label order: `!` is class 0, `~` is class 93.
const CHARACTERS: std::ops::RangeInclusive<char> = '!'..='~';
const CLASSES: usize = 94;
/// Image side in pixels, and the margin that no ink enters.
const SIDE: usize = 32;
const MARGIN: f32 = 1.0;
/// Grey levels kept of 256: halves the compressed size, invisible at this resolution.
const LEVELS: f32 = 15.0;
/// Faces whose capital H is lower than this many pixels once the whole face fits the frame are dropped.
const MIN_CAPITAL: f32 = 11.0;
/// Most pairs of characters that a face may draw alike (`I` and `l`, say). All-capitals faces have 26.
const MAX_EQUAL_PAIRS: usize = 3;
/// Small letters nearer to their capitals than this (mean distance at equal height) are small capitals.
const SMALL_CAPITALS: f32 = 0.4;
/// Least share of a face's 94 images that the nearest class mean must recognise.
const MIN_READABLE: f32 = 0.40;
/// Two faces nearer than this (see [`distance`]) are one design.
const DUPLICATE: f32 = 0.20;
/// No training face is nearer than this to a test face.
const RELATED: f32 = 0.25;
/// Faces kept of one family, at most.
const MAX_FACES_PER_FAMILY: usize = 3;
/// Share of the faces in the test split, at least.
const TEST_SHARE: f32 = 0.2;
/// Seed of the split.
const SPLIT_SEED: u64 = 20_210_504;

/// Canvas on which faces are compared: every face drawn with the same capital height, on the same baseline.
mod canvas {
    pub const WIDTH: usize = 40;
    pub const HEIGHT: usize = 36;
    pub const BASELINE: f32 = 26.0;
    pub const CAPITAL: f32 = 16.0;
}

/// Runs the command.
pub fn run(args: &Request) -> Result<()> {
    let list = args.out.join("packages.csv");
    let packages = read_packages(&list, &args.fonts)?;
    let files: Vec<(usize, PathBuf)> = packages
        .iter()
        .enumerate()
        .flat_map(|(index, package)| package.fonts.iter().map(move |file| (index, file.clone())))
        .collect();
    let mut report = Report::default();
    let read: Vec<Result<Vec<Outcome>>> = files
        .par_iter()
        .map(|(index, file)| read_faces(&packages[*index], &args.fonts, file))
        .collect();
    let mut faces = Vec::new();
    for outcomes in read {
        for outcome in outcomes? {
            match outcome {
                Outcome::Usable(face) => faces.push(*face),
                Outcome::Dropped(name, reason) => report.drop(name, reason),
            }
        }
    }
    ensure!(
        !faces.is_empty(),
        "no usable face in the packages of {} under {}: install them first",
        list.display(),
        args.fonts.display()
    );
    // Upright regular faces come first, so that of two alike the plainer one stays; the rest of the key makes it total.
    faces.sort_by(|a, b| a.key().cmp(&b.key()));
    let faces = drop_unreadable(faces, &mut report);
    let distances = Distances::measure(&faces);
    let chosen = choose(&faces, &distances, &mut report);
    let parts = split(&faces, &distances, &chosen, &mut report);
    write_all(args, &packages, &faces, &parts)?;
    report.write(args, &faces, &distances, &parts)
}

/// One line of `packages.csv`, with what the package database says about it.
struct Package {
    name: String,
    version: String,
    licence: String,
    copyright: Vec<String>,
    fonts: Vec<PathBuf>,
}

/// Wording that the copyright file must hold for a licence in the list; any one of the alternatives will do.
fn wording(licence: &str) -> Option<&'static [&'static str]> {
    Some(match licence {
        "OFL-1.1" | "OFL-1.0" => &[
            "open font license",
            "openfont license",
            "copy of the font software",
        ],
        "Apache-2.0" => &["apache license", "apache-2", "apache version 2"],
        "Bitstream-Vera" => &[
            "bitstream vera",
            "permission is hereby granted, free of charge, to any person obtaining a copy of the fonts",
        ],
        "MIT" => &["permission is hereby granted, free of charge"],
        "BSD-2-Clause" | "BSD-3-Clause" => &["redistribution and use in source and binary forms"],
        "GUST-Font-License" => &["gust font license"],
        "CC0-1.0" => &["cc0"],
        "public-domain" => &["public domain", "public-domain", "unlicense"],
        _ => return None,
    })
}

/// Reads the list of packages and looks each one up in the package database under `root`.
fn read_packages(list: &Path, root: &Path) -> Result<Vec<Package>> {
    let text =
        fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let status = root.join("var/lib/dpkg/status");
    let status = fs::read_to_string(&status).with_context(|| {
        format!(
            "{}: --fonts must name the root of a Debian system",
            status.display()
        )
    })?;
    let versions = installed_versions(&status);
    let mut packages = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .skip(1)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let place = || format!("{}, line {}", list.display(), number + 1);
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [name, licence, except] = fields[..] else {
            bail!("{}: wanted package,licence,except, found '{line}'", place());
        };
        let wording = wording(licence)
            .with_context(|| format!("{}: licence '{licence}' is not on the list", place()))?;
        let version = versions.get(name).with_context(|| {
            format!(
                "{}: package '{name}' is not installed under {}: apt-get install {name}",
                place(),
                root.display()
            )
        })?;
        let copyright = root.join(format!("usr/share/doc/{name}/copyright"));
        let text =
            fs::read(&copyright).with_context(|| format!("cannot read {}", copyright.display()))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        ensure!(
            wording.iter().any(|phrase| words.contains(phrase)),
            "{}: {} does not mention {:?}, wanted for licence '{licence}'",
            place(),
            copyright.display(),
            wording
        );
        packages.push(Package {
            name: name.to_owned(),
            version: version.to_string(),
            licence: licence.to_owned(),
            copyright: copyright_lines(&text),
            fonts: font_files(root, name, except)?,
        });
    }
    Ok(packages)
}

/// Package name → version, of every package the database holds.
fn installed_versions(status: &str) -> BTreeMap<&str, &str> {
    let field = |stanza: &'_ str, name: &str| -> Option<(usize, usize)> {
        let mut offset = 0;
        for line in stanza.split_inclusive('\n') {
            if let Some(value) = line.strip_prefix(name) {
                let start = offset + name.len();
                return Some((start, start + value.trim_end().len()));
            }
            offset += line.len();
        }
        None
    };
    status
        .split("\n\n")
        .filter_map(|stanza| {
            let name = field(stanza, "Package: ")?;
            let version = field(stanza, "Version: ")?;
            Some((&stanza[name.0..name.1], &stanza[version.0..version.1]))
        })
        .collect()
}

/// TrueType and OpenType files of one package, sorted, each once, but for names that hold `except` (when not empty).
fn font_files(root: &Path, package: &str, except: &str) -> Result<Vec<PathBuf>> {
    let list = root.join(format!("var/lib/dpkg/info/{package}.list"));
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut files: Vec<PathBuf> = text
        .lines()
        .map(|line| PathBuf::from(line.trim_start_matches('/')))
        .filter(|path| {
            let extension = path
                .extension()
                .and_then(|e| e.to_str())
                .unwrap_or_default()
                .to_lowercase();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            // Links lead to files that are listed themselves.
            ["ttf", "otf", "ttc"].contains(&extension.as_str())
                && (except.is_empty() || !name.contains(except))
                && fs::symlink_metadata(root.join(path)).is_ok_and(|meta| meta.is_file())
        })
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Lines of a Debian copyright file that name the holders of the upstream work.
fn copyright_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for stanza in text.split("\n\n") {
        if stanza.lines().any(|line| line.starts_with("Files: debian")) {
            continue;
        }
        let mut inside = false;
        for line in stanza.lines() {
            let lower = line.to_lowercase();
            if let Some(rest) = line.strip_prefix("Copyright:") {
                inside = true;
                lines.push(rest.trim().to_owned());
            } else if inside && line.starts_with([' ', '\t']) {
                lines.push(line.trim().to_owned());
            } else {
                inside = false;
                if lower.contains("copyright (c) ") && lower.contains(|c: char| c.is_ascii_digit())
                {
                    lines.push(line.trim().to_owned());
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    lines.retain(|line| !line.is_empty() && line != "." && seen.insert(line.clone()));
    lines.truncate(4);
    lines
}

/// One typeface in one style, drawn.
struct Typeface {
    package: String,
    file: PathBuf,
    index: u32,
    family: String,
    style: String,
    licence: String,
    /// Distance from an upright regular weight, for the order of preference.
    plainness: u16,
    /// 94 images of 32×32, as they enter the data set.
    images: Vec<u8>,
    /// Their ink in all.
    images_ink: u32,
    /// The 62 letters and digits on the comparison canvas, and the ink of each.
    compared: Vec<u8>,
    ink: Vec<u32>,
}

impl Typeface {
    fn key(&self) -> (u16, &str, &str, &Path, u32) {
        (
            self.plainness,
            &self.family,
            &self.package,
            &self.file,
            self.index,
        )
    }

    fn name(&self) -> String {
        format!("{} {} ({})", self.family, self.style, self.package)
    }
}

/// What became of one face.
enum Outcome {
    Usable(Box<Typeface>),
    Dropped(String, Reason),
}

/// Why a face is not in the data set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reason {
    Unparsable,
    MissingCharacters,
    NotBackslash,
    CharactersAlike,
    TooSmall,
    NotReadable,
    NearDuplicate,
    EnoughOfFamily,
    NearTest,
}

impl Reason {
    const fn words(self) -> &'static str {
        match self {
            Self::Unparsable => "not a font that the parser reads",
            Self::MissingCharacters => {
                "a printable ASCII character missing, blank or drawn as .notdef"
            }
            Self::NotBackslash => "another sign in the place of the backslash",
            Self::CharactersAlike => "small letters drawn as capitals",
            Self::TooSmall => "capitals too small once every glyph fits the frame",
            Self::NotReadable => "not recognised as ASCII",
            Self::NearDuplicate => "near-duplicate of a kept face",
            Self::EnoughOfFamily => "more faces of a family than wanted",
            Self::NearTest => "training face that looks like a test face",
        }
    }
}

/// Reads every face of one font file.
fn read_faces(package: &Package, root: &Path, file: &Path) -> Result<Vec<Outcome>> {
    let path = root.join(file);
    let data = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let stem = file
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let count = ttf_parser::fonts_in_collection(&data).unwrap_or(1);
    Ok((0..count)
        .map(|index| match Face::parse(&data, index) {
            Err(_) => Outcome::Dropped(format!("{stem} ({})", package.name), Reason::Unparsable),
            Ok(face) => read_face(package, file, index, &stem, &face),
        })
        .collect())
}

fn read_face(package: &Package, file: &Path, index: u32, stem: &str, face: &Face<'_>) -> Outcome {
    let name = |ids: [u16; 2]| {
        ids.into_iter().find_map(|id| {
            face.names()
                .into_iter()
                .filter(|name| name.name_id == id && name.is_unicode())
                .find_map(|name| name.to_string())
                .map(|text| {
                    let unfit = |c: char| c.is_control() || matches!(c, ',' | '"');
                    text.replace(unfit, " ").trim().to_owned()
                })
                // Some fonts leave a sign for hidden names, or nothing, where the name belongs.
                .filter(|text| text.contains(char::is_alphanumeric))
        })
    };
    let family =
        name([name_id::TYPOGRAPHIC_FAMILY, name_id::FAMILY]).unwrap_or_else(|| stem.to_owned());
    let style = name([name_id::TYPOGRAPHIC_SUBFAMILY, name_id::SUBFAMILY])
        .unwrap_or_else(|| "Regular".to_owned());
    let (family, style) = move_style_words(&family, &style);
    let label = format!("{family} {style} ({})", package.name);
    let Some(glyphs) = outlines(face) else {
        return Outcome::Dropped(label, Reason::MissingCharacters);
    };
    if !is_backslash(&glyphs[class_of('\\')]) {
        return Outcome::Dropped(label, Reason::NotBackslash);
    }
    let (images, capital) = draw_images(&glyphs);
    if capital < MIN_CAPITAL {
        return Outcome::Dropped(label, Reason::TooSmall);
    }
    if equal_pairs(&images) > MAX_EQUAL_PAIRS || has_small_capitals(&glyphs) {
        return Outcome::Dropped(label, Reason::CharactersAlike);
    }
    let (compared, ink) = draw_compared(&glyphs);
    let slanted = face.is_italic() || face.is_oblique() || face.italic_angle() != 0.0;
    Outcome::Usable(Box::new(Typeface {
        package: package.name.clone(),
        file: file.to_owned(),
        index,
        plainness: face.weight().to_number().abs_diff(400)
            + 2000 * u16::from(slanted)
            + 1000 * u16::from(face.width().to_number() != 5),
        family,
        style,
        licence: package.licence.clone(),
        images_ink: images.iter().map(|&p| u32::from(p)).sum(),
        images,
        compared,
        ink,
    }))
}

/// Words that tell a style, not a family; older fonts put them into the family's name.
const STYLE_WORDS: &[&str] = &[
    "thin",
    "hairline",
    "extralight",
    "ultralight",
    "light",
    "semilight",
    "demilight",
    "book",
    "regular",
    "roman",
    "medium",
    "semibold",
    "demibold",
    "demi",
    "bold",
    "extrabold",
    "ultrabold",
    "heavy",
    "black",
    "extrablack",
    "ultra",
    "italic",
    "oblique",
    "slanted",
    "condensed",
    "semicondensed",
    "extracondensed",
    "expanded",
    "extended",
    "semiexpanded",
    "narrow",
    "wide",
    "normal",
    "regularitalic",
    "bolditalic",
    "lightitalic",
    "cond",
    "extcond",
    "semi",
    "extra",
];

/// Splits trailing style words off the family's name.
fn move_style_words(family: &str, style: &str) -> (String, String) {
    let words: Vec<&str> = family.split_whitespace().collect();
    let mut end = words.len();
    while end > 1 && STYLE_WORDS.contains(&words[end - 1].to_lowercase().replace('-', "").as_str())
    {
        end -= 1;
    }
    let mut moved: Vec<&str> = words[end..].to_vec();
    moved.extend(
        style
            .split_whitespace()
            .filter(|word| !words[end..].contains(word)),
    );
    (words[..end].join(" "), moved.join(" "))
}

/// One glyph as closed polygons in font units, and its ink box.
struct Glyph {
    lines: Vec<(Point, Point)>,
    min: Point,
    max: Point,
}

/// Collects an outline, curves cut into chords (far shorter than a pixel at the sizes drawn here).
struct Flattener {
    lines: Vec<(Point, Point)>,
    start: Point,
    at: Point,
}

impl Flattener {
    const CHORDS: u8 = 12;

    fn to(&mut self, next: Point) {
        self.lines.push((self.at, next));
        self.at = next;
    }
}

impl OutlineBuilder for Flattener {
    fn move_to(&mut self, x: f32, y: f32) {
        self.start = point(x, y);
        self.at = self.start;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.to(point(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let from = self.at;
        for step in 1..=Self::CHORDS {
            let t = f32::from(step) / f32::from(Self::CHORDS);
            let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
            self.to(point(
                a * from.x + b * x1 + c * x,
                a * from.y + b * y1 + c * y,
            ));
        }
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let from = self.at;
        for step in 1..=Self::CHORDS {
            let t = f32::from(step) / f32::from(Self::CHORDS);
            let s = 1.0 - t;
            let (a, b, c, d) = (s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t);
            self.to(point(
                a * from.x + b * x1 + c * x2 + d * x,
                a * from.y + b * y1 + c * y2 + d * y,
            ));
        }
    }

    fn close(&mut self) {
        self.to(self.start);
    }
}

fn outline(face: &Face<'_>, glyph: ttf_parser::GlyphId) -> Option<Glyph> {
    let mut flattener = Flattener {
        lines: Vec::new(),
        start: point(0.0, 0.0),
        at: point(0.0, 0.0),
    };
    face.outline_glyph(glyph, &mut flattener)?;
    let lines = flattener.lines;
    let (mut min, mut max) = (point(f32::MAX, f32::MAX), point(f32::MIN, f32::MIN));
    for p in lines.iter().flat_map(|(a, b)| [a, b]) {
        min = point(min.x.min(p.x), min.y.min(p.y));
        max = point(max.x.max(p.x), max.y.max(p.y));
    }
    (max.x > min.x && max.y > min.y).then_some(Glyph { lines, min, max })
}

/// Outlines of the 94 characters, or nothing where one is missing, blank or the `.notdef` box under another name.
fn outlines(face: &Face<'_>) -> Option<Vec<Glyph>> {
    let notdef = outline(face, ttf_parser::GlyphId(0));
    CHARACTERS
        .map(|character| {
            let id = face.glyph_index(character).filter(|id| id.0 != 0)?;
            outline(face, id)
                .filter(|glyph| notdef.as_ref().is_none_or(|box_| box_.lines != glyph.lines))
        })
        .collect()
}

/// Whether a glyph is one stroke that leans like a backslash. Many Korean and Japanese fonts draw the won or yen sign there,
/// which some horizontal line meets over its whole width; a few draw a slash, which leans the other way.
fn is_backslash(glyph: &Glyph) -> bool {
    const CUTS: u8 = 40;
    let cuts: Vec<(f32, f32)> = (0..CUTS)
        .map(|cut| {
            let y = glyph.max.y
                - (glyph.max.y - glyph.min.y) * (f32::from(cut) + 0.5) / f32::from(CUTS);
            let crossings = glyph.lines.iter().filter(|(a, b)| (a.y < y) != (b.y < y));
            crossings
                .map(|(a, b)| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x))
                .fold((f32::MAX, f32::MIN), |(left, right), x| {
                    (left.min(x), right.max(x))
                })
        })
        .collect();
    let (top, bottom) = (cuts[0], cuts[cuts.len() - 1]);
    let narrow = cuts
        .iter()
        .all(|(left, right)| right - left < 0.9 * (glyph.max.x - glyph.min.x));
    narrow && top.0 + top.1 < bottom.0 + bottom.1
}

/// Whether the small letters are capitals drawn smaller: the distance of letters whose two forms differ in shape, both
/// brought to one height.
fn has_small_capitals(glyphs: &[Glyph]) -> bool {
    const DIFFERENT: &str = "abdeghnqrt";
    let drawn = |class: usize| {
        let glyph = &glyphs[class];
        let scale = canvas::CAPITAL / (glyph.max.y - glyph.min.y);
        let middle = (glyph.min.x + glyph.max.x) / 2.0;
        let baseline = canvas::BASELINE + glyph.min.y * scale;
        draw(
            glyph,
            (canvas::WIDTH, canvas::HEIGHT),
            scale,
            middle,
            canvas::WIDTH as f32 / 2.0,
            baseline,
        )
    };
    let total: f32 = DIFFERENT
        .chars()
        .map(|letter| {
            let (small, capital) = (
                drawn(class_of(letter)),
                drawn(class_of(letter.to_ascii_uppercase())),
            );
            let apart: f32 = small.iter().zip(&capital).map(|(p, q)| (p - q).abs()).sum();
            let either: f32 = small.iter().zip(&capital).map(|(p, q)| p.max(*q)).sum();
            apart / either
        })
        .sum();
    total < SMALL_CAPITALS * DIFFERENT.len() as f32
}

/// Draws one glyph: font unit (x, y) lands on pixel ((x - left) scale + dx, baseline - y scale).
fn draw(
    glyph: &Glyph,
    size: (usize, usize),
    scale: f32,
    left: f32,
    dx: f32,
    baseline: f32,
) -> Vec<f32> {
    let mut rasterizer = Rasterizer::new(size.0, size.1);
    // Ink beyond the frame is pressed onto its edge, not wrapped (only the comparison canvas is ever too small).
    let map = |p: &Point| {
        point(
            ((p.x - left) * scale + dx).clamp(0.0, size.0 as f32),
            (baseline - p.y * scale).clamp(0.0, size.1 as f32),
        )
    };
    for (from, to) in &glyph.lines {
        rasterizer.draw_line(map(from), map(to));
    }
    let mut pixels = vec![0.0; size.0 * size.1];
    rasterizer.for_each_pixel(|index, coverage| pixels[index] = coverage.clamp(0.0, 1.0));
    pixels
}

/// The 94 images of a face, and the height in pixels of its capital H.
///
/// One scale and one baseline for the whole face, the largest at which every glyph fits, so that `o`, `O` and `0`, `,`
/// and `'`, `-` and `_` keep what tells them apart; the line as a whole is centred vertically, each glyph horizontally.
fn draw_images(glyphs: &[Glyph]) -> (Vec<u8>, f32) {
    let bottom = glyphs.iter().map(|g| g.min.y).fold(f32::MAX, f32::min);
    let top = glyphs.iter().map(|g| g.max.y).fold(f32::MIN, f32::max);
    let width = glyphs.iter().map(|g| g.max.x - g.min.x).fold(0.0, f32::max);
    let side = SIDE as f32;
    let scale = (side - 2.0 * MARGIN) / width.max(top - bottom);
    let baseline = side / 2.0 + scale * (top + bottom) / 2.0;
    let mut images = Vec::with_capacity(CLASSES * SIDE * SIDE);
    for glyph in glyphs {
        let middle = (glyph.min.x + glyph.max.x) / 2.0;
        let pixels = draw(glyph, (SIDE, SIDE), scale, middle, side / 2.0, baseline);
        images.extend(
            pixels
                .iter()
                .map(|&p| ((p * LEVELS).round() * (255.0 / LEVELS)) as u8),
        );
    }
    let capital = &glyphs[class_of('H')];
    (images, (capital.max.y - capital.min.y) * scale)
}

const fn class_of(character: char) -> usize {
    character as usize - *CHARACTERS.start() as usize
}

/// Letters and digits, the characters that carry a typeface's design.
fn letters() -> impl Iterator<Item = usize> {
    CHARACTERS.filter(char::is_ascii_alphanumeric).map(class_of)
}

fn draw_compared(glyphs: &[Glyph]) -> (Vec<u8>, Vec<u32>) {
    let capital = &glyphs[class_of('H')];
    let scale = canvas::CAPITAL / (capital.max.y - capital.min.y);
    let mut compared = Vec::new();
    let mut ink = Vec::new();
    for class in letters() {
        let glyph = &glyphs[class];
        let middle = (glyph.min.x + glyph.max.x) / 2.0;
        let size = (canvas::WIDTH, canvas::HEIGHT);
        let pixels = draw(
            glyph,
            size,
            scale,
            middle,
            canvas::WIDTH as f32 / 2.0,
            canvas::BASELINE,
        );
        let start = compared.len();
        compared.extend(pixels.iter().map(|&p| (p * 255.0).round() as u8));
        ink.push(compared[start..].iter().map(|&p| u32::from(p)).sum());
    }
    (compared, ink)
}

/// Pairs of characters whose images are equal.
fn equal_pairs(images: &[u8]) -> usize {
    let images: Vec<&[u8]> = images.chunks_exact(SIDE * SIDE).collect();
    (0..images.len())
        .map(|a| {
            images[..a]
                .iter()
                .filter(|image| **image == images[a])
                .count()
        })
        .sum()
}

/// Drops faces whose glyphs are not what their code points say (symbols, other scripts, ornaments), by a nearest-mean
/// classifier: class means over all faces, then over the faces that those means could read.
fn drop_unreadable(faces: Vec<Typeface>, report: &mut Report) -> Vec<Typeface> {
    let all: Vec<usize> = (0..faces.len()).collect();
    let first = readability(&faces, &all);
    let inliers: Vec<usize> = all
        .into_iter()
        .filter(|&face| first[face] >= MIN_READABLE)
        .collect();
    let second = readability(&faces, &inliers);
    report.readability = second.clone();
    let mut kept = Vec::new();
    for (face, share) in faces.into_iter().zip(second) {
        if share >= MIN_READABLE {
            kept.push(face);
        } else {
            report.drop(format!("{} {share:.2}", face.name()), Reason::NotReadable);
        }
    }
    kept
}

/// Share of each face's images whose nearest class mean (by correlation, means over `basis`) is their own class.
fn readability(faces: &[Typeface], basis: &[usize]) -> Vec<f32> {
    let pixels = SIDE * SIDE;
    let mut means = vec![0.0f32; CLASSES * pixels];
    for &face in basis {
        for (mean, &pixel) in means.iter_mut().zip(&faces[face].images) {
            *mean += f32::from(pixel);
        }
    }
    for mean in means.chunks_exact_mut(pixels) {
        let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        mean.iter_mut().for_each(|x| *x /= norm);
    }
    faces
        .par_iter()
        .map(|face| {
            let right = face
                .images
                .chunks_exact(pixels)
                .enumerate()
                .filter(|(class, image)| {
                    let score = |mean: &[f32]| -> f32 {
                        mean.iter()
                            .zip(*image)
                            .map(|(m, &p)| m * f32::from(p))
                            .sum()
                    };
                    let own = score(&means[class * pixels..(class + 1) * pixels]);
                    means.chunks_exact(pixels).all(|mean| score(mean) <= own)
                })
                .count();
            right as f32 / CLASSES as f32
        })
        .collect()
}

/// Distances between all pairs of faces.
struct Distances {
    values: Vec<f32>,
}

impl Distances {
    fn measure(faces: &[Typeface]) -> Self {
        let count = faces.len();
        let rows: Vec<Vec<f32>> = (0..count)
            .into_par_iter()
            .map(|a| (0..a).map(|b| distance(&faces[a], &faces[b])).collect())
            .collect();
        Self {
            values: rows.concat(),
        }
    }

    fn get(&self, a: usize, b: usize) -> f32 {
        match a.cmp(&b) {
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Greater => self.values[a * (a - 1) / 2 + b],
            std::cmp::Ordering::Less => self.values[b * (b - 1) / 2 + a],
        }
    }
}

/// Distance of two faces: the smaller of that of their letters at one capital height and that of their images as they
/// enter the data set. Either alone misses twins: a font may alter one capital, or only its line height.
fn distance(a: &Typeface, b: &Typeface) -> f32 {
    distance_of_letters(a, b).min(distance_of_images(a, b))
}

/// The ink that only one of two faces has, as a share of the ink that either has, averaged over the 62 letters and
/// digits, both faces drawn with the same capital height. 0: the same face; 1: nothing in common.
fn distance_of_letters(a: &Typeface, b: &Typeface) -> f32 {
    let size = canvas::WIDTH * canvas::HEIGHT;
    let mut total = 0.0;
    for (letter, (x, y)) in a
        .compared
        .chunks_exact(size)
        .zip(b.compared.chunks_exact(size))
        .enumerate()
    {
        let apart = apart(x, y);
        let either = (a.ink[letter] + b.ink[letter] + apart) / 2;
        total += apart as f32 / either.max(1) as f32;
    }
    total / a.ink.len() as f32
}

/// The same over all 94 images of the data set taken together.
fn distance_of_images(a: &Typeface, b: &Typeface) -> f32 {
    let apart = apart(&a.images, &b.images);
    let either = (a.images_ink + b.images_ink + apart) / 2;
    apart as f32 / either.max(1) as f32
}

/// Ink that only one of two images has.
fn apart(x: &[u8], y: &[u8]) -> u32 {
    x.iter()
        .zip(y)
        .map(|(&p, &q)| u32::from(p.abs_diff(q)))
        .sum()
}

/// First word of a family's name: `DejaVu Sans Mono` and `DejaVu Serif` are one superfamily.
fn superfamily(family: &str) -> String {
    family
        .split([' ', '-'])
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// Faces kept, in order of preference: far enough from every face kept before, and not too many of one family.
fn choose(faces: &[Typeface], distances: &Distances, report: &mut Report) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    let mut of_family: BTreeMap<&str, usize> = BTreeMap::new();
    for (face, typeface) in faces.iter().enumerate() {
        let nearest = kept
            .iter()
            .map(|&other| (distances.get(face, other), other))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((distance, other)) = nearest.filter(|(distance, _)| *distance < DUPLICATE) {
            let name = format!(
                "{} {distance:.3} of {}",
                typeface.name(),
                faces[other].name()
            );
            report.drop(name, Reason::NearDuplicate);
            report.across_families += usize::from(faces[other].family != typeface.family);
            continue;
        }
        let count = of_family.entry(&typeface.family).or_default();
        if *count == MAX_FACES_PER_FAMILY {
            report.drop(typeface.name(), Reason::EnoughOfFamily);
            continue;
        }
        *count += 1;
        kept.push(face);
    }
    kept
}

/// The two parts of the data set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Test,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Draws superfamilies for the test part until it holds its share of the kept faces; then drops the training faces that
/// look like a test face, so that no design lies on both sides under two names.
fn split(
    faces: &[Typeface],
    distances: &Distances,
    kept: &[usize],
    report: &mut Report,
) -> Vec<(usize, Part)> {
    let wanted = (kept.len() as f32 * TEST_SHARE).ceil() as usize;
    let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for &face in kept {
        members
            .entry(superfamily(&faces[face].family))
            .or_default()
            .push(face);
    }
    let mut order: Vec<&Vec<usize>> = members.values().collect();
    // The only draw of this maker: its seed is the name of its stream.
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
    let mut test = BTreeSet::new();
    for family in order {
        if test.len() < wanted {
            test.extend(family.iter().copied());
        }
    }
    let mut parts = Vec::new();
    for &face in kept {
        if test.contains(&face) {
            parts.push((face, Part::Test));
        } else if let Some(&near) = test
            .iter()
            .find(|&&other| distances.get(face, other) < RELATED)
        {
            report.drop(
                format!("{} of {}", faces[face].name(), faces[near].name()),
                Reason::NearTest,
            );
        } else {
            parts.push((face, Part::Train));
        }
    }
    parts
}

/// What the build did, for `report.txt` and `dropped.csv`.
#[derive(Default)]
struct Report {
    dropped: Vec<(Reason, String)>,
    readability: Vec<f32>,
    /// Near-duplicates whose family has another name than the face they repeat.
    across_families: usize,
}

impl Report {
    fn drop(&mut self, face: String, reason: Reason) {
        self.dropped.push((reason, face));
    }

    fn write(
        mut self,
        args: &Request,
        faces: &[Typeface],
        distances: &Distances,
        parts: &[(usize, Part)],
    ) -> Result<()> {
        let kept: Vec<usize> = parts.iter().map(|&(face, _)| face).collect();
        let of = |part: Part| {
            parts
                .iter()
                .filter(move |(_, p)| *p == part)
                .map(|&(face, _)| face)
        };
        self.dropped.sort();
        let mut list = String::from("reason,face\n");
        for (reason, face) in &self.dropped {
            writeln!(
                list,
                "{},{}",
                reason.words().replace(',', ";"),
                face.replace(',', ";")
            )?;
        }
        mftma_atomic::write(&args.out.join("dropped.csv"), list.as_bytes())?;

        let mut text = String::from("Written by `cargo xtask glyphs`.\n\n");
        writeln!(
            text,
            "faces read                 {:5}",
            self.dropped.len() + kept.len()
        )?;
        let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
        for (reason, _) in &self.dropped {
            *counts.entry(*reason).or_default() += 1;
        }
        for (reason, count) in counts {
            writeln!(
                text,
                "  dropped                  {count:5}  {}",
                reason.words()
            )?;
        }
        writeln!(
            text,
            "    (of the near-duplicates {:4} repeat a face of another family name)",
            self.across_families
        )?;
        let families = |kept: &mut dyn Iterator<Item = usize>| -> usize {
            kept.map(|face| faces[face].family.as_str())
                .collect::<BTreeSet<_>>()
                .len()
        };
        let packages: BTreeSet<&str> = kept
            .iter()
            .map(|&face| faces[face].package.as_str())
            .collect();
        writeln!(text, "faces kept                 {:5}", kept.len())?;
        writeln!(
            text,
            "families kept              {:5}",
            families(&mut kept.iter().copied())
        )?;
        writeln!(text, "packages kept              {:5}", packages.len())?;
        for part in [Part::Train, Part::Test] {
            writeln!(
                text,
                "{:5}  {} faces, {} families, {} images",
                part.name(),
                of(part).count(),
                families(&mut of(part)),
                of(part).count() * CLASSES
            )?;
        }
        writeln!(
            text,
            "\nThresholds: near-duplicate below {DUPLICATE}, related below {RELATED}, readable from {MIN_READABLE}."
        )?;
        let nearest = |among: &[usize], face: usize| -> f32 {
            among
                .iter()
                .filter(|&&other| other != face)
                .map(|&other| distances.get(face, other))
                .fold(1.0, f32::min)
        };
        let all: Vec<usize> = (0..faces.len()).collect();
        let train: Vec<usize> = of(Part::Train).collect();
        let before: Vec<f32> = all.iter().map(|&face| nearest(&all, face)).collect();
        let after: Vec<f32> = kept.iter().map(|&face| nearest(&kept, face)).collect();
        let across: Vec<f32> = of(Part::Test).map(|face| nearest(&train, face)).collect();
        histogram(
            &mut text,
            "Distance to the nearest other face, before dropping near-duplicates",
            &before,
        )?;
        histogram(&mut text, "The same among the faces kept", &after)?;
        histogram(
            &mut text,
            "Distance of each test face to the nearest training face",
            &across,
        )?;
        histogram(
            &mut text,
            "Share of a face's images read by the nearest class mean",
            &self.readability,
        )?;
        mftma_atomic::write(&args.out.join("report.txt"), text.as_bytes())?;
        print!("{text}");
        Ok(())
    }
}

/// Appends a histogram of values in [0, 1] in bins of 0.05.
fn histogram(text: &mut String, title: &str, values: &[f32]) -> Result<()> {
    let mut bins = [0usize; 20];
    for value in values {
        bins[((value * 20.0) as usize).min(19)] += 1;
    }
    writeln!(text, "\n{title}:")?;
    for (bin, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        writeln!(
            text,
            "  {:.2} to {:.2}  {count:5}",
            bin as f32 / 20.0,
            (bin + 1) as f32 / 20.0
        )?;
    }
    Ok(())
}

/// Writes the four IDX files, the table of faces, the licence table, the checksums and (when asked) the contact sheet.
fn write_all(
    args: &Request,
    packages: &[Package],
    faces: &[Typeface],
    parts: &[(usize, Part)],
) -> Result<()> {
    let mut table =
        String::from("split,position,family,style,package,version,licence,file,index\n");
    let version = |name: &str| {
        packages
            .iter()
            .find(|p| p.name == name)
            .map_or("", |p| p.version.as_str())
    };
    let mut sums = String::new();
    for part in [Part::Train, Part::Test] {
        let mut mine: Vec<&Typeface> = Vec::new();
        for &(face, _) in parts.iter().filter(|(_, p)| *p == part) {
            let typeface = &faces[face];
            writeln!(
                table,
                "{},{},{},{},{},{},{},{},{}",
                part.name(),
                mine.len(),
                typeface.family,
                typeface.style,
                typeface.package,
                version(&typeface.package),
                typeface.licence,
                typeface.file.display(),
                typeface.index
            )?;
            mine.push(typeface);
        }
        let count = u32::try_from(mine.len() * CLASSES)?;
        let side = u32::try_from(SIDE)?;
        let mut images: Vec<u8> = [0x803, count, side, side]
            .into_iter()
            .flat_map(u32::to_be_bytes)
            .collect();
        let mut labels: Vec<u8> = [0x801, count]
            .into_iter()
            .flat_map(u32::to_be_bytes)
            .collect();
        for face in &mine {
            images.extend(&face.images);
            labels.extend(0..CLASSES as u8);
        }
        for (bytes, name) in [
            (images, "images-idx3-ubyte.gz"),
            (labels, "labels-idx1-ubyte.gz"),
        ] {
            let name = format!("{}-{name}", part.name());
            let packed = pack(&bytes)?;
            mftma_atomic::write(&args.out.join(&name), &packed)?;
            let digest: String = Sha256::digest(&packed)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            writeln!(sums, "{digest}  {name}")?;
        }
        if let Some(sheet) = &args.sheet {
            draw_sheet(&sheet.join(format!("{}.png", part.name())), &mine)?;
        }
    }
    mftma_atomic::write(&args.out.join("faces.csv"), table.as_bytes())?;
    mftma_atomic::write(&args.out.join("SHA256SUMS"), sums.as_bytes())?;
    let licences = licence_table(packages, faces, parts)?;
    mftma_atomic::write(&args.out.join("LICENSES.md"), licences.as_bytes())?;
    Ok(())
}

/// gzip without name or time, so that equal images give equal bytes.
fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn licence_table(
    packages: &[Package],
    faces: &[Typeface],
    parts: &[(usize, Part)],
) -> Result<String> {
    let mut text = String::from(
        "# Licences of the fonts drawn in `glyphs`\n\n\
         Written by `cargo xtask glyphs` from the packages' copyright files; `packages.csv` holds the licences as checked by hand,\n\
         and `faces.csv` the font file of every face. The images are drawings made with the fonts; no font is copied here.\n\n\
         | package | version | licence | families | copyright |\n|---|---|---|---|---|\n",
    );
    for package in packages {
        let families: BTreeSet<&str> = parts
            .iter()
            .map(|&(face, _)| &faces[face])
            .filter(|face| face.package == package.name)
            .map(|face| face.family.as_str())
            .collect();
        if families.is_empty() {
            continue;
        }
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            package.name,
            package.version,
            package.licence,
            families.into_iter().collect::<Vec<_>>().join(", "),
            package.copyright.join("; ").replace('|', "/")
        )?;
    }
    Ok(text)
}

/// One row of 94 glyphs per face, for looking at.
fn draw_sheet(path: &Path, faces: &[&Typeface]) -> Result<()> {
    let (width, height) = (CLASSES * SIDE, faces.len() * SIDE);
    let mut pixels = vec![0u8; width * height];
    for (row, face) in faces.iter().enumerate() {
        for (class, image) in face.images.chunks_exact(SIDE * SIDE).enumerate() {
            for (y, line) in image.chunks_exact(SIDE).enumerate() {
                let start = (row * SIDE + y) * width + class * SIDE;
                pixels[start..start + SIDE].copy_from_slice(line);
            }
        }
    }
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&pixels, width, height, ExtendedColorType::L8)?;
    Ok(mftma_atomic::write(path, &png)?)
}
