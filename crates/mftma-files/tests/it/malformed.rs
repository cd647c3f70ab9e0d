//! Damaged and hostile files: each gives an error, none a panic or an allocation larger than the file deserves.

use std::io::Write;
use std::path::Path;

use mftma_files::error::InputError;
use mftma_files::read::{Format, exercise};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn read_all(format: Format, bytes: Vec<u8>) -> Result<(), InputError> {
    exercise::arrays(format, &bytes)
}

#[track_caller]
fn refused(format: Format, bytes: Vec<u8>, word: &str) {
    let Err(error) = read_all(format, bytes) else {
        panic!("accepted, though it should say {word:?}")
    };
    assert!(
        error.to_string().contains(word),
        "{word:?} is not in: {error}"
    );
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn header(shape: &str) -> String {
    format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n")
}

fn zipped(name: &str, method: CompressionMethod, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    writer.start_file(name, options).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_good_file_is_read() {
    let good = npy(&header("(2, 3)"), &[0; 24]);
    read_all(Format::Npy, good.clone()).unwrap();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        read_all(Format::Npz, zipped("a.npy", method, &good)).unwrap();
    }
}

#[test]
fn every_truncation_of_a_file_is_refused() {
    let good = npy(&header("(2, 3)"), &[0; 24]);
    for len in 0..good.len() {
        assert!(
            read_all(Format::Npy, good[..len].to_vec()).is_err(),
            "{len} bytes"
        );
    }
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let archive = zipped("a.npy", method, &good);
        for len in 0..archive.len() {
            assert!(
                read_all(Format::Npz, archive[..len].to_vec()).is_err(),
                "{len} bytes"
            );
        }
    }
    let tensors = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/numbers.safetensors"),
    )
    .unwrap();
    for len in 0..tensors.len() {
        assert!(
            read_all(Format::Safetensors, tensors[..len].to_vec()).is_err(),
            "{len} bytes"
        );
    }
}

#[test]
fn one_changed_byte_never_panics() {
    let good = npy(&header("(2, 3)"), &[0; 24]);
    let archive = zipped("a.npy", CompressionMethod::Deflated, &good);
    for (format, file) in [(Format::Npy, good), (Format::Npz, archive)] {
        for at in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff, b'9', b'('] {
                let mut changed = file.clone();
                changed[at] = byte;
                let _ = read_all(format, changed);
            }
        }
    }
}

#[test]
fn huge_declared_shapes_allocate_nothing() {
    for (shape, word) in [
        ("(1000000000, 1000000000)", "bytes follow"),
        ("(4611686018427387904, 4)", "more than can be addressed"),
        (
            "(18446744073709551615, 18446744073709551615)",
            "more than can be addressed",
        ),
        ("(99999999999999999999999, 2)", "negative or too large"),
        ("(-1, 6)", "negative or too large"),
        ("(2.0, 3)", "no integer"),
        ("7", "not a tuple"),
        ("()", "two or more"),
        ("(6,)", "two or more"),
        ("(0, 5)", "no values"),
        ("(5, 0)", "no values"),
    ] {
        let file = npy(&header(shape), &[0; 24]);
        refused(Format::Npy, file.clone(), word);
        assert!(
            read_all(
                Format::Npz,
                zipped("a.npy", CompressionMethod::Stored, &file)
            )
            .is_err()
        );
        assert!(
            read_all(
                Format::Npz,
                zipped("a.npy", CompressionMethod::Deflated, &file)
            )
            .is_err()
        );
    }
    let axes = "1, ".repeat(65);
    refused(
        Format::Npy,
        npy(&header(&format!("({axes})")), &[0; 4]),
        "64 axes",
    );
}

/// `.npy` has no strides; where one is written all the same it is ignored as by NumPy, or refused where it stands for
/// something else.
#[test]
fn negative_strides_reach_nothing() {
    let with = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'strides': (-12, -4)}";
    read_all(Format::Npy, npy(with, &[0; 24])).unwrap();
    let instead = "{'descr': '<f4', 'strides': (-12, -4), 'shape': (2, 3)}";
    refused(Format::Npy, npy(instead, &[0; 24]), "fortran_order");
}

#[test]
fn odd_headers_are_refused() {
    let header = |text: &str| npy(text, &[0; 24]);
    for (text, word) in [
        ("", "dictionary"),
        ("[1, 2]", "dictionary"),
        ("{'descr': '<f4'}", "fortran_order"),
        (
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (2, 3)}",
            "neither True nor False",
        ),
        (
            "{'descr': 4, 'fortran_order': False, 'shape': (2, 3)}",
            "structured",
        ),
        (
            "{'descr': 'f4', 'fortran_order': False, 'shape': (2, 3)}",
            "unknown type",
        ),
        (
            "{'descr': '', 'fortran_order': False, 'shape': (2, 3)}",
            "unknown type",
        ),
        (
            "{'descr': '<f3', 'fortran_order': False, 'shape': (2, 3)}",
            "not numbers",
        ),
        (
            "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2, 3)}",
            "not numbers",
        ),
        (
            "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}",
            "run code",
        ),
        (
            "{'descr': '<f16', 'fortran_order': False, 'shape': (2, 3)}",
            "longdouble",
        ),
    ] {
        refused(Format::Npy, header(text), word);
    }
    // Brackets alone would exhaust a recursive parser's stack.
    for bracket in ["(", "[", "{"] {
        refused(Format::Npy, header(&bracket.repeat(60_000)), "brackets");
    }
    refused(Format::Npy, b"\x80\x04\x95junk".to_vec(), "pickle");
    refused(Format::Npy, b"PK\x03\x04junk".to_vec(), ".npz");
    refused(
        Format::Npy,
        b"\x93NUMPY\x09\x00\x00\x00".to_vec(),
        "version 9",
    );
    // Version 2 may declare a header of 4 GiB.
    refused(
        Format::Npy,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(),
        "4294967295",
    );
}

#[test]
fn zip_bombs_stop_at_the_limit() {
    // A member that honestly unpacks to more than the limit.
    let values = vec![0u8; 4 * 1024 * 1024];
    let big = npy(&header("(1024, 1024)"), &values);
    let bomb = zipped("a.npy", CompressionMethod::Deflated, &big);
    assert!(bomb.len() < 20_000);
    refused(Format::Npz, bomb, "--inflate-limit");
    // A member that unpacks to far more than its header declares.
    let mut more = npy(&header("(2, 3)"), &[0; 24]);
    more.resize(8 * 1024 * 1024, 0);
    refused(
        Format::Npz,
        zipped("a.npy", CompressionMethod::Deflated, &more),
        "but the archive says",
    );
    // A header that declares far more than the member holds.
    let less = npy(&header("(1000000, 1000000)"), &[0; 24]);
    refused(
        Format::Npz,
        zipped("a.npy", CompressionMethod::Deflated, &less),
        "but the archive says",
    );
}

/// The sizes in the central directory are the writer's word. Forged to agree with a huge header, they still cannot make
/// more than the ratio that deflate allows.
#[test]
fn forged_sizes_are_seen() {
    let file = npy(&header("(16384, 16384)"), &[0; 24]);
    let mut archive = zipped("a.npy", CompressionMethod::Deflated, &file);
    let forged = (file.len() - 24 + 16384 * 16384 * 4) as u32;
    let true_size = (file.len() as u32).to_le_bytes();
    let mut replaced = 0;
    for at in 0..archive.len() - 4 {
        if archive[at..at + 4] == true_size {
            archive[at..at + 4].copy_from_slice(&forged.to_le_bytes());
            replaced += 1;
        }
    }
    assert!(replaced >= 1);
    refused(Format::Npz, archive, "more than the format can");
}

#[test]
fn safetensors_headers_are_checked() {
    let file = |json: &str, data: usize| {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let tensor = |shape: &str, end: &str| {
        format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    read_all(Format::Safetensors, file(&tensor("[2,3]", "24"), 24)).unwrap();
    for (shape, end) in [
        ("[2,3]", "25"),
        ("[2,3]", "18446744073709551615"),
        ("[4611686018427387904,4]", "24"),
        ("[-2,3]", "24"),
        ("[1000000,1000000]", "4000000000000"),
    ] {
        refused(
            Format::Safetensors,
            file(&tensor(shape, end), 24),
            "safetensors",
        );
    }
    refused(
        Format::Safetensors,
        u64::MAX.to_le_bytes().to_vec(),
        "safetensors",
    );
    let nested = "[".repeat(100_000);
    refused(Format::Safetensors, file(&nested, 0), "safetensors");
    refused(
        Format::Safetensors,
        file(
            "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}",
            4,
        ),
        ".float()",
    );
}

#[test]
fn labels_of_any_bytes_give_an_answer() {
    let parse = |name: &str, bytes: &[u8], n: usize| exercise::labels(name, None, bytes, n);
    assert!(parse("y.txt", b"", 3).is_err());
    assert!(parse("y.txt", b"\xff\xfe\x00", 1).is_err());
    assert!(parse("y.csv", b"", 0).is_err());
    assert!(parse("y.csv", b"a,b\nc", 2).is_err());
    // pandas writes a missing label so.
    assert!(parse("y.csv", b"a\n\"\"\nb", 3).is_ok());
    assert!(parse("y.csv", b"\"\"\n\"\"\n\"\"", 3).is_err());
    let strings = "{'descr': '<U4611686018427387904', 'fortran_order': False, 'shape': (3,)}";
    assert!(parse("y.npy", &npy(strings, &[0; 24]), 3).is_err());
    let empty = "{'descr': '<U0', 'fortran_order': False, 'shape': (3,)}";
    assert!(parse("y.npy", &npy(empty, &[0; 24]), 3).is_err());
    let fraction = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}";
    assert!(parse("y.npy", &npy(fraction, &0.5f64.to_le_bytes()), 1).is_err());
    assert!(parse("y.npy", &npy(fraction, &f64::NAN.to_le_bytes()), 1).is_err());
}
