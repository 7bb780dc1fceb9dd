//! The common parts of charts: a frame with axes, a legend above the data, and the resulting figure.

use super::axis::Axis;
use super::svg::{Anchor, COLOURS, Drawing, fit, text_width};

/// A chart, ready for the page and for a separate file.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// The heading.
    pub(super) title: String,
    /// What the chart shows and how, as plain text.
    pub(super) caption: String,
    /// The picture.
    pub(super) drawing: Drawing,
}

/// One entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The name.
    pub(super) name: String,
    /// The index of its colour; `None` for the colour of text.
    pub(super) colour: Option<usize>,
    /// Its sample.
    pub(super) sample: Sample,
}

/// The sample before a name in a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// A line with its colour's mark.
    Line,
    /// A dashed line.
    Dashed,
    /// A strip between two dotted edges.
    Target,
    /// A bar.
    Bar,
    /// The outline of a published bar.
    Published,
}

/// The rectangle of the data, with its axes.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The left edge.
    pub(super) left: f64,
    /// The upper edge.
    pub(super) top: f64,
    /// The width.
    pub(super) width: f64,
    /// The height.
    pub(super) height: f64,
    /// The right end of the canvas.
    pub(super) edge: f64,
}

/// The width of every chart: two fit side by side on a desktop screen, one with readable text on a phone.
pub(super) const WIDTH: f64 = 480.0;
/// The size of a chart's text on a phone, where the style sheet enlarges it: positions must leave space for that.
pub(super) const TEXT: f64 = 14.5;
const SMALL: f64 = 13.5;
const PLOT_HEIGHT: f64 = 218.0;
const BOTTOM: f64 = 40.0;
const SAMPLE_WIDTH: f64 = 28.0;
const ROW: f64 = 20.0;

impl Frame {
    /// Draws the legend, the grid of the vertical axis with its label, and the name of the horizontal axis.
    pub(super) fn new(entries: &[Entry], y: &Axis, y_label: &str, x_label: &str) -> (Self, Drawing) {
        let rows = arrange(entries);
        let mut top = 14.0 + rows.len() as f64 * ROW;
        if !y_label.is_empty() {
            top += 18.0;
        }
        let widest = y.ticks.iter().map(|tick| text_width(&tick.1, TEXT)).fold(18.0, f64::max);
        let left = widest + 12.0;
        let frame = Self { left, top, width: WIDTH - left - 16.0, height: PLOT_HEIGHT, edge: WIDTH };
        let mut drawing = Drawing::new(WIDTH, top + PLOT_HEIGHT + BOTTOM);
        for (row, entries) in rows.iter().enumerate() {
            for (x, entry) in entries {
                entry.draw(&mut drawing, [*x, 12.0 + row as f64 * ROW]);
            }
        }
        drawing.text("muted small", [2.0, top - 14.0], Anchor::Start, &fit(y_label, WIDTH, SMALL));
        for (value, text) in &y.ticks {
            let height = frame.y(y.place(*value));
            drawing.line("grid", [left, height], [left + frame.width, height]);
            drawing.text("muted", [left - 7.0, height + 4.5], Anchor::End, text);
        }
        let below = top + frame.height + BOTTOM - 5.0;
        drawing.text("muted small", [left + frame.width / 2.0, below], Anchor::Middle, x_label);
        (frame, drawing)
    }

    /// Draws the horizontal axis with the marks of a numeric axis.
    pub(super) fn number_axis(&self, drawing: &mut Drawing, x: &Axis) {
        let bottom = self.top + self.height;
        drawing.line("axis", [self.left, bottom], [self.left + self.width, bottom]);
        for (value, text) in &x.ticks {
            let place = self.x(x.place(*value));
            drawing.line("axis", [place, bottom], [place, bottom + 4.0]);
            // The last mark may be at the very edge, where half of a long number would be cut off.
            let place = place.min(self.edge - text_width(text, TEXT) / 2.0);
            drawing.text("muted", [place, bottom + 18.0], Anchor::Middle, text);
        }
    }

    /// The horizontal position of a share of the width.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// The vertical position of a share of the height, from below.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.top + (1.0 - share) * self.height
    }
}

impl Entry {
    fn width(&self) -> f64 {
        SAMPLE_WIDTH + 6.0 + text_width(&self.name, TEXT)
    }

    fn draw(&self, drawing: &mut Drawing, [x, y]: [f64; 2]) {
        let colour = self.colour.map(|index| format!(" c{}", index % COLOURS)).unwrap_or_default();
        let end = x + SAMPLE_WIDTH - 4.0;
        let middle = f64::midpoint(x, end);
        match self.sample {
            Sample::Line => {
                drawing.line(&format!("line{colour}"), [x, y], [end, y]);
                if let Some(index) = self.colour {
                    drawing.marker(index, [middle, y]);
                }
            }
            Sample::Dashed => drawing.line(&format!("line dashed{colour}"), [x, y], [end, y]),
            Sample::Target => {
                drawing.rectangle(&format!("target{colour}"), [x, y - 5.0], [end - x, 10.0]);
                drawing.line(&format!("edge{colour}"), [x, y - 5.0], [end, y - 5.0]);
                drawing.line(&format!("edge{colour}"), [x, y + 5.0], [end, y + 5.0]);
            }
            Sample::Bar => {
                drawing.rectangle(&format!("bar{colour}"), [middle - 6.0, y - 6.0], [12.0, 12.0]);
            }
            Sample::Published => {
                drawing.rectangle(&format!("published{colour}"), [middle - 6.0, y - 6.0], [12.0, 12.0]);
            }
        }
        let name = fit(&self.name, WIDTH - x - SAMPLE_WIDTH, TEXT);
        drawing.text("", [x + SAMPLE_WIDTH + 1.0, y + 4.5], Anchor::Start, &name);
    }
}

/// Arranges the entries in rows as wide as the chart, each with its position.
fn arrange(entries: &[Entry]) -> Vec<Vec<(f64, &Entry)>> {
    let mut rows: Vec<Vec<(f64, &Entry)>> = Vec::new();
    let mut next = f64::INFINITY;
    for entry in entries {
        if next + entry.width() > WIDTH {
            rows.push(Vec::new());
            next = 2.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((next, entry));
        }
        next += entry.width() + 8.0;
    }
    rows
}
