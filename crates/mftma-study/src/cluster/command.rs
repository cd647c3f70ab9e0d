//! The command lines of jobs.

use std::path::PathBuf;

use super::plan::Node;

/// What every job's command shares.
#[derive(Debug, Clone)]
pub struct Commands {
    /// The program.
    pub program: PathBuf,
    /// Profile, store and data, as flags.
    pub flags: Vec<String>,
    /// What a job checks where it runs, as flags.
    pub checks: Vec<String>,
    /// The figures that are drawn, by name.
    pub figures: Vec<String>,
    /// Where to.
    pub out: PathBuf,
}

impl Commands {
    /// The command that does one node.
    pub fn stage(&self, node: &Node) -> Vec<String> {
        // A panel's files are `fig3-b`; the panel itself is among the flags.
        let names = node
            .figures
            .iter()
            .filter_map(|stem| stem.split('-').next());
        let mut words = self.begin();
        words.extend(["stage".to_owned(), node.id.clone()]);
        words.extend(names.map(str::to_owned));
        self.end(words)
    }

    /// The command that draws, judges and writes the report; it does what is missing too.
    pub fn draw(&self) -> Vec<String> {
        let mut words = self.begin();
        words.extend(self.figures.iter().cloned());
        words.extend(["--out".to_owned(), self.out.display().to_string()]);
        self.end(words)
    }

    fn begin(&self) -> Vec<String> {
        vec![self.program.display().to_string(), "reproduce".to_owned()]
    }

    fn end(&self, mut words: Vec<String>) -> Vec<String> {
        words.extend(self.flags.iter().chain(&self.checks).cloned());
        words.push("--quiet".to_owned());
        words
    }
}

/// Words as a shell reads them.
pub fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words() {
        let words = ["plain", "a b", "it's", "$HOME", "", "{x}"].map(String::from);
        let script = format!("printf '%s\\n' {}", quoted(&words));
        let shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .output();
        let said = String::from_utf8(shell.unwrap().stdout).unwrap();
        assert_eq!(said.lines().collect::<Vec<_>>(), words);
    }
}
