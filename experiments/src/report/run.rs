//! The description of a run in its folder: `run.json`, which the runner writes and the report reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The contents of `run.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The task's name, as in `aent train --task`.
    pub task: String,
    /// The page's heading.
    pub title: String,
    /// The name of the task's group of settings, such as `demo`.
    pub preset: String,
    /// When the run began, as RFC 3339 text in UTC.
    pub created: String,
    /// The seeds that every spec is trained with.
    pub seeds: Vec<u64>,
    /// The number of optimizer steps for each spec and seed.
    pub steps: u64,
    /// The command line that repeats the run.
    #[serde(default)]
    pub command: String,
    /// Settings as pairs of name and value, in the order in which the page shows them.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    /// Sentences about how the run was made, shown under the settings.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The specs trained side by side; their order gives their colours.
    pub specs: Vec<Spec>,
    /// The measurements to chart over steps, in the page's order.
    pub series: Vec<Series>,
    /// Further charts and tables, shown after the series.
    #[serde(default)]
    pub charts: Vec<Chart>,
    /// Sentences shown at the top of the page.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// One of the trained specs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The name, which is also the name of its folder in the run folder.
    pub name: String,
    /// The path from which the spec's file was read.
    pub path: String,
    /// The file's text.
    pub text: String,
    /// A line about what it does.
    #[serde(default)]
    pub summary: String,
}

/// A measurement over steps, found under `key` in each line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// The key in `metrics.jsonl`.
    pub key: String,
    /// The chart's name.
    pub label: String,
    /// The unit, such as `nats`; empty for a pure number.
    #[serde(default)]
    pub unit: String,
    /// The target band of each spec that has one, by the spec's name.
    #[serde(default)]
    pub band: Option<BTreeMap<String, [f64; 2]>>,
    /// The vertical axis.
    #[serde(default)]
    pub scale: Scale,
    /// Its columns in the summary table; by default they depend on the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
}

/// The vertical axis of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Equal distances are equal differences.
    #[default]
    Linear,
    /// Equal distances are equal ratios; values that are not positive are not shown.
    Log,
}

/// The columns of a series in the summary table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Columns {
    /// None: the chart is enough.
    None,
    /// The value at the end.
    Last,
    /// The value at the start and at the end.
    FirstAndLast,
}

impl Run {
    /// The index of the colour of a line or bar of `chart`: that of the spec whose name its name is or begins with, as
    /// in `aent (published)`, or else one that no spec has.
    pub(super) fn colour(&self, chart: &Chart, name: &str) -> usize {
        let spec = |name: &str| {
            let continues = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
            let named =
                |spec: &Spec| name.strip_prefix(&spec.name).is_some_and(|rest| !rest.starts_with(continues));
            self.specs.iter().position(named)
        };
        spec(name).unwrap_or_else(|| {
            let mut others = chart.names();
            others.retain(|other| spec(other).is_none());
            self.specs.len() + others.iter().position(|other| *other == name).unwrap_or(0)
        })
    }
}

impl Chart {
    /// The names in the chart's legend.
    fn names(&self) -> Vec<&str> {
        match self {
            Self::Bars(bars) => bars.groups.iter().map(|group| group.name.as_str()).collect(),
            Self::Lines(lines) => lines.lines.iter().map(|line| line.name.as_str()).collect(),
            Self::Table(_) => Vec::new(),
        }
    }
}

impl Series {
    /// The columns of the summary table; if the series does not say, they depend on the key.
    pub fn columns(&self) -> Columns {
        self.columns.unwrap_or(match self.key.as_str() {
            "reward" | "accuracy" | "length" => Columns::Last,
            "entropy" => Columns::FirstAndLast,
            _ => Columns::None,
        })
    }
}

/// A chart or a table in addition to those of the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Chart {
    /// Groups of bars.
    Bars(Bars),
    /// Lines over a shared horizontal axis.
    Lines(Lines),
    /// A table of text.
    Table(Table),
}

/// A bar chart: at each position of `x`, one bar of each group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bars {
    /// The chart's heading.
    pub title: String,
    /// The positions along the horizontal axis.
    pub x: Vec<String>,
    /// What the horizontal axis counts.
    #[serde(default)]
    pub x_label: String,
    /// What the vertical axis measures.
    pub y_label: String,
    /// Each group has one bar at each position.
    pub groups: Vec<Group>,
    /// A sentence under the chart.
    #[serde(default)]
    pub caption: String,
}

/// Bars of one colour. A group whose name is, or begins with, a spec's has that spec's colour.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Group {
    /// The name in the legend.
    pub name: String,
    /// The bars' heights, one for each position; NaN (`null` in the file) for no bar.
    #[serde(deserialize_with = "numbers")]
    pub values: Vec<f64>,
    /// Half the height of each bar's error whisker.
    #[serde(default, deserialize_with = "optional_numbers")]
    pub errors: Option<Vec<f64>>,
    /// Published values to compare with, drawn as dashed outlines.
    #[serde(default, deserialize_with = "optional_numbers")]
    pub reference: Option<Vec<f64>>,
}

/// A chart of lines.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Lines {
    /// The chart's heading.
    pub title: String,
    /// What the horizontal axis counts.
    pub x_label: String,
    /// What the vertical axis measures.
    pub y_label: String,
    /// The vertical axis.
    #[serde(default)]
    pub scale: Scale,
    /// The lines, in the legend's order.
    pub lines: Vec<Line>,
    /// A sentence under the chart.
    #[serde(default)]
    pub caption: String,
}

/// One line of a [`Lines`] chart. A line whose name is, or begins with, a spec's has that spec's colour.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// Horizontal positions, ascending.
    #[serde(deserialize_with = "numbers")]
    pub x: Vec<f64>,
    /// Values, one for each position; NaN (`null` in the file) breaks the line.
    #[serde(deserialize_with = "numbers")]
    pub y: Vec<f64>,
    /// The lower edge of the shaded area.
    #[serde(default, deserialize_with = "optional_numbers")]
    pub low: Option<Vec<f64>>,
    /// The upper edge of the shaded area.
    #[serde(default, deserialize_with = "optional_numbers")]
    pub high: Option<Vec<f64>>,
    /// Whether the line is dashed, as published or derived curves are.
    #[serde(default)]
    pub dashed: bool,
}

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table {
    /// The table's heading.
    pub title: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows, each as long as `head`.
    pub rows: Vec<Vec<String>>,
    /// A sentence under the table.
    #[serde(default)]
    pub caption: String,
}

/// JSON has no NaN: `serde_json` writes it as `null`, so `null` is read as NaN.
fn numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

fn optional_numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f64>>, D::Error> {
    let values = Option::<Vec<Option<f64>>>::deserialize(deserializer)?;
    Ok(values.map(|values| values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_told_apart_by_their_kind_and_null_is_no_value() {
        let text = r#"{"kind": "bars", "title": "t", "x": ["15", "1"], "y_label": "y", "groups":
            [{"name": "plain", "values": [0.5, null], "errors": null, "reference": [null, 0.25]}]}"#;
        let Chart::Bars(bars) = serde_json::from_str(text).unwrap() else { panic!("expected bars") };
        assert_eq!(bars.groups[0].values[..1], [0.5]);
        assert!(bars.groups[0].values[1].is_nan());
        assert_eq!(bars.groups[0].errors, None);
        assert_eq!(bars.groups[0].reference.as_ref().unwrap()[1..], [0.25]);
    }

    #[test]
    fn a_missing_bar_survives_being_written() {
        let bars = Bars {
            groups: vec![Group { values: vec![f64::NAN, 1.0], ..Group::default() }],
            ..Bars::default()
        };
        let text = serde_json::to_string(&Chart::Bars(bars)).unwrap();
        let Chart::Bars(back) = serde_json::from_str(&text).unwrap() else { panic!("expected bars") };
        assert!(back.groups[0].values[0].is_nan());
        assert_eq!(back.groups[0].values[1..], [1.0]);
    }

    #[test]
    fn a_series_needs_only_a_key_and_a_label() {
        let series: Series = serde_json::from_str(r#"{"key": "entropy", "label": "entropy"}"#).unwrap();
        assert_eq!(series.scale, Scale::Linear);
        assert_eq!(series.columns(), Columns::FirstAndLast);
    }
}
