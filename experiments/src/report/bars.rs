//! Charts of grouped bars, with whiskers and published values.

use plotly::common::{ErrorData, ErrorType, Line, Marker};
use plotly::layout::BarMode;
use plotly::{Bar, Layout};
use serde_json::{Value, json};

use super::chart::{Figure, INK, axis, colour, hover, json, named, number, plain};
use super::run::{Bars, Group};

/// The share of the space at a place that its bars leave free.
const FREE: f64 = 0.26;

/// The figure of a bar chart.
pub(super) fn figure(bars: &Bars, place: impl Fn(&str) -> usize) -> Figure {
    let mut names: Vec<String> = bars.groups.iter().map(|group| group.name.clone()).collect();
    let mut data: Vec<Value> = Vec::new();
    for (index, group) in bars.groups.iter().enumerate() {
        data.push(json(&drawn(bars, group, place(&group.name)).offset_group(index.to_string())));
    }
    let published =
        bars.groups.iter().enumerate().filter_map(|(index, group)| Some((index, group.reference.as_ref()?)));
    for (count, (index, values)) in published.enumerate() {
        if count == 0 {
            names.push("published value".into());
        }
        let outlines = outlines(bars, &bars.groups[index].name, values);
        data.push(json(&outlines.offset_group(index.to_string()).show_legend(count == 0)));
    }
    let places: Vec<f64> = (0..bars.x.len()).map(|index| index as f64).collect();
    let x = axis(&bars.x_label)
        .tick_values(places)
        .tick_text(bars.x.iter().map(|name| plain(name)).collect())
        .show_grid(false);
    let y = axis(&bars.y_label).zero_line(true).zero_line_color(INK);
    let axes = [("xaxis".to_owned(), x), ("yaxis".to_owned(), y)];
    let layout = Layout::new().bar_mode(BarMode::Group).bar_gap(FREE);
    Figure::new(&bars.title, &bars.caption, &names, data, axes, layout)
}

/// A group's bars with their whiskers.
fn drawn(bars: &Bars, group: &Group, place: usize) -> Box<Bar<Value, Value>> {
    let error = |index: usize| group.errors.as_ref().and_then(|errors| errors.get(index)).copied();
    let error = |index: usize| error(index).filter(|error| *error > 0.0);
    let texts = group.values.iter().enumerate().map(|(index, &value)| {
        at(bars, index, &hover(value, error(index).map(|error| [value - error, value + error])))
    });
    let errors = (0..group.values.len()).map(|index| error(index).unwrap_or(f64::NAN)).collect();
    let whiskers = ErrorData::new(ErrorType::Data).array(errors).color(INK).thickness(1.3).width(3);
    bar(bars, &group.values, texts)
        .name(named(&group.name))
        .legend_group(plain(&group.name))
        .marker(Marker::new().color(colour(place, 210)))
        .error_y(whiskers)
}

/// The outlines of a group's published values.
fn outlines(bars: &Bars, group: &str, values: &[f64]) -> Box<Bar<Value, Value>> {
    let texts = values
        .iter()
        .enumerate()
        .map(|(index, &value)| at(bars, index, &format!("{} for {}", hover(value, None), named(group))));
    bar(bars, values, texts)
        .name("published value")
        .legend_group("published value")
        .marker(Marker::new().color("rgba(0,0,0,0)").line(Line::new().color(INK).width(1.5)))
}

/// Bars at the chart's places; further values have none.
fn bar(bars: &Bars, values: &[f64], texts: impl Iterator<Item = String>) -> Box<Bar<Value, Value>> {
    let values: Vec<Value> = values.iter().take(bars.x.len()).map(|&value| number(value)).collect();
    let template = "<b>%{fullData.name}</b><br>%{hovertext}<extra></extra>";
    Bar::new((0..values.len()).map(|index| json!(index)).collect(), values)
        .hover_text_array(texts.take(bars.x.len()).collect())
        .hover_template(template)
}

/// A text about the bar at a place, with the place's name.
fn at(bars: &Bars, index: usize, text: &str) -> String {
    let place = bars.x.get(index).map(|name| plain(name)).unwrap_or_default();
    [plain(&bars.x_label), place].join(" ").trim().to_owned() + "<br>" + text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_whiskers_published_values_and_their_texts() {
        let group = Group {
            name: "aent".into(),
            values: vec![0.5, f64::NAN],
            errors: Some(vec![0.25, 0.0]),
            reference: Some(vec![f64::NAN, 0.75, 3.0]),
        };
        let plain = Group { name: "plain".into(), values: vec![-1.0, 2.0], ..Group::default() };
        let bars = Bars {
            x: vec!["15".into(), "1".into()],
            x_label: "optimal".into(),
            groups: vec![plain, group],
            ..Bars::default()
        };
        let figure = figure(&bars, |name| if name == "aent" { 3 } else { 8 });
        let [plain, aent, published] = &figure.plot["data"].as_array().unwrap()[..] else {
            panic!("expected three traces")
        };
        assert_eq!((&aent["x"], &aent["y"]), (&json!([0, 1]), &json!([0.5, null])));
        assert_eq!(aent["error_y"]["array"], json!([0.25, null]));
        assert_eq!(aent["hovertext"][0], "optimal 15<br>0.5 (0.25 to 0.75)");
        assert_eq!(
            (&aent["marker"]["color"], &plain["marker"]["color"]),
            (&json!("var(--c3)d2"), &json!("var(--c0)d2"))
        );
        assert_eq!(plain["hovertext"], json!(["optimal 15<br>−1", "optimal 1<br>2"]));
        assert_eq!(
            (&published["y"], &published["hovertext"][1]),
            (&json!([null, 0.75]), &json!("optimal 1<br>0.75 for aent"))
        );
        // The published value surrounds the bar of its group.
        assert_eq!(published["offsetgroup"], aent["offsetgroup"]);
        assert_ne!(published["offsetgroup"], plain["offsetgroup"]);
        assert_eq!(figure.plot["layout"]["xaxis"]["ticktext"], json!(["15", "1"]));
    }
}
