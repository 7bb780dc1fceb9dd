//! Charts of grouped bars, with whiskers and published values.

use super::axis::Axis;
use super::plot::{Entry, Figure, Frame, Sample, TEXT};
use super::run::{Bars, Scale};
use super::svg::{Anchor, COLOURS, fit, text_width};

/// The share of the space at a place that its bars fill.
const FILLED: f64 = 0.74;
/// The narrowest bar that shows its value as text.
const LABELLED: f64 = 26.0;

/// The figure of a bar chart.
pub(super) fn figure(bars: &Bars, colour: impl Fn(&str) -> usize) -> Figure {
    let published = bars.groups.iter().any(|group| group.reference.is_some());
    let entries: Vec<Entry> = bars
        .groups
        .iter()
        .map(|group| Entry {
            name: group.name.clone(),
            colour: Some(colour(&group.name)),
            sample: Sample::Bar,
        })
        .chain(published.then(|| Entry {
            name: "published value".into(),
            colour: None,
            sample: Sample::Published,
        }))
        .collect();
    let error = |group: usize, place: usize| {
        bars.groups[group]
            .errors
            .as_ref()
            .and_then(|errors| errors.get(place))
            .copied()
            .filter(|error| *error > 0.0)
    };
    let mut values = vec![0.0];
    for (index, group) in bars.groups.iter().enumerate() {
        for (place, &value) in group.values.iter().enumerate() {
            let error = error(index, place).unwrap_or(0.0);
            values.extend([value, value - error, value + error]);
        }
        values.extend(group.reference.iter().flatten());
    }
    // Space for the texts above and below the bars.
    let (low, high) = values
        .iter()
        .filter(|value| value.is_finite())
        .fold((0.0, 0.0), |(low, high): (f64, f64), &value| (low.min(value), high.max(value)));
    let room = 0.06 * (high - low);
    values.extend([if low < 0.0 { low - room } else { 0.0 }, if high > 0.0 { high + room } else { 0.0 }]);
    let y = Axis::over(values, Scale::Linear, true);
    let (frame, mut drawing) = Frame::new(&entries, &y, &bars.y_label, &bars.x_label);
    let slot = frame.width / bars.x.len().max(1) as f64;
    let width = slot * FILLED / bars.groups.len().max(1) as f64;
    let zero = frame.y(y.place(0.0));
    for (place, name) in bars.x.iter().enumerate() {
        let start = frame.left + slot * (place as f64 + (1.0 - FILLED) / 2.0);
        for (index, group) in bars.groups.iter().enumerate() {
            let style = |style: &str| format!("{style} c{}", colour(&group.name) % COLOURS);
            let left = start + width * index as f64;
            let middle = left + width / 2.0;
            if let Some(&value) = group.values.get(place).filter(|value| value.is_finite()) {
                let end = frame.y(y.place(value));
                drawing.rectangle(
                    &style("bar"),
                    [left + width * 0.06, end.min(zero)],
                    [width * 0.88, (end - zero).abs().max(0.8)],
                );
                let mut edge = end;
                if let Some(error) = error(index, place) {
                    let [bottom, top] = [value - error, value + error].map(|edge| frame.y(y.place(edge)));
                    let cap = (width * 0.2).min(6.0);
                    drawing.line("whisker", [middle, bottom], [middle, top]);
                    drawing.line("whisker", [middle - cap, bottom], [middle + cap, bottom]);
                    drawing.line("whisker", [middle - cap, top], [middle + cap, top]);
                    edge = if value < 0.0 { bottom } else { top };
                }
                if width >= LABELLED {
                    let text = format!("{value:.2}").replace('-', "−");
                    let height = if value < 0.0 { edge + 13.0 } else { edge - 5.0 };
                    drawing.text("small", [middle, height], Anchor::Middle, &text);
                }
            }
            let published = group.reference.as_ref().and_then(|values| values.get(place)).copied();
            if let Some(value) = published.filter(|value| value.is_finite()) {
                let height = frame.y(y.place(value));
                drawing.rectangle(
                    "published",
                    [left + width * 0.06, height.min(zero)],
                    [width * 0.88, (height - zero).abs().max(1.0)],
                );
            }
        }
        let bottom = frame.top + frame.height + 18.0;
        let shown = if text_width(name, TEXT) > slot { fit(name, slot, TEXT) } else { name.clone() };
        drawing.text("muted", [frame.left + slot * (place as f64 + 0.5), bottom], Anchor::Middle, &shown);
    }
    drawing.line("axis", [frame.left, zero], [frame.left + frame.width, zero]);
    Figure { title: bars.title.clone(), caption: bars.caption.clone(), drawing }
}
