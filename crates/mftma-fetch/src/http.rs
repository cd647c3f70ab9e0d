//! Download to a `.partial` file that a later run goes on with.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::{Response, StatusCode, header};

/// Attempts without a single new byte before giving up; a broken connection that made progress does not count.
const ATTEMPTS: usize = 3;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// What to download and where to.
pub struct Request<'a> {
    pub url: &'a str,
    pub size: Option<u64>,
    pub partial: &'a Path,
    /// Longest wait for a connection, an answer, or the next bytes.
    pub patience: Duration,
    pub quiet: bool,
}

/// Why an attempt ended early.
enum Trouble {
    /// Worth another attempt.
    Broken(anyhow::Error),
    /// The answer would be the same again.
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// Downloads until the `.partial` file has the wanted size (where it is known, else until the server is done).
pub fn download(request: &Request<'_>) -> Result<()> {
    let bar = progress(request);
    let mut fruitless = 0;
    loop {
        let mut before = length(request.partial);
        match request.size {
            Some(size) if before == size => {
                bar.finish_and_clear();
                return Ok(());
            }
            Some(size) if before > size => {
                // Left by something else.
                fs::remove_file(request.partial)?;
                before = 0;
            }
            _ => {}
        }
        match attempt(request, before, &bar) {
            Ok(()) => {}
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Broken(error)) => {
                fruitless = if length(request.partial) > before {
                    0
                } else {
                    fruitless + 1
                };
                if fruitless == ATTEMPTS {
                    let have = length(request.partial);
                    let of = request
                        .size
                        .map_or_else(String::new, |size| format!(" of {size}"));
                    return Err(error.context(format!(
                        "gave up with {have}{of} bytes after {ATTEMPTS} attempts in vain"
                    )));
                }
                continue;
            }
        }
        if request.size.is_none() {
            bar.finish_and_clear();
            return Ok(());
        }
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// One request, from where the partial file ends.
fn attempt(request: &Request<'_>, have: u64, bar: &ProgressBar) -> Result<(), Trouble> {
    let mut call = agent(request)?.get(request.url);
    if have > 0 {
        call = call.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = call.call().map_err(|error| Trouble::Broken(error.into()))?;
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => {
            if range_start(&response) != Some(have) {
                return Err(Trouble::Final(anyhow::anyhow!(
                    "the server sent another part than the one from byte {have}"
                )));
            }
            have
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // The partial file is longer than what the server has: no use.
            fs::remove_file(request.partial)?;
            return Err(Trouble::Broken(anyhow::anyhow!(
                "the server has fewer bytes than were downloaded before"
            )));
        }
        status if status.is_server_error() => {
            return Err(Trouble::Broken(anyhow::anyhow!(
                "the server answered {status}"
            )));
        }
        status => {
            return Err(Trouble::Final(anyhow::anyhow!(
                "the server answered {status}"
            )));
        }
    };
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(start == 0)
        .append(start > 0)
        .open(request.partial)
        .with_context(|| format!("cannot write {}", request.partial.display()))?;
    bar.set_position(start);
    let promised = response
        .body()
        .content_length()
        .map(|length| start + length);
    receive(request, response, &mut file, start, promised, bar)
}

/// Writes the body as it comes. A thread reads it, so that a stalled server can be told from a slow one: no client-wide
/// limit on the whole body would fit every line.
fn receive(
    request: &Request<'_>,
    response: Response<ureq::Body>,
    file: &mut File,
    start: u64,
    promised: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), Trouble> {
    let (sender, chunks) = mpsc::sync_channel::<std::io::Result<Vec<u8>>>(4);
    // Left behind blocked when the server stalls; ends with the connection or the program.
    std::thread::spawn(move || {
        let mut body = response.into_body().into_reader();
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = body.read(&mut chunk).map(|count| {
                chunk.truncate(count);
                chunk
            });
            let last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
            if sender.send(read).is_err() || last {
                return;
            }
        }
    });
    let mut have = start;
    loop {
        let chunk = match chunks.recv_timeout(request.patience) {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(Trouble::Broken(error.into())),
            Err(_) => {
                let waited = request.patience.as_secs();
                return Err(Trouble::Broken(anyhow::anyhow!(
                    "the server sent nothing for {waited} s"
                )));
            }
        };
        if chunk.is_empty() {
            break;
        }
        have += chunk.len() as u64;
        if let Some(size) = request.size.filter(|&size| have > size) {
            fs::remove_file(request.partial)?;
            return Err(Trouble::Final(anyhow::anyhow!(
                "the server sent more than the {size} bytes wanted"
            )));
        }
        file.write_all(&chunk)
            .with_context(|| format!("cannot write {}", request.partial.display()))?;
        bar.set_position(have);
    }
    match promised.max(request.size) {
        Some(size) if have < size => Err(Trouble::Broken(anyhow::anyhow!(
            "the server ended after {have} of {size} bytes"
        ))),
        _ => Ok(()),
    }
}

/// First byte of a `Content-Range: bytes FIRST-LAST/TOTAL` header.
fn range_start(response: &Response<ureq::Body>) -> Option<u64> {
    let value = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    value
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// A client that checks certificates against Mozilla's roots, with cryptography in pure Rust: the usual providers need a C
/// compiler, which a fresh machine does not have.
fn agent(request: &Request<'_>) -> Result<ureq::Agent> {
    if request.url.starts_with("https:") {
        // Fails only when it was set before.
        let _ = rustls_graviola::default_provider().install_default();
    } else if !request.url.starts_with("http:") {
        bail!("address {} is neither http nor https", request.url);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(request.patience))
        .timeout_connect(Some(request.patience))
        .timeout_recv_response(Some(request.patience))
        .build();
    Ok(config.into())
}

/// A progress bar on standard error; silent where that is no terminal, or on request.
fn progress(request: &Request<'_>) -> ProgressBar {
    if request.quiet {
        return ProgressBar::hidden();
    }
    let bar = request
        .size
        .map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(
        request
            .url
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
    );
    bar
}
