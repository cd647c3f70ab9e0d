//! Slurm by its own commands: `sbatch`, `squeue`, `scancel`, `sinfo`.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// What is known of a job, or of a task of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// `12` or `12_3`.
    pub id: String,
    /// In the words of Slurm: `RUNNING`.
    pub state: String,
    /// Why it waits: `Dependency`.
    pub reason: String,
}

impl Known {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(
            self.state.as_str(),
            "RUNNING" | "COMPLETING" | "CONFIGURING" | "SUSPENDED" | "STOPPED" | "STAGE_OUT"
        )
    }

    /// Whether it waits for its turn, and may get one.
    pub fn waits(&self) -> bool {
        let will_never = self.reason == "DependencyNeverSatisfied";
        !will_never
            && matches!(
                self.state.as_str(),
                "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "SPECIAL_EXIT"
            )
    }
}

/// The Slurm of this machine.
#[derive(Debug, Default)]
pub struct Slurm {
    /// Where its commands lie; on `PATH` where left out.
    pub folder: Option<PathBuf>,
}

impl Slurm {
    fn command(&self, name: &str) -> Command {
        match &self.folder {
            Some(folder) => Command::new(folder.join(name)),
            None => Command::new(name),
        }
    }

    fn run<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Result<Output> {
        match self.command(name).args(arguments).output() {
            Ok(output) => Ok(output),
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "there is no {name} here: give this command on a login node of a Slurm cluster (`module load slurm` on some), or let \
                 another engine run the study: `reproduce export snakemake`, `reproduce plan --format json`"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot start {name}")),
        }
    }

    /// Submits a job script; returns the job's number.
    pub fn submit(&self, arguments: &[String]) -> Result<String> {
        let output = self.run("sbatch", arguments)?;
        let said = String::from_utf8_lossy(&output.stdout);
        // `12` or `12;cluster`.
        let job = said.trim().split(';').next().unwrap_or_default().to_owned();
        if output.status.success() && !job.is_empty() && job.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(job);
        }
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}", refusal(&why, &self.partitions()))
    }

    /// The partitions of this cluster, where it tells them.
    fn partitions(&self) -> Vec<String> {
        let Ok(output) = self.run("sinfo", &["--noheader", "--format=%R"]) else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let mut names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// This user's jobs of a name: those that wait and run, and for some minutes those that ended.
    pub fn jobs(&self, name: &str) -> Result<Vec<Known>> {
        let name = format!("--name={name}");
        let arguments = [
            "--noheader",
            "--array",
            "--me",
            "--states=all",
            "--format=%i|%T|%r",
            &name,
        ];
        let output = self.run("squeue", &arguments)?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!(
                "squeue cannot tell which jobs there are ({}); try again when Slurm answers",
                why.trim()
            );
        }
        Ok(parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Cancels jobs.
    pub fn cancel(&self, jobs: &[String]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let output = self.run("scancel", jobs)?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("scancel refused: {}", why.trim());
        }
        Ok(())
    }
}

fn parse(text: &str) -> Vec<Known> {
    let job = |line: &str| {
        let mut fields = line.trim().splitn(3, '|');
        Some(Known {
            id: fields.next().filter(|id| !id.is_empty())?.to_owned(),
            state: fields.next()?.to_owned(),
            reason: fields.next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(job).collect()
}

/// What sbatch said, with the remedy.
fn refusal(why: &str, partitions: &[String]) -> String {
    let why = why.replace("sbatch: error: ", "");
    let why: Vec<&str> = why
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let why = why.join("; ");
    let lower = why.to_lowercase();
    let remedy = match () {
        () if lower.contains("partition") && !partitions.is_empty() => {
            format!("give --partition one of {}", partitions.join(", "))
        }
        () if lower.contains("account") => "give --account one that you may use".to_owned(),
        () if lower.contains("time limit") => {
            "give --time the longest that the partition allows: what takes longer goes on in a further job".to_owned()
        }
        () if lower.contains("memory") => "give --mem as much as a node has".to_owned(),
        () => "change the flags that it names, or pass what it wants with --sbatch-arg".to_owned(),
    };
    format!(
        "sbatch refused: {why}; {remedy}. What was submitted before stays; give the command again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_sbatch_is_named_with_what_else_there_is() {
        let slurm = Slurm {
            folder: Some("/nowhere".into()),
        };
        let error = slurm.submit(&[]).unwrap_err().to_string();
        assert!(
            error.contains("no sbatch") && error.contains("export snakemake"),
            "{error}"
        );
    }

    #[test]
    fn lines_of_squeue() {
        let jobs = parse(
            "12_3|RUNNING|None\n13_0|PENDING|Dependency\n14|PENDING|DependencyNeverSatisfied\n12_4|TIMEOUT|TimeLimit\n",
        );
        let seen: Vec<(bool, bool)> = jobs.iter().map(|job| (job.runs(), job.waits())).collect();
        assert_eq!(
            seen,
            [(true, false), (false, true), (false, false), (false, false)]
        );
        assert_eq!(jobs[0].id, "12_3");
    }

    #[test]
    fn an_unknown_partition_is_answered_with_the_known_ones() {
        let text = refusal(
            "sbatch: error: invalid partition specified: fast\nsbatch: error: Batch job submission failed: Invalid partition name specified\n",
            &["long".into(), "short".into()],
        );
        assert!(text.contains("one of long, short"), "{text}");
        assert!(text.contains("fast"), "{text}");
    }
}
