//! Line charts: those of the series, and those that a task adds.

use plotly::Layout;
use plotly::common::{Anchor, ExponentFormat, Font};
use plotly::layout::{Annotation, Axis, AxisType, GridPattern, LayoutGrid};

use super::chart::{Figure, axis, colour, json, named};
use super::run::{Lines, Scale};
use super::traces::{Trace, compared};

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
    /// The heading.
    pub(super) title: String,
    /// What the chart shows and how.
    pub(super) caption: String,
    /// What the horizontal axis counts.
    pub(super) x_label: String,
    /// What the vertical axis measures.
    pub(super) y_label: String,
    /// The range of the horizontal axis; by default that of the data.
    pub(super) x_range: Option<[f64; 2]>,
    /// Values that the vertical axis must reach; lines outside are clipped until a reader zooms out.
    pub(super) y_range: Vec<f64>,
    /// The vertical axis.
    pub(super) scale: Scale,
    /// The lines.
    pub(super) curves: Vec<Curve>,
    /// The target bands.
    pub(super) targets: Vec<Target>,
}

/// The most lines with areas or faint lines that are drawn in one frame.
const MOST_AREAS: usize = 4;
/// The number of frames in a row, if each line has its own.
const COLUMNS: usize = 4;
/// The height of a row of frames.
const ROW: usize = 215;

/// The figure of a line chart that a task adds.
pub(super) fn figure(lines: &Lines, colour: impl Fn(&str) -> usize) -> Figure {
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
        title: lines.title.clone(),
        caption: lines.caption.clone(),
        x_label: lines.x_label.clone(),
        y_label: lines.y_label.clone(),
        scale: lines.scale,
        curves: curves.collect(),
        ..Plot::default()
    };
    plot.figure()
}

impl Plot {
    /// The chart: all lines in one frame, or each in its own if their areas would cover one another.
    pub(super) fn figure(&self) -> Figure {
        let areas = self.curves.iter().filter(|curve| !curve.area.is_empty() || !curve.faint.is_empty());
        if areas.count() > MOST_AREAS { self.frames() } else { self.together() }
    }

    fn together(&self) -> Figure {
        let mut traces: Vec<Trace> = self.curves.iter().filter_map(|curve| self.area(curve)).collect();
        traces.extend(self.curves.iter().filter_map(|curve| self.faint(curve)));
        traces.extend(self.curves.iter().map(|curve| self.line(curve)));
        traces.extend(self.targets.iter().enumerate().map(|(index, target)| self.target(index, target)));
        let data = traces.iter().map(json).collect();
        let axes = [
            ("xaxis".to_owned(), self.x_axis(&self.x_label)),
            ("yaxis".to_owned(), self.y_axis(&self.y_label)),
        ];
        Figure::new(&self.title, &self.caption, &self.names(), data, axes, Layout::new())
    }

    /// One frame per line, all with the same axes, row by row. Every frame also shows the first line, for comparison.
    fn frames(&self) -> Figure {
        let rows = self.curves.len().div_ceil(COLUMNS);
        let (mut data, mut bands) = (Vec::new(), Vec::new());
        let (mut axes, mut titles) = (Vec::new(), Vec::new());
        for (place, curve) in self.curves.iter().enumerate() {
            let id = if place == 0 { String::new() } else { (place + 1).to_string() };
            let placed = |trace: Trace| json(&trace.x_axis(format!("x{id}")).y_axis(format!("y{id}")));
            data.extend(self.area(curve).into_iter().chain(self.faint(curve)).map(placed));
            data.extend(self.curves.first().filter(|_| place > 0).map(|first| placed(compared(first))));
            data.push(placed(self.line(curve)));
            let own = self.targets.iter().enumerate().filter(|(_, one)| one.colours.contains(&curve.colour));
            bands.extend(own.map(|(index, target)| {
                let first = self.curves.iter().position(|one| target.colours.contains(&one.colour));
                placed(self.target(index, target).show_legend(first == Some(place)))
            }));
            let (first, last) = (place % COLUMNS == 0, place + COLUMNS >= self.curves.len());
            let mut x = self.x_axis(if last { &self.x_label } else { "" });
            let mut y = self.y_axis(if first { &self.y_label } else { "" }).show_tick_labels(first);
            if place > 0 {
                (x, y) = (x.matches("x"), y.matches("y"));
            }
            axes.extend([(format!("xaxis{id}"), x), (format!("yaxis{id}"), y)]);
            titles.push(
                Annotation::new()
                    .text(format!("<b>{}</b>", named(&curve.name)))
                    .font(Font::new().color(colour(curve.colour, 255)))
                    .show_arrow(false)
                    .x_ref(format!("x{id} domain"))
                    .y_ref(format!("y{id} domain"))
                    .x(0.0)
                    .x_anchor(Anchor::Left)
                    .y(1.0)
                    .y_anchor(Anchor::Bottom),
            );
        }
        let grid = LayoutGrid::new()
            .rows(rows)
            .columns(COLUMNS)
            .pattern(GridPattern::Independent)
            .x_gap(0.08)
            .y_gap(0.26);
        let layout = Layout::new().grid(grid).annotations(titles);
        data.extend(bands);
        let names = self.names();
        let first = self
            .curves
            .first()
            .map(|first| format!(" Dashed in the other frames: the line of {}.", first.name));
        let caption = self.caption.clone() + &first.unwrap_or_default();
        Figure::new(&self.title, &caption, &names, data, axes, layout).framed(&names, ROW * rows)
    }

    /// The names in the legend.
    fn names(&self) -> Vec<String> {
        let targets = self.targets.iter().map(|target| target.name.clone());
        self.curves.iter().map(|curve| curve.name.clone()).chain(targets).collect()
    }

    fn x_axis(&self, label: &str) -> Axis {
        let axis = axis(label).show_grid(false).show_line(true);
        match self.x_range {
            Some([low, high]) => axis.range(vec![low, high]),
            None => axis,
        }
    }

    fn y_axis(&self, label: &str) -> Axis {
        let [low, high] = self.reach();
        match self.scale {
            Scale::Linear => axis(label).range(vec![low, high]),
            Scale::Log => {
                let [low, high] = [low.log10(), high.log10()];
                let axis = axis(label)
                    .type_(AxisType::Log)
                    .exponent_format(ExponentFormat::Power)
                    .range(vec![low, high]);
                // Over a few powers of ten, marks between them would only crowd the axis.
                if high - low > 1.5 { axis.dtick(((high - low) / 6.0).ceil()) } else { axis }
            }
        }
    }

    /// The lowest and the highest value of the vertical axis: those of the data, with room around them and from zero on if
    /// that is near.
    pub(super) fn reach(&self) -> [f64; 2] {
        let usable = |value: &f64| value.is_finite() && (self.scale == Scale::Linear || *value > 0.0);
        let (low, high) = self
            .values()
            .into_iter()
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match self.scale {
            Scale::Linear if low > high => [0.0, 1.0],
            Scale::Log if low > high => [0.1, 1.0],
            Scale::Linear => {
                let low = if low > 0.0 && low < 0.4 * high { 0.0 } else { low };
                let room = match high - low {
                    same if same <= 1e-9 * high.abs().max(low.abs()) => (0.2 * high.abs()).max(1e-9),
                    range => 0.04 * range,
                };
                [if low == 0.0 { -0.25 * room } else { low - room }, high + room]
            }
            Scale::Log => {
                let room = (high / low).powf(0.04).max(1.05);
                [low / room, high * room]
            }
        }
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

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A chart of as many specs, each with a line, an area and two seeds.
    pub(in crate::report) fn plot(count: usize) -> Plot {
        let curve = |colour: usize| {
            let height = colour as f64;
            Curve {
                name: format!("spec_{colour}"),
                colour,
                points: vec![(0.0, height), (9.0, height + 0.5)],
                area: vec![(0.0, [height - 1.0, height + 1.0]), (9.0, [height, height + 2.0])],
                faint: vec![vec![(0.0, height), (9.0, height)], vec![(0.0, 7.0), (9.0, height)]],
                ..Curve::default()
            }
        };
        Plot { curves: (0..count).map(curve).collect(), x_label: "step".into(), ..Plot::default() }
    }

    /// The traces that a click on the name of `spec` hides.
    pub(in crate::report) fn group<'a>(figure: &'a Figure, spec: &str) -> Vec<&'a Value> {
        let traces = figure.plot["data"].as_array().unwrap();
        traces.iter().filter(|trace| trace["legendgroup"] == spec).collect()
    }

    #[test]
    fn many_areas_stand_in_separate_frames_with_the_first_line_dashed() {
        let figure = plot(6).figure();
        assert!(figure.wide && !plot(4).figure().wide);
        assert!(figure.caption.ends_with("Dashed in the other frames: the line of spec_0."));
        let dashed = group(&figure, "spec_0").into_iter().filter(|trace| trace["line"]["dash"] == "dash");
        let frames: Vec<_> = dashed.map(|trace| trace["xaxis"].clone()).collect();
        assert_eq!(frames, ["x2", "x3", "x4", "x5", "x6"]);
        for (spec, frame) in [("spec_1", "y2"), ("spec_5", "y6")] {
            assert!(group(&figure, spec).iter().all(|trace| trace["yaxis"] == frame), "{spec}");
        }
        let layout = &figure.plot["layout"];
        assert_eq!(layout["grid"]["rows"], 2);
        assert!((2..=6).all(|frame| layout[format!("yaxis{frame}")]["matches"] == "y"));
        assert_eq!(layout["annotations"].as_array().unwrap().len(), 6);
    }

    #[test]
    fn a_target_stands_in_the_frames_of_those_who_have_it_and_once_in_the_legend() {
        let target = Target { name: "target".into(), colours: vec![1, 4], band: [0.5, 1.5] };
        let figure = Plot { targets: vec![target], ..plot(5) }.figure();
        let bands = group(&figure, "target 0");
        let places: Vec<_> = bands.iter().map(|band| (&band["xaxis"], band["showlegend"] == true)).collect();
        assert_eq!(places, [(&json!("x2"), true), (&json!("x5"), false)]);
        assert_eq!(bands[0]["y"], json!([0.5, 0.5, 1.5, 1.5]));
    }

    #[test]
    fn an_axis_has_room_begins_at_zero_when_near_and_exists_without_values() {
        let reach =
            |values: &[f64], scale| Plot { y_range: values.to_vec(), scale, ..Plot::default() }.reach();
        let [low, high] = reach(&[0.12, 0.83], Scale::Linear);
        assert!(low <= 0.0 && low > -0.02 && high > 0.83 && high < 0.9);
        let [low, high] = reach(&[0.6, 0.83], Scale::Linear);
        assert!(low < 0.6 && low > 0.5 && high > 0.83);
        for values in [vec![], vec![0.0], vec![-3.0, -3.0], vec![2e-4, 2e-4], vec![f64::NAN]] {
            for scale in [Scale::Linear, Scale::Log] {
                let [low, high] = reach(&values, scale);
                assert!(low < high && low.is_finite() && high.is_finite(), "{values:?}: {low} to {high}");
            }
        }
    }
}
