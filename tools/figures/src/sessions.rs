// SPDX-License-Identifier: GPL-2.0

//! The figures of sessions: a lane that dies, and small messages beside large ones.

use crate::draw::{write, Chart, Line};
use plotters::chart::SeriesLabelPosition;
use rds_links::{LaneConfig, LinkConfig, Sessions, SessionsConfig, MS, US};
use rds_proto::native::cc::Kind;
use rds_proto::native::lane::Role;
use std::error::Error;
use std::path::Path;

/// Both kinds of lanes.
const KINDS: [(bool, &str); 2] = [(true, "datagrams"), (false, "reliable")];

fn lane(datagrams: bool, path: usize, role: Role) -> LaneConfig {
    if datagrams {
        LaneConfig::datagram(path, role, Kind::Bbr, 4096)
    } else {
        LaneConfig::reliable(path, role, 12)
    }
}

/// Two lanes on two paths, of which the first is dead for a third of the time.
pub fn dead(path: &Path) -> Result<(), Box<dyn Error>> {
    const LINK: LinkConfig = LinkConfig::new(125_000_000, 200 * US);
    const DIES: u64 = 100;
    const BACK: u64 = 200;
    const END: u64 = 300;
    let mut lines = Vec::new();
    for (i, (datagrams, name)) in KINDS.iter().enumerate() {
        let lanes = [0, 1].map(|path| lane(*datagrams, path, Role::Any));
        let mut w = Sessions::new(1, &[LINK, LINK], SessionsConfig::new(&lanes));
        w.set_bulk(32 << 10, 64);
        let mut points = Vec::new();
        let mut seen = 0;
        for ms in 1..=END {
            match ms {
                DIES => w.set_dead(0, true),
                BACK => w.set_dead(0, false),
                _ => {}
            }
            w.run_until(ms * MS);
            if ms % 2 == 0 {
                let bytes: u64 = w.delivered()[seen..].iter().map(|(_, bytes)| bytes).sum();
                seen = w.delivered().len();
                points.push((ms as f64, bytes as f64 * 8.0 / 2e6));
            }
        }
        lines.push(Line {
            name: format!("two lanes, {name}"),
            points,
            colour: i,
            dots: false,
        });
    }
    let chart = Chart {
        title: "Two lanes of 1 Gbit/s and 200 µs; the path of one is dead from 100 to 200 ms",
        x: "milliseconds",
        y: "delivered, Gbit/s",
        lines,
        spans: vec![(DIES as f64, BACK as f64, 1)],
        y_max: 2.5,
        logarithmic: false,
        legend: SeriesLabelPosition::LowerRight,
    };
    write(path, (900, 420), &[chart])
}

/// The round trip of a small message, idle and beside bulk.
pub fn beside(path: &Path) -> Result<(), Box<dyn Error>> {
    const LINK: LinkConfig = LinkConfig::new(1_250_000_000, 50 * US);
    const BULK: u64 = 20;
    const END: u64 = 60;
    let mut lines = Vec::new();
    for (i, (datagrams, name)) in KINDS.iter().enumerate() {
        for (j, (roles, lanes)) in [
            (&[Role::Small, Role::Bulk][..], "a lane of its own"),
            (&[Role::Any][..], "one lane for all"),
        ]
        .iter()
        .enumerate()
        {
            let lane = |role: &Role| lane(*datagrams, 0, *role);
            let config = SessionsConfig::new(&roles.iter().map(lane).collect::<Vec<_>>());
            let mut w = Sessions::new(1, &[LINK], config);
            let mut points = Vec::new();
            for ms in 1..=END {
                if ms == BULK {
                    w.set_bulk(1 << 20, 4);
                }
                let trip = w.ping_until(ms * MS, 64);
                if trip != 0 {
                    points.push((ms as f64, trip as f64 / 1e3));
                }
            }
            lines.push(Line {
                name: format!("{lanes}, {name}"),
                points,
                colour: 2 * i + j,
                dots: false,
            });
        }
    }
    let chart = Chart {
        title: "Round trip of 64 bytes over 10 Gbit/s and 50 µs; from 20 ms on beside messages of 1 MiB",
        x: "milliseconds",
        y: "round trip, µs",
        lines,
        spans: vec![(BULK as f64, END as f64, 4)],
        y_max: 500.0,
        logarithmic: false,
        legend: SeriesLabelPosition::UpperLeft,
    };
    write(path, (900, 420), &[chart])
}
