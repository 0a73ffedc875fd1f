//! The ratios as a picture: a bar for each measure, by kernel, and a line where ours and the baseline are equal.
use super::Row;
use std::fmt::Write;

/// Where the bars start; what stands left of them is the measure's name and its ratio.
const LEFT: f64 = 240.0;
const WIDTH: f64 = 560.0;
const STEP: f64 = 18.0;
const TOP: f64 = 82.0;
/// The longest bar's ratio. A few ratios are far above all others, which would be too short to be compared beside them.
const MOST: f64 = 2.0;

const GREEN: &str = "#2a7f3f";
const RED: &str = "#c0392b";
const GREY: &str = "#7f8c9a";

/// Draws the rows that compare instructions or bytes. A ratio above 2 has an arrow for its bar's end.
pub fn svg(rows: &[Row]) -> String {
    let drawn = |row: &&Row| matches!(row.unit, "instructions" | "bytes");
    let rows: Vec<(&Row, f64)> = rows.iter().filter(drawn).filter_map(|row| Some((row, row.ratio?))).collect();
    let mut bars = String::new();
    let (mut y, mut kernel) = (TOP, "");
    for (row, ratio) in rows {
        if row.kernel != kernel {
            kernel = &row.kernel;
            let _ = writeln!(bars, "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{}</text>", y + 18.0, escape(kernel));
            y += STEP + 6.0;
        }
        bar(&mut bars, y, row, ratio);
        y += STEP;
    }
    let (width, height) = (LEFT + WIDTH + 30.0, y + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"15\">Ours by the baseline: less is better, 1 is equal</text>\n"
    );
    legend(&mut svg);
    axis(&mut svg, y);
    svg + &bars + "</svg>\n"
}

fn x(ratio: f64) -> f64 {
    LEFT + ratio.min(MOST) / MOST * WIDTH
}

fn bar(svg: &mut String, y: f64, row: &Row, ratio: f64) {
    let color = match row.reached {
        Some(true) => GREEN,
        Some(false) => RED,
        None => GREY,
    };
    let (base, name) = (y + 13.0, escape(&row.measure));
    let _ = writeln!(svg, "<text x=\"20\" y=\"{base}\">{name}</text>");
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{ratio:.2}</text>", LEFT - 8.0);
    let (top, middle, bottom, end) = (y + 3.0, y + 9.0, y + 15.0, x(ratio));
    let tip = if ratio > MOST { end + 12.0 } else { end };
    let _ = writeln!(
        svg,
        "<path class=\"bar\" d=\"M{LEFT} {top}H{end:.1}L{tip:.1} {middle}L{end:.1} {bottom}H{LEFT}z\" fill=\"{color}\"/>"
    );
    if let Some(limit) = row.limit_as_ratio().filter(|limit| *limit <= MOST) {
        let (at, from, to) = (x(limit), y + 1.0, y + STEP - 1.0);
        let _ = writeln!(svg, "<path class=\"limit\" d=\"M{at:.1} {from}V{to}\" stroke=\"black\" stroke-width=\"2\"/>");
    }
}

fn legend(svg: &mut String) {
    let mut at = 10.0;
    for (color, text) in [(GREEN, "reached"), (RED, "not reached"), (GREY, "only reported")] {
        let _ = writeln!(svg, "<rect x=\"{at}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{color}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"42\" fill=\"#555\">{text}</text>", at + 17.0);
        at += 120.0;
    }
    let text = "black tick: what is to be reached, up to 2; arrow: longer than drawn";
    let _ = writeln!(svg, "<text x=\"{at}\" y=\"42\" fill=\"#555\">{text}</text>");
}

/// Lines behind the bars, each with its ratio above.
fn axis(svg: &mut String, bottom: f64) {
    for ratio in [0.0, 0.5, 1.0, 1.5, MOST] {
        let at = x(ratio);
        let color = if ratio == 1.0 { "#333" } else { "#ccc" };
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{ratio}</text>", TOP - 12.0);
        let _ = writeln!(svg, "<path d=\"M{at} {}V{bottom}\" stroke=\"{color}\"/>", TOP - 6.0);
    }
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
        assert_eq!((svg.matches("class=\"bar\"").count(), svg.matches("class=\"limit\"").count()), (2, 1), "{svg}");
        assert!(svg.contains(">1.50<") && svg.contains(">9.00<") && svg.contains("text-&lt;echo>"), "{svg}");
    }

    #[test]
    fn a_limit_of_the_difference_stands_where_the_ratio_would_reach_it() {
        let svg = svg(&[Row::new("dispatch-64", "host", 86.0, Some(50.0), "instructions", "").over_at_most(40.0)]);
        let tick = format!("class=\"limit\" d=\"M{:.1} ", x(90.0 / 50.0));
        assert!(svg.contains(&tick), "{svg}");
    }
}
