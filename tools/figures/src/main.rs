// SPDX-License-Identifier: GPL-2.0

//! Draws the figures of the page on congestion control, from simulations that their seeds repeat.
//!
//! usage: figures FOLDER

#![forbid(unsafe_code)]

mod draw;
mod sessions;

use draw::{write, Chart, Line};
use plotters::chart::SeriesLabelPosition;
use rds_links::{jain, median, FlowConfig, LinkConfig, World, MS, SECOND, US};
use rds_proto::native::cc::bbr::State;
use rds_proto::native::cc::Kind;
use std::error::Error;
use std::path::Path;

const KINDS: [(Kind, &str); 3] = [
    (Kind::Bbr, "BBR"),
    (Kind::Cubic, "CUBIC"),
    (Kind::Reno, "Reno"),
];

fn line(name: impl Into<String>, colour: usize, points: Vec<(f64, f64)>, dots: bool) -> Line {
    Line {
        name: name.into(),
        points,
        colour,
        dots,
    }
}

/// Which of the textbook's four phases a state is of.
const fn phase(state: State) -> usize {
    match state {
        State::Startup => 0,
        State::Drain => 1,
        State::ProbeRtt => 3,
        _ => 2,
    }
}

/// The textbook's comparison: one flow of 10 Mbit/s and 40 ms, whose buffer holds eight times the path.
fn textbook(path: &Path) -> Result<(), Box<dyn Error>> {
    const RATE: u64 = 1_250_000;
    const END: u64 = 13 * SECOND;
    const COLOURS: [usize; 4] = [4, 1, 2, 3];
    let mut rates = Vec::new();
    let mut rtts = Vec::new();
    let mut spans: Vec<(f64, f64, usize)> = Vec::new();
    for (i, (kind, name)) in KINDS.iter().take(2).enumerate() {
        let mut w = World::new(1, &LinkConfig::new(RATE, 40 * MS).with_buffer(800));
        w.add(FlowConfig::new(*kind, 1500));
        let (mut rate, mut rtt) = (Vec::new(), Vec::new());
        let (mut before, mut now) = (0, 0);
        while now < END {
            now += 10 * MS;
            w.run_until(now);
            let (point, at) = (w.point(0), now as f64 / 1e9);
            if now % (100 * MS) == 0 {
                let bytes = point.delivered - before;
                before = point.delivered;
                rate.push((at, bytes as f64 * 8.0 * 10.0 / 1e6));
            }
            rtt.push((at, point.rtt as f64 / 1e6));
            if *kind == Kind::Bbr {
                let colour = COLOURS[phase(w.bbr(0).state())];
                match spans.last_mut() {
                    Some(last) if last.2 == colour => last.1 = at,
                    _ => spans.push((at - 0.01, at, colour)),
                }
            }
        }
        rates.push(line(*name, i, rate, false));
        rtts.push(line(*name, i, rtt, false));
    }
    let title = "One flow, 10 Mbit/s, 40 ms, a buffer of eight times the path's volume";
    let charts = [
        Chart {
            title,
            x: "seconds",
            y: "delivered, Mbit/s",
            lines: rates,
            spans: spans.clone(),
            y_max: 12.0,
            logarithmic: false,
            legend: SeriesLabelPosition::MiddleMiddle,
        },
        Chart {
            title: "Background: Startup (amber), Drain (red), ProbeBW (green), ProbeRTT (violet) of BBR",
            x: "seconds",
            y: "round trip, ms",
            lines: rtts,
            spans,
            y_max: 400.0,
            logarithmic: false,
            legend: SeriesLabelPosition::MiddleMiddle,
        },
    ];
    write(path, (900, 680), &charts)
}

/// Median of the percent of a link that one flow gets in the second half of `long`, over three seeds.
fn use_of(link: &LinkConfig, flow: FlowConfig, long: u64) -> f64 {
    let mut shares: Vec<u64> = (1..=3)
        .map(|seed| {
            let mut w = World::new(seed, link);
            w.add(flow);
            w.run_until(long);
            10_000 * w.goodput(0, long / 2, long) / link.rate
        })
        .collect();
    median(&mut shares) as f64 / 100.0
}

/// Losses of 0.001 % to 30 %, in parts per million.
const LOSSES: [u32; 13] = [
    10, 30, 100, 300, 1_000, 3_000, 10_000, 20_000, 50_000, 80_000, 100_000, 200_000, 300_000,
];

fn loss(path: &Path) -> Result<(), Box<dyn Error>> {
    let link = LinkConfig::new(12_500_000, 40 * MS);
    let mut flows: Vec<_> = KINDS
        .iter()
        .map(|(kind, name)| (FlowConfig::new(*kind, 1500), *name))
        .collect();
    let draft = FlowConfig::new(Kind::Bbr, 1500).by_the_draft();
    flows.insert(1, (draft, "BBR by the draft"));
    let lines = flows.iter().enumerate().map(|(i, (flow, name))| {
        let point = |ppm: &u32| {
            let share = use_of(&link.with_loss(*ppm), *flow, 20 * SECOND);
            (f64::from(*ppm) / 10_000.0, share)
        };
        line(*name, i, LOSSES.iter().map(point).collect(), true)
    });
    let chart = Chart {
        title: "Goodput of one flow, 100 Mbit/s, 40 ms, median of three seeds",
        x: "packets lost at random, percent",
        y: "percent of the link",
        lines: lines.collect(),
        spans: Vec::new(),
        y_max: 105.0,
        logarithmic: true,
        legend: SeriesLabelPosition::LowerLeft,
    };
    write(path, (900, 420), &[chart])
}

/// Round trip by loss, for buffers of a quarter, one and four times the path.
fn grid(path: &Path) -> Result<(), Box<dyn Error>> {
    const RTTS: [u64; 6] = [50 * US, 200 * US, MS, 5 * MS, 40 * MS, 200 * MS];
    let mut charts = Vec::new();
    let titles = [
        "Buffer of a quarter of the path's volume, 256 packets on the path",
        "Buffer of the path's volume",
        "Buffer of four times the path's volume",
    ];
    for (title, buffer) in titles.iter().zip([25, 100, 400]) {
        let mut lines = Vec::new();
        for (i, (kind, name)) in KINDS.iter().take(2).enumerate() {
            for (j, ppm) in [0, 10_000, 50_000].iter().enumerate() {
                let point = |rtt: &u64| {
                    // As many packets on each path, so that only time differs.
                    let rate = 256 * 1500 * SECOND / rtt;
                    let link = LinkConfig::new(rate, *rtt).with_buffer(buffer);
                    let long = (400 * rtt).clamp(SECOND / 5, 30 * SECOND);
                    let flow = FlowConfig::new(*kind, 1500);
                    (*rtt as f64 / 1e6, use_of(&link.with_loss(*ppm), flow, long))
                };
                let name = format!("{name}, {} % lost", ppm / 10_000);
                lines.push(line(
                    name,
                    3 * i + j,
                    RTTS.iter().map(point).collect(),
                    true,
                ));
            }
        }
        charts.push(Chart {
            title,
            x: "round trip, ms",
            y: "percent of the link",
            lines,
            spans: Vec::new(),
            y_max: 105.0,
            logarithmic: true,
            legend: SeriesLabelPosition::MiddleMiddle,
        });
    }
    write(path, (900, 1080), &charts)
}

/// Jain's index over time, and BBR beside CUBIC by buffer.
fn sharing(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut fair = Vec::new();
    for (i, flows) in [2_u64, 10, 100].iter().enumerate() {
        let rate = flows * 16 * 1500 * SECOND / (40 * MS);
        let mut w = World::new(1, &LinkConfig::new(rate, 40 * MS));
        for n in 0..*flows {
            w.add(FlowConfig::new(Kind::Bbr, 1500).starting(n * 4 * MS));
        }
        w.run_until(60 * SECOND);
        let index = |second: u64| {
            let (from, to) = ((second - 2) * SECOND, second * SECOND);
            let shares: Vec<_> = (0..*flows)
                .map(|n| w.goodput(n as usize, from, to))
                .collect();
            (second as f64, jain(&shares) as f64 / 1000.0)
        };
        let points = (2..=60).step_by(2).map(index).collect();
        fair.push(line(format!("{flows} flows"), i, points, false));
    }
    let mut beside = Vec::new();
    for (i, (name, rtt)) in [("1 ms", MS), ("40 ms", 40 * MS), ("100 ms", 100 * MS)]
        .iter()
        .enumerate()
    {
        let point = |buffer: &u64| {
            let rate = 256 * 1500 * SECOND / rtt;
            let link = LinkConfig::new(rate, *rtt).with_buffer(*buffer);
            let long = (1500 * rtt).max(4 * SECOND);
            let mut shares: Vec<u64> = (1..=3)
                .map(|seed| {
                    let mut w = World::new(seed, &link);
                    w.add(FlowConfig::new(Kind::Bbr, 1500));
                    w.add(FlowConfig::new(Kind::Cubic, 1500).starting(*rtt));
                    w.run_until(long);
                    20_000 * w.goodput(0, long / 4, long) / link.rate
                })
                .collect();
            (
                *buffer as f64 / 100.0,
                median(&mut shares) as f64 / 10_000.0,
            )
        };
        let points = [10, 25, 50, 100, 200, 400, 800, 1600].iter().map(point);
        beside.push(line(*name, i, points.collect(), true));
    }
    let charts = [
        Chart {
            title: "Equal BBR flows over one link, 40 ms, 16 packets of path each",
            x: "seconds",
            y: "Jain's index",
            lines: fair,
            spans: Vec::new(),
            y_max: 1.05,
            logarithmic: false,
            legend: SeriesLabelPosition::LowerRight,
        },
        Chart {
            title: "BBR beside one CUBIC flow: 1 is half of the link, median of three seeds",
            x: "buffer, in volumes of the path",
            y: "BBR's part of its share",
            lines: beside,
            spans: Vec::new(),
            y_max: 2.05,
            logarithmic: true,
            legend: SeriesLabelPosition::LowerLeft,
        },
    ];
    write(path, (900, 760), &charts)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: figures FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    textbook(&folder.join("textbook.svg"))?;
    loss(&folder.join("loss.svg"))?;
    grid(&folder.join("grid.svg"))?;
    sharing(&folder.join("sharing.svg"))?;
    sessions::dead(&folder.join("dead.svg"))?;
    sessions::beside(&folder.join("beside.svg"))?;
    println!("figures: six in {}", folder.display());
    Ok(())
}
