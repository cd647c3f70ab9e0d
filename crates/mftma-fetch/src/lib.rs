//! Takes a data set from its canonical address or a local copy into the data folder.
//!
//! The order of work is the safety argument: everything happens in a temporary folder beside the target; size and checksum
//! of an archive are checked before it is unpacked, the checksums of its members before anything is moved into place; the
//! last step is one rename.

mod check;
mod http;
mod unpack;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use check::{Checksum, Found};

/// What to fetch, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the data set, as in `datasets/manifest.toml`.
    pub set: String,
    /// Folder that holds downloaded data sets.
    pub data_dir: Option<PathBuf>,
    /// This local archive or unpacked folder is taken instead of downloading.
    pub from: Option<PathBuf>,
    /// Another list of data sets, in the form of `datasets/manifest.toml`.
    pub manifest: Option<PathBuf>,
    /// Longest wait for the server's next bytes, in seconds.
    pub patience: u64,
    /// No progress bar.
    pub quiet: bool,
}

/// The list that is compiled in, so that the command works from any folder.
const MANIFEST: &str = include_str!("../../../datasets/manifest.toml");

/// One data set of `manifest.toml`; the file explains the fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    title: String,
    licence: String,
    citation: String,
    folder: String,
    #[serde(default)]
    downloads: Vec<Download>,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    trees: Vec<Tree>,
}

/// One file to download.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Download {
    url: String,
    file: String,
    size: Option<u64>,
    md5: Option<String>,
    sha256: Option<String>,
    #[serde(default = "yes")]
    unpack: bool,
}

const fn yes() -> bool {
    true
}

/// One file of the unpacked set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    path: String,
    /// The checksum is of the content, the file may be gzipped.
    #[serde(default)]
    gzip: bool,
    size: u64,
    md5: Option<String>,
    sha256: Option<String>,
}

/// A known folder as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    holds: String,
    files: usize,
    sha256: String,
}

impl Download {
    fn checksum(&self) -> Result<Checksum> {
        Checksum::new(self.md5.as_deref(), self.sha256.as_deref())
            .with_context(|| format!("manifest: {}", self.file))
    }
}

impl Member {
    fn checksum(&self) -> Result<Checksum> {
        Checksum::new(self.md5.as_deref(), self.sha256.as_deref())
            .with_context(|| format!("manifest: {}", self.path))
    }
}

/// The set of this name, or the one that a data set such as `tiny-imagenet-200` or `emnist-letters` is part of.
fn named<'a>(sets: &'a BTreeMap<String, Set>, name: &str) -> Option<&'a Set> {
    let holds = |key: &String| {
        name.strip_prefix(key.as_str())
            .is_some_and(|rest| rest.starts_with('-'))
    };
    sets.get(name)
        .or_else(|| sets.iter().find(|(key, _)| holds(key)).map(|(_, set)| set))
}

/// Runs the command.
pub fn run(args: &Request) -> Result<()> {
    let sets = read_manifest(args.manifest.as_deref())?;
    let set = named(&sets, &args.set).with_context(|| {
        let names: Vec<&str> = sets.keys().map(String::as_str).collect();
        format!(
            "no data set '{}'; there are: {}",
            args.set,
            names.join(", ")
        )
    })?;
    let data_dir = args
        .data_dir
        .as_deref()
        .context("no data folder: give --data-dir DIR or set MFTMA_DATA_DIR")?;
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;
    let target = data_dir.join(&set.folder);
    if target.symlink_metadata().is_ok() {
        let checked = check_folder(set, &target).with_context(|| {
            format!(
                "{} is there already, but is not {}; move it away first",
                target.display(),
                set.title
            )
        })?;
        note(
            args,
            &format!("{} is there already: {checked}", target.display()),
        );
        return Ok(());
    }
    // In the data folder, so that the last step is a rename; removed on every way out.
    let staging = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(data_dir)
        .with_context(|| format!("cannot write in {}", data_dir.display()))?;
    let unpacked = staging.path().join(&set.folder);
    fs::create_dir(&unpacked)?;
    let checked = match &args.from {
        Some(from) => take_local(set, from, &unpacked)?,
        None => download_all(args, set, data_dir, &unpacked)?,
    };
    fs::rename(&unpacked, &target)
        .with_context(|| format!("cannot move the checked files to {}", target.display()))?;
    note(args, &format!("{}: {checked}", target.display()));
    note(
        args,
        &format!(
            "{}. Licence: {}. Cite: {}.",
            set.title, set.licence, set.citation
        ),
    );
    Ok(())
}

/// A line on standard error, where progress goes.
fn note(args: &Request, text: &str) {
    if !args.quiet {
        eprintln!("{text}");
    }
}

fn read_manifest(path: Option<&Path>) -> Result<BTreeMap<String, Set>> {
    let (name, text) = match path {
        None => ("datasets/manifest.toml".to_owned(), MANIFEST.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            (
                name.clone(),
                fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?,
            )
        }
    };
    let sets: BTreeMap<String, Set> =
        toml::from_str(&text).with_context(|| format!("{name} is not a list of data sets"))?;
    for set in sets.values() {
        let names = set
            .downloads
            .iter()
            .map(|d| &d.file)
            .chain(set.members.iter().map(|m| &m.path));
        for path in names.chain([&set.folder]) {
            unpack::safe_path(Path::new(path)).with_context(|| name.clone())?;
        }
    }
    Ok(sets)
}

/// Checks an unpacked folder against what is known of the set; says what was checked.
fn check_folder(set: &Set, folder: &Path) -> Result<String> {
    if !set.members.is_empty() {
        for member in &set.members {
            check_member(member, folder)?;
        }
        return Ok(format!("{} files checked", set.members.len()));
    }
    if !set.trees.is_empty() {
        let found = check::tree(folder)?;
        let known = set.trees.iter().find(|tree| tree.sha256 == found.digest);
        let Some(tree) = known else {
            bail!(
                "{} holds {} files with the tree checksum {}, which is not known for {}: only the canonical archive can be \
                 checked as a whole; give that",
                folder.display(),
                found.files,
                found.digest,
                set.title
            );
        };
        ensure!(
            tree.files == found.files,
            "manifest: {} files, found {}",
            tree.files,
            found.files
        );
        return Ok(format!("{}, {} files checked", tree.holds, tree.files));
    }
    bail!(
        "no checksums are known for the unpacked files of {}: only its canonical archive can be checked; give that",
        set.title
    )
}

/// Finds one member, packed or not, and checks it. Returns the path found.
fn check_member(member: &Member, folder: &Path) -> Result<PathBuf> {
    let plain = folder.join(&member.path);
    let packed = folder.join(format!("{}.gz", member.path));
    let checksum = member.checksum()?;
    let (path, found) = if member.gzip && !is_file(&plain) && is_file(&packed) {
        let found = check::gzipped(&packed, &checksum, member.size)?;
        (packed, found)
    } else {
        ensure!(
            is_file(&plain),
            "{} is missing (or no plain file)",
            plain.display()
        );
        let found = check::file(&plain, &checksum)?;
        (plain, found)
    };
    found.compare(&path, Some(member.size), &checksum)?;
    Ok(path)
}

/// A plain file, not a link to one: a link could lead out of the folder, or change after the check.
fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

/// Takes a local archive or folder.
fn take_local(set: &Set, from: &Path, unpacked: &Path) -> Result<String> {
    let meta =
        fs::metadata(from).with_context(|| format!("--from: cannot read {}", from.display()))?;
    if meta.is_dir() {
        let inner = from.join(&set.folder);
        let source = if inner.is_dir() {
            inner
        } else {
            from.to_owned()
        };
        copy_known(set, &source, unpacked)?;
        return check_folder(set, unpacked).context("the copy was refused");
    }
    let mut last = None;
    for download in set.downloads.iter().filter(|download| download.unpack) {
        let checksum = download.checksum()?;
        match check::file(from, &checksum)?.compare(from, download.size, &checksum) {
            Ok(()) => return unpack_canonical(set, from, unpacked),
            Err(error) => last = Some(error),
        }
    }
    if set.downloads.iter().all(|download| !download.unpack) {
        bail!(
            "{} is published as {} files: give the folder that holds them",
            set.title,
            set.downloads.len()
        );
    }
    // Not the canonical archive. Its members may still be the canonical ones.
    if set.members.is_empty() && set.trees.is_empty() {
        let error = last.context("manifest: no download")?;
        return Err(error.context(format!(
            "{} is not the canonical archive of {}",
            from.display(),
            set.title
        )));
    }
    let wanted = |path: &Path| {
        set.members.is_empty()
            || set
                .members
                .iter()
                .any(|m| path == Path::new(&m.path) || path == Path::new(&format!("{}.gz", m.path)))
    };
    unpack::archive(from, &set.folder, unpacked, &wanted)?;
    let checked = check_folder(set, unpacked).context("the copy was refused")?;
    Ok(format!(
        "{checked} (packed anew: the archive's own checksum is not the canonical one)"
    ))
}

/// Unpacks an archive whose checksum is the canonical one, and checks the members that are known.
fn unpack_canonical(set: &Set, archive: &Path, unpacked: &Path) -> Result<String> {
    unpack::archive(archive, &set.folder, unpacked, &|_| true)?;
    if set.members.is_empty() {
        return Ok("canonical archive, checked".to_owned());
    }
    let checked = check_folder(set, unpacked)?;
    Ok(format!("canonical archive, checked; {checked}"))
}

/// Copies what the manifest knows of an unpacked folder: its members, or all its plain files.
fn copy_known(set: &Set, source: &Path, unpacked: &Path) -> Result<()> {
    if set.members.is_empty() {
        ensure!(
            !set.trees.is_empty(),
            "no checksums are known for the unpacked files of {}: only its canonical archive can be checked; give that",
            set.title
        );
        for path in check::plain_files(source)? {
            copy(&source.join(&path), &unpacked.join(&path))?;
        }
        return Ok(());
    }
    for member in &set.members {
        // Checked before copying, so that the message names the caller's file, and again after.
        let path = check_member(member, source).context("the copy was refused")?;
        let inside = path.strip_prefix(source)?;
        copy(&path, &unpacked.join(inside))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Downloads every file of a set, each checked, then unpacks.
fn download_all(args: &Request, set: &Set, data_dir: &Path, unpacked: &Path) -> Result<String> {
    ensure!(
        !set.downloads.is_empty(),
        "{} has no address: give a local copy with --from",
        set.title
    );
    let mut checked = String::new();
    for download in &set.downloads {
        let checksum = download.checksum()?;
        // Named by set, since several sets publish files of one name.
        let partial = data_dir.join(format!("{}-{}.partial", args.set, download.file));
        let request = http::Request {
            url: &download.url,
            size: download.size,
            partial: &partial,
            patience: Duration::from_secs(args.patience),
            quiet: args.quiet,
        };
        http::download(&request).with_context(|| {
            format!("cannot download {}; run the command again to go on, or give a local copy with --from", download.url)
        })?;
        let found: Found = check::file(&partial, &checksum)?;
        if let Err(error) = found.compare(&partial, download.size, &checksum) {
            // Going on from wrong bytes would never end well.
            fs::remove_file(&partial)?;
            return Err(error.context(format!(
                "{} did not send the file that the manifest describes; what came was thrown away",
                download.url
            )));
        }
        if download.unpack {
            checked = unpack_canonical(set, &partial, unpacked)?;
            fs::remove_file(&partial)?;
        } else {
            fs::rename(&partial, unpacked.join(&download.file))?;
        }
    }
    if set.downloads.iter().all(|download| !download.unpack) {
        checked = check_folder(set, unpacked)?;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_found_by_their_own_names_too() {
        let sets = read_manifest(None).unwrap();
        let title = |name: &str| named(&sets, name).map(|set| set.title.clone());
        assert!(title("cifar100").is_some());
        assert_eq!(title("tiny-imagenet-200"), title("tiny-imagenet"));
        assert_eq!(title("emnist-letters"), title("emnist"));
        assert_ne!(title("fashion-mnist"), title("mnist"));
        assert_eq!(title("cifar1000"), None);
        assert_eq!(title("folder"), None);
    }
}
