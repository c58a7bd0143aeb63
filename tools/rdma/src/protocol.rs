// SPDX-License-Identifier: GPL-2.0

//! What the two ends say to each other, in messages of words: a mark, the number of the request, then a command and
//! numbers, or an answer.

use crate::pattern::Layout;
use std::fmt;
use std::str::FromStr;

/// Where the server is found if nobody says another port.
pub const PORT: u16 = 4650;

const MARK: &str = "rds-rdma-1";

/// How memory is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// With the answer, which carries the cookie: RDMA_MAP.
    Map,
    /// By GET_MR; the cookie is in the answer's text.
    Option,
    /// By GET_MR_FOR_DEST; the cookie is in the answer's text.
    OptionForDest,
    /// By GET_MR; the answer carries the cookie: RDMA_DEST.
    Dest,
}

impl Method {
    const ALL: [Self; 4] = [Self::Map, Self::Option, Self::OptionForDest, Self::Dest];
}

/// What the server is asked for. Memory is named by the number that `Make` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// An answer.
    Echo,
    /// Memory of `total` bytes, of which those within the layout are registered. The answer has its number
    /// and the cookie, or an error number.
    Make {
        method: Method,
        flags: u64,
        total: usize,
        layout: Layout,
    },
    /// Whether it holds this.
    Compare { id: u64, layout: Layout },
    /// To hold this.
    Fill { id: u64, layout: Layout },
    /// The hash of the registered bytes.
    Hash { id: u64 },
    /// The number in eight bytes.
    Number { id: u64, at: usize },
    /// Puts it there.
    Set { id: u64, at: usize, value: u64 },
    /// FREE_MR. The memory itself stays.
    Free { id: u64, invalidate: bool },
    /// FREE_MR of cookie 0.
    Flush,
    /// Lets go of the memory, too.
    Drop { id: u64 },
    /// Lets go of all memory that the asking host's socket at `port` has had made; 0 is that of who asks.
    Clear { port: u16 },
    /// How many messages came from who asks, this one among them.
    Count,
    /// Writes or reads memory of the asking host's socket at `port` so often. The answer has how many
    /// operations succeeded, met a remote error, and ended otherwise.
    Reach {
        port: u16,
        cookie: u64,
        write: bool,
        len: usize,
        seed: u64,
        count: u64,
    },
    /// How many kB of the server's memory are pinned.
    Pinned,
}

impl Command {
    fn parts(&self) -> (&'static str, Vec<u64>) {
        let of = |layout: &Layout| {
            [
                layout.guard,
                layout.at as u64,
                layout.len as u64,
                layout.seed,
            ]
        };
        match self {
            Self::Echo => ("echo", vec![]),
            Self::Make {
                method,
                flags,
                total,
                layout,
            } => {
                let mut words = vec![*method as u64, *flags, *total as u64];
                words.extend(of(layout));
                ("make", words)
            }
            Self::Compare { id, layout } => ("compare", [&[*id][..], &of(layout)].concat()),
            Self::Fill { id, layout } => ("fill", [&[*id][..], &of(layout)].concat()),
            Self::Hash { id } => ("hash", vec![*id]),
            Self::Number { id, at } => ("number", vec![*id, *at as u64]),
            Self::Set { id, at, value } => ("set", vec![*id, *at as u64, *value]),
            Self::Free { id, invalidate } => ("free", vec![*id, u64::from(*invalidate)]),
            Self::Flush => ("flush", vec![]),
            Self::Drop { id } => ("drop", vec![*id]),
            Self::Clear { port } => ("clear", vec![u64::from(*port)]),
            Self::Count => ("count", vec![]),
            Self::Reach {
                port,
                cookie,
                write,
                len,
                seed,
                count,
            } => {
                let write = u64::from(*write);
                let port = u64::from(*port);
                (
                    "reach",
                    vec![port, *cookie, write, *len as u64, *seed, *count],
                )
            }
            Self::Pinned => ("pinned", vec![]),
        }
    }
}

/// Most bytes of memory that a server makes for one command.
const MOST: usize = 16 << 20;

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words
            .map(|word| word.parse().map_err(|_| format!("{word:?} is no number")))
            .collect::<Result<_, _>>()?;
        let nonsense = || format!("{text:?} makes no sense");
        let size = |number: u64| {
            let number = usize::try_from(number).ok();
            number.filter(|&n| n <= MOST).ok_or_else(nonsense)
        };
        let port = |number: u64| u16::try_from(number).map_err(|_| nonsense());
        let layout = |words: &[u64]| match *words {
            [guard, at, len, seed] => Ok(Layout {
                guard,
                at: size(at)?,
                len: size(len)?,
                seed,
            }),
            _ => Err(nonsense()),
        };
        Ok(match (name, &numbers[..]) {
            ("echo", []) => Self::Echo,
            ("make", [method, flags, total, rest @ ..]) => {
                let method = usize::try_from(*method).ok();
                Self::Make {
                    method: *method
                        .and_then(|at| Method::ALL.get(at))
                        .ok_or_else(nonsense)?,
                    flags: *flags,
                    total: size(*total)?,
                    layout: layout(rest)?,
                }
            }
            ("compare", [id, rest @ ..]) => Self::Compare {
                id: *id,
                layout: layout(rest)?,
            },
            ("fill", [id, rest @ ..]) => Self::Fill {
                id: *id,
                layout: layout(rest)?,
            },
            ("hash", [id]) => Self::Hash { id: *id },
            ("number", [id, at]) => Self::Number {
                id: *id,
                at: size(*at)?,
            },
            ("set", [id, at, value]) => Self::Set {
                id: *id,
                at: size(*at)?,
                value: *value,
            },
            ("free", [id, invalidate]) => Self::Free {
                id: *id,
                invalidate: *invalidate != 0,
            },
            ("flush", []) => Self::Flush,
            ("drop", [id]) => Self::Drop { id: *id },
            ("clear", [number]) => Self::Clear {
                port: port(*number)?,
            },
            ("count", []) => Self::Count,
            ("reach", [number, cookie, write, len, seed, count]) => Self::Reach {
                port: port(*number)?,
                cookie: *cookie,
                write: *write != 0,
                len: size(*len)?,
                seed: *seed,
                count: *count,
            },
            ("pinned", []) => Self::Pinned,
            _ => return Err(nonsense()),
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, numbers) = self.parts();
        f.write_str(name)?;
        numbers.iter().try_for_each(|number| write!(f, " {number}"))
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, with these results.
    Done(Vec<u64>),
    /// The kernel gave this error.
    Errno(i32),
    /// It is not so, and why.
    No(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(numbers) => {
                f.write_str("done")?;
                numbers.iter().try_for_each(|number| write!(f, " {number}"))
            }
            Self::Errno(errno) => write!(f, "errno {errno}"),
            Self::No(why) => write!(f, "no {why}"),
        }
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let nonsense = || format!("{text:?} is no answer");
        match kind {
            "done" => {
                let words = rest.split_ascii_whitespace();
                let numbers = words.map(|word| word.parse().map_err(|_| nonsense()));
                numbers.collect::<Result<_, _>>().map(Self::Done)
            }
            "errno" => rest.parse().map(Self::Errno).map_err(|_| nonsense()),
            "no" => Ok(Self::No(rest.into())),
            _ => Err(nonsense()),
        }
    }
}

/// A message: a command or an answer, and the number of the request.
pub fn message(number: u64, what: &impl fmt::Display) -> Vec<u8> {
    format!("{MARK} {number} {what}").into_bytes()
}

/// The number, and the text behind it. `None` for other messages, as those that only go with an operation.
pub fn read(data: &[u8]) -> Option<(u64, &str)> {
    let rest = std::str::from_utf8(data).ok()?.strip_prefix(MARK)?;
    let (number, text) = rest.trim_start().split_once(' ')?;
    Some((number.parse().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        guard: u64::MAX,
        at: 4097,
        len: 1 << 20,
        seed: 3,
    };

    fn commands() -> Vec<Command> {
        let (id, at) = (7, 8);
        let mut all: Vec<_> = Method::ALL
            .into_iter()
            .map(|method| Command::Make {
                method,
                flags: 13,
                total: MOST,
                layout: LAYOUT,
            })
            .collect();
        all.extend([
            Command::Echo,
            Command::Compare { id, layout: LAYOUT },
            Command::Fill { id, layout: LAYOUT },
            Command::Hash { id },
            Command::Number { id, at },
            Command::Set {
                id,
                at,
                value: u64::MAX,
            },
            Command::Free {
                id,
                invalidate: true,
            },
            Command::Flush,
            Command::Drop { id },
            Command::Clear { port: 9 },
            Command::Count,
            Command::Reach {
                port: 65535,
                cookie: u64::MAX,
                write: true,
                len: 9,
                seed: 10,
                count: 11,
            },
            Command::Pinned,
        ]);
        all
    }

    #[test]
    fn commands_there_and_back() {
        for command in commands() {
            let raw = message(99, &command);
            let (number, text) = read(&raw).unwrap();
            assert_eq!((number, text.parse()), (99, Ok(command)));
        }
    }

    #[test]
    fn answers_there_and_back() {
        for answer in [
            Answer::Done(vec![]),
            Answer::Done(vec![0, u64::MAX]),
            Answer::Errno(22),
            Answer::No("byte 1 of 2 is 0x00".into()),
        ] {
            let raw = message(1, &answer);
            let (number, text) = read(&raw).unwrap();
            assert_eq!((number, text.parse()), (1, Ok(answer)));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "what",
            "echo 1",
            "hash",
            "hash x",
            "hash -1",
            "make 4 0 1 0 0 0 0",
            "make 0 0 1 0 0 0",
            "make 0 0 999999999999 0 0 0 0",
            "compare 1 0 0 18446744073709551615 0",
            "reach 65536 0 0 0 0 0",
        ] {
            assert!(text.parse::<Command>().is_err(), "{text:?}");
        }
        for text in ["", "done x", "errno", "yes"] {
            assert!(text.parse::<Answer>().is_err(), "{text:?}");
        }
        for data in [&b""[..], b"rds-rdma-1", b"rds-rdma-1 x echo", b"\xff"] {
            assert_eq!(read(data), None);
        }
    }
}
