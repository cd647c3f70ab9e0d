//! `ARCHITECTURE.md` against the manifests: who depends on whom, and that no crate is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates of this project that a crate depends on, by its name.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

fn ours(name: &str) -> bool {
    name == "mftma" || name.starts_with("mftma-")
}

/// What the manifests say.
fn built() -> Arrows {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let folders = crates.map(|entry| entry.unwrap().path());
    let manifests = folders.chain([root().join("xtask")]);
    manifests
        .map(|folder| {
            let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let manifest: toml::Table = text.parse().unwrap();
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let used = manifest.get("dependencies").and_then(|d| d.as_table());
            let used = used.into_iter().flat_map(|used| used.keys().cloned());
            (name, used.filter(|name| ours(name)).collect())
        })
        .collect()
}

/// What the list of arrows says: `a, b -> c, d   in words` or `a, b (alone)   in words`.
fn drawn() -> Arrows {
    let text = architecture();
    let (_, list) = text.split_once("## Who may depend on whom").unwrap();
    let list = list.split("```").nth(1).unwrap();
    let names = |text: &str| -> BTreeSet<String> {
        text.split(',').map(|name| name.trim().to_owned()).collect()
    };
    let mut arrows = Arrows::new();
    for line in list
        .lines()
        .filter(|line| line.starts_with("mftma") || line.starts_with("xtask"))
    {
        let (from, to) = match line.split_once("->") {
            Some((from, to)) => {
                // The words begin after the gap.
                let to = to.trim_start();
                (from, names(to.split("  ").next().unwrap()))
            }
            None => (line.split_once("(alone)").unwrap().0, BTreeSet::new()),
        };
        for name in names(from) {
            arrows.insert(name, to.clone());
        }
    }
    arrows
}

#[test]
fn the_arrows_are_those_of_the_manifests() {
    let (built, drawn) = (built(), drawn());
    assert_eq!(
        built.keys().collect::<Vec<_>>(),
        drawn.keys().collect::<Vec<_>>(),
        "crates, and crates in ARCHITECTURE.md"
    );
    for (name, used) in &built {
        assert_eq!(used, &drawn[name], "{name}: built, and in ARCHITECTURE.md");
    }
}

#[test]
fn every_crate_has_its_room_in_the_code_map() {
    let text = architecture();
    let (_, map) = text.split_once("## Code map").unwrap();
    for name in built().keys().filter(|name| ours(name)) {
        assert!(map.contains(&format!("`crates/{name}`")), "{name}");
    }
}
