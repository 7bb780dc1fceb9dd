//! Draws a chart of many lines as small multiples: one frame per line, all with the same axes.

use super::lines::{Curve, Plot, class};
use super::plot::{Frame, TEXT, WIDTH};
use super::svg::{Anchor, Drawing, fit, text_width};

/// The number of frames in a row.
const COLUMNS: usize = 4;
/// The canvas' width: that of two charts and the gap between them.
const WIDE: f64 = 2.0 * WIDTH + 20.0;
/// The height of a frame.
const HEIGHT: f64 = 150.0;
/// The rest of a row's height: the names above the frames and the marks below.
const AROUND: f64 = 58.0;
/// The distance between frames.
const GAP: f64 = 34.0;
/// The space for the label of the vertical axis.
const TOP: f64 = 20.0;
/// The space for the label of the horizontal axis.
const BOTTOM: f64 = 18.0;

/// Draws the frames row by row, in the order of the lines. Every frame also shows the first line, for comparison.
pub(super) fn draw(plot: &Plot) -> Drawing {
    let (x, y) = plot.axes();
    let rows = plot.curves.len().div_ceil(COLUMNS);
    let left = y.ticks.iter().map(|tick| text_width(&tick.1, TEXT)).fold(18.0, f64::max) + 12.0;
    let width = (WIDE - left - 16.0 - GAP * (COLUMNS - 1) as f64) / COLUMNS as f64;
    let mut drawing = Drawing::new(WIDE, TOP + rows as f64 * (HEIGHT + AROUND) + BOTTOM);
    drawing.text("muted small", [2.0, 12.0], Anchor::Start, &plot.y_label);
    drawing.text("muted small", [WIDE - 16.0, 12.0], Anchor::End, &fit(&legend(plot), 0.8 * WIDE, TEXT));
    for (index, curve) in plot.curves.iter().enumerate() {
        let (row, column) = (index / COLUMNS, index % COLUMNS);
        let frame = Frame {
            left: left + column as f64 * (width + GAP),
            top: TOP + row as f64 * (HEIGHT + AROUND) + 24.0,
            width,
            height: HEIGHT,
            edge: WIDE,
        };
        name(&mut drawing, &frame, curve);
        for (value, text) in &y.ticks {
            let height = frame.y(y.place(*value));
            drawing.line("grid", [frame.left, height], [frame.left + width, height]);
            if column == 0 {
                drawing.text("muted", [frame.left - 7.0, height + 4.5], Anchor::End, text);
            }
        }
        let at = |&(place, value): &(f64, f64)| [frame.x(x.place(place)), frame.y(y.place(value))];
        let corner = [frame.left, frame.top - 1.0];
        let id = format!("clip-{}-{index}", plot.id);
        drawing.clipped(&id, corner, [width + 1.0, HEIGHT + 2.0], |drawing| {
            for target in plot.targets.iter().filter(|target| target.colours.contains(&curve.colour)) {
                target.draw(drawing, &frame, &y);
            }
            curve.draw_area(drawing, &frame, &at);
            curve.draw_faint(drawing, plot.faint_points(), &at);
            if let Some(first) = plot.curves.first().filter(|_| index > 0) {
                first.draw_line(drawing, "line compared", &at);
            }
            curve.draw_line(drawing, curve.style(), &at);
        });
        frame.number_axis(&mut drawing, &x);
    }
    let middle = left + (WIDE - left) / 2.0;
    drawing.text("muted small", [middle, drawing.height - 5.0], Anchor::Middle, &plot.x_label);
    drawing
}

/// The legend of what is the same in all frames.
fn legend(plot: &Plot) -> String {
    let first = plot.curves.first().map(|first| format!("dashed: mean of {}", first.name));
    let targets = plot.targets.iter().map(|target| format!("dotted: {}", target.name));
    first.into_iter().chain(targets).collect::<Vec<_>>().join(" · ")
}

/// The line's name above its frame, with a sample of it.
fn name(drawing: &mut Drawing, frame: &Frame, curve: &Curve) {
    let height = frame.top - 12.0;
    drawing.line(&class("line", curve.colour), [frame.left, height], [frame.left + 20.0, height]);
    let text = fit(&curve.name, frame.width - 28.0, TEXT);
    drawing.text("", [frame.left + 26.0, height + 4.5], Anchor::Start, &text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::lines::Target;

    fn plot(count: usize) -> Plot {
        let curve = |colour: usize| {
            let height = colour as f64;
            Curve {
                name: format!("spec_{colour}"),
                colour,
                points: vec![(0.0, height), (9.0, height)],
                area: vec![(0.0, [height - 1.0, height + 1.0]), (9.0, [height - 1.0, height + 1.0])],
                ..Curve::default()
            }
        };
        Plot { id: "p".into(), curves: (0..count).map(curve).collect(), ..Plot::default() }
    }

    #[test]
    fn a_frame_has_its_own_area_and_the_first_line_dashed() {
        let drawn = plot(6).draw().inline("");
        for colour in 0..6 {
            assert_eq!(drawn.matches(&format!("class=\"area c{colour}\"")).count(), 1);
            assert_eq!(drawn.matches(&format!(">spec_{colour}<")).count(), 1);
        }
        assert_eq!(drawn.matches("class=\"line compared c0\"").count(), 5);
        assert_eq!(drawn.matches("<clipPath").count(), 6);
    }

    #[test]
    fn few_lines_share_one_frame() {
        let (few, many) = (plot(4), plot(5));
        assert!((few.draw().width - WIDTH).abs() < 1e-9);
        assert!((many.draw().width - WIDE).abs() < 1e-9);
        assert!(many.draw().inline("").contains(">dashed: mean of spec_0<"));
    }

    #[test]
    fn a_target_stands_in_the_frames_of_those_who_have_it() {
        let target = Target { name: "target".into(), colours: vec![1, 4], band: [0.5, 1.5] };
        let drawn = Plot { targets: vec![target], ..plot(5) }.draw().inline("");
        assert_eq!(drawn.matches("class=\"target\"").count(), 2);
        assert!(drawn.contains(">dashed: mean of spec_0 · dotted: target<"));
    }
}
