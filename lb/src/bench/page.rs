//! A report as a page that needs nothing but itself: no script, no font, no image from elsewhere.

use std::fmt::{self, Write};

use super::chart::{Bar, COLOURS, Curve, Escaped, bars, curves};
use super::figures::{Column, Figure, Sheet};
use super::statistics::Ratio;
use super::words::grouped;

/// The page of `sheet`.
pub fn page(sheet: &Sheet) -> String {
    let mut html = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut html, sheet);
    html
}

fn write_page(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let title = match sheet.unit() {
        "requests" => "HTTP requests",
        _ => "TLS handshakes",
    };
    writeln!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
    )?;
    writeln!(
        html,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    )?;
    writeln!(
        html,
        "<title>{title}: sealgate bench</title>\n<style>\n{STYLE}{}</style>",
        colours()
    )?;
    writeln!(html, "</head>\n<body>\n<main>\n<h1>{title}</h1>")?;
    write_lead(html, sheet)?;
    write_legend(html, sheet)?;
    write_remarks(html, sheet)?;
    write_charts(html, sheet)?;
    write_figures(html, sheet)?;
    write_parameters(html, sheet)?;
    writeln!(html, "</main>\n</body>\n</html>")
}

fn write_lead(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let first = &sheet.columns[0];
    let rounds = first.rounds.len();
    let seconds: f64 = sheet
        .columns
        .iter()
        .flat_map(|c| &c.rounds)
        .map(|r| r.seconds)
        .sum();
    let done: u64 = sheet.columns.iter().map(Column::succeeded).sum();
    let turns = match (sheet.columns.len(), rounds) {
        (1, 1) => "one round".to_owned(),
        (1, _) => format!("{rounds} rounds"),
        (servers, 1) => format!("{servers} servers, one round each"),
        (servers, _) => format!("{servers} servers, {rounds} rounds each"),
    };
    let place: Vec<_> = first.rounds[0]
        .place()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let time = place.last().map(String::as_str).unwrap_or_default();
    writeln!(
        html,
        "<p class=\"lead\">{} {} in {seconds:.0} s: {turns}. {}</p>",
        grouped(done),
        sheet.unit(),
        Escaped(time)
    )
}

/// Which colour is whose.
fn write_legend(html: &mut String, sheet: &Sheet) -> fmt::Result {
    writeln!(html, "<ul class=\"legend\">")?;
    for (index, column) in sheet.columns.iter().enumerate() {
        let (colour, label) = (index % COLOURS, Escaped(&column.label));
        writeln!(html, "<li><span class=\"back{colour}\"></span>{label}</li>")?;
    }
    writeln!(html, "</ul>")
}

fn write_remarks(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let remarks = sheet.remarks();
    if remarks.is_empty() {
        return Ok(());
    }
    writeln!(html, "<ul class=\"remarks\">")?;
    for remark in remarks {
        writeln!(html, "<li>{}</li>", Escaped(&remark))?;
    }
    writeln!(html, "</ul>")
}

fn write_charts(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let unit = sheet.unit();
    write_bars(
        html,
        sheet,
        Figure::PerSecond,
        &format!("Throughput: {unit} per second"),
    )?;
    write_bars(
        html,
        sheet,
        Figure::ServerCpuUs,
        &format!("Server CPU time for each of the {unit}, µs"),
    )?;
    write_curves(html, sheet)?;
    write_bars(
        html,
        sheet,
        Figure::PeakMemoryBytes,
        "Server memory at its peak, MiB",
    )
}

fn write_bars(html: &mut String, sheet: &Sheet, figure: Figure, title: &str) -> fmt::Result {
    let all = sheet.columns.iter().filter_map(|column| {
        let spread = column.spread(figure)?;
        Some(Bar {
            label: &column.label,
            spread,
            shown: figure.shown(spread.median),
        })
    });
    let all: Vec<_> = all.collect();
    match all.len() == sheet.columns.len() {
        true => write_figure(html, title, &bars(title, &all)),
        // Not known of all: a chart of some would lie.
        false => Ok(()),
    }
}

fn write_curves(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let curve = |column: &Column| Curve {
        points: column.curve(),
        count: column.succeeded() / column.rounds.len() as u64,
    };
    let all: Vec<_> = sheet.columns.iter().map(curve).collect();
    let title = "Latency by percentile";
    match curves(title, &all) {
        none if none.is_empty() => Ok(()),
        svg => write_figure(html, title, &svg),
    }
}

fn write_figure(html: &mut String, title: &str, svg: &str) -> fmt::Result {
    let title = Escaped(title);
    writeln!(
        html,
        "<figure>\n<figcaption>{title}</figcaption>\n{svg}</figure>"
    )
}

/// All figures with their spread, and the ratios to the first server.
fn write_figures(html: &mut String, sheet: &Sheet) -> fmt::Result {
    writeln!(
        html,
        "<h2>Figures</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th>"
    )?;
    for column in &sheet.columns {
        writeln!(html, "<th>{}</th>", Escaped(&column.label))?;
    }
    writeln!(html, "</tr></thead>\n<tbody>")?;
    for figure in Figure::ALL {
        write_row(html, sheet, figure)?;
    }
    write!(html, "<tr><th>failed</th>")?;
    for column in &sheet.columns {
        write!(html, "<td>{}</td>", grouped(column.failed()))?;
    }
    writeln!(html, "</tr>\n</tbody></table></div>")?;
    writeln!(html, "<p class=\"note\">{NOTE}</p>")
}

fn write_row(html: &mut String, sheet: &Sheet, figure: Figure) -> fmt::Result {
    let unknown = |column: &Column| column.figures(figure).is_none();
    if sheet.columns.iter().all(unknown) {
        return Ok(());
    }
    write!(html, "<tr><th>{}</th>", figure.name())?;
    for column in &sheet.columns {
        write_cell(html, column, figure, sheet.ratio(column, figure))?;
    }
    writeln!(html, "</tr>")
}

fn write_cell(
    html: &mut String,
    column: &Column,
    figure: Figure,
    ratio: Option<Ratio>,
) -> fmt::Result {
    let Some(spread) = column.spread(figure) else {
        return write!(html, "<td>–</td>");
    };
    write!(html, "<td>{}", figure.shown(spread.median))?;
    if spread.high > spread.low {
        let (low, high) = (figure.shown(spread.low), figure.shown(spread.high));
        write!(html, "<small>{low} – {high}</small>")?;
    }
    if let Some(Ratio { ratio, low, high }) = ratio {
        write!(
            html,
            "<small class=\"ratio\">× {ratio:.3} ({low:.3} – {high:.3})</small>"
        )?;
    }
    write!(html, "</td>")
}

/// How it was measured and where; what is the same for all once.
fn write_parameters(html: &mut String, sheet: &Sheet) -> fmt::Result {
    let known = |column: &Column| {
        let round = &column.rounds[0];
        let mut known = vec![("server", round.address.clone()), ("TLS", column.agreed())];
        known.extend(round.parameters());
        known.extend(round.place());
        known
    };
    let all: Vec<_> = sheet.columns.iter().map(known).collect();
    writeln!(
        html,
        "<h2>How and where</h2>\n<div class=\"wide\"><table class=\"words\">\n<tbody>"
    )?;
    for (name, _) in &all[0] {
        let value = |known: &Vec<(&str, String)>| {
            let found = known.iter().find(|(other, _)| other == name);
            found.map_or("–".to_owned(), |(_, value)| value.clone())
        };
        let mut values: Vec<_> = all.iter().map(value).collect();
        if values.iter().all(|value| *value == values[0]) {
            values.truncate(1);
        }
        write_words(html, name, &values, all.len())?;
    }
    writeln!(html, "</tbody></table></div>")
}

fn write_words(html: &mut String, name: &str, values: &[String], servers: usize) -> fmt::Result {
    let span = if values.len() == 1 { servers } else { 1 };
    write!(html, "<tr><th>{name}</th>")?;
    for value in values {
        write!(html, "<td colspan=\"{span}\">{}</td>", Escaped(value))?;
    }
    writeln!(html, "</tr>")
}

/// The classes that charts and legend use.
fn colours() -> String {
    let mut css = String::new();
    for (index, colour) in PALETTE.iter().enumerate() {
        let _ = writeln!(
            css,
            ".fill{index} {{ fill: {colour}; }} .back{index} {{ background: {colour}; }} \
             .line{index} {{ stroke: {colour}; fill: none; stroke-width: 2.2; stroke-linejoin: round; }}"
        );
    }
    css
}

const PALETTE: [&str; COLOURS] = [
    "#2f6fde", "#e2783a", "#2c9f73", "#a657b5", "#b8962a", "#77808f",
];
const NOTE: &str = "\
Medians of the rounds; below them the lowest and the highest round. × is the ratio to the first server, or of new \
to old, in brackets the lowest and the highest that the rounds give. Latency: from the beginning, or with a rate \
from when it was due, to the end.";
const STYLE: &str = "\
:root { color-scheme: light dark; --text: #1d2330; --faint: #667085; --line: #e3e7ee; --back: #f7f8fa; --card: #fff; --warn: #fff4dd; }
@media (prefers-color-scheme: dark) { :root { --text: #e7eaf0; --faint: #98a2b3; --line: #333b49; --back: #14181f; --card: #1c222c; --warn: #3a2f14; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 32px 20px 56px; }
h1 { font-size: 26px; margin: 0; }
h2 { font-size: 18px; margin: 32px 0 10px; }
.lead { color: var(--faint); margin: 4px 0 16px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; list-style: none; padding: 0; margin: 0 0 16px; }
.legend span { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 7px; }
.remarks { background: var(--warn); border-radius: 8px; padding: 10px 16px 10px 32px; margin: 0 0 16px; }
figure, .wide { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: 0 0 16px; padding: 14px 18px; }
figcaption { font-weight: 600; margin-bottom: 8px; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--text); }
.label { text-anchor: end; } .tick { text-anchor: middle; }
.value { font-variant-numeric: tabular-nums; font-weight: 600; }
svg .label, svg .tick { fill: var(--faint); }
.grid { stroke: var(--line); fill: none; } .whisker { stroke: var(--text); fill: none; stroke-width: 1.4; opacity: .75; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 0 6px 18px; border-top: 1px solid var(--line); vertical-align: top; }
tr > th:first-child { text-align: left; padding-left: 0; font-weight: 500; color: var(--faint); white-space: nowrap; }
thead th, table.words tr:first-child > * { border-top: 0; }
table.words td { text-align: left; overflow-wrap: anywhere; }
td small { display: block; color: var(--faint); white-space: nowrap; } td .ratio { color: var(--text); }
.note { color: var(--faint); font-size: 13px; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tests::written_report;
    use serde_json::Value;

    #[test]
    fn everything_is_in_it_and_nothing_comes_from_elsewhere() {
        let page = page(&two());
        for part in [
            "Throughput: handshakes per second",
            "Server CPU time for each of the handshakes",
            "Latency by percentile",
            "Server memory at its peak",
            "class=\"line1\"",
            "× 1.500 (1.500 – 1.500)",
            "TLSv1.3, TLS13_AES_128_GCM_SHA256, X25519, ECDSA P-256",
            "A processor",
            "connections at a time",
            "2026-01-01T00:00:00Z",
        ] {
            assert!(page.contains(part), "{part}:\n{page}");
        }
        let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for foreign in [
            "<script", "http:", "https:", "url(", "<link", "<img", "@import", "NaN",
        ] {
            assert!(!without_namespace.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&two());
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("an end of the tag");
            let name = tag.split([' ', '/']).find(|name| !name.is_empty());
            let name = name.expect("a name");
            match tag {
                _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag}"),
                _ if tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name) => {}
                _ => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn new_stands_beside_old() {
        let [old, new] = [two(), two()];
        let page = page(&Sheet::of_change(&old, &new).expect("the same servers"));
        let at = |label: &str| page.find(&format!("<th>{label}</th>")).expect("a column");
        assert!(at("new &lt;one&gt;") < at("old two"), "{page}");
        // 100 and 200 before, 100 and 200 now.
        assert!(page.contains("× 1.000 (0.500 – 2.000)"), "{page}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut report = written_report(1.0);
        report["server"] = Value::Null;
        report["latency"] = Value::Null;
        let page = page(&Sheet::read(&report).expect("a report"));
        assert!(!page.contains("Server CPU time") && !page.contains("Latency by percentile"));
        assert!(page.contains("Throughput"));
    }

    fn two() -> Sheet {
        let reports = |label: &str, figures: [f64; 2]| {
            (label.to_owned(), figures.map(written_report).to_vec())
        };
        let both = [
            reports("<one>", [100.0, 200.0]),
            reports("two", [150.0, 300.0]),
        ];
        Sheet::of_reports(&both).expect("reports")
    }
}
