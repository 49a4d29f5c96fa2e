//! Ctrl-C, and whatever else asks a process to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CommandError;

/// The signals that ask this process to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over, as [`Signals::listen`] does, for a command.
    pub(super) fn take() -> Result<Self, CommandError> {
        Self::listen().map_err(|error| CommandError::Broken(format!("no signals: {error}")))
    }

    /// Takes them over from the system, which would kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
