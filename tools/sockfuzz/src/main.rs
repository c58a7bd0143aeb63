// SPDX-License-Identifier: GPL-2.0

//! Makes random calls on RDS sockets, right ones and wrong ones, from many processes with many threads.
//!
//! Everything that a thread does follows from the seed of its process, which follows from that of the run: what
//! was done is done again by
//!
//! ```text
//! rds-sockfuzz --seed S --only P [--thread T] [--verbose]
//! ```
//!
//! with the number of the process, and the options for addresses and counts as before. When threads come
//! between each other, and what other processes do meanwhile, is not in the seed.
//!
//! | Question | Module |
//! |---|---|
//! | Which calls are made? | [`plan`] |
//! | How is a call made, and what may it give? | [`run`], [`kinds`] |
//! | What is sent, and is what comes what was sent? | [`stock`] |
//! | How does a process live and end? | [`process`] |
//! | Who starts them, and looks what they leave? | [`supervise`] |
//! | Who is not to notice anything? | [`bystander`] |

#![forbid(unsafe_code)]

mod bystander;
mod kinds;
mod options;
mod plan;
mod process;
#[path = "../../sim/src/rng.rs"]
#[allow(dead_code)] // The simulator's, which asks for more.
mod rng;
mod run;
mod stock;
mod supervise;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rds-sockfuzz: {why}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let done = supervise::Supervisor::new(options).and_then(|mut all| all.run());
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("rds-sockfuzz: {why}");
            ExitCode::from(3)
        }
    }
}
