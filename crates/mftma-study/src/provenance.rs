//! Where a result comes from: settings, code, machine, seeds, checksums.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::figures::Study;
use crate::record::Provenance;

/// The lock file that this program was built with.
const LOCK_FILE: &[u8] = include_bytes!("../../../Cargo.lock");

/// Provenance of a study; the figures are the caller's.
pub fn provenance(study: &Study<'_>, built_from: Option<&str>) -> Result<Provenance> {
    let runs: Vec<Value> = study
        .runs
        .iter()
        .map(|run| {
            json!({
                "seed": run.seed,
                "data": run.identity,
                "effective_noise_rate": run.data.permutation().effective_noise_rate(),
                "training_images": run.data.dataset().train().len(),
                "test_images": run.data.dataset().test().len(),
                "network": run.network(),
            })
        })
        .collect();
    Ok(Provenance {
        profile: study.profile_name.to_owned(),
        settings: serde_json::to_value(study.profile)?,
        runs: runs.into(),
        code: json!({
            "version": env!("CARGO_PKG_VERSION"),
            // What the program was compiled from, and what is checked out where it runs: the same, if all is well.
            "built_from": built_from,
            "commit": output("git", &["rev-parse", "HEAD"]),
            "uncommitted_changes": output("git", &["status", "--porcelain", "--untracked-files=no"])
                .map(|text| !text.is_empty()),
            "cargo_lock_blake3": blake3::hash(LOCK_FILE).to_hex().to_string(),
            "compiler": output("rustc", &["--version"]),
        }),
        machine: json!({
            "processor": processor(),
            "threads": rayon::current_num_threads(),
            "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }),
        figures: Default::default(),
    })
}

/// What a program prints; none where it is not there or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The processor's name, where the system tells.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim().to_owned())
}
