//! containerd with folders of its own, and its command `ctr`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, installed, skipped};

/// A running containerd. It wants root, and nothing of what it does here reaches the kernel: no task is started.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Process>,
    programs: [PathBuf; 2],
    folder: TempDir,
}

impl Containerd {
    /// Starts it. `None`, said loudly, when it is not installed or this is not root.
    pub fn start() -> Option<Self> {
        let programs = [installed("containerd")?, installed("ctr")?];
        let is_root = std::fs::metadata("/proc/self")
            .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        if !is_root {
            skipped("containerd wants root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display();
        // Nothing of Kubernetes, and no snapshots that want devices.
        let config = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.tracing.processor.v1.otlp\"]\n\
             [grpc]\naddress = \"{place}/c.sock\"\n[ttrpc]\naddress = \"{place}/t.sock\"\n"
        );
        std::fs::write(folder.path().join("config.toml"), config).expect("a file");
        let mut containerd = Self { process: None, programs, folder };
        containerd.go_on();
        Some(containerd)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("c.sock")
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again with what it knew.
    pub fn go_on(&mut self) {
        let mut command = Command::new(&self.programs[0]);
        command.arg("--config").arg(self.folder.path().join("config.toml"));
        let is_up = || self.command(&["version"]).output().is_ok_and(|out| out.status.success());
        self.process = Some(Process::start_until(&mut command, is_up));
    }

    /// Carries `ctr` out.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctr(&self, args: &[&str]) {
        let out = self.command(args).output().expect("ctr starts");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// `ctr events`, which writes lines of `time namespace topic json` until it is killed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn events(&self) -> Child {
        let mut command = self.command(&["events"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ctr starts")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.programs[1]);
        command.arg("--address").arg(self.socket()).args(args);
        command
    }
}
