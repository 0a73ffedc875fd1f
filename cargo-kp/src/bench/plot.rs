//! The ratios as a picture: a bar for each measure and kernel, and a line where ours and the baseline are equal.
use super::Row;
use std::fmt::Write;

const LEFT: f64 = 400.0;
const WIDTH: f64 = 560.0;
const STEP: f64 = 18.0;
const TOP: f64 = 46.0;

/// Draws the rows that compare instructions or bytes. Ratios above 4 are cut, and say so by their number.
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<(&Row, f64)> = rows
        .iter()
        .filter(|row| matches!(row.unit, "instructions" | "bytes"))
        .filter_map(|row| Some((row, row.ratio?)))
        .collect();
    let most = rows.iter().map(|(_, ratio)| *ratio).fold(1.5, f64::max).min(4.0);
    let x = |ratio: f64| LEFT + ratio.min(most) / most * WIDTH;
    let height = TOP + rows.len() as f64 * STEP + 30.0;
    let (width, bottom) = (LEFT + WIDTH + 70.0, height - 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"15\">Ours by the baseline: less is better, 1 is equal</text>\n\
         <text x=\"10\" y=\"37\" fill=\"#555\">black tick: what is to be reached; red: not reached</text>\n"
    );
    for (index, (row, ratio)) in rows.iter().enumerate() {
        let y = TOP + index as f64 * STEP;
        let color = match row.reached {
            Some(true) => "#2a7f3f",
            Some(false) => "#c0392b",
            None => "#7f8c9a",
        };
        let (label, text) = (y + 12.0, escape(&format!("{}, {}", row.measure, row.kernel)));
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{label}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>",
            y + 2.0,
            x(*ratio) - LEFT,
            STEP - 5.0
        );
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{label}\">{ratio:.2}</text>", x(*ratio) + 5.0);
        // The limit of dispatch-64 is a difference, which has no place on this axis.
        if let Some(limit) = row.limit.filter(|limit| *limit <= most) {
            let at = x(limit);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{y}\" y2=\"{}\" stroke=\"black\" stroke-width=\"2\"/>",
                y + STEP - 1.0
            );
        }
    }
    let one = x(1.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#333\" stroke-dasharray=\"4 3\"/>"
    );
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ratio_is_drawn_and_a_time_is_not() {
        let rows = [
            Row::new("call-0", "6.1", 150.0, Some(100.0), "instructions", "").at_most(1.05),
            Row::new("build-clean", "6.1", 30.0, Some(3.0), "s", ""),
            Row::new("text-<echo>", "6.1", 900.0, Some(100.0), "bytes", ""),
        ];
        let svg = svg(&rows);
        assert_eq!(svg.matches("height=\"13\"").count(), 2, "{svg}");
        assert!(svg.contains(">1.50<") && svg.contains(">9.00<") && svg.contains("text-&lt;echo>"), "{svg}");
    }
}
