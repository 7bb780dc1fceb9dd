//! What all charts have in common: a figure that plotly.js draws, its colours, axes and texts.

use plotly::Layout;
use plotly::common::{Anchor, Font, MarkerSymbol, Orientation, Title};
use plotly::layout::{Axis, Legend, Margin};
use serde::Serialize;
use serde_json::{Value, json};

/// A chart, ready for the page.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// The heading.
    pub(super) title: String,
    /// What the chart shows and how, as plain text.
    pub(super) caption: String,
    /// The height in pixels.
    pub(super) height: usize,
    /// Whether it takes the page's whole width.
    pub(super) wide: bool,
    /// What plotly.js draws: `data`, the traces, and `layout`.
    pub(super) plot: Value,
}

/// How many colours and marks there are.
pub(super) const COLOURS: usize = 8;
/// The colour of text.
pub(super) const INK: &str = "var(--ink)";
/// The colour of labels.
pub(super) const SOFT: &str = "var(--soft)";
/// The colour of grid lines.
const RULE: &str = "var(--rule)";
/// The height of a chart without its legend.
const HEIGHT: usize = 330;
/// The height of a row of the legend.
const LEGEND_ROW: usize = 20;
/// How many letters of a legend fit in a row, with what stands before each name counted as six letters.
const LEGEND_LETTERS: usize = 58;
/// The most letters of a name in a legend.
const NAME_LETTERS: usize = 48;

/// A colour of the page's style sheet, as the page's script reads it; 255 is opaque.
pub(super) fn colour(index: usize, opacity: u8) -> String {
    format!("var(--c{}){opacity:02x}", index % COLOURS)
}

/// The mark of a colour: each has its own shape.
pub(super) fn symbol(index: usize) -> MarkerSymbol {
    match index % COLOURS {
        0 => MarkerSymbol::Circle,
        1 => MarkerSymbol::Square,
        2 => MarkerSymbol::TriangleUp,
        3 => MarkerSymbol::Diamond,
        4 => MarkerSymbol::TriangleDown,
        5 => MarkerSymbol::Cross,
        6 => MarkerSymbol::X,
        _ => MarkerSymbol::Hexagon,
    }
}

/// A user's text for plotly.js, which reads some markup in texts.
pub(super) fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name for plotly.js, shortened to what a legend can hold.
pub(super) fn named(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS {
        return plain(name);
    }
    plain(&name.chars().take(NAME_LETTERS - 1).chain(['…']).collect::<String>())
}

/// A number of a chart, with as many digits as a reader can tell apart on any zoom; `null` if it is not finite.
pub(super) fn number(value: f64) -> Value {
    let rounded = rounded(value, 6);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { json!(rounded as i64) } else { json!(rounded) }
}

/// A value with its interval, as shown at the pointer.
pub(super) fn hover(value: f64, interval: Option<[f64; 2]>) -> String {
    match interval {
        Some([low, high]) => format!("{} ({} to {})", short(value), short(low), short(high)),
        None => short(value),
    }
}

/// A number with four digits.
fn short(value: f64) -> String {
    let value = rounded(value, 4);
    let plain = value == 0.0 || (1e-4..1e7).contains(&value.abs());
    if plain { value.to_string() } else { format!("{value:e}") }.replace('-', "−")
}

fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// An axis in the page's colours.
pub(super) fn axis(label: &str) -> Axis {
    let text = |size| Font::new().size(size).color(SOFT);
    Axis::new()
        .title(Title::with_text(plain(label)).font(text(12)))
        .tick_font(text(12))
        .grid_color(RULE)
        .line_color(RULE)
        .zero_line(false)
        .auto_margin(true)
}

impl Figure {
    /// A figure of these traces and axes, such as `xaxis` and `yaxis`, below a legend of `names`.
    pub(super) fn new(
        title: &str,
        caption: &str,
        names: &[String],
        data: Vec<Value>,
        axes: impl IntoIterator<Item = (String, Axis)>,
        layout: Layout,
    ) -> Self {
        let font = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif";
        let legend = Legend::new()
            .orientation(Orientation::Horizontal)
            .trace_group_gap(0)
            .x(0.0)
            .x_anchor(Anchor::Left)
            .y(1.02)
            .y_anchor(Anchor::Bottom);
        let layout = layout
            .font(Font::new().family(font).size(13).color(INK))
            .paper_background_color("var(--card)")
            .plot_background_color("var(--card)")
            .margin(Margin::new().left(44).right(16).top(8).bottom(40))
            .hover_distance(60)
            .show_legend(!names.is_empty())
            .legend(legend);
        let mut layout = json(&layout);
        for (name, axis) in axes {
            layout[name] = json(&axis);
        }
        // What a reader has hidden or zoomed stays so when the page is drawn again in other colours.
        layout["uirevision"] = json!(true);
        Self {
            title: title.to_owned(),
            caption: caption.to_owned(),
            height: HEIGHT + LEGEND_ROW * rows(names, LEGEND_LETTERS),
            wide: false,
            plot: json!({ "data": Value::Array(data), "layout": layout }),
        }
    }

    /// The figure as wide as the page, with frames of this height in all and their names between them and the legend.
    pub(super) fn framed(mut self, names: &[String], height: usize) -> Self {
        self.plot["layout"]["legend"]["y"] = json!(1.0 + 28.0 / height as f64);
        let legend = LEGEND_ROW * rows(names, 5 * LEGEND_LETTERS / 2);
        Self { wide: true, height: height + 60 + legend, ..self }
    }
}

/// How many rows a legend takes.
fn rows(names: &[String], letters: usize) -> usize {
    let widths = names.iter().map(|name| name.chars().count().min(NAME_LETTERS) + 6);
    let (mut rows, mut room) = (0, 0);
    for width in widths {
        if width > room {
            (rows, room) = (rows + 1, letters);
        }
        room -= width.min(room);
    }
    rows
}

/// Plotly's own types become JSON without fail: their keys are texts, and what is not finite is `null`.
pub(super) fn json(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_six_digits_and_steps_are_whole() {
        assert_eq!(number(4000.0).to_string(), "4000");
        assert_eq!(number(1.0 / 3.0).to_string(), "0.333333");
        assert_eq!(number(-2.5e-7).to_string(), "-2.5e-7");
        assert_eq!(number(f64::NAN), Value::Null);
        assert_eq!(number(f64::INFINITY), Value::Null);
    }

    #[test]
    fn the_pointer_shows_a_value_with_its_interval() {
        assert_eq!(hover(0.5, None), "0.5");
        assert_eq!(hover(2.0 / 3.0, Some([-1.0 / 3.0, 12345.678])), "0.6667 (−0.3333 to 12350)");
        assert_eq!(hover(1.2346e-9, None), "1.235e−9");
    }

    #[test]
    fn markup_in_a_name_stays_text_and_a_long_name_is_shortened() {
        assert_eq!(named("<b>&amp;"), "&lt;b&gt;&amp;amp;");
        assert_eq!(named(&"ü".repeat(48)), "ü".repeat(48));
        assert_eq!(named(&"ü".repeat(49)), format!("{}…", "ü".repeat(47)));
    }

    #[test]
    fn a_legend_has_as_many_rows_as_its_names_fill() {
        let names = |lengths: &[usize]| lengths.iter().map(|&length| "n".repeat(length)).collect::<Vec<_>>();
        assert_eq!(rows(&[], 40), 0);
        assert_eq!(rows(&names(&[14, 14]), 40), 1);
        assert_eq!(rows(&names(&[14, 15]), 40), 2);
        assert_eq!(rows(&names(&[400]), 40), 1);
    }
}
