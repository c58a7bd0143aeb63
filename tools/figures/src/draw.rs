// SPDX-License-Identifier: GPL-2.0

//! Charts of lines, with the same look for all.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

/// Colours that are told apart in print and by those who see colours differently.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(0, 128, 85),
    RGBColor(150, 90, 190),
    RGBColor(200, 130, 0),
    RGBColor(90, 90, 90),
];

/// A line with its name.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub colour: usize,
    pub dots: bool,
}

/// A chart of lines over a linear x axis.
pub struct Chart<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub lines: Vec<Line>,
    /// Spans of the x axis with the index of their colour, drawn behind the lines.
    pub spans: Vec<(f64, f64, usize)>,
    pub y_max: f64,
    pub logarithmic: bool,
    pub legend: SeriesLabelPosition,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws charts below each other into a file.
pub fn write(path: &Path, size: (u32, u32), charts: &[Chart<'_>]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (chart, area) in charts.iter().zip(root.split_evenly((charts.len(), 1))) {
        let xs = chart
            .lines
            .iter()
            .flat_map(|l| l.points.iter().map(|p| p.0));
        let (low, high) = xs.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        if chart.logarithmic {
            one(&area, chart, (low..high).log_scale())?;
        } else {
            one(&area, chart, low..high)?;
        }
    }
    root.present()?;
    Ok(())
}

fn one<X>(area: &Canvas<'_>, chart: &Chart<'_>, x: X) -> Result<(), Box<dyn Error>>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let mut c = ChartBuilder::on(area)
        .caption(chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x, 0.0..chart.y_max)?;
    c.draw_series(chart.spans.iter().map(|(from, to, colour)| {
        let style = COLOURS[colour % COLOURS.len()].mix(0.13).filled();
        Rectangle::new([(*from, 0.0), (*to, chart.y_max)], style)
    }))?;
    c.configure_mesh()
        .x_desc(chart.x)
        .y_desc(chart.y)
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .light_line_style(TRANSPARENT)
        .y_labels(6)
        .draw()?;
    for line in &chart.lines {
        let colour = COLOURS[line.colour % COLOURS.len()];
        let points = || line.points.iter().map(|(x, y)| (*x, y.min(chart.y_max)));
        c.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(line.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        if line.dots {
            c.draw_series(points().map(|p| Circle::new(p, 3, colour.filled())))?;
        }
    }
    c.configure_series_labels()
        .position(chart.legend.clone())
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
