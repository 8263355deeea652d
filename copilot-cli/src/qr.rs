//! QR codes in a terminal: two modules a character, light around it, so that a camera finds it.

use fast_qr::QRBuilder;
use fast_qr::qr::QRCode;

/// Light modules around the code. The standard says four; cameras are content with two.
const QUIET: usize = 2;
/// Black on white, whatever the terminal's colours are.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const RESET: &str = "\u{1b}[0m";

/// The code of a text, as lines that end with a line break; `None` when the text is too long for
/// one. Without colours light modules are drawn, for terminals with a dark background.
pub(crate) fn draw(text: &str, colours: bool) -> Option<String> {
    let mut drawn = String::new();
    for row in rows(text, colours)? {
        if colours {
            drawn.push_str(BLACK_ON_WHITE);
        }
        drawn.push_str(&row);
        if colours {
            drawn.push_str(RESET);
        }
        drawn.push('\n');
    }
    Some(drawn)
}

/// The rows of the code of a text. What is drawn are the dark modules, for black on white, or the
/// light ones.
pub(crate) fn rows(text: &str, dark: bool) -> Option<Vec<String>> {
    let code = QRBuilder::new(text).build().ok()?;
    let side = code.size + 2 * QUIET;
    let row = |row: usize| {
        (0..side)
            .map(|column| {
                let upper = is_dark(&code, row, column) == dark;
                let lower = is_dark(&code, row + 1, column) == dark;
                match (upper, lower) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            })
            .collect()
    };
    Some((0..side).step_by(2).map(row).collect())
}

fn is_dark(code: &QRCode, row: usize, column: usize) -> bool {
    let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.size);
    match (inside(row), inside(column)) {
        (Some(row), Some(column)) => code[row][column].value(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_light_around() {
        let plain = draw("https://relay.example/#m=1&s=2", false).unwrap();
        let lines: Vec<&str> = plain.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[0].chars().all(|c| c == '█'), "{}", lines[0]);
        let coloured = draw("https://relay.example/#m=1&s=2", true).unwrap();
        let first = coloured.lines().next().unwrap();
        assert!(first.starts_with(BLACK_ON_WHITE) && first.ends_with(RESET));
        assert!(first[BLACK_ON_WHITE.len()..].starts_with("  "));
        assert_eq!(draw(&"x".repeat(10_000), false), None);
    }
}
