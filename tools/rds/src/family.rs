// SPDX-License-Identifier: GPL-2.0

//! The number of the address family.

use rds_proto::uapi::AF_RDS;
use std::fmt;
use std::io;
use std::str::FromStr;

/// The number of the address family to open sockets of: 21, unless the module was loaded under
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Family(u16);

impl Family {
    /// `AF_RDS`.
    pub const RDS: Self = Self(AF_RDS as u16);

    /// The environment variable that [`Family::from_env`] reads.
    pub const VARIABLE: &'static str = "RDS_FAMILY";

    /// A family by its number.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number in the environment variable `RDS_FAMILY`; [`Family::RDS`] if that is not set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the variable is set to what is not a number.
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os(Self::VARIABLE) {
            None => Ok(Self::RDS),
            Some(value) => value
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| {
                    let message = format!(
                        "{} is {value:?}: it must be the number of an address family",
                        Self::VARIABLE
                    );
                    io::Error::new(io::ErrorKind::InvalidInput, message)
                }),
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl Default for Family {
    fn default() -> Self {
        Self::RDS
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Family {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
