// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::hold::Thing;
use crate::kind::Kind;
use crate::measure::Window;
use std::net::IpAddr;
use std::time::Duration;

pub const USAGE: &str =
    "usage: rds-bench [--families KIND,..] [--rounds N] [--time MS | --count N] \
                         [--only WORD,..] [--devices NEAR,FAR | --spaces NEAR,FAR] [--cold FIRST-LAST | --hold THING] \
                         FROM TO";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Measure rows.
    Rows,
    /// Measure first messages, of the types of service from one to the other.
    Cold(u8, u8),
    /// Keep so many things of this family.
    Hold(u16, Thing, usize),
}

pub struct Options {
    pub kinds: Vec<Kind>,
    pub rounds: usize,
    pub window: Window,
    pub only: Vec<String>,
    pub devices: Option<(String, String)>,
    pub spaces: Option<(String, String)>,
    pub work: Work,
    pub addresses: [IpAddr; 2],
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Reads the command line.
pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut addresses = Vec::new();
    let (mut kinds, mut rounds) = (vec![Kind::Rds(21)], 1);
    let mut window = Window::Time(Duration::from_millis(200));
    let mut only = Vec::new();
    let (mut devices, mut spaces, mut cold, mut hold) = (None, None, None, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--families" => {
                let kind = |text: &str| text.parse();
                kinds = value()?.split(',').map(kind).collect::<Result<_, _>>()?;
            }
            "--rounds" => rounds = number(&value()?)?,
            "--time" => window = Window::Time(Duration::from_millis(number(&value()?)?)),
            "--count" => window = Window::Count(number(&value()?)?),
            "--only" => only = value()?.split(',').map(String::from).collect(),
            "--devices" => {
                let text = value()?;
                let (near, far) = text.split_once(',').ok_or("two devices are needed")?;
                devices = Some((near.into(), far.into()));
            }
            "--spaces" => {
                let text = value()?;
                let (near, far) = text.split_once(',').ok_or("two namespaces are needed")?;
                spaces = Some((near.into(), far.into()));
            }
            "--cold" => {
                let text = value()?;
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                cold = Some((number(first)?, number(last)?));
            }
            "--hold" => hold = Some(value()?.parse::<Thing>()?),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => addresses.push(arg.parse().map_err(|_| format!("{arg:?} is no address"))?),
        }
    }
    let &[from, to] = addresses.as_slice() else {
        return Err("two addresses of this host are needed".into());
    };
    if devices.is_some() && spaces.is_some() {
        return Err("where the ends have namespaces of their own no device has to be named".into());
    }
    let work = match (cold, hold, window, kinds.as_slice()) {
        (None, None, ..) => Work::Rows,
        (Some((first, last)), None, ..) if first != 0 && first <= last => Work::Cold(first, last),
        (None, Some(thing), Window::Count(count), &[Kind::Rds(family)]) => {
            Work::Hold(family, thing, count)
        }
        (_, Some(_), ..) => {
            return Err("to hold something takes --count and one family of RDS".into());
        }
        _ => return Err("there is nothing to measure".into()),
    };
    Ok(Options {
        kinds,
        rounds,
        window,
        only,
        devices,
        spaces,
        work,
        addresses: [from, to],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn the_command_line() {
        let got = options("--families 21,tcp --rounds 3 --time 50 --cold 1-8 10.0.0.1 10.0.0.2");
        let got = got.unwrap();
        let tcp = Kind::Tcp { nodelay: true };
        assert_eq!((got.kinds, got.rounds), (vec![Kind::Rds(21), tcp], 3));
        assert_eq!(got.window, Window::Time(Duration::from_millis(50)));
        assert_eq!((got.work, got.devices), (Work::Cold(1, 8), None));

        let got = options("--count 100 --devices v0,v1 10.0.0.1 10.0.0.2").unwrap();
        assert_eq!((got.window, got.work), (Window::Count(100), Work::Rows));
        assert_eq!(got.devices, Some(("v0".into(), "v1".into())));

        let got = options("--spaces left,right 10.0.0.1 10.0.0.2").unwrap();
        assert_eq!(got.spaces, Some(("left".into(), "right".into())));

        let got = options("--hold queued-64 --count 9 --families 27 10.0.0.1 10.0.0.2").unwrap();
        assert_eq!(got.work, Work::Hold(27, Thing::Queued(64), 9));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for bad in [
            "10.0.0.1",
            "10.0.0.1 10.0.0.2 10.0.0.3",
            "10.0.0.1 ten",
            "--rounds 10.0.0.1 10.0.0.2",
            "--families , 10.0.0.1 10.0.0.2",
            "--cold 8-1 10.0.0.1 10.0.0.2",
            "--cold 0-1 10.0.0.1 10.0.0.2",
            "--devices v0 10.0.0.1 10.0.0.2",
            "--spaces left 10.0.0.1 10.0.0.2",
            "--spaces left,right --devices v0,v1 10.0.0.1 10.0.0.2",
            "--hold socket 10.0.0.1 10.0.0.2",
            "--hold socket --count 9 --families tcp 10.0.0.1 10.0.0.2",
            "--hold socket --count 9 --cold 1-8 10.0.0.1 10.0.0.2",
            "--fast 10.0.0.1 10.0.0.2",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}
