//! Unfinished work of a stage, from which an interrupted run goes on: bincode behind a BLAKE3 checksum.
//!
//! The project's only door to bincode, so that a dead version can be replaced in one place. Nothing of record is written
//! so: what is kept is JSON, CSV or safetensors.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bincode::config::{self, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes that one file may unpack to.
const LIMIT: usize = 1 << 30;
const CHECKSUM: usize = blake3::OUT_LEN;

fn settings() -> impl Config {
    config::standard().with_limit::<LIMIT>()
}

/// Writes `value`, whole or not at all.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let body = bincode::serde::encode_to_vec(value, settings())
        .with_context(|| format!("cannot pack {}", path.display()))?;
    let mut bytes = blake3::hash(&body).as_bytes().to_vec();
    bytes.extend(body);
    Ok(mftma_atomic::write(path, &bytes)?)
}

/// Reads what [`write()`] wrote.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    unpack(&bytes).with_context(|| format!("{} is damaged; remove it", path.display()))
}

/// What an interrupted attempt left at `path`, or else what `compute` gives, which is left there.
pub fn kept<T: Serialize + DeserializeOwned>(
    path: &Path,
    compute: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if path.exists() {
        return read(path);
    }
    let value = compute()?;
    write(path, &value)?;
    Ok(value)
}

fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let (checksum, body) = bytes
        .split_at_checked(CHECKSUM)
        .context("it is too short")?;
    ensure!(
        checksum == blake3::hash(body).as_bytes(),
        "its checksum does not hold"
    );
    let (value, read) = bincode::serde::decode_from_slice(body, settings())?;
    ensure!(read == body.len(), "it is too long");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Value = Vec<(String, Option<f64>, usize)>;

    fn value() -> Value {
        vec![
            ("conv1_1".into(), Some(0.1 + 0.2), 3),
            (String::new(), None, 0),
            ("fc1".into(), Some(f64::NAN), usize::MAX),
        ]
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bin");
        write(&path, &value()).unwrap();
        let back: Value = read(&path).unwrap();
        let bits = |v: &Value| -> Vec<_> {
            v.iter()
                .map(|(name, x, n)| (name.clone(), x.map(f64::to_bits), *n))
                .collect()
        };
        assert_eq!(bits(&back), bits(&value()));
    }

    #[test]
    fn what_is_kept_is_not_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer.bin");
        assert!(kept::<Value>(&path, || anyhow::bail!("stopped")).is_err());
        assert!(!path.exists());
        let first = kept(&path, || Ok(value())).unwrap();
        let again = kept::<Value>(&path, || unreachable!()).unwrap();
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
    }

    #[test]
    fn damage_is_told_with_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bin");
        write(&path, &value()).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(unpack::<Value>(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(unpack::<Value>(&changed).is_err(), "changed at {at}");
        }
        fs::write(&path, &whole[..20]).unwrap();
        let error = format!("{:#}", read::<Value>(&path).unwrap_err());
        assert!(error.contains("state.bin is damaged; remove it"), "{error}");
    }
}
