//! Renders charts as pictures for papers and slides, with an embedded font.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Dots per unit of a chart: 1,016 dots across.
const DENSITY: f32 = 2.0;

/// Draws an SVG as a PNG file's bytes.
pub(super) fn render(svg: &str) -> Result<Vec<u8>, String> {
    let options = Options { font_family: "Noto Sans".into(), fontdb: fonts(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size();
    let (width, height) = ((size.width() * DENSITY).ceil() as u32, (size.height() * DENSITY).ceil() as u32);
    let mut picture = Pixmap::new(width, height).ok_or("a picture without an area")?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut picture.as_mut());
    picture.encode_png().map_err(|error| error.to_string())
}

/// The embedded font, so that pictures look the same on every machine, even one without fonts.
fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
        fonts.load_font_data(notosans::BOLD_TTF.to_vec());
        Arc::new(fonts)
    };
    FONTS.get_or_init(load).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::{Anchor, Drawing};

    /// The number of pixels that are not white.
    fn ink(draw: impl FnOnce(&mut Drawing)) -> usize {
        let mut drawing = Drawing::new(100.0, 60.0);
        draw(&mut drawing);
        let picture = Pixmap::decode_png(&render(&drawing.standalone("")).unwrap()).unwrap();
        picture.pixels().iter().filter(|pixel| pixel.red() < 250 || pixel.green() < 250).count()
    }

    #[test]
    fn text_is_drawn_without_any_system_font() {
        assert!(ink(|drawing| drawing.text("", [50.0, 30.0], Anchor::Middle, "reward")) > 200);
    }

    #[test]
    fn lines_have_their_colour() {
        assert!(ink(|drawing| drawing.line("line c0", [0.0, 30.0], [100.0, 30.0])) > 400);
        assert_eq!(ink(|_| ()), 0);
    }

    #[test]
    fn names_with_markup_and_control_characters_are_still_drawn() {
        assert!(ink(|drawing| drawing.text("", [50.0, 30.0], Anchor::Middle, "<a & \u{1} \u{0}>")) > 100);
    }
}
