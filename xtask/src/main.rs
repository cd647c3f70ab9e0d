//! Project tasks: `cargo xtask reproduce`, `cargo xtask fetch`, `cargo xtask glyphs`.
//!
//! A thin dispatcher: the whole command line is declared in [`cli`], and each command is one file.

/// Prints a line to standard output. That nobody reads it any more (`| head`) is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod cache;
mod check;
mod claims;
mod cli;
mod compare;
mod draw;
mod estimate;
mod experiment;
mod fetch;
mod figures;
mod files;
mod glyphs;
mod interim;
mod profile;
mod progress;
mod provenance;
mod record;
mod report;
mod reproduce;
mod stages;
mod status;
mod table;
mod umap;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Reproduce(args) => reproduce::run(&args),
        cli::Command::Check(args) => check::run(&args),
        cli::Command::Fetch(args) => fetch::run(&args),
        cli::Command::Glyphs(args) => glyphs::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` joins the causes: one line that names the file and the remedy.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
