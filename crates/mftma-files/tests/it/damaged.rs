//! Damaged and hostile files of the formats beyond NumPy's: an error or an answer, never a panic.
//!
//! The reading stops at [`exercise::INFLATE_LIMIT`], so that a size that a file merely claims shows as an error.

use std::path::Path;

use mftma_files::error::InputError;
use mftma_files::read::{Format, exercise};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// Fixtures that are small enough to be damaged in every place.
fn samples() -> Vec<(&'static str, Format)> {
    vec![
        ("numbers.pt", Format::Torch),
        ("numbers_state.pth", Format::Torch),
        ("numbers_many.pt", Format::Torch),
        ("numbers_v5.mat", Format::Mat),
        ("numbers_v5_compressed.mat", Format::Mat),
        ("numbers_plain.csv", Format::Table),
        ("numbers_pandas.csv", Format::Table),
        ("numbers_spaces.txt", Format::Table),
        #[cfg(feature = "hdf5")]
        ("numbers_v73.mat", Format::Hdf5),
        #[cfg(feature = "hdf5")]
        ("numbers_latest.h5", Format::Hdf5),
        #[cfg(feature = "hdf5")]
        ("numbers_earliest.h5", Format::Hdf5),
        #[cfg(feature = "parquet")]
        ("numbers.parquet", Format::Parquet),
        #[cfg(feature = "parquet")]
        ("numbers_labelled.parquet", Format::Parquet),
        #[cfg(feature = "parquet")]
        ("numbers_zstd.parquet", Format::Parquet),
    ]
}

#[track_caller]
fn refused(outcome: Result<(), InputError>, word: &str) {
    let Err(error) = outcome else {
        panic!("accepted, though it should say {word:?}")
    };
    let text = error.to_string();
    assert!(text.contains(word), "{word:?} is not in: {text}");
}

#[test]
fn every_truncation_gives_an_answer() {
    for (name, format) in samples() {
        let good = fixture(name);
        // All lengths of small files.
        let step = 1 + good.len() / 2000;
        for len in (0..good.len()).step_by(step) {
            let outcome = exercise::arrays(format, &good[..len]);
            // What lies behind is what tells where things are.
            if matches!(format, Format::Torch | Format::Parquet) || len == 0 {
                assert!(outcome.is_err(), "{name}, {len} bytes");
            }
        }
    }
}

/// Found by fuzzing: at such a page the format's crate panics.
#[cfg(feature = "parquet")]
#[test]
fn parquet_without_the_dictionary_that_it_refers_to_is_refused() {
    let outcome = exercise::arrays(Format::Parquet, &fixture("no_dictionary.parquet"));
    refused(outcome, "dictionary that is not there");
}

#[test]
fn every_changed_byte_gives_an_answer() {
    for (name, format) in samples() {
        let good = fixture(name);
        let step = 1 + good.len() / 2000;
        for at in (0..good.len()).step_by(step) {
            for byte in [0, 0xff, good[at] ^ 1] {
                let mut changed = good.clone();
                changed[at] = byte;
                let _ = exercise::arrays(format, &changed);
                let _ = exercise::labels(name, Some("labels"), &changed, 6);
            }
        }
    }
}

/// Pieces, bins of time and an array for each class, of whole files and of damaged ones.
#[test]
fn what_is_made_of_damaged_arrays_gives_an_answer() {
    for (name, _) in samples() {
        let good = fixture(name);
        let _ = exercise::arranged(name, &good, 1, 6);
        let step = 1 + good.len() / 100;
        for at in (0..good.len()).step_by(step) {
            let _ = exercise::arranged(name, &good[..at], 0, 6);
            let mut changed = good.clone();
            changed[at] ^= 0x11;
            let _ = exercise::arranged(name, &changed, 1, 12);
        }
    }
}

/// A PyTorch archive with this pickle and one storage of 24 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", pickle), ("a/data/0", &[0; 24])] {
        writer.start_file(name, stored).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tensor of `torch.float32`: offset, shape and strides as the pickle's instructions.
fn tensor(offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
                       X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
        .to_vec();
    for part in [offset, shape, strides, b"\x89N"] {
        pickle.extend_from_slice(part);
    }
    pickle.extend_from_slice(b"tR.");
    pickle
}

#[test]
fn hostile_pickles() {
    let read = |pickle: &[u8]| exercise::arrays(Format::Torch, &archive(pickle));
    read(&tensor(b"K\x00", b"K\x02K\x03\x86", b"K\x03K\x01\x86")).unwrap();
    // Past the storage: by offset, shape and stride; the last repeats one value without end.
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    for (offset, shape, strides) in [
        (
            &b"K\x01"[..],
            &b"K\x02K\x03\x86"[..],
            &b"K\x03K\x01\x86"[..],
        ),
        (huge, b"K\x02K\x03\x86", b"K\x03K\x01\x86"),
        (b"K\x00", b"K\x02K\x04\x86", b"K\x03K\x01\x86"),
        (b"K\x00", b"K\x02K\x03\x86", b"K\x04K\x01\x86"),
    ] {
        refused(read(&tensor(offset, shape, strides)), "reaches past");
    }
    let mut wide = b"K\x02".to_vec();
    wide.extend_from_slice(huge);
    wide.push(0x86);
    refused(
        read(&tensor(b"K\x00", &wide, b"K\x00K\x01\x86")),
        "reaches past",
    );
    refused(read(&tensor(b"K\x00", &wide, b"K\x00K\x00\x86")), "past");
    refused(
        read(&tensor(
            b"K\x00",
            b"J\x00\x00\x00\x10K\x03\x86",
            b"K\x00K\x01\x86",
        )),
        "--inflate-limit",
    );
    refused(
        read(&tensor(
            b"K\x00",
            b"J\xff\xff\xff\xffK\x03\x86",
            b"K\x03K\x01\x86",
        )),
        "negative",
    );
    refused(
        read(&tensor(b"K\x00", b"K\x02\x85", b"K\x03K\x01\x86")),
        "strides",
    );
    // What asks for code.
    for (pickle, word) in [
        (&b"cos\nsystem\n(X\x02\x00\x00\x00lstR."[..], "`os.system`"),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
            "`builtins.eval`",
        ),
        (b"ctorch\nload\n.", "`torch.load`"),
        (b"ctorch\nEvilStorage\n.", "`torch.EvilStorage`"),
        (b"(S'x'\nios\nsystem\n.", "instruction"),
    ] {
        refused(read(pickle), word);
    }
    // What makes little sense.
    for (pickle, word) in [
        (&b""[..], "cut short"),
        (b".", "too little"),
        (b"(.", "too little"),
        (b"N(0", "too little"),
        (b"t", "too little"),
        (b"h\x07.", "not there"),
        (b"Ns", "too little"),
        (b"NNNs.", "another kind"),
        (b"](KKK", "cut short"),
        (b"X\xff\xff\xff\xffa", "cut short"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa", "cut short"),
        (b"}(Ku", "cut short"),
        (b"}(K\x00u.", "too little"),
        (b"K\x00.", "no array of numbers, but"),
        (b"ctorch\nFloatStorage\n)R.", "another kind"),
    ] {
        refused(read(pickle), word);
    }
    // Lists within themselves, and tuples within tuples, which would exhaust the stack where they are dropped.
    assert!(read(b"]q\x00h\x00a.").is_err());
    let mut deep = b")".to_vec();
    deep.extend(std::iter::repeat_n(0x85, 100_000));
    deep.push(b'.');
    refused(read(&deep), "too deep");
    let mut lists = b"]".repeat(100_000);
    lists.extend(b"a".repeat(99_999));
    lists.push(b'.');
    assert!(read(&lists).is_err());
}

/// A file as before archives: the pickle of an object, that of the names of storages, and what follows them.
fn before_archives(object: &[u8], names: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut file =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    for part in [object, names, rest] {
        file.extend_from_slice(part);
    }
    file
}

#[test]
fn hostile_files_from_before_archives() {
    let read = |object: &[u8], names: &[u8], rest: &[u8]| {
        exercise::arrays(Format::Torch, &before_archives(object, names, rest))
    };
    let object = tensor(b"K\x00", b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    let names = b"]X\x01\x00\x00\x000a.";
    let mut values = 6_i64.to_le_bytes().to_vec();
    values.resize(8 + 24, 0);
    read(&object, names, &values).unwrap();
    for cut in 0..values.len() {
        refused(read(&object, names, &values[..cut]), "cut short");
    }
    for count in [-1, i64::MIN, i64::MAX, 7] {
        let mut values = values.clone();
        values[..8].copy_from_slice(&i64::to_le_bytes(count));
        refused(read(&object, names, &values), "cut short");
    }
    let mut fewer = values.clone();
    fewer[0] = 5;
    refused(read(&object, names, &fewer), "reaches past");
    refused(read(&object, b"].", &values), "no storage");
    refused(read(&object, b"K\x00.", &values), "another kind");
    refused(read(&object, b"]K\x00a.", &values), "another kind");
    refused(
        read(&object, b"]X\x01\x00\x00\x001a.", &values),
        "no tensor has",
    );
    let part = object.clone();
    let at = part.windows(2).position(|pair| pair == b"tQ").unwrap();
    let part = [&part[..at], b"K\x01", &part[at..]].concat();
    refused(read(&part, names, &values), "part of another");
    let whole = before_archives(&object, names, &values);
    for (at, byte, word) in [(18, 0, "another version"), (17, b'.', "too little")] {
        let mut changed = whole.clone();
        changed[at] = byte;
        refused(exercise::arrays(Format::Torch, &changed), word);
    }
    // Every byte changed, every length: no panic.
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x11;
        let _ = exercise::arrays(Format::Torch, &changed);
        let _ = exercise::arrays(Format::Torch, &whole[..at]);
    }
}

#[test]
fn hostile_matlab_files() {
    let good = fixture("numbers_v5_compressed.mat");
    // A compressed variable that claims more than the format can hold: the shape is within it, so it is made anew.
    let mut inner = Vec::new();
    let n: u32 = 1 << 24;
    for word in [
        14,
        56 + 4 * n,
        6,
        8,
        7,
        0,
        5,
        8,
        1 << 12,
        1 << 12,
        0x0001_0001,
        u32::from(b'x'),
        7,
        4 * n,
    ] {
        inner.extend_from_slice(&word.to_le_bytes());
    }
    let file = |content: &[u8]| {
        use std::io::Write;
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(content).unwrap();
        let packed = packed.finish().unwrap();
        let mut file = good[..128].to_vec();
        file.extend_from_slice(&15u32.to_le_bytes());
        file.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        file.extend(packed);
        file
    };
    let read = |content: &[u8]| exercise::arrays(Format::Mat, &file(content));
    refused(read(&inner), "more than the format can");
    inner.resize(inner.len() + (1 << 20), 0);
    refused(read(&inner), "more than the format can");
    inner.resize(56 + 4 * n as usize, 0);
    refused(read(&inner), "--inflate-limit");
    refused(read(b"short"), "no variable");
}

#[cfg(feature = "zarr")]
#[test]
fn damaged_zarr_stores() {
    for (version_3, description, chunk) in [
        (
            false,
            "numbers_v2.zarr/default/.zarray",
            "numbers_v2.zarr/default/0.0",
        ),
        (
            false,
            "numbers_v2.zarr/blosc_lz4/.zarray",
            "numbers_v2.zarr/blosc_lz4/0.0",
        ),
        (
            false,
            "numbers_v2.zarr/blosc_zstd/.zarray",
            "numbers_v2.zarr/blosc_zstd/0.0",
        ),
        (
            true,
            "numbers_v3.zarr/default/zarr.json",
            "numbers_v3.zarr/default/c/0/0",
        ),
        (
            true,
            "numbers_v3.zarr/transposed/zarr.json",
            "numbers_v3.zarr/transposed/c/0/0",
        ),
        (
            true,
            "numbers_v3.zarr/sharded/zarr.json",
            "numbers_v3.zarr/sharded/c/0/0",
        ),
    ] {
        let (json, chunk) = (fixture(description), fixture(chunk));
        exercise::zarr(version_3, &json, &chunk).unwrap();
        for at in (0..chunk.len()).step_by(1 + chunk.len() / 40) {
            assert!(
                exercise::zarr(version_3, &json, &chunk[..at]).is_err(),
                "{description}, {at} bytes"
            );
            for byte in [0, 0xff] {
                let mut changed = chunk.clone();
                changed[at] = byte;
                let _ = exercise::zarr(version_3, &json, &changed);
            }
        }
        for at in (0..json.len()).step_by(1 + json.len() / 60) {
            assert!(
                exercise::zarr(version_3, &json[..at], &chunk).is_err(),
                "{description}, {at}"
            );
            for byte in [b'0', b'9', b'"'] {
                let mut changed = json.clone();
                changed[at] = byte;
                let _ = exercise::zarr(version_3, &changed, &chunk);
            }
        }
    }
    // Behind the index of a shard, and behind a chunk, stands a checksum.
    for folder in ["sharded", "gzip"] {
        let of = |name: &str| fixture(&format!("numbers_v3.zarr/{folder}/{name}"));
        let (json, chunk) = (of("zarr.json"), of("c/0/0"));
        for at in 1..=4 {
            let mut changed = chunk.clone();
            changed[chunk.len() - at] ^= 1;
            refused(exercise::zarr(true, &json, &changed), "checksum");
        }
    }
    // Sizes that are only claimed.
    let json = |shape: &str, chunks: &str| {
        format!(
            "{{\"zarr_format\":2,\"shape\":{shape},\"chunks\":{chunks},\"dtype\":\"<f4\",\"compressor\":null,\
             \"fill_value\":1,\"order\":\"C\",\"filters\":null}}"
        )
    };
    let read = |shape, chunks| exercise::zarr(false, json(shape, chunks).as_bytes(), &[0; 24]);
    exercise::zarr(false, json("[2,3]", "[2,3]").as_bytes(), &[0; 24]).unwrap();
    refused(read("[1000000,1000000]", "[2,3]"), "--inflate-limit");
    refused(read("[2,3]", "[1000000,1000000]"), "--inflate-limit");
    refused(read("[18446744073709551615,3]", "[2,3]"), "addressed");
    refused(read("[2,3]", "[18446744073709551615,3]"), "addressed");
    refused(read("[2,3]", "[0,3]"), "chunks");
    refused(read("[2,-3]", "[2,3]"), "shape");
}
