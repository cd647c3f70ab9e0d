//! One spelling throughout: the prose of documents and comments against `tests/spelling.txt`.

use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = include_str!("../spelling.txt");

/// A spelling that is not used, and the one that is.
struct Rule {
    wrong: &'static str,
    right: &'static str,
}

impl Rule {
    fn all() -> Vec<Self> {
        let lines = LIST.lines().filter(|line| !line.starts_with('#'));
        let rules = lines.filter_map(|line| line.split_once(' '));
        rules.map(|(wrong, right)| Self { wrong, right }).collect()
    }

    fn meets(&self, word: &str) -> bool {
        match self.wrong.strip_suffix('*') {
            Some(beginning) => word.starts_with(beginning),
            None => word == self.wrong,
        }
    }
}

/// Documents and sources below a folder, without what is built, embedded or of record.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let passed_over = ["target", "datasets", "results"].contains(&name.as_str());
        if passed_over || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|e| e == "md" || e == "rs" || e == "toml")
        {
            found.push(path);
        }
    }
}

/// The prose of a line: all of a document's, the comment of a line of code.
fn prose<'a>(path: &Path, line: &'a str) -> &'a str {
    let mark = match path.extension().and_then(|e| e.to_str()) {
        Some("md") => return line,
        Some("toml") => "# ",
        _ => "//",
    };
    line.split_once(mark).map_or("", |(_, comment)| comment)
}

/// Words of prose: what stands outside backticks and is no path, address, name in code, proper name or title.
fn words(prose: &str) -> impl Iterator<Item = &str> {
    let outside = prose.split('`').step_by(2);
    outside.flat_map(str::split_whitespace).filter_map(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let plain = word
            .chars()
            .all(|c| c.is_lowercase() || c == '-' || c == '’');
        plain.then_some(word)
    })
}

/// The words of a text that break a rule, each with its line and what to write.
fn faults(path: &Path, text: &str, rules: &[Rule]) -> Vec<String> {
    let mut code = false;
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let prose = prose(path, line);
        if prose.trim_start_matches(['/', '!', ' ']).starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for word in words(prose) {
            let parts = || word.split('-');
            let broken = rules
                .iter()
                .find(|rule| parts().any(|part| rule.meets(part)));
            if let Some(Rule { right, .. }) = broken {
                faults.push(format!(
                    "{}:{number}: {word}: write {right}",
                    path.display()
                ));
            }
        }
    }
    faults
}

#[test]
fn one_spelling_throughout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let rules = Rule::all();
    let faults: Vec<String> = files
        .iter()
        .flat_map(|path| faults(path, &fs::read_to_string(path).unwrap(), &rules))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn prose_is_told_from_code() {
    let rules = Rule::all();
    let found = |name: &str, text: &str| faults(Path::new(name), text, &rules).len();
    // The last letter is escaped, so that this file itself is beyond reproach.
    let text = "The colo\u{72}, `colo\u{72}`, COLOR, x/colo\u{72}.\n```\ncolo\u{72}\n```\n";
    assert_eq!(found("a.md", text), 1);
    let text = "let gra\u{79} = 1; // pre-initialise\u{64}\n/// A gra\u{79} colo\u{72}.\n";
    assert_eq!(found("a.rs", text), 3);
    assert_eq!(found("a.toml", "gra\u{79} = 1 # a colour\n"), 0);
}
