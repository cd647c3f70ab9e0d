//! The program: parses flags, runs one command, and turns its outcome into an exit code.

use std::ffi::OsString;
use std::io;

use clap::{CommandFactory, FromArgMatches};
use mftma_atomic::WriteError;
use mftma_files::error::InputError;

use crate::cli::{Cli, Command};
use crate::commands::{Interrupted, LayersFailed, analyze, capacity, compare, info};
use crate::interrupt;
use crate::report::{self, Exists, print};
use crate::say::say;
use crate::settings::SettingsError;

/// Runs the program on `arguments`, the first of which is its name, and gives its exit code. Takes over Ctrl-C, SIGTERM and SIGHUP,
/// and ends the process itself for `--help` and flags that it does not know.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // clap ends the program itself for --help (0) and wrong flags (2).
    let matches = Cli::command().get_matches_from(arguments);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Err(error) = interrupt::install() {
        say(format_args!(
            "note: Ctrl-C will stop the program without a summary ({error})"
        ));
    }
    if let Err(error) = mftma::simd::Level::from_environment() {
        return report(&anyhow::Error::new(error).context(mftma::simd::VARIABLE));
    }
    let outcome = match &cli.command {
        Command::Analyze(args) => match matches.subcommand() {
            Some((_, matches)) => analyze::run(args, matches),
            None => Ok(()),
        },
        Command::Compare(args) => compare::run(args),
        Command::Capacity(args) => capacity::run(args),
        Command::Info(args) => info::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "mftma", &mut script);
            print(&script)
        }
        Command::Man => manual().and_then(|page| print(&page)),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => report(&error),
    }
}

/// The manual page of the program, and after it that of each command.
fn manual() -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        clap_mangen::Man::new(sub.clone()).render(&mut page)?;
    }
    Ok(page)
}

/// Whether an error is that results, or anything else, could not be written.
pub(crate) fn not_written(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|e| e.is::<Exists>() || e.is::<WriteError>() || e.is::<io::Error>())
}

/// Says what went wrong and chooses the exit code. The codes are listed in `mftma --help`.
pub(crate) fn report(error: &anyhow::Error) -> u8 {
    let closed = report::is_closed_pipe(error);
    if closed && !interrupt::requested() {
        return 0;
    }
    if error.is::<Interrupted>() || (interrupt::requested() && !not_written(error)) {
        say(interrupt::summary());
        return interrupt::EXIT_CODE;
    }
    // `{:#}` joins the causes; wrapped input errors keep their place and remedy.
    say(format_args!("error: {error:#}"));
    if interrupt::requested() {
        say(interrupt::summary());
    }
    // Ctrl-C ends whatever reads, too.
    if closed {
        return interrupt::EXIT_CODE;
    }
    let in_chain = |is: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(is);
    if in_chain(|e| e.is::<SettingsError>()) || error.is::<mftma::Error>() {
        2
    } else if in_chain(|e| e.is::<InputError>())
        || error
            .downcast_ref::<LayersFailed>()
            .is_some_and(|e| e.input)
    {
        3
    } else if in_chain(|e| e.is::<Exists>()) {
        4
    } else {
        1
    }
}
