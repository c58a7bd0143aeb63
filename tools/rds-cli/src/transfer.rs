// SPDX-License-Identifier: GPL-2.0

//! `rds send` and `rds recv`: a file, standard input or a pattern, cut into messages.

use crate::context::{buffer_argument, set_buffers, source_argument, tos_argument, Context};
use crate::failure::{printed, Failure, Outcome};
use crate::lender::{How, Lender};
use crate::parse;
use crate::streams::{Step, Streams};
use crate::stress::pattern::Pattern;
use clap::{value_parser, Arg, ArgAction, ArgMatches, Command};
use rds::{Control, Endpoint, Socket};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// `rds send`
pub fn send_command() -> Command {
    Command::new("send")
        .about("Send a file, standard input or a pattern")
        .arg(
            Arg::new("to")
                .required(true)
                .value_name("ADDRESS:PORT")
                .value_parser(rds::parse_endpoint),
        )
        .arg(
            Arg::new("file")
                .short('f')
                .long("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("What to send; standard input if not given"),
        )
        .arg(
            Arg::new("size")
                .short('s')
                .long("size")
                .value_name("BYTES[,..]")
                .value_parser(|text: &str| parse::sizes(text).map(Sizes))
                .default_value("4096")
                .help("Length of a message, or lengths in turn; the last may be shorter"),
        )
        .arg(
            Arg::new("pattern")
                .short('p')
                .long("pattern")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .conflicts_with("file")
                .help("Send this many messages that `rds recv --pattern` can verify"),
        )
        .arg(
            Arg::new("zerocopy")
                .long("zerocopy")
                .action(ArgAction::SetTrue)
                .help("Have the kernel read what is sent in place (MSG_ZEROCOPY; over TCP)"),
        )
        .arg(
            Arg::new("pieces")
                .long("pieces")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..=1024))
                .default_value("1")
                .help("Give each message to the kernel in so many pieces of memory"),
        )
        .arg(end_argument("Send an empty message at the end"))
        .arg(timeout_argument(
            "How long to wait for the peer to acknowledge it all",
        ))
        .arg(source_argument())
        .arg(tos_argument())
        .arg(buffer_argument())
        .after_help(
            "It returns when the peer's kernel has everything: closing the socket earlier would \
             take back what is under way.\n\n\
             Examples:\n  rds send --end -f image.iso 10.0.0.2:4000\n  \
             echo hello | rds send 10.0.0.2:4000\n  \
             rds send --pattern 10000 --size 0,1,4095-4097,64K 10.0.0.2:4000",
        )
}

/// `rds recv`
pub fn recv_command() -> Command {
    Command::new("recv")
        .about("Receive messages and write out what they hold")
        .arg(
            Arg::new("at")
                .required(true)
                .value_name("ADDRESS[:PORT]")
                .value_parser(rds::parse_endpoint),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where to write it; standard output if not given"),
        )
        .arg(
            Arg::new("count")
                .short('c')
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("0")
                .help("Stop after this many messages; 0 for no end"),
        )
        .arg(
            Arg::new("pattern")
                .short('p')
                .long("pattern")
                .action(ArgAction::SetTrue)
                .help("Verify contents and order of what `rds send --pattern` sends"),
        )
        .arg(
            Arg::new("streams")
                .long("streams")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .conflicts_with_all(["pattern", "count", "end"])
                .help(
                    "Verify the pattern of each sender by itself, from whichever message on, and \
                     stop when so many have ended with an empty message",
                ),
        )
        .arg(
            Arg::new("list")
                .short('l')
                .long("list")
                .action(ArgAction::SetTrue)
                .help("Print a line for each message instead of what it holds"),
        )
        .arg(end_argument("Stop at an empty message"))
        .arg(timeout_argument("Fail when nothing has come for this long"))
        .arg(buffer_argument())
        .after_help(
            "Examples:\n  rds recv --end -o image.iso 10.0.0.2:4000\n  \
             rds recv --list 10.0.0.2:4000\n  \
             rds recv --pattern --count 10000 10.0.0.2:4000\n  \
             rds recv --streams 4 10.0.0.2:4000     (of four: rds send --end --pattern N)",
        )
}

#[derive(Clone)]
struct Sizes(Vec<usize>);

fn end_argument(help: &'static str) -> Arg {
    Arg::new("end")
        .short('e')
        .long("end")
        .action(ArgAction::SetTrue)
        .help(help)
}

fn timeout_argument(help: &'static str) -> Arg {
    Arg::new("timeout")
        .short('W')
        .long("timeout")
        .value_name("TIME")
        .value_parser(parse::time)
        .help(help)
}

/// Fills the buffer as far as the input reaches.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Waits until the peer's kernel has everything.
fn settle(socket: &Socket, to: SocketAddr, timeout: Option<Duration>) -> Result<(), Failure> {
    socket.wait_delivered(to, timeout).map_err(|error| {
        let what = format!("delivery to {to}");
        Failure::system(what, &error)
            .hint("`rds info --connections` shows the state of the connection to it.")
    })
}

/// `rds send`
pub fn send(context: &Context, args: &ArgMatches) -> Result<Outcome, Failure> {
    let to = args
        .get_one::<Endpoint>("to")
        .filter(|end| end.port.is_some())
        .map(|end| end.or_port(0))
        .ok_or_else(|| Failure::usage("send to which port? Write ADDRESS:PORT"))?;
    let Some(Sizes(sizes)) = args.get_one("size") else {
        return Err(Failure::usage("--size?"));
    };
    let longest = sizes.iter().copied().max().unwrap_or(0);
    let socket = context.bound_towards(args, to)?;
    context.set_tos(args, &socket)?;
    set_buffers(&socket, args.get_one("buffer").copied(), longest)?;

    let began = Instant::now();
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let how = How {
        lends: args.get_flag("zerocopy"),
        pieces: args.get_one::<u64>("pieces").map_or(1, |&n| n as usize),
    };
    let mut lender = Lender::new(&socket, to, longest, how)?;
    let mut sizes = sizes.iter().copied().cycle();
    let mut next = || sizes.next().unwrap_or(0);
    if let Some(&count) = args.get_one::<u64>("pattern") {
        for number in 0..count {
            let size = next();
            lender.send(|memory| {
                Pattern::of_message(number).fill(&mut memory[..size]);
                Ok(Some(size))
            })?;
            messages += 1;
            bytes += size as u64;
        }
    } else {
        if longest == 0 {
            return Err(Failure::usage(
                "--size 0 would never send anything of a file",
            ));
        }
        let (mut input, name): (Box<dyn Read>, _) = match args.get_one::<PathBuf>("file") {
            None => (Box::new(io::stdin().lock()), "standard input".into()),
            Some(file) => {
                let name = file.display().to_string();
                let file = File::open(file).map_err(|error| Failure::system(&name, &error))?;
                (Box::new(file), name)
            }
        };
        loop {
            let size = next();
            let sent = lender.send(|memory| {
                let filled = read_full(&mut input, &mut memory[..size])
                    .map_err(|error| Failure::system(&name, &error))?;
                Ok((filled > 0 || size == 0).then_some(filled))
            })?;
            if let Some(filled) = sent {
                messages += 1;
                bytes += filled as u64;
            }
            if sent.is_none_or(|filled| filled < size) {
                break;
            }
        }
    }
    if args.get_flag("end") {
        lender.send(|_| Ok(Some(0)))?;
    }
    let timeout = args.get_one("timeout").copied();
    let end = timeout.map(|timeout: Duration| Instant::now() + timeout);
    settle(&socket, to, timeout)?;
    lender.finish(end)?;
    summary(context, "sent", messages, bytes, began.elapsed())?;
    Ok(Outcome::Good)
}

fn summary(
    context: &Context,
    done: &str,
    messages: u64,
    bytes: u64,
    took: Duration,
) -> Result<(), Failure> {
    let seconds = took.as_secs_f64();
    if context.json {
        let all = json!({ done: messages, "bytes": bytes, "seconds": seconds });
        // Standard output may be where the data goes.
        let mut err = anstream::stderr();
        return printed(writeln!(err, "{all}"));
    }
    anstream::eprintln!("{messages} messages, {bytes} bytes {done} in {seconds:.3} s");
    Ok(())
}

/// `rds recv`
pub fn recv(context: &Context, args: &ArgMatches) -> Result<Outcome, Failure> {
    let at = args
        .get_one::<Endpoint>("at")
        .map(|end| end.or_port(0))
        .ok_or_else(|| Failure::usage("receive at which address?"))?;
    let count = args.get_one("count").copied().unwrap_or(0_u64);
    let (verify, list) = (args.get_flag("pattern"), args.get_flag("list"));
    let socket = context.bound(at)?;
    set_buffers(&socket, args.get_one("buffer").copied(), 0)?;
    socket
        .set_recv_timeout(args.get_one("timeout").copied())
        .map_err(|error| Failure::system("--timeout", &error))?;
    if at.port() == 0 {
        let local = socket.local_addr().ok().flatten();
        anstream::eprintln!("receiving at {}", local.unwrap_or(at));
    }
    let mut output: Box<dyn Write> = match args.get_one::<PathBuf>("output") {
        None => Box::new(io::stdout().lock()),
        Some(file) => {
            Box::new(File::create(file).map_err(|error| Failure::system(file.display(), &error))?)
        }
    };

    let mut buffer = vec![0; rds::MAX_MESSAGE];
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let mut began = None;
    let wanted = args.get_one("streams").copied().unwrap_or(0_u64);
    let mut streams = Streams::default();
    while (count == 0 || messages < count) && (wanted == 0 || streams.ended() < wanted) {
        let received = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Failure::other(format!(
                    "nothing more came to {at} in time, after {messages} messages"
                )));
            }
            Err(error) => return Err(Failure::system("receive", &error)),
        };
        let Some(from) = received.from else {
            continue;
        };
        began.get_or_insert_with(Instant::now);
        let data = &buffer[..received.len];
        if data.is_empty() && args.get_flag("end") {
            break;
        }
        if verify {
            if let Err(why) = Pattern::of_message(messages).check(data) {
                return wrong(from, messages, &why);
            }
        }
        if wanted > 0 {
            match streams.take(from, data) {
                Ok(Step::Begins(first)) => {
                    anstream::eprintln!("{from}: begins with message {first}");
                }
                Ok(Step::Goes(_)) => {}
                Ok(Step::Ends) => continue,
                Err(why) => return wrong(from, messages, &why),
            }
        }
        if list {
            let notes: Vec<_> = received.control.iter().map(Control::to_string).collect();
            let line = format!(
                "{messages}: {} bytes from {from} {}",
                data.len(),
                notes.join(" ")
            );
            printed(writeln!(output, "{}", line.trim_end()))?;
        } else if !verify && wanted == 0 {
            printed(output.write_all(data))?;
        }
        messages += 1;
        bytes += data.len() as u64;
    }
    printed(output.flush())?;
    for line in streams.lines() {
        anstream::eprintln!("{line}");
    }
    let took = began.map_or(Duration::ZERO, |began| began.elapsed());
    summary(context, "received", messages, bytes, took)?;
    Ok(Outcome::Good)
}

fn wrong(from: SocketAddr, number: u64, why: &str) -> Result<Outcome, Failure> {
    anstream::eprintln!("rds: message {number} from {from}: {why}");
    Ok(Outcome::Bad)
}
