//! What signals do: those that were ignored when the program started stay so, as `nohup` and `&` of a script ask.

#![allow(unsafe_code)]

/// Runs what installs handlers of SIGINT, SIGTERM and SIGHUP, and has those ignored again that were.
#[cfg(unix)]
pub fn keep_ignored<T>(install: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
    const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let ignored: SigSet = ENDING.into_iter().filter(|&s| is_ignored(s)).collect();
    // One that comes before it is ignored again waits, and then is.
    let before = ignored.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let installed = install();
    for one in &ignored {
        // SAFETY: no handler is installed, one is taken away.
        let _ = unsafe { signal(one, SigHandler::SigIgn) };
    }
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    installed
}

#[cfg(unix)]
fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    use nix::libc;
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the old one is written to `found`, which is one; it is read only where that was done.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a limit on the size of files (`ulimit -f`) an error of writing, as a full disk is one, where the signal would end the program.
#[cfg(unix)]
pub fn large_files_are_errors() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: no handler is installed.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

#[cfg(not(unix))]
pub fn keep_ignored<T>(install: impl FnOnce() -> T) -> T {
    install()
}

#[cfg(not(unix))]
pub fn large_files_are_errors() {}
