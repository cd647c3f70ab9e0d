//! The plan as a Snakefile.
//!
//! Targets are named by hashes of what determines them and their inputs are marked as `ancient`: no time stamp makes anything run again,
//! and what is finished in the store is no work for whoever runs it again.

use std::fmt::Write as _;
use std::path::Path;

use super::command::{Commands, quoted};
use super::plan::{CORES, LEAST_SECONDS, Plan};
use super::store::jobs_folder;

/// How the files begin.
pub const MARK: &str = "# Written by `cargo xtask reproduce export snakemake`";

/// The Snakefile of a plan.
pub fn snakefile(plan: &Plan, commands: &Commands, store: &Path) -> String {
    let done = jobs_folder(store).join("done");
    let target = |id: &str| python(&done.join(id).display().to_string());
    // What turned out not to be needed too: its command ends at once, and the file stays the same while the study advances.
    let nodes = &plan.nodes;
    let mut all = blake3::Hasher::new();
    for node in nodes {
        all.update(node.planned.as_bytes());
    }
    all.update(commands.draw().join("\0").as_bytes());
    let drawn = target(&format!("draw-{}", all.finalize().to_hex()));
    let mut text = format!(
        "{MARK}; {} stages.\n#\n\
         # On this machine: snakemake --snakefile THIS --cores 2\n\
         # On a cluster:    snakemake --snakefile THIS --executor slurm --jobs 100 --default-resources slurm_partition=NAME\n\
         #\n\
         # Each target is an empty file that says that a stage is finished in the store.\n\n\
         rule all:\n    input: {drawn}\n    localrule: True\n",
        nodes.len()
    );
    for node in nodes {
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|&input| format!("ancient({})", target(&plan.nodes[input].planned)))
            .collect();
        let _ = write!(
            text,
            "\n# {} {}\nrule s_{}:\n",
            node.kind,
            node.label,
            &node.id[..16]
        );
        if !inputs.is_empty() {
            let _ = writeln!(text, "    input: {}", inputs.join(", "));
        }
        job(
            &mut text,
            &target(&node.planned),
            node.limit_seconds(),
            node.limit_bytes(),
            &commands.stage(node),
        );
    }
    let inputs: Vec<String> = nodes
        .iter()
        .map(|node| format!("        ancient({}),\n", target(&node.planned)))
        .collect();
    let _ = write!(text, "\n# Figures, claims and report\nrule draw:\n");
    if !inputs.is_empty() {
        let _ = write!(text, "    input:\n{}", inputs.concat());
    }
    let (seconds, bytes) = (LEAST_SECONDS.max(3600.0), plan.draw_bytes());
    job(&mut text, &drawn, seconds, bytes, &commands.draw());
    text
}

/// Output, resources and command of a rule.
fn job(text: &mut String, target: &str, seconds: f64, bytes: f64, command: &[String]) {
    let command = format!("{} --jobs {{threads}}", braces(&quoted(command)));
    let command = python(&format!("{command} && touch {{output:q}}"));
    let _ = write!(
        text,
        "    output: {target}\n    threads: {CORES}\n    resources: mem_mb={}, runtime={}\n    retries: 2\n    shell: {command}\n",
        (bytes / 1e6).ceil(),
        (seconds / 60.0).ceil(),
    );
}

/// What Snakemake puts values into keeps its own braces.
fn braces(command: &str) -> String {
    command.replace('{', "{{").replace('}', "}}")
}

/// A string of Python.
fn python(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
