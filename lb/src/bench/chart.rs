//! Charts as SVG, without a script: bars with the spread of the rounds, and curves of latency.

use std::fmt::{self, Write};

use super::statistics::Spread;

/// Text that is no markup, wherever it stands in a page.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// One bar.
pub(super) struct Bar<'a> {
    pub(super) label: &'a str,
    pub(super) spread: Spread,
    /// The median for people.
    pub(super) shown: String,
}

/// Bars from zero, one below the other, each with a line from its lowest to its highest round.
pub(super) fn bars(title: &str, bars: &[Bar<'_>]) -> String {
    let most = bars.iter().map(|bar| bar.spread.high).fold(0.0, f64::max);
    let scale = if most > 0.0 { BAR_WIDTH / most } else { 0.0 };
    let height = BAR_PITCH * bars.len() as f64 + 6.0;
    let mut svg = opening(title, WIDTH, height);
    for (index, bar) in bars.iter().enumerate() {
        let top = BAR_PITCH * index as f64 + 4.0;
        let _ = write_bar(&mut svg, bar, index, top, scale);
    }
    svg.push_str("</svg>\n");
    svg
}

fn write_bar(svg: &mut String, bar: &Bar<'_>, index: usize, top: f64, scale: f64) -> fmt::Result {
    let Spread { median, low, high } = bar.spread;
    let middle = top + BAR_HEIGHT / 2.0;
    let at = |value: f64| BAR_LEFT + value * scale;
    let label = shortened(bar.label);
    writeln!(
        svg,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        BAR_LEFT - 10.0,
        middle + 4.5,
        Escaped(&label)
    )?;
    writeln!(
        svg,
        "<rect class=\"fill{}\" x=\"{BAR_LEFT:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT:.1}\" rx=\"2\"/>",
        index % COLOURS,
        (median * scale).max(1.0)
    )?;
    if high > low {
        let (from, to) = (at(low), at(high));
        writeln!(
            svg,
            "<path class=\"whisker\" d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8\"/>",
            middle - 4.0,
            middle - 4.0
        )?;
    }
    writeln!(
        svg,
        "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        at(high.max(median)) + 8.0,
        middle + 4.5,
        Escaped(&bar.shown)
    )
}

/// One curve: quantiles, 0 to 1, with times in microseconds.
pub(super) struct Curve {
    pub(super) points: Vec<(f64, f64)>,
    /// How many times it is made of: rarer things than one in so many it does not know.
    pub(super) count: u64,
}

/// Times against how rarely they are exceeded, both on logarithmic axes. Empty without points.
pub(super) fn curves(title: &str, curves: &[Curve]) -> String {
    let Some(axes) = Axes::around(curves) else {
        return String::new();
    };
    let mut svg = opening(title, WIDTH, CURVE_HEIGHT);
    // Writing to a string does not fail.
    let _ = axes.write(&mut svg);
    for (index, curve) in curves.iter().enumerate() {
        let path = axes.path(curve);
        let _ = writeln!(
            svg,
            "<path class=\"line{}\" d=\"{path}\"/>",
            index % COLOURS
        );
    }
    svg.push_str("</svg>\n");
    svg
}

struct Axes {
    /// Nines that fit in: 3 for 99.9 %.
    nines: f64,
    /// Powers of ten of microseconds.
    low: f64,
    high: f64,
}

impl Axes {
    fn around(curves: &[Curve]) -> Option<Self> {
        let most = curves.iter().map(|curve| curve.count).max()?;
        let nines = (most.max(10) as f64).log10().min(MOST_NINES);
        let times = curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|(_, time)| *time));
        let times: Vec<f64> = times.filter(|time| *time > 0.0).collect();
        let spread = Spread::of(&times)?;
        let (low, high) = (spread.low.log10(), spread.high.log10());
        Some(Self {
            nines,
            low: (low - 0.05).min(high - 0.3),
            high: high + 0.05,
        })
    }

    fn x(&self, quantile: f64) -> f64 {
        let nines = -(1.0 - quantile).max(f64::MIN_POSITIVE).log10();
        CURVE_LEFT + (WIDTH - CURVE_LEFT - 24.0) * nines.min(self.nines) / self.nines
    }

    fn y(&self, time_us: f64) -> f64 {
        let height = CURVE_HEIGHT - CURVE_BOTTOM - 12.0;
        12.0 + height * (self.high - time_us.log10()) / (self.high - self.low)
    }

    fn path(&self, curve: &Curve) -> String {
        let rarest = 1.0 - 1.0 / curve.count.max(1) as f64;
        let known = |quantile: f64| quantile <= rarest || quantile >= 1.0;
        let points = curve
            .points
            .iter()
            .filter(|(q, time)| known(*q) && *time > 0.0);
        let mut path = String::new();
        for (quantile, time) in points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", self.x(*quantile), self.y(*time));
        }
        path
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let (right, bottom) = (WIDTH - 24.0, CURVE_HEIGHT - CURVE_BOTTOM);
        for time in self.times() {
            let y = self.y(time);
            let shown = shown_time(time);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{CURVE_LEFT:.1} {y:.1}H{right:.1}\"/>"
            )?;
            writeln!(
                svg,
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{shown}</text>",
                CURVE_LEFT - 8.0,
                y + 4.5
            )?;
        }
        for (quantile, shown) in QUANTILES {
            if -(1.0 - quantile).log10() <= self.nines + 1e-9 {
                let x = self.x(quantile);
                writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} 12V{bottom:.1}\"/>")?;
                writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{shown}</text>",
                    bottom + 20.0
                )?;
            }
        }
        let middle = f64::midpoint(CURVE_LEFT, right);
        writeln!(
            svg,
            "<text class=\"tick\" x=\"{middle:.1}\" y=\"{:.1}\">so many took no longer than this</text>",
            CURVE_HEIGHT - 6.0
        )
    }

    /// 1, 2, 5, 10, … within the axis; only powers of ten where there are many.
    fn times(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low > 2.5 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let powers = self.low.floor() as i32..=self.high.ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        all.filter(|time| (self.low..=self.high).contains(&time.log10()))
            .collect()
    }
}

fn opening(title: &str, width: f64, height: f64) -> String {
    let title = Escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n<title>{title}</title>\n"
    )
}

/// `50 µs`, `2 ms`, `1 s`
fn shown_time(time_us: f64) -> String {
    match time_us {
        time if time < 999.0 => format!("{time:.0} µs"),
        time if time < 999_000.0 => format!("{:.0} ms", time / 1e3),
        time => format!("{:.0} s", time / 1e6),
    }
}

fn shortened(label: &str) -> String {
    match label.chars().count() {
        0..=LABEL => label.to_owned(),
        _ => label.chars().take(LABEL - 1).chain(['…']).collect(),
    }
}

/// How many colours the page has for servers.
pub(super) const COLOURS: usize = 6;
const WIDTH: f64 = 720.0;
const BAR_LEFT: f64 = 190.0;
const BAR_WIDTH: f64 = 400.0;
const BAR_PITCH: f64 = 34.0;
const BAR_HEIGHT: f64 = 22.0;
/// Characters of a label that fit beside a bar.
const LABEL: usize = 26;
const CURVE_HEIGHT: f64 = 340.0;
const CURVE_LEFT: f64 = 70.0;
const CURVE_BOTTOM: f64 = 52.0;
const MOST_NINES: f64 = 5.0;
const QUANTILES: [(f64, &str); 7] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_text() {
        let text = Escaped("<a href='x'>&\"\u{1}").to_string();
        assert_eq!(text, "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}");
    }

    #[test]
    fn the_longest_bar_fills_the_width() {
        let bar = |median| Bar {
            label: "a",
            spread: Spread {
                median,
                low: median,
                high: median,
            },
            shown: median.to_string(),
        };
        let svg = bars("Title", &[bar(50.0), bar(100.0)]);
        assert!(
            svg.contains("width=\"200.0\"") && svg.contains("width=\"400.0\""),
            "{svg}"
        );
        assert!(!svg.contains("whisker"), "{svg}");
        assert!(!bars("Nothing", &[bar(0.0)]).contains("NaN"));
    }

    #[test]
    fn a_curve_ends_with_what_it_knows() {
        let points = vec![(0.0, 100.0), (0.9, 200.0), (0.999, 400.0), (1.0, 300.0)];
        let axes = Axes::around(&[Curve {
            points: points.clone(),
            count: 100,
        }])
        .expect("points");
        let path = axes.path(&Curve { points, count: 100 });
        // Of a hundred, nobody can tell what one in a thousand takes.
        assert_eq!(path.matches(['M', 'L']).count(), 3, "{path}");
        assert_eq!(axes.times(), [100.0, 200.0]);
        assert_eq!(curves("Nothing", &[]), "");
        let empty = Curve {
            points: Vec::new(),
            count: 0,
        };
        assert_eq!(curves("Nothing", &[empty]), "");
    }
}
