//! Starting an installed server, waiting until it listens, and ending it.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(60);

/// Says that a test was skipped, past the capturing of test output; `make test` counts these lines.
pub fn skipped(why: &str) {
    note(&format!("SKIPPED: {why}"));
}

/// Says a line past the capturing of test output.
pub fn note(line: &str) {
    // A gone standard error has nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A port that nobody listens on. Below those that the system gives to clients, and never twice in a
/// process, so that it is still free when a server takes it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + u16::try_from(std::process::id() % 15_000).expect("below 15000");
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The path of an installed program. `None`, said loudly, when it is not installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace");
    let program = root.join(".deps/venv/bin").join(name);
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "scripts/test-deps.sh did not install {name}");
    skipped(&format!("{name} is not installed; run scripts/test-deps.sh"));
    None
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it and waits until it listens on the address.
    pub fn start(command: &mut Command, address: &str) -> Self {
        Self::start_until(command, || TcpStream::connect(address).is_ok())
    }

    /// Starts it and waits until it does what is asked for.
    pub fn start_until(command: &mut Command, mut is_up: impl FnMut() -> bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Self(command.spawn().expect("an installed server starts"));
        let began = Instant::now();
        while !is_up() {
            let ended = process.0.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{command:?} ended: {ended:?}");
            assert!(began.elapsed() < START_MAX, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
