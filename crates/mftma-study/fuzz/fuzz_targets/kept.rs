//! What the study keeps in its folders, from any bytes. The first byte chooses which.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mftma_study::cache::{Cache, StageInputs, TypedStage, Work};
use mftma_study::cluster::{jobs::Ledger, store};
use mftma_study::progress::Progress;
use mftma_study::{claim, interim, record};

/// A stage of any output.
struct Any;

impl TypedStage for Any {
    const KIND: &'static str = "any";
    const VERSION: u32 = 1;
    const RUNS_ENGINE: bool = false;
    type Settings = u64;
    type Output = serde_json::Value;

    fn label(&self) -> String {
        "any".into()
    }

    fn settings(&self) -> u64 {
        1
    }

    fn inputs(&self) -> StageInputs {
        StageInputs::none()
    }

    fn compute(&self, _: &Work<'_>) -> anyhow::Result<Self::Output> {
        unreachable!("nothing is run here")
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let write = |path: &Path, bytes: &[u8]| {
        let parent = path.parent().expect("a file in a folder");
        fs::create_dir_all(parent).expect("the folder can be written");
        fs::write(path, bytes).expect("the folder can be written");
    };
    match choice % 6 {
        // The record of a stage: of this one, and of another of its kind.
        0 => {
            let cache = Cache::new(root.to_path_buf(), Progress::silent());
            write(&root.join("any-0").join("stage.json"), bytes);
            let _ = cache.status(&Any);
            Cache::measured(root);
            write(&cache.folder(&Any).join("stage.json"), bytes);
            let _ = cache.status(&Any);
            let _ = cache.known_output(&Any);
            let _ = cache.wall_seconds(&Any);
        }
        // A stage's output, and unfinished work, both behind checksums.
        1 => {
            let cache = Cache::new(root.to_path_buf(), Progress::silent());
            write(&cache.folder(&Any).join("output.json"), bytes);
            let _ = cache.output(&Any);
        }
        2 => {
            let path = root.join("state.bin");
            let mut whole = blake3::hash(bytes).as_bytes().to_vec();
            whole.extend(bytes);
            write(&path, &whole);
            let _ = interim::read::<Vec<(String, Option<f64>, usize)>>(&path);
            let _ = interim::read::<Vec<Vec<f64>>>(&path);
        }
        // Who works on an entry.
        3 => {
            write(&root.join(".claim-0001"), bytes);
            claim::last(root);
        }
        // What was submitted to a scheduler.
        4 => {
            write(&store::jobs_folder(root).join("ledger.json"), bytes);
            write(&store::jobs_folder(root).join("store.json"), bytes);
            let _ = Ledger::read(root);
            let _ = store::known(root);
        }
        // What a folder of results says of its figures.
        _ => {
            write(&root.join(record::PROVENANCE), bytes);
            record::read::<record::Provenance>(root, record::PROVENANCE);
        }
    }
});
