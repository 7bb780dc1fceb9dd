//! A drawing as SVG: for the page, coloured by its style sheet, or as a separate file.

use std::fmt::Write;

/// The styles of drawings, shared by the page and by separate files.
pub(super) const STYLE: &str = include_str!("svg.css");

/// How many spec colours the style sheet has.
pub(super) const COLOURS: usize = 8;

/// Elements drawn so far on a canvas of fixed size.
#[derive(Debug, Clone)]
pub(super) struct Drawing {
    /// The canvas' width.
    pub(super) width: f64,
    /// The canvas' height.
    pub(super) height: f64,
    body: String,
}

/// The part of a text that is at its given position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

impl Drawing {
    /// An empty canvas.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        self.push(format_args!(
            r#"<path class="{class}" d="M{} {}L{} {}"/>"#,
            short(x1),
            short(y1),
            short(x2),
            short(y2)
        ));
    }

    /// A rectangle.
    pub(super) fn rectangle(&mut self, class: &str, [x, y]: [f64; 2], [width, height]: [f64; 2]) {
        self.push(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            short(x),
            short(y),
            short(width),
            short(height)
        ));
    }

    /// Text; `class` may contain `strong` or `muted`.
    pub(super) fn text(&mut self, class: &str, [x, y]: [f64; 2], anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            r#"<text class="{class}" x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
            short(x),
            short(y),
            escape(text)
        ));
    }

    /// A line through `points`, with gaps where a point is not finite.
    pub(super) fn curve(&mut self, class: &str, points: &[[f64; 2]]) {
        for part in points.split(|point| !point.iter().all(|place| place.is_finite())) {
            if part.len() > 1 {
                let path = path(part.iter().copied());
                self.push(format_args!(r#"<path class="{class}" d="{path}"/>"#));
            }
        }
    }

    /// The area between two lines over the same positions.
    pub(super) fn area(&mut self, class: &str, low: &[[f64; 2]], high: &[[f64; 2]]) {
        let path = path(high.iter().copied().chain(low.iter().rev().copied()));
        if low.len() > 1 {
            self.push(format_args!(r#"<path class="{class}" d="{path}Z"/>"#));
        }
    }

    /// The mark of colour `index`: each colour has its own shape.
    pub(super) fn marker(&mut self, index: usize, [x, y]: [f64; 2]) {
        let class = format!("marker c{}", index % COLOURS);
        let corners: &[[f64; 2]] = match index % COLOURS {
            0 => {
                self.push(format_args!(
                    r#"<circle class="{class}" cx="{}" cy="{}" r="3.8"/>"#,
                    short(x),
                    short(y)
                ));
                return;
            }
            1 => &[[-3.4, -3.4], [3.4, -3.4], [3.4, 3.4], [-3.4, 3.4]],
            2 => &[[0.0, -4.6], [4.3, 3.2], [-4.3, 3.2]],
            3 => &[[0.0, -5.0], [4.6, 0.0], [0.0, 5.0], [-4.6, 0.0]],
            4 => &[[0.0, 4.6], [4.3, -3.2], [-4.3, -3.2]],
            5 => &[[-5.4, -2.0], [5.4, -2.0], [5.4, 2.0], [-5.4, 2.0]],
            6 => &[[-2.0, -5.4], [2.0, -5.4], [2.0, 5.4], [-2.0, 5.4]],
            _ => &[[-4.6, 0.0], [-2.3, -4.2], [2.3, -4.2], [4.6, 0.0], [2.3, 4.2], [-2.3, 4.2]],
        };
        let path = path(corners.iter().map(|corner| [x + corner[0], y + corner[1]]));
        self.push(format_args!(r#"<path class="{class}" d="{path}Z"/>"#));
    }

    /// Draws only inside a rectangle; `id` must be unique on the page.
    pub(super) fn clipped(
        &mut self,
        id: &str,
        corner: [f64; 2],
        size: [f64; 2],
        draw: impl FnOnce(&mut Self),
    ) {
        self.push(format_args!(r#"<clipPath id="{id}">"#));
        self.rectangle("", corner, size);
        self.push(format_args!(r#"</clipPath><g clip-path="url(#{id})">"#));
        draw(self);
        self.push(format_args!("</g>"));
    }

    /// The drawing as part of a page, which has the style sheet.
    pub(super) fn inline(&self, description: &str) -> String {
        format!(
            r#"<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>"#,
            short(self.width),
            short(self.height),
            escape(description),
            self.body
        )
    }

    /// The drawing as a separate file, dark on white, with a heading.
    pub(super) fn standalone(&self, heading: &str) -> String {
        const TOP: f64 = 34.0;
        const MARGIN: f64 = 14.0;
        let (width, height) = (self.width + 2.0 * MARGIN, self.height + TOP + MARGIN);
        let mut title = Self::new(width, height);
        title.text("strong", [MARGIN + 4.0, 26.0], Anchor::Start, &fit(heading, self.width, 15.0));
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" color="#1f2328" font-family="Noto Sans"><style>{STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>{}<g transform="translate({MARGIN} {TOP})">{}</g></svg>"##,
            short(width),
            short(height),
            title.body,
            self.body
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(element);
    }
}

/// Escapes text for HTML and SVG. Characters that XML forbids become the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// The approximate width of a text, rather too large: the font is the reader's.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    size * text.chars().map(letter_width).sum::<f64>()
}

/// The text, shortened with an ellipsis to about `width`.
pub(super) fn fit(text: &str, width: f64, size: f64) -> String {
    if text_width(text, size) <= width {
        return text.into();
    }
    let mut room = width / size - letter_width('…');
    let kept = text.chars().take_while(|&letter| {
        room -= letter_width(letter);
        room >= 0.0
    });
    kept.chain(['…']).collect()
}

/// The width of a letter as a share of the font's size.
fn letter_width(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | '!' | ' ' | '\'' => 0.3,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' | '[' | ']' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.95,
        'A'..='Z' | '_' => 0.7,
        letter if letter as u32 >= 0x1100 => 1.05,
        _ => 0.6,
    }
}

/// Path data, relative and in tenths, which is half as long as with absolute positions.
fn path(points: impl Iterator<Item = [f64; 2]>) -> String {
    let mut data = String::new();
    let mut last: Option<[i64; 2]> = None;
    for point in points {
        let [x, y] = point.map(|place| (place.clamp(-1e4, 1e4) * 10.0).round() as i64);
        let _ = match last {
            None => write!(data, "M{} {}l", tenths(x), tenths(y)),
            Some([before_x, before_y]) => {
                let (across, down) = (tenths(x - before_x), tenths(y - before_y));
                let space = if data.ends_with('l') || across.starts_with('-') { "" } else { " " };
                let between = if down.starts_with('-') { "" } else { " " };
                write!(data, "{space}{across}{between}{down}")
            }
        };
        last = Some([x, y]);
    }
    data
}

fn tenths(count: i64) -> String {
    short(count as f64 / 10.0)
}

/// A length with one decimal, as short as SVG allows.
fn short(length: f64) -> String {
    let text = format!("{length:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    match text.strip_prefix("-0.") {
        Some(rest) => format!("-.{rest}"),
        None if text == "-0" => "0".into(),
        None => text.strip_prefix("0.").map_or_else(|| text.into(), |rest| format!(".{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text("strong", [0.0, 0.0], Anchor::Start, "</text><script>alert('&')</script>\u{0}");
        let page = drawing.inline("a \"quoted\" <b>");
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains('\u{0}'), "{page}");
        assert!(page.contains("alert(&#39;&amp;&#39;)"), "{page}");
        assert!(page.contains("a &quot;quoted&quot; &lt;b&gt;"), "{page}");
    }

    #[test]
    fn paths_are_relative_without_adding_up_rounding() {
        assert_eq!(
            path([[0.0, 1.0], [0.04, 1.5], [0.08, 1.0], [10.0, 1.0]].into_iter()),
            "M0 1l0 .5 .1-.5 9.9 0"
        );
    }

    #[test]
    fn a_curve_has_gaps_where_values_are_missing() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.curve("line", &[[0.0, 0.0], [1.0, 1.0], [2.0, f64::NAN], [3.0, 1.0], [4.0, 1.0]]);
        assert_eq!(drawing.inline("").matches("<path").count(), 2);
    }

    #[test]
    fn long_texts_are_shortened() {
        assert_eq!(fit("short", 100.0, 10.0), "short");
        let shortened = fit(&"long ".repeat(40), 100.0, 10.0);
        assert!(shortened.ends_with('…') && text_width(&shortened, 10.0) <= 100.0);
    }
}
