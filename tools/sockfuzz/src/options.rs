// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const USAGE: &str = "\
usage: rds-sockfuzz [--family N] [--seed S] [--seconds N] [--least CALLS] [--total CALLS] [--calls N]
         [--lanes N]
         [--device IPV4,IPV6,LINKLOCAL,INDEX]... [--far IPV4,IPV4,IPV6] [--patience N]
         [--first P] [--only P [--thread T] [--verbose]]
  --family N    the number of the address family, if not 21
  --seed S      what all follows from; else one is made up, and printed
  --seconds N   ends after so long, if not before
  --least N     but not with fewer calls than that
  --total N     ends after so many calls, if not before
  --calls N     of each process
  --lanes N     processes at a time
  --device ..   addresses of an RDMA device, and the number of its interface: two at most
  --far ..      addresses on the devices' network that nobody has
  --patience N  how many times as long as usual what is waited for may take
  --first P     the number of the first process
  --only P      makes the calls of one process, and no others
  --thread T    of these, only those of one thread
  --verbose     prints each call before it is made";

/// Addresses of an RDMA device.
#[derive(Clone, Debug)]
pub struct Device {
    pub v4: IpAddr,
    pub v6: IpAddr,
    pub link: IpAddr,
    pub index: u32,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub family: u16,
    pub seed: Option<u64>,
    pub seconds: u64,
    pub least: u64,
    pub total: u64,
    pub calls: u64,
    pub lanes: usize,
    pub devices: [Device; 2],
    /// How many devices there really are.
    pub given: usize,
    pub far: [IpAddr; 3],
    pub patience: u64,
    pub first: u64,
    pub only: Option<u64>,
    pub thread: Option<u32>,
    pub verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        // Where there is none: addresses for documentation, which no host has.
        let device = |last: u8| Device {
            v4: Ipv4Addr::new(198, 51, 100, last).into(),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into(),
            link: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last.into()).into(),
            index: 2,
        };
        Self {
            family: 21,
            seed: None,
            seconds: 60,
            least: 0,
            total: u64::MAX,
            calls: 20_000,
            lanes: 3,
            devices: [device(1), device(2)],
            given: 0,
            far: [
                Ipv4Addr::new(198, 51, 100, 200).into(),
                Ipv4Addr::new(198, 51, 100, 201).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 200).into(),
            ],
            patience: 1,
            first: 0,
            only: None,
            thread: None,
            verbose: false,
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text}: not an address"))
}

pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        if arg == "--verbose" {
            options.verbose = true;
            continue;
        }
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--family" => options.family = number(&value)?,
            "--seed" => options.seed = Some(number(&value)?),
            "--seconds" => options.seconds = number(&value)?,
            "--least" => options.least = number(&value)?,
            "--total" => options.total = number(&value)?,
            "--calls" => options.calls = number(&value)?,
            "--lanes" => options.lanes = number::<usize>(&value)?.clamp(1, 64),
            "--patience" => options.patience = number(&value)?,
            "--first" => options.first = number(&value)?,
            "--only" => options.only = Some(number(&value)?),
            "--thread" => options.thread = Some(number(&value)?),
            "--device" => {
                let parts: Vec<_> = value.split(',').collect();
                let [v4, v6, link, index] = parts[..] else {
                    return Err(format!("{value}: not a device"));
                };
                let at = options.given;
                let place = options.devices.get_mut(at).ok_or("more than two devices")?;
                *place = Device {
                    v4: ip(v4)?,
                    v6: ip(v6)?,
                    link: ip(link)?,
                    index: number(index)?,
                };
                options.given += 1;
            }
            "--far" => {
                let parts: Vec<_> = value.split(',').collect();
                let [one, two, six] = parts[..] else {
                    return Err(format!("{value}: not three addresses"));
                };
                options.far = [ip(one)?, ip(two)?, ip(six)?];
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn options_are_read() {
        let options = parsed("--seed 7 --only 3 --thread 1 --calls 50 --verbose").unwrap();
        assert_eq!(
            (options.seed, options.only, options.thread),
            (Some(7), Some(3), Some(1))
        );
        assert!(options.verbose && options.calls == 50);
        let device = "--device 10.9.0.1,fd00:9::1,fe80::5,3";
        assert_eq!(parsed(device).unwrap().devices[0].index, 3);
        for wrong in [
            "--seed",
            "--seed x",
            "--device 1.2.3.4",
            "--nothing 1",
            "--far 1.2.3.4",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(parsed(&format!("{device} {device} {device}")).is_err());
    }
}
