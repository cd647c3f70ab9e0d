//! `cargo xtask fetch` as a whole: the real binary against a server on loopback and against local copies.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tar::EntryType::{self, Block, Char, Directory, Fifo, Link, Regular, Symlink};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// What the server does with one connection.
#[derive(Clone, Copy)]
enum Deed {
    /// Answers as it should, ranges included.
    Serve,
    /// Promises everything, sends so many bytes of it, hangs up.
    Truncate(usize),
    /// Sends so many bytes, then nothing.
    Stall(usize),
    NotFound,
    ServerError,
    /// Sends the whole file whatever was asked for.
    IgnoreRange,
    /// Sends as many bytes as it should, the last one changed.
    WrongByte,
    /// Sends one byte too many, and says so.
    TooLong,
    /// Answers a range with another range.
    OtherRange,
}

/// A server that does one deed per connection, and remembers the ranges asked for.
struct Server {
    address: String,
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    fn start(body: Vec<u8>, deeds: &[Deed]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/set.tar.gz", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        let mut deeds: VecDeque<Deed> = deeds.iter().copied().collect();
        std::thread::spawn(move || {
            while let Some(deed) = deeds.pop_front() {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                let (body, seen) = (body.clone(), Arc::clone(&seen));
                std::thread::spawn(move || answer(stream, &body, deed, &seen));
            }
        });
        Self { address, ranges }
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, body: &[u8], deed: Deed, seen: &Mutex<Vec<Option<String>>>) {
    let mut range = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = Some(value.to_owned());
        }
    }
    seen.lock().unwrap().push(range.clone());
    let asked: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    let from = if matches!(deed, Deed::IgnoreRange) {
        0
    } else {
        asked
    };
    let mut rest = body[from.min(body.len())..].to_vec();
    match deed {
        Deed::WrongByte => *rest.last_mut().unwrap() ^= 1,
        Deed::TooLong => rest.push(0),
        Deed::NotFound | Deed::ServerError => rest.clear(),
        _ => {}
    }
    let status = match deed {
        Deed::NotFound => "404 Not Found".to_owned(),
        Deed::ServerError => "503 Service Unavailable".to_owned(),
        _ if from > 0 => {
            let told = if matches!(deed, Deed::OtherRange) {
                from + 1
            } else {
                from
            };
            format!(
                "206 Partial Content\r\nContent-Range: bytes {told}-{}/{}",
                body.len() - 1,
                body.len()
            )
        }
        _ => "200 OK".to_owned(),
    };
    // The client may hang up at any time: that is its right, not a failure of the test.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    );
    let count = match deed {
        Deed::Truncate(count) | Deed::Stall(count) => count.min(rest.len()),
        _ => rest.len(),
    };
    let _ = stream.write_all(&rest[..count]);
    let _ = stream.flush();
    if matches!(deed, Deed::Stall(_)) {
        std::thread::sleep(Duration::from_secs(20));
    }
}

/// A folder for one test: a manifest of one set `toy` with two members, its canonical archive, and the data folder.
struct Bench {
    folder: TempDir,
    archive: Vec<u8>,
}

/// An entry of an archive: name, kind, content (of links: where they lead).
type Entry<'a> = (&'a str, EntryType, &'a [u8]);

const MEMBERS: [(&str, &[u8]); 2] = [
    ("train.bin", b"training data, quite a lot of it"),
    ("test.bin", b"test data"),
];

/// The file that a download leaves for the next run to go on with.
const PARTIAL: &str = "toy-set.tar.gz.partial";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A tar file; names are written as they are, whatever they hold.
fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let mut content = *content;
        if *kind != Regular {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            content = b"";
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The set's archive with more entries than it should have.
fn archive_with(extra: &[Entry<'_>]) -> Vec<u8> {
    let mut entries: Vec<Entry<'_>> = vec![
        ("toy/", Directory, b""),
        ("toy/train.bin", Regular, MEMBERS[0].1),
        ("toy/test.bin", Regular, MEMBERS[1].1),
    ];
    entries.extend_from_slice(extra);
    gzip(&tarball(&entries))
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            archive: archive_with(&[("toy/readme", Regular, b"hello")]),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn write_manifest(&self, url: &str, rest: &str) {
        let text = format!(
            "[toy]\ntitle = \"Toy\"\nlicence = \"none\"\ncitation = \"nobody\"\nfolder = \"toy\"\n\
             downloads = [{{ url = \"{url}\", file = \"set.tar.gz\", size = {}, sha256 = \"{}\" }}]\n{rest}",
            self.archive.len(),
            sha256(&self.archive)
        );
        fs::write(self.path("manifest.toml"), text).unwrap();
    }

    fn fetch(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["fetch", "toy", "--patience", "1", "--data-dir"])
            .arg(self.data())
            .arg("--manifest")
            .arg(self.path("manifest.toml"))
            .args(more)
            .env_remove("MFTMA_DATA_DIR")
            .output()
            .unwrap()
    }

    /// Fetches from a server that does these deeds.
    fn download(&self, deeds: &[Deed]) -> (Output, Server) {
        let server = Server::start(self.archive.clone(), deeds);
        self.write_manifest(&server.address, &members());
        (self.fetch(&[]), server)
    }

    /// Fetches a local copy, given by its name in the test's folder.
    fn fetch_from(&self, name: &str) -> Output {
        self.write_manifest("http://127.0.0.1:9/set.tar.gz", &members());
        self.from(name)
    }

    /// The same with the manifest as it is.
    fn from(&self, name: &str) -> Output {
        self.fetch(&["--from", self.path(name).to_str().unwrap()])
    }

    /// Names in the data folder.
    fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.data()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn assert_placed(&self, output: &Output) {
        assert!(output.status.success(), "{}", said(output));
        assert_eq!(self.left(), ["toy"], "nothing but the set may be left");
        for (name, content) in MEMBERS {
            assert_eq!(
                fs::read(self.data().join("toy").join(name)).unwrap(),
                content
            );
        }
    }

    /// Failed, said all of these words, and left only these names.
    fn assert_refused(&self, output: &Output, words: &[&str], left: &[&str]) {
        let said = said(output);
        assert_eq!(
            output.status.code(),
            Some(1),
            "should have been refused: {said}"
        );
        for word in words {
            assert!(said.contains(word), "'{word}' is not in: {said}");
        }
        assert_eq!(self.left(), left, "{said}");
    }
}

fn members() -> String {
    let list: Vec<String> = MEMBERS
        .iter()
        .map(|(name, content)| {
            format!(
                "{{ path = \"{name}\", size = {}, sha256 = \"{}\" }}",
                content.len(),
                sha256(content)
            )
        })
        .collect();
    format!("members = [{}]\n", list.join(", "))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn downloads_checks_and_places() {
    let bench = Bench::new();
    let (output, server) = bench.download(&[Deed::Serve]);
    bench.assert_placed(&output);
    assert_eq!(server.ranges(), [None]);
    // The canonical archive is unpacked whole.
    assert_eq!(fs::read(bench.data().join("toy/readme")).unwrap(), b"hello");
    // Piped: no bar, no control characters.
    assert!(!said(&output).contains('\u{1b}'));
    assert!(output.stdout.is_empty());
}

#[test]
fn is_content_with_a_set_that_is_there_and_refuses_another_folder_of_that_name() {
    let bench = Bench::new();
    let (output, _) = bench.download(&[Deed::Serve]);
    bench.assert_placed(&output);
    let again = bench.fetch(&[]);
    assert!(again.status.success());
    assert!(
        said(&again).contains("there already: 2 files checked"),
        "{}",
        said(&again)
    );
    fs::write(bench.data().join("toy/test.bin"), b"TEST DATA").unwrap();
    bench.assert_refused(
        &bench.fetch(&[]),
        &["move it away", "test.bin", "wanted checksum"],
        &["toy"],
    );
}

#[test]
fn goes_on_within_a_run_after_truncated_answers() {
    let bench = Bench::new();
    let (output, server) = bench.download(&[Deed::Truncate(50), Deed::Truncate(30), Deed::Serve]);
    bench.assert_placed(&output);
    assert_eq!(
        server.ranges(),
        [None, Some("50-".into()), Some("80-".into())]
    );
}

#[test]
fn goes_on_after_a_stall() {
    let bench = Bench::new();
    let (output, server) = bench.download(&[Deed::Stall(40), Deed::Serve]);
    bench.assert_placed(&output);
    assert_eq!(server.ranges(), [None, Some("40-".into())]);
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_gave_up() {
    let bench = Bench::new();
    let deeds = [
        Deed::Truncate(60),
        Deed::Truncate(0),
        Deed::Stall(0),
        Deed::ServerError,
    ];
    let (output, _) = bench.download(&deeds);
    bench.assert_refused(
        &output,
        &["60 of", "3 attempts", "503", "run the command again"],
        &[PARTIAL],
    );
    assert_eq!(
        fs::read(bench.data().join(PARTIAL)).unwrap(),
        bench.archive[..60]
    );
    let (output, server) = bench.download(&[Deed::Serve]);
    bench.assert_placed(&output);
    assert_eq!(server.ranges(), [Some("60-".into())]);
}

#[test]
fn gives_up_on_a_server_that_only_stalls() {
    let bench = Bench::new();
    let (output, _) = bench.download(&[Deed::Stall(0); 3]);
    bench.assert_refused(&output, &["sent nothing for 1 s", "--from"], &[PARTIAL]);
    assert_eq!(fs::metadata(bench.data().join(PARTIAL)).unwrap().len(), 0);
}

#[test]
fn starts_over_with_a_server_that_ignores_ranges() {
    let bench = Bench::new();
    let (output, server) = bench.download(&[Deed::Truncate(50), Deed::IgnoreRange]);
    bench.assert_placed(&output);
    assert_eq!(server.ranges(), [None, Some("50-".into())]);
}

#[test]
fn refuses_another_range_than_the_one_asked_for() {
    let bench = Bench::new();
    let (output, _) = bench.download(&[Deed::Truncate(50), Deed::OtherRange]);
    bench.assert_refused(&output, &["another part", "byte 50"], &[PARTIAL]);
}

#[test]
fn not_found_names_the_address_and_the_remedy() {
    let bench = Bench::new();
    let (output, server) = bench.download(&[Deed::NotFound]);
    bench.assert_refused(&output, &["404", &server.address, "--from"], &[]);
}

#[test]
fn no_server_names_the_address_and_the_remedy() {
    let bench = Bench::new();
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    bench.write_manifest(&format!("http://{address}/set.tar.gz"), &members());
    bench.assert_refused(
        &bench.fetch(&[]),
        &[&address.to_string(), "refused", "--from"],
        &[],
    );
}

#[test]
fn wrong_bytes_are_thrown_away_and_the_next_run_succeeds() {
    let bench = Bench::new();
    let (output, _) = bench.download(&[Deed::WrongByte]);
    bench.assert_refused(
        &output,
        &["wanted checksum", &sha256(&bench.archive), "thrown away"],
        &[],
    );
    let (output, _) = bench.download(&[Deed::Serve]);
    bench.assert_placed(&output);
}

#[test]
fn too_many_bytes_are_refused() {
    let bench = Bench::new();
    let (output, _) = bench.download(&[Deed::TooLong]);
    bench.assert_refused(&output, &["more than the"], &[]);
}

#[test]
fn a_stale_partial_file_does_no_harm() {
    let bench = Bench::new();
    fs::create_dir(bench.data()).unwrap();
    fs::write(bench.data().join(PARTIAL), [7; 20]).unwrap();
    // The right number of bytes in the end, but not the right bytes.
    let (output, server) = bench.download(&[Deed::Serve]);
    bench.assert_refused(&output, &["wanted checksum", "thrown away"], &[]);
    assert_eq!(server.ranges(), [Some("20-".into())]);
    // Longer than the file ever was.
    fs::write(bench.data().join(PARTIAL), vec![7; bench.archive.len() + 1]).unwrap();
    let (output, server) = bench.download(&[Deed::Serve]);
    bench.assert_placed(&output);
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn takes_local_copies_packed_in_any_way_or_unpacked() {
    let entries: [Entry<'_>; 2] = [
        ("toy/train.bin", Regular, MEMBERS[0].1),
        ("toy/test.bin", Regular, MEMBERS[1].1),
    ];
    let plain = tarball(&entries);
    let mut zipped = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, _, content) in entries {
        zipped
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        zipped.write_all(content).unwrap();
    }
    let mut xz =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&plain).unwrap();
    let copies = [
        ("canonical.tar.gz", Bench::new().archive),
        ("repacked.tar.gz", gzip(&plain)),
        ("repacked.tar.xz", xz.finish().unwrap()),
        ("repacked.zip", zipped.finish().unwrap().into_inner()),
        ("repacked.tar", plain),
    ];
    for (name, bytes) in copies {
        let bench = Bench::new();
        fs::write(bench.path(name), bytes).unwrap();
        let output = bench.fetch_from(name);
        bench.assert_placed(&output);
        assert_eq!(
            said(&output).contains("packed anew"),
            name.starts_with("repacked"),
            "{name}: {}",
            said(&output)
        );
    }
    for inner in ["", "toy"] {
        let bench = Bench::new();
        let source = bench.path("source").join(inner);
        fs::create_dir_all(&source).unwrap();
        for (name, bytes) in MEMBERS {
            fs::write(source.join(name), bytes).unwrap();
        }
        bench.assert_placed(&bench.fetch_from("source"));
    }
}

#[test]
fn tampered_copies_are_refused() {
    let changed: [Entry<'_>; 2] = [
        (
            "toy/train.bin",
            Regular,
            b"training data, quite a lot of IT",
        ),
        ("toy/test.bin", Regular, MEMBERS[1].1),
    ];
    let short: [Entry<'_>; 2] = [
        ("toy/train.bin", Regular, MEMBERS[0].1),
        ("toy/test.bin", Regular, b"test"),
    ];
    let bad = [
        (
            "changed.tar.gz",
            gzip(&tarball(&changed)),
            "train.bin: wanted checksum",
        ),
        (
            "short.tar.gz",
            gzip(&tarball(&short)),
            "test.bin: wanted 9 bytes, found 4",
        ),
        (
            "lacking.tar.gz",
            gzip(&tarball(&short[..1])),
            "test.bin is missing",
        ),
        (
            "cut.tar.gz",
            Bench::new().archive[..80].to_vec(),
            "cannot unpack",
        ),
        ("empty.tar.gz", Vec::new(), "missing"),
        (
            "noise.zip",
            b"PK\x03\x04 and then nothing of the sort".to_vec(),
            "cannot unpack",
        ),
        (
            "noise.tar.xz",
            b"\xfd7zXZ\0 and then nothing of the sort".to_vec(),
            "cannot unpack",
        ),
    ];
    for (name, bytes, word) in bad {
        let bench = Bench::new();
        fs::write(bench.path(name), bytes).unwrap();
        bench.assert_refused(&bench.fetch_from(name), &[word], &[]);
    }
    // An unpacked copy, changed; and one that only points at the right bytes.
    let bench = Bench::new();
    fs::create_dir(bench.path("source")).unwrap();
    fs::write(bench.path("source/train.bin"), MEMBERS[0].1).unwrap();
    fs::write(bench.path("source/test.bin"), b"tEst data").unwrap();
    bench.assert_refused(&bench.fetch_from("source"), &["test.bin", "refused"], &[]);
    #[cfg(unix)]
    {
        fs::remove_file(bench.path("source/test.bin")).unwrap();
        fs::write(bench.path("elsewhere"), MEMBERS[1].1).unwrap();
        std::os::unix::fs::symlink(bench.path("elsewhere"), bench.path("source/test.bin")).unwrap();
        bench.assert_refused(
            &bench.fetch_from("source"),
            &["test.bin", "no plain file"],
            &[],
        );
    }
    bench.assert_refused(&bench.fetch_from("nowhere"), &["nowhere"], &[]);
}

/// Hostile archives are refused even where the manifest vouches for them, both as downloads and as local copies, and nothing
/// is written outside.
#[test]
fn no_archive_writes_outside_its_folder() {
    let elsewhere = TempDir::new().unwrap();
    let absolute = elsewhere.path().join("escaped");
    let absolute = absolute.to_str().unwrap();
    let hostile: [(&str, &[Entry<'_>]); 9] = [
        ("lead out", &[("toy/../../escaped", Regular, b"x")]),
        ("lead out", &[("../escaped", Regular, b"x")]),
        ("lead out", &[(absolute, Regular, b"x")]),
        (
            "neither",
            &[
                ("toy/link", Symlink, b"../../.."),
                ("toy/link/escaped", Regular, b"x"),
            ],
        ),
        (
            "neither",
            &[
                ("toy/link", Symlink, b"/"),
                ("toy/link/escaped", Regular, b"x"),
            ],
        ),
        ("neither", &[("toy/hard", Link, b"../../../etc/passwd")]),
        ("neither", &[("toy/device", Char, b"")]),
        (
            "neither",
            &[("toy/device", Block, b""), ("toy/pipe", Fifo, b"")],
        ),
        ("twice", &[("toy/train.bin", Regular, b"again")]),
    ];
    for (word, extra) in hostile {
        let mut bench = Bench::new();
        bench.archive = archive_with(extra);
        fs::write(bench.path("hostile.tar.gz"), &bench.archive).unwrap();
        bench.assert_refused(&bench.fetch_from("hostile.tar.gz"), &[word], &[]);
        let (output, _) = bench.download(&[Deed::Serve]);
        bench.assert_refused(&output, &[word], &[PARTIAL]);
        assert_eq!(
            fs::read_dir(bench.folder.path()).unwrap().count(),
            3,
            "data, manifest, archive"
        );
    }
    for name in ["../escaped", absolute, "toy/../../../escaped"] {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        writer
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(b"x").unwrap();
        refuse_zip(writer, "lead out");
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("toy/train.bin", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    refuse_zip(writer, "neither");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

fn refuse_zip(writer: zip::ZipWriter<Cursor<Vec<u8>>>, word: &str) {
    let bench = Bench::new();
    fs::write(
        bench.path("hostile.zip"),
        writer.finish().unwrap().into_inner(),
    )
    .unwrap();
    bench.assert_refused(&bench.fetch_from("hostile.zip"), &[word], &[]);
    assert_eq!(
        fs::read_dir(bench.folder.path()).unwrap().count(),
        3,
        "data, manifest, archive"
    );
}

#[test]
fn a_folder_of_many_files_is_recognised_by_its_tree() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("toy/deep")).unwrap();
    fs::write(bench.path("toy/deep/b"), b"bb").unwrap();
    fs::write(bench.path("toy/a"), b"a").unwrap();
    let list = format!("{}  a\n{}  deep/b\n", sha256(b"a"), sha256(b"bb"));
    let tree = format!(
        "trees = [{{ holds = \"all\", files = 2, sha256 = \"{}\" }}]\n",
        sha256(list.as_bytes())
    );
    bench.write_manifest("http://127.0.0.1:9/set.tar.gz", &tree);
    let output = bench.from("toy");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read(bench.data().join("toy/deep/b")).unwrap(), b"bb");
    fs::remove_dir_all(bench.data()).unwrap();
    fs::write(bench.path("toy/c"), b"one more").unwrap();
    bench.assert_refused(&bench.from("toy"), &["tree checksum", "3 files"], &[]);
}

#[test]
fn copies_that_cannot_be_checked_are_not_taken() {
    let bench = Bench::new();
    fs::create_dir(bench.path("toy")).unwrap();
    fs::write(bench.path("other.tar.gz"), archive_with(&[])).unwrap();
    fs::write(bench.path("canonical.tar.gz"), &bench.archive).unwrap();
    bench.write_manifest("http://127.0.0.1:9/set.tar.gz", "");
    bench.assert_refused(&bench.from("toy"), &["canonical archive"], &[]);
    bench.assert_refused(
        &bench.from("other.tar.gz"),
        &["not the canonical archive", "wanted"],
        &[],
    );
    let output = bench.from("canonical.tar.gz");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn members_may_be_gzipped() {
    let bench = Bench::new();
    let sum = sha256(b"idx!");
    let member =
        format!("members = [{{ path = \"images\", gzip = true, size = 4, sha256 = \"{sum}\" }}]\n");
    bench.write_manifest("http://127.0.0.1:9/set.tar.gz", &member);
    fs::create_dir(bench.path("source")).unwrap();
    let packed = bench.path("source/images.gz");
    fs::write(&packed, gzip(b"idx?")).unwrap();
    bench.assert_refused(
        &bench.from("source"),
        &["images.gz", "wanted checksum"],
        &[],
    );
    // A bomb: read no further than the size wanted.
    fs::write(&packed, gzip(&vec![0; 1 << 20])).unwrap();
    bench.assert_refused(
        &bench.from("source"),
        &["images.gz: wanted 4 bytes, found 5"],
        &[],
    );
    fs::write(&packed, gzip(b"idx!")).unwrap();
    let output = bench.from("source");
    assert!(output.status.success(), "{}", said(&output));
    assert!(bench.data().join("toy/images.gz").is_file());
}

#[test]
fn says_what_is_wrong_with_the_arguments() {
    let bench = Bench::new();
    bench.write_manifest("ftp://example.org/set", "");
    bench.assert_refused(&bench.fetch(&[]), &["neither http nor https"], &[]);
    fs::write(bench.path("manifest.toml"), "[toy]\nfolder = 3").unwrap();
    bench.assert_refused(&bench.fetch(&[]), &["not a list of data sets"], &[]);
    let xtask = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(args)
            .env_remove("MFTMA_DATA_DIR")
            .output()
            .unwrap();
        assert!(!output.status.success());
        said(&output)
    };
    assert!(
        xtask(&["fetch", "cifar11", "--data-dir", "x"]).contains("there are: cifar10, cifar100")
    );
    assert!(xtask(&["fetch", "cifar10"]).contains("--data-dir DIR or set MFTMA_DATA_DIR"));
}

/// A local copy of CIFAR-100 that was packed anew as tar.xz.
#[test]
#[ignore = "needs a copy of CIFAR-100: MFTMA_SHARED"]
fn a_repacked_cifar100_is_recognised() {
    let shared = std::env::var_os("MFTMA_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let copy = shared.join("datasets/cifar-100-binary.tar.xz");
    assert!(
        copy.is_file(),
        "no {}: set MFTMA_SHARED to the folder above",
        copy.display()
    );
    let folder = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["fetch", "cifar100", "--data-dir"])
        .arg(folder.path())
        .arg("--from")
        .arg(&copy)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        fs::metadata(folder.path().join("cifar-100-binary/train.bin"))
            .unwrap()
            .len(),
        153_700_000
    );
}
