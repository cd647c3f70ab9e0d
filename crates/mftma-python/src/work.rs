//! Long work: outside Python's lock, on threads of its own, told to stop by Ctrl-C.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mftma::Progress;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How often signals are looked at, and progress told.
const TICK: Duration = Duration::from_millis(50);
/// How long work that was told to stop may take to do so before it is left to end by itself.
const GRACE: Duration = Duration::from_millis(500);

/// Most threads that may be asked for, as in the program.
const MOST_THREADS: usize = 4096;

/// What the work and the waiting caller share.
#[derive(Default)]
pub(crate) struct Control {
    pub(crate) stop: AtomicBool,
    latest: Mutex<Option<Progress>>,
}

impl Control {
    /// Notes how far the work is; breaks where it is to stop.
    pub(crate) fn tell(&self, progress: Progress) -> ControlFlow<()> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        if self.stop.load(Relaxed) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn take(&self) -> Option<Progress> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Pools by number of threads. A child of `fork` has none of its parent's threads, so it makes its own.
static POOLS: Mutex<Vec<(u32, usize, Arc<ThreadPool>)>> = Mutex::new(Vec::new());

fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    if threads > MOST_THREADS {
        return Err(PyValueError::new_err(format!(
            "threads is {threads}, but must be at most {MOST_THREADS}"
        )));
    }
    let process = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, pool)) = pools
        .iter()
        .find(|(p, n, _)| (*p, *n) == (process, threads))
    {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("mftma-{index}"))
        .build()
        .map_err(|e| PyRuntimeError::new_err(format!("cannot start {threads} threads: {e}")))?;
    let pool = Arc::new(pool);
    pools.push((process, threads, Arc::clone(&pool)));
    Ok(pool)
}

/// Runs `job` on a pool of `threads` threads (0: all cores) and waits for it without Python's lock. `progress`, where given, is
/// called on the waiting thread, with stage, done and total.
///
/// A signal or an exception of `progress` stops the job; where it has not ended soon after, it is left to find out by itself.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
    job: impl FnOnce(&Control) -> T + Send + 'static,
) -> PyResult<T> {
    let pool = pool(threads)?;
    let control = Arc::new(Control::default());
    let (done, finished) = sync_channel::<Result<T, Box<dyn Any + Send>>>(1);
    let shared = Arc::clone(&control);
    pool.spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| job(&shared)));
        // Nobody listens any more where the caller was interrupted.
        let _ = done.send(outcome);
    });
    // A receiver is not `Sync`; a mutex makes it so, and nobody else takes it.
    let finished = Mutex::new(finished);
    let wait = |time: Duration| {
        py.detach(|| {
            finished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(time)
        })
    };
    loop {
        match wait(TICK) {
            Ok(Ok(value)) => {
                report(progress, &control)?;
                return Ok(value);
            }
            Ok(Err(panic)) => return Err(PyRuntimeError::new_err(fault(panic.as_ref()))),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err(fault(&"its thread ended")));
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = py.check_signals().and_then(|()| report(progress, &control)) {
                    control.stop.store(true, Relaxed);
                    let _ = wait(GRACE);
                    return Err(error);
                }
            }
        }
    }
}

fn report(progress: Option<&Bound<'_, PyAny>>, control: &Control) -> PyResult<()> {
    let (Some(callback), Some(latest)) = (progress, control.take()) else {
        return Ok(());
    };
    let (stage, done, total) = match latest {
        Progress::Features { done, of } => ("features", done, of),
        Progress::Centres => ("centres", 0, 1),
        Progress::Manifolds { done, of } => ("manifolds", done, of),
        Progress::Vectors { done, of } => ("vectors", done, of),
        Progress::Dichotomies { done, of } => ("dichotomies", done, of),
        _ => return Ok(()),
    };
    callback.call1((stage, done, total)).map(|_| ())
}

/// An error of ours, not of the input.
fn fault(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("an internal error of mftma, please report it: {text}")
}

/// Work that stopped because it was told to, though nothing is raised: only where a callback swallowed the reason.
pub(crate) fn interrupted() -> PyErr {
    PyKeyboardInterrupt::new_err(())
}
