// SPDX-License-Identifier: GPL-2.0

//! What goes wrong: the thing, the reason, and what to do about it.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Whether what was asked for is as one would wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit status 0.
    Good,
    /// Exit status 1.
    Bad,
}

impl From<bool> for Outcome {
    fn from(good: bool) -> Self {
        if good {
            Self::Good
        } else {
            Self::Bad
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Bad => Self::from(1),
        }
    }
}

/// Why nothing came of it.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    what: String,
    hint: Option<String>,
}

impl Failure {
    /// The user asked for what cannot be.
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            status: 2,
            what: what.into(),
            hint: None,
        }
    }

    /// Something other than a system call.
    pub fn other(what: impl Into<String>) -> Self {
        Self {
            status: 3,
            what: what.into(),
            hint: None,
        }
    }

    /// A system call on `what` failed.
    pub fn system(what: impl fmt::Display, error: &io::Error) -> Self {
        Self {
            status: 3,
            what: format!("{what}: {}", reason(error)),
            hint: None,
        }
    }

    /// With what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit status.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        write!(f, "{red}rds:{red:#} {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n     {hint}"),
            None => Ok(()),
        }
    }
}

/// An error in words, with its name in `errno.h`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text);
    match error.raw_os_error().and_then(rds::errno_name) {
        Some(name) => format!("{plain} ({name})"),
        None => plain.to_string(),
    }
}

/// Writing to a standard output that nobody reads any more is no failure.
pub fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::system("standard output", &error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_what_to_do() {
        let error = io::Error::from_raw_os_error(99);
        let failure = Failure::system("bind 10.0.0.1:0", &error).hint("look there");
        let text = anstream::adapter::strip_str(&failure.to_string()).to_string();
        assert_eq!(
            text,
            "rds: bind 10.0.0.1:0: Cannot assign requested address (EADDRNOTAVAIL)\n     look there"
        );
    }
}
