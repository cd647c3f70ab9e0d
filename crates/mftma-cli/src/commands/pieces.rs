//! Work in pieces (layers, pairs of layers): each is kept once it is finished, whatever becomes of the others.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::{Interrupted, fail};
use crate::say::say;
use crate::{interrupt, program, report};

/// How often it is looked whether a signal came.
const TICK: Duration = Duration::from_millis(50);
/// As a program's first thread has it; threads have less unasked.
const STACK: usize = 8 << 20;

/// What became of a piece.
pub enum Piece<T> {
    /// Its number, which orders the results, its name and its result.
    Finished(usize, String, T),
    /// Its name, and why.
    Failed(String, anyhow::Error),
}

/// Pieces that are not finished, by name, and why.
pub type Failures = [(String, anyhow::Error)];

/// What is to be done.
pub struct Task<'a, T> {
    /// What the pieces are, with their number: `4 layers`.
    pub of: &'a str,
    /// The number of results.
    pub total: usize,
    /// Those that are there already.
    pub taken: Vec<Piece<T>>,
}

/// Does the work on a thread of its own, which hands over every piece as soon as it is done with it, and then writes the results;
/// `write` is told which pieces failed and whether all others are there. After a signal that the work does not heed in time (a
/// decomposition, a disk that does not answer) what was finished is written, and the program ends.
pub fn in_pieces<T: Send>(
    task: Task<'_, T>,
    work: impl FnOnce(&dyn Fn(Piece<T>)) -> Result<(), Interrupted> + Send,
    write: impl Fn(&[T], &Failures, bool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    interrupt::expect(task.total);
    interrupt::hold();
    let mut pieces = Pieces::default();
    for piece in task.taken {
        pieces.take(piece);
    }
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        let hand_over = move |piece| {
            // Nobody takes it where the program ends.
            let _ = send.send(piece);
        };
        let worker = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, move || work(&hand_over))
            .context("cannot start a thread")?;
        loop {
            match receive.recv_timeout(TICK) {
                Ok(piece) => pieces.take(piece),
                Err(RecvTimeoutError::Timeout) if interrupt::overdue() => {
                    // The thread cannot be ended by itself.
                    let code = match pieces.end(task.of, true, &write) {
                        Ok(()) => interrupt::EXIT_CODE,
                        Err(error) => program::report(&error),
                    };
                    std::process::exit(i32::from(code));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match worker.join() {
            Ok(ended) => pieces.end(task.of, ended.is_err(), &write),
            Err(panic) => {
                match pieces.end(task.of, true, &write) {
                    Err(error) if !error.is::<Interrupted>() => _ = program::report(&error),
                    _ => {}
                }
                std::panic::resume_unwind(panic)
            }
        }
    })
}

struct Pieces<T> {
    finished: Vec<(usize, T)>,
    failures: Vec<(String, anyhow::Error)>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self {
            finished: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl<T> Pieces<T> {
    fn take(&mut self, piece: Piece<T>) {
        match piece {
            Piece::Finished(at, name, result) => {
                interrupt::finished(&name);
                self.finished.push((at, result));
            }
            Piece::Failed(name, error) => self.failures.push((name, error)),
        }
    }

    /// Writes what is finished, and says of everything else why it is not. Nothing of that is left unsaid because of the others.
    fn end(
        mut self,
        of: &str,
        interrupted: bool,
        write: &impl Fn(&[T], &Failures, bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.finished.sort_by_key(|(at, _)| *at);
        let finished: Vec<T> = self
            .finished
            .into_iter()
            .map(|(_, result)| result)
            .collect();
        let written = match finished.as_slice() {
            [] => Ok(()),
            some => write(some, &self.failures, !interrupted),
        };
        let failed = fail(self.failures, of, !finished.is_empty());
        // Whoever has read enough has not read of these.
        let written = match (&failed, written) {
            (Err(_), Err(error)) if !interrupted && report::is_closed_pipe(&error) => Ok(()),
            (_, written) => written,
        };
        let mut errors: Vec<anyhow::Error> = [failed, written]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        if interrupted
            && errors
                .last()
                .is_none_or(|error| !program::not_written(error))
        {
            errors.push(Interrupted.into());
        }
        let last = errors.pop();
        for error in errors {
            say(format_args!("error: {error:#}"));
        }
        last.map_or(Ok(()), Err)
    }
}

/// Failures as results list them.
pub fn listed(failures: &Failures) -> Vec<serde_json::Value> {
    let failure = |(name, error): &(String, anyhow::Error)| json!({"layer": name, "error": format!("{error:#}")});
    failures.iter().map(failure).collect()
}
