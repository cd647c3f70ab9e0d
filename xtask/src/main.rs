//! Project tasks: `cargo xtask reproduce`, `cargo xtask check`, `cargo xtask fetch`, `cargo xtask glyphs`.
//!
//! A thin dispatcher: the whole command line is declared in [`cli`]; the work is done by library crates.

mod bars;
mod cli;
mod reproduce;

use std::io;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Reproduce(args) => reproduce::run(*args),
        cli::Command::Check(args) => {
            mftma_study::check::run(&args.folder, &args.figures, &mut io::stdout())
        }
        cli::Command::Fetch(args) => mftma_fetch::run(&mftma_fetch::Request {
            set: args.set,
            data_dir: args.data_dir,
            from: args.from,
            manifest: args.manifest,
            patience: args.patience,
            quiet: args.quiet,
        }),
        cli::Command::Glyphs(args) => mftma_glyphs::run(&mftma_glyphs::Request {
            fonts: args.fonts,
            out: args.out,
            sheet: args.sheet,
        }),
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
