//! Line charts: those of the series, and those that a task adds.

use super::axis::Axis;
use super::panels;
use super::plot::{Entry, Figure, Frame, Sample};
use super::run::{Lines, Scale};
use super::statistics::thin;
use super::svg::{COLOURS, Drawing};

/// Points as positions and values, ascending.
pub(super) type Points = Vec<(f64, f64)>;

/// One named line of a chart.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    /// The name in the legend.
    pub(super) name: String,
    /// The index of its colour and mark.
    pub(super) colour: usize,
    /// The line.
    pub(super) points: Points,
    /// The shaded area: positions with the lower and upper value.
    pub(super) area: Vec<(f64, [f64; 2])>,
    /// Faint lines behind it, one for each seed.
    pub(super) faint: Vec<Points>,
    /// Whether it is dashed and without marks.
    pub(super) dashed: bool,
}

/// A target band.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// The name in the legend.
    pub(super) name: String,
    /// The colours of the specs that have it.
    pub(super) colours: Vec<usize>,
    /// Its lower and upper edges.
    pub(super) band: [f64; 2],
}

/// The contents of a line chart.
#[derive(Debug, Clone, Default)]
pub(super) struct Plot {
    /// A name for the chart that is unique on the page.
    pub(super) id: String,
    /// What the horizontal axis counts.
    pub(super) x_label: String,
    /// What the vertical axis measures.
    pub(super) y_label: String,
    /// The range of the horizontal axis; by default that of the data.
    pub(super) x_range: Option<[f64; 2]>,
    /// Values that the vertical axis must reach; lines outside are clipped.
    pub(super) y_range: Vec<f64>,
    /// The vertical axis.
    pub(super) scale: Scale,
    /// The lines.
    pub(super) curves: Vec<Curve>,
    /// The target bands.
    pub(super) targets: Vec<Target>,
}

/// The most points of one line, which is more than a chart has pixels on a desktop screen.
const LINE_POINTS: usize = 600;
/// The most points of all faint lines of a chart together, which limits the page's size.
const FAINT_POINTS: usize = 3600;
/// The most lines with areas or faint lines that are drawn in one frame.
const MOST_AREAS: usize = 4;
/// How many marks a line has.
const MARKS: usize = 7;

/// The figure of a line chart that a task adds.
pub(super) fn figure(lines: &Lines, id: String, colour: impl Fn(&str) -> usize) -> Figure {
    let curves = lines.lines.iter().map(|line| {
        let area = match (&line.low, &line.high) {
            (Some(low), Some(high)) => {
                line.x.iter().zip(low.iter().zip(high)).map(|(&x, (&low, &high))| (x, [low, high])).collect()
            }
            _ => Vec::new(),
        };
        Curve {
            name: line.name.clone(),
            colour: colour(&line.name),
            points: line.x.iter().copied().zip(line.y.iter().copied()).collect(),
            area,
            faint: Vec::new(),
            dashed: line.dashed,
        }
    });
    let plot = Plot {
        id,
        x_label: lines.x_label.clone(),
        y_label: lines.y_label.clone(),
        scale: lines.scale,
        curves: curves.collect(),
        ..Plot::default()
    };
    Figure { title: lines.title.clone(), caption: lines.caption.clone(), drawing: plot.draw() }
}

impl Plot {
    /// Draws the chart: all lines in one frame, or each in its own if their areas would cover one another.
    pub(super) fn draw(&self) -> Drawing {
        if self.crowded() { panels::draw(self) } else { self.draw_together() }
    }

    fn crowded(&self) -> bool {
        self.curves.iter().filter(|curve| !curve.area.is_empty() || !curve.faint.is_empty()).count()
            > MOST_AREAS
    }

    fn draw_together(&self) -> Drawing {
        let entries: Vec<Entry> = self
            .curves
            .iter()
            .map(|curve| Entry {
                name: curve.name.clone(),
                colour: Some(curve.colour),
                sample: if curve.dashed { Sample::Dashed } else { Sample::Line },
            })
            .chain(self.targets.iter().map(|target| Entry {
                name: target.name.clone(),
                colour: target.colour(),
                sample: Sample::Target,
            }))
            .collect();
        let (x, y) = self.axes();
        let (frame, mut drawing) = Frame::new(&entries, &y, &self.y_label, &self.x_label);
        let at = |&(place, value): &(f64, f64)| [frame.x(x.place(place)), frame.y(y.place(value))];
        let corner = [frame.left, frame.top - 1.0];
        drawing.clipped(
            &format!("clip-{}", self.id),
            corner,
            [frame.width + 1.0, frame.height + 2.0],
            |drawing| {
                for target in &self.targets {
                    target.draw(drawing, &frame, &y);
                }
                for curve in &self.curves {
                    curve.draw_area(drawing, &frame, &at);
                }
                for curve in &self.curves {
                    curve.draw_faint(drawing, self.faint_points(), &at);
                }
                for curve in &self.curves {
                    curve.draw_line(drawing, curve.style(), &at);
                }
            },
        );
        frame.number_axis(&mut drawing, &x);
        for (index, curve) in self.curves.iter().enumerate().filter(|(_, curve)| !curve.dashed) {
            for place in curve.marks(index as f64 / self.curves.len() as f64).iter().map(at) {
                let inside = place[1] >= frame.top - 1.0 && place[1] <= frame.top + frame.height + 1.0;
                if inside {
                    drawing.marker(curve.colour, place);
                }
            }
        }
        drawing
    }

    /// The horizontal and the vertical axis.
    pub(super) fn axes(&self) -> (Axis, Axis) {
        let places = self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
        let x = match self.x_range {
            Some(range) => Axis::over(range, Scale::Linear, false),
            None => Axis::over(places, Scale::Linear, false),
        };
        (x, Axis::over(self.values(), self.scale, true))
    }

    /// How many points each faint line may have.
    pub(super) fn faint_points(&self) -> usize {
        let faint: usize = self.curves.iter().map(|curve| curve.faint.len()).sum();
        (FAINT_POINTS / faint.max(1)).clamp(60, LINE_POINTS)
    }

    fn values(&self) -> Vec<f64> {
        if !self.y_range.is_empty() {
            return self.y_range.clone();
        }
        let lines = self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
        let areas = self.curves.iter().flat_map(|curve| curve.area.iter().flat_map(|part| part.1));
        let targets = self.targets.iter().flat_map(|target| target.band);
        lines.chain(areas).chain(targets).collect()
    }
}

impl Target {
    /// The colour of its spec, if only one has it.
    fn colour(&self) -> Option<usize> {
        if let [only] = self.colours[..] { Some(only) } else { None }
    }

    /// Draws it across a frame.
    pub(super) fn draw(&self, drawing: &mut Drawing, frame: &Frame, y: &Axis) {
        // On a logarithmic axis, a band from zero extends down to the axis.
        let place = |value: f64| frame.y(if value > y.low { y.place(value) } else { y.place(y.low) });
        let [low, high] = self.band.map(place);
        let (start, end) = (frame.left, frame.left + frame.width);
        let named =
            |style: &str| self.colour().map_or_else(|| style.to_owned(), |colour| class(style, colour));
        drawing.rectangle(&named("target"), [start, high], [end - start, (low - high).max(0.0)]);
        drawing.line(&named("edge"), [start, low], [end, low]);
        drawing.line(&named("edge"), [start, high], [end, high]);
    }
}

impl Curve {
    /// The style of its line among others.
    pub(super) fn style(&self) -> &'static str {
        if self.dashed { "line dashed" } else { "line" }
    }

    /// Draws the line itself.
    pub(super) fn draw_line(
        &self,
        drawing: &mut Drawing,
        style: &str,
        at: &impl Fn(&(f64, f64)) -> [f64; 2],
    ) {
        let points = thin(&self.points, LINE_POINTS);
        drawing.curve(&class(style, self.colour), &points.iter().map(at).collect::<Vec<_>>());
    }

    /// Draws the lines of the seeds, each with at most about `limit` points.
    pub(super) fn draw_faint(
        &self,
        drawing: &mut Drawing,
        limit: usize,
        at: &impl Fn(&(f64, f64)) -> [f64; 2],
    ) {
        for seed in &self.faint {
            let points = thin(seed, limit);
            drawing.curve(&class("seed", self.colour), &points.iter().map(at).collect::<Vec<_>>());
        }
    }

    /// Draws the shaded area, split where its upper edge has no position. A lower edge without a position, as on a
    /// logarithmic axis, is at the frame's edge.
    pub(super) fn draw_area(
        &self,
        drawing: &mut Drawing,
        frame: &Frame,
        at: &impl Fn(&(f64, f64)) -> [f64; 2],
    ) {
        // Each stretch keeps its lowest and its highest value, so that thinning only widens the area.
        let stretch = self.area.len().div_ceil(LINE_POINTS / 2).max(1);
        let mut edges: Vec<[[f64; 2]; 2]> = Vec::new();
        for part in self.area.chunks(stretch) {
            let fold = |index: usize, better: fn(f64, f64) -> f64| {
                part.iter().map(|(_, edges)| edges[index]).reduce(better).unwrap_or(f64::NAN)
            };
            let place = if edges.is_empty() { part[0].0 } else { part[part.len() - 1].0 };
            let (mut bottom, top) = (at(&(place, fold(0, f64::min))), at(&(place, fold(1, f64::max))));
            if !bottom[1].is_finite() {
                bottom[1] = frame.top + frame.height;
            }
            edges.push([bottom, top]);
        }
        for part in edges.split(|[_, top]| !top[1].is_finite()) {
            let (low, high): (Vec<_>, Vec<_>) = part.iter().map(|&[bottom, top]| (bottom, top)).unzip();
            drawing.area(&class("area", self.colour), &low, &high);
        }
    }

    /// Some of the line's points, evenly spread and shifted relative to other lines' marks.
    fn marks(&self, shift: f64) -> Vec<(f64, f64)> {
        if self.points.len() <= 2 * MARKS {
            return self.points.clone();
        }
        let spacing = self.points.len() as f64 / MARKS as f64;
        (0..MARKS)
            .map(|index| self.points[((index as f64 + 0.15 + 0.7 * shift) * spacing) as usize])
            .collect()
    }
}

/// A style with a spec's colour.
pub(super) fn class(style: &str, colour: usize) -> String {
    format!("{style} c{}", colour % COLOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_reaches_the_frame_and_stops_where_its_values_have_no_place() {
        let areas = [[-1.0, 2.0], [0.5, 2.0], [-2.0, -1.0], [0.5, 2.0], [0.5, 2.0]];
        let area = (0..5_u8).map(f64::from).zip(areas).collect();
        let curve = Curve { area, ..Curve::default() };
        let frame = Frame { left: 0.0, top: 0.0, width: 4.0, height: 10.0, edge: 4.0 };
        // As on a logarithmic axis: values of 0 and below have no position.
        let at = |&(place, value): &(f64, f64)| [place, if value > 0.0 { 10.0 - value } else { f64::NAN }];
        let mut drawing = Drawing::new(4.0, 10.0);
        curve.draw_area(&mut drawing, &frame, &at);
        let drawn = drawing.inline("");
        let paths: Vec<&str> =
            drawn.split(" d=\"").skip(1).filter_map(|path| path.split('"').next()).collect();
        assert_eq!(paths, ["M0 8l1 0 0 1.5-1 .5Z", "M3 8l1 0 0 1.5-1 0Z"]);
    }
}
