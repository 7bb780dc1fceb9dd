//! The traces of a line chart: lines, areas, seeds and target bands. All of a spec's hide with its name.

use plotly::Scatter;
use plotly::common::{DashType, Fill, HoverInfo, Line, Marker, Mode};
use serde_json::Value;

use super::chart::{INK, colour, hover, named, number, plain, symbol};
use super::lines::{Curve, Plot, Points, Target};
use super::run::Scale;
use super::statistics::thin;

/// A trace of a line chart; missing values are `null`.
pub(super) type Trace = Box<Scatter<Value, Value>>;

/// The most points of one line, which is more than a chart has pixels on a desktop screen.
const LINE_POINTS: usize = 600;
/// The most points of all faint lines of a chart together, which limits the page's size.
const FAINT_POINTS: usize = 3600;
/// How many marks a line has.
const MARKS: usize = 7;

impl Plot {
    /// The line itself, with its values at the pointer.
    pub(super) fn line(&self, curve: &Curve) -> Trace {
        let points = thin(&curve.points, LINE_POINTS);
        let texts = points.iter().map(|&(place, value)| {
            let index = curve.area.partition_point(|(other, _)| *other < place);
            let area = curve.area.get(index).filter(|(other, _)| other.to_bits() == place.to_bits());
            hover(value, area.map(|(_, edges)| *edges))
        });
        let template = format!(
            "<b>%{{fullData.name}}</b><br>{} %{{x}}<br>%{{hovertext}}<extra></extra>",
            plain(&self.x_label)
        );
        let style = Line::new().color(colour(curve.colour, 255)).width(2.2);
        let line = trace(&points, curve)
            .name(named(&curve.name))
            .show_legend(true)
            .hover_text_array(texts.collect())
            .hover_template(template);
        if curve.dashed {
            return line.mode(Mode::Lines).line(style.dash(DashType::Dash));
        }
        let marks = Marker::new().symbol(symbol(curve.colour)).size(7).max_displayed(MARKS);
        line.mode(Mode::LinesMarkers).line(style).marker(marks.color(colour(curve.colour, 255)))
    }

    /// The lines of the seeds in one trace; `None` without any.
    pub(super) fn faint(&self, curve: &Curve) -> Option<Trace> {
        let all: usize = self.curves.iter().map(|curve| curve.faint.len()).sum();
        let limit = (FAINT_POINTS / all.max(1)).clamp(60, LINE_POINTS);
        let mut points = Points::new();
        for seed in &curve.faint {
            points.extend(thin(seed, limit));
            points.push((f64::NAN, f64::NAN));
        }
        points.pop()?;
        let style = Line::new().color(colour(curve.colour, 72)).width(0.9);
        Some(trace(&points, curve).mode(Mode::Lines).line(style).hover_info(HoverInfo::Skip))
    }

    /// The shaded area, split where its upper edge has no position. A lower edge without a position, as on a logarithmic axis,
    /// is below the frame. `None` without any.
    pub(super) fn area(&self, curve: &Curve) -> Option<Trace> {
        let floor = self.floor();
        // Each stretch keeps its lowest and its highest value, so that thinning only widens the area.
        let stretch = curve.area.len().div_ceil(LINE_POINTS / 2).max(1);
        let mut edges: Vec<(f64, [f64; 2])> = Vec::new();
        for part in curve.area.chunks(stretch) {
            let fold = |index: usize, better: fn(f64, f64) -> f64| {
                part.iter().map(|(_, edges)| edges[index]).reduce(better).unwrap_or(f64::NAN)
            };
            let place = if edges.is_empty() { part[0].0 } else { part[part.len() - 1].0 };
            edges.push((place, [fold(0, f64::min).max(floor), fold(1, f64::max)]));
        }
        let mut points = Points::new();
        for part in edges.split(|(_, [low, high])| !low.is_finite() || !high.is_finite() || *high <= floor) {
            points.extend(part.iter().map(|(place, [_, high])| (*place, *high)));
            points.extend(part.iter().rev().map(|(place, [low, _])| (*place, *low)));
            if !part.is_empty() {
                points.push((f64::NAN, f64::NAN));
            }
        }
        points.pop()?;
        let area = trace(&points, curve).mode(Mode::Lines).line(Line::new().width(0.0));
        Some(area.fill(Fill::ToSelf).fill_color(colour(curve.colour, 40)).hover_info(HoverInfo::Skip))
    }

    /// The lowest place of an edge: on a logarithmic axis below the frame.
    fn floor(&self) -> f64 {
        if self.scale == Scale::Log { self.reach()[0] / 10.0 } else { f64::NEG_INFINITY }
    }

    /// A target band across the frame, in the colour of its spec if only one has it.
    pub(super) fn target(&self, index: usize, target: &Target) -> Trace {
        let places = self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
        let [start, end] = self.x_range.unwrap_or_else(|| {
            places.fold([f64::INFINITY, f64::NEG_INFINITY], |[start, end], place| {
                [start.min(place), end.max(place)]
            })
        });
        // On a logarithmic axis, a band from zero extends down to the axis.
        let floor = self.floor();
        let [low, high] = target.band.map(|edge| edge.max(floor));
        let (edge, inside) = match target.colours[..] {
            [only] => (colour(only, 255), colour(only, 23)),
            _ => (INK.to_owned(), format!("{INK}17")),
        };
        let [x, y] =
            [[start, end, end, start], [low, low, high, high]].map(|places| places.map(number).to_vec());
        Scatter::new(x, y)
            .name(named(&target.name))
            .legend_group(format!("target {index}"))
            .show_legend(true)
            .mode(Mode::Lines)
            .line(Line::new().color(edge).width(1.2).dash(DashType::Dot))
            .fill(Fill::ToSelf)
            .fill_color(inside)
            .hover_info(HoverInfo::Skip)
    }
}

/// The line of a curve without its marks and values, dashed, for comparison in another's frame.
pub(super) fn compared(curve: &Curve) -> Trace {
    let style = Line::new().color(colour(curve.colour, 255)).width(1.5).dash(DashType::Dash);
    let line = trace(&thin(&curve.points, LINE_POINTS), curve);
    line.mode(Mode::Lines).line(style).hover_info(HoverInfo::Skip)
}

/// A trace that a click on the curve's name hides, without an entry in the legend.
fn trace(points: &[(f64, f64)], curve: &Curve) -> Trace {
    let (x, y) = points.iter().map(|&(place, value)| (number(place), number(value))).unzip();
    Scatter::new(x, y).legend_group(plain(&curve.name)).show_legend(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::lines::tests::{group, plot};

    #[test]
    fn a_line_its_area_and_its_seeds_are_hidden_together() {
        let figure = plot(2).figure();
        let [area, seeds, line] = group(&figure, "spec_1")[..] else { panic!("expected three traces") };
        assert_eq!((&area["x"], &area["y"]), (&json!([0, 9, 9, 0]), &json!([2, 3, 1, 0])));
        assert_eq!(area["fill"], "toself");
        assert_eq!(seeds["x"], json!([0, 9, null, 0, 9]));
        assert_eq!(seeds["y"], json!([1, 1, null, 7, 1]));
        assert_eq!((&line["x"], &line["y"]), (&json!([0, 9]), &json!([1, 1.5])));
        let shown = [area, seeds, line].map(|trace| trace["showlegend"] == true);
        assert_eq!(shown, [false, false, true]);
        assert_eq!(line["hovertext"], json!(["1 (0 to 2)", "1.5 (1 to 3)"]));
        assert_eq!(
            line["hovertemplate"],
            "<b>%{fullData.name}</b><br>step %{x}<br>%{hovertext}<extra></extra>"
        );
    }

    #[test]
    fn an_area_reaches_below_a_logarithmic_axis_and_stops_where_its_values_have_no_place() {
        let areas = [[-1.0, 2.0], [0.5, 2.0], [-2.0, -1.0], [0.5, 3.0], [0.5, 2.0]];
        let area = (0..5_u8).map(f64::from).zip(areas).collect();
        let curve = Curve { name: "spec".into(), area, points: vec![(0.0, 1.0)], ..Curve::default() };
        let plot = Plot { scale: Scale::Log, curves: vec![curve], ..Plot::default() };
        let figure = plot.figure();
        let y = &figure.plot["layout"]["yaxis"];
        assert_eq!(y["type"], "log");
        // The range is in powers of ten, with some room around 0.5 to 3.
        let [low, high] = [0, 1].map(|end| y["range"][end].as_f64().unwrap());
        assert!(low < 0.5_f64.log10() && low > -0.5 && high > 3_f64.log10() && high < 0.6, "{y}");
        let area = group(&figure, "spec")[0];
        assert_eq!(area["x"], json!([0, 1, 1, 0, null, 3, 4, 4, 3]));
        let values: Vec<Option<f64>> = area["y"].as_array().unwrap().iter().map(Value::as_f64).collect();
        assert_eq!(values[..3], [Some(2.0), Some(2.0), Some(0.5)]);
        assert!(values[3].unwrap().log10() < low && values[3].unwrap() > 0.0);
        assert_eq!(values[4..], [None, Some(3.0), Some(2.0), Some(0.5), Some(0.5)]);
    }

    #[test]
    fn long_lines_keep_their_peaks_and_faint_ones_share_their_points() {
        let mut points: Points = (0..5000).map(|step| (f64::from(step), 1.0)).collect();
        points[2345].1 = 9.0;
        let faint = vec![points.clone(); 10];
        let curve = Curve { name: "spec".into(), points, faint, ..Curve::default() };
        let figure = Plot { curves: vec![curve], ..Plot::default() }.figure();
        let [seeds, line] = group(&figure, "spec")[..] else { panic!("expected two traces") };
        let count = |trace: &Value| trace["x"].as_array().unwrap().len();
        assert!(count(line) <= LINE_POINTS + 2 && count(seeds) <= FAINT_POINTS + 30);
        for (trace, peaks) in [(line, 1), (seeds, 10)] {
            assert_eq!(trace["y"].as_array().unwrap().iter().filter(|value| **value == 9).count(), peaks);
        }
    }
}
