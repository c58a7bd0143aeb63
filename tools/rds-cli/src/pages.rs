// SPDX-License-Identifier: GPL-2.0

//! Shell completions and manual pages, made from the command line's own description.

use crate::failure::{printed, Failure, Outcome};
use clap::{value_parser, Arg, ArgMatches, Command};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// `rds completions`
pub fn completions_command() -> Command {
    Command::new("completions")
        .about("Print completions for a shell")
        .arg(
            Arg::new("shell")
                .required(true)
                .value_parser(value_parser!(Shell)),
        )
        .after_help(
            "Examples:\n  rds completions bash >/etc/bash_completion.d/rds\n  \
             rds completions zsh >~/.zfunc/_rds",
        )
}

/// `rds man`
pub fn man_command() -> Command {
    Command::new("man")
        .about("Print the manual page, or write those of all commands into a folder")
        .arg(
            Arg::new("folder")
                .long("folder")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf)),
        )
        .after_help("Examples:\n  rds man | man -l -\n  rds man --folder /usr/local/share/man/man1")
}

/// Prints completions.
pub fn completions(args: &ArgMatches, mut command: Command) -> Result<Outcome, Failure> {
    let shell = args
        .get_one::<Shell>("shell")
        .ok_or_else(|| Failure::usage("which shell?"))?;
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command, "rds", &mut text);
    printed(io::stdout().write_all(&text))?;
    Ok(Outcome::Good)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}

/// A page for the program, and one for each command.
fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.clone(), folder)
}

/// Prints or writes manual pages.
pub fn man(args: &ArgMatches, command: &Command) -> Result<Outcome, Failure> {
    match args.get_one::<PathBuf>("folder") {
        Some(folder) => {
            write_all(command, folder).map_err(|error| Failure::system(folder.display(), &error))?
        }
        None => {
            let text = page(command).map_err(|error| Failure::system("manual page", &error))?;
            printed(io::stdout().write_all(&text))?;
        }
    }
    Ok(Outcome::Good)
}
