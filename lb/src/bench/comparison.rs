//! Servers beside each other, and now beside before.

use serde::Serialize;
use serde_json::Value;

use super::figures::{Column, Figure, NotAReport, Sheet};
use super::statistics::{Ratio, Spread};

/// Servers that were measured in the same rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// `handshake` or `http`
    pub measured: String,
    /// One for each server; ratios are to the first.
    pub endpoints: Vec<Contender>,
    /// What one should know before one believes the figures.
    pub remarks: Vec<String>,
}

/// One of the servers.
#[derive(Debug, Clone, Serialize)]
pub struct Contender {
    /// What it is called.
    pub label: String,
    /// Its figures.
    pub figures: Vec<Standing>,
    /// The reports of its rounds, whole.
    pub rounds: Vec<Value>,
}

/// One figure of one server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// Which one.
    pub figure: Figure,
    /// Over all rounds.
    #[serde(flatten)]
    pub spread: Spread,
    /// To the first server's, which has none.
    pub ratio: Option<Ratio>,
}

impl Comparison {
    /// Of the reports of each server's rounds, by label.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(reports: Vec<(String, Vec<Value>)>) -> Result<Self, NotAReport> {
        let sheet = Sheet::of_reports(&reports)?;
        let contenders = reports.into_iter().zip(&sheet.columns);
        let endpoints = contenders.map(|((label, rounds), column)| Contender {
            label,
            figures: standings(&sheet, column),
            rounds,
        });
        Ok(Self {
            measured: sheet.measured.clone(),
            endpoints: endpoints.collect(),
            remarks: sheet.remarks(),
        })
    }

    /// The rows of a table: figure, server, median, lowest to highest round, ratio, lowest to
    /// highest ratio.
    pub fn rows(&self) -> Vec<[String; 6]> {
        let mut rows = Vec::new();
        for figure in Figure::ALL {
            let mut name = figure.name();
            for contender in &self.endpoints {
                let found = contender.figures.iter().find(|one| one.figure == figure);
                if let Some(standing) = found {
                    rows.push(standing.row(std::mem::take(&mut name), &contender.label));
                }
            }
        }
        rows
    }
}

impl Standing {
    fn row(&self, name: &str, label: &str) -> [String; 6] {
        let shown = |value| self.figure.shown(value);
        let [ratio, spread] = ratio_cells(self.ratio);
        [
            name.to_owned(),
            label.to_owned(),
            shown(self.spread.median),
            format!("{}–{}", shown(self.spread.low), shown(self.spread.high)),
            ratio,
            spread,
        ]
    }
}

fn standings(sheet: &Sheet, column: &Column) -> Vec<Standing> {
    let standing = |figure| {
        Some(Standing {
            figure,
            spread: column.spread(figure)?,
            ratio: sheet.ratio(column, figure),
        })
    };
    Figure::ALL.into_iter().filter_map(standing).collect()
}

/// What has changed from one measurement to a later one.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// `handshake` or `http`
    pub measured: String,
    /// Figure by figure, for each server that is in both.
    pub figures: Vec<Shift>,
    /// What one should know before one believes the figures.
    pub remarks: Vec<String>,
}

/// How one figure of one server has changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shift {
    /// Whose.
    pub label: String,
    /// Which one.
    pub figure: Figure,
    /// Before.
    pub old: Spread,
    /// Now.
    pub new: Spread,
    /// Now to before; none if it was 0 before.
    pub ratio: Option<Ratio>,
}

impl Change {
    /// From `old` to `new`. Servers go by their labels; if each has just one, whatever its label.
    ///
    /// # Errors
    /// When they measure different things, or no server is in both.
    pub fn new(old: &Sheet, new: &Sheet) -> Result<Self, NotAReport> {
        if old.measured != new.measured {
            let (old, new) = (old.measured.clone(), new.measured.clone());
            return Err(NotAReport::Kinds(old, new));
        }
        let pairs = Sheet::pairs(old, new);
        if pairs.is_empty() {
            return Err(NotAReport::Empty);
        }
        let figures = Figure::ALL.into_iter().flat_map(|figure| {
            let shift = move |(old, new): &(&Column, &Column)| Shift::of(figure, old, new);
            pairs.iter().filter_map(shift)
        });
        Ok(Self {
            measured: old.measured.clone(),
            figures: figures.collect(),
            remarks: change_remarks(old, new, &pairs),
        })
    }

    /// The rows of a table: figure, server, before, now, ratio, lowest to highest ratio.
    pub fn rows(&self) -> Vec<[String; 6]> {
        let row = |shift: &Shift| {
            let shown = |spread: &Spread| shift.figure.shown(spread.median);
            let [ratio, spread] = ratio_cells(shift.ratio);
            let name = shift.figure.name().to_owned();
            let (old, new) = (shown(&shift.old), shown(&shift.new));
            [name, shift.label.clone(), old, new, ratio, spread]
        };
        self.figures.iter().map(row).collect()
    }
}

impl Shift {
    fn of(figure: Figure, old: &Column, new: &Column) -> Option<Self> {
        let (old, label, new) = (old.spread(figure)?, new.label.clone(), new.spread(figure)?);
        let ratio = Ratio::between(&new, &old);
        Some(Self {
            label,
            figure,
            old,
            new,
            ratio,
        })
    }
}

fn change_remarks(old: &Sheet, new: &Sheet, pairs: &[(&Column, &Column)]) -> Vec<String> {
    let mut remarks = Vec::new();
    for (old, new) in pairs {
        remarks.extend(differences(old, new));
    }
    let alone = |sheet: &Sheet, of_pair: fn(&(&Column, &Column)) -> String| {
        let paired: Vec<_> = pairs.iter().map(of_pair).collect();
        let labels = sheet.columns.iter().map(|column| column.label.clone());
        labels
            .filter(|label| !paired.contains(label))
            .collect::<Vec<_>>()
    };
    for label in alone(old, |(old, _)| old.label.clone()) {
        remarks.push(format!("{label} is in the old report only"));
    }
    for label in alone(new, |(_, new)| new.label.clone()) {
        remarks.push(format!("{label} is in the new report only"));
    }
    let tagged = |word: &'static str| move |remark: String| format!("{word}: {remark}");
    remarks.extend(old.remarks().into_iter().map(tagged("old")));
    remarks.extend(new.remarks().into_iter().map(tagged("new")));
    remarks
}

/// What was not the same both times, so that the change need not be the server's.
fn differences(old: &Column, new: &Column) -> Vec<String> {
    let known = |column: &Column| {
        let first = &column.rounds[0];
        let mut known = first.parameters();
        known.extend(
            first
                .place()
                .into_iter()
                .filter(|(name, _)| *name != "time"),
        );
        known.push(("agreement", column.agreed()));
        known
    };
    let now = known(new);
    let words = |(name, was): (&str, String)| {
        let is = now.iter().find(|(other, _)| *other == name);
        let is = is.map_or("unknown", |(_, value)| value.as_str());
        (was != is).then(|| format!("{}: {name} was {was}, is {is}", new.label))
    };
    known(old).into_iter().filter_map(words).collect()
}

fn ratio_cells(ratio: Option<Ratio>) -> [String; 2] {
    match ratio {
        None => [String::new(), String::new()],
        Some(Ratio { ratio, low, high }) => [format!("{ratio:.3}"), format!("{low:.3}–{high:.3}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_stand_beside_the_first() {
        let comparison = Comparison::new(vec![
            ("a".to_owned(), vec![report(100.0), report(200.0)]),
            ("b".to_owned(), vec![report(150.0), report(300.0)]),
        ]);
        let comparison = comparison.expect("reports");
        let json = serde_json::to_value(&comparison).expect("JSON");
        let figure = &json["endpoints"][1]["figures"][0];
        let expected = json!({
            "figure": "per_second", "median": 225.0, "low": 150.0, "high": 300.0,
            "ratio": { "ratio": 1.5, "low": 1.5, "high": 1.5 },
        });
        assert_eq!(*figure, expected);
        assert_eq!(json["endpoints"][0]["figures"][0]["ratio"], Value::Null);
        // What has been written can be read again.
        let sheet = Sheet::read(&json).expect("a comparison");
        assert_eq!(sheet.columns.len(), 2);
        let row = &comparison.rows()[1];
        assert_eq!(row[..3], ["", "b", "225.0"]);
        assert_eq!(row[4..], ["1.500", "1.500–1.500"]);
    }

    #[test]
    fn other_work_is_remarked_upon() {
        let mut other = report(1.0);
        other["negotiated"][0]["suite"] = json!("TLS13_AES_256_GCM_SHA384");
        other["handshakes"]["failed"] = json!(3);
        let both = vec![
            ("a".to_owned(), vec![report(1.0)]),
            ("b".to_owned(), vec![other]),
        ];
        let remarks = Comparison::new(both).expect("reports").remarks.join("\n");
        assert!(remarks.contains("not the same work"), "{remarks}");
        assert!(remarks.contains("b: 3 failed"), "{remarks}");
    }

    #[test]
    fn now_stands_beside_before() {
        let [old, new] = [100.0, 150.0].map(|figure| Sheet::read(&report(figure)));
        let (old, new) = (old.expect("a report"), new.expect("a report"));
        let change = Change::new(&old, &new).expect("the same kind");
        let first = &change.figures[0];
        assert_eq!(first.figure, Figure::PerSecond);
        assert_eq!(first.ratio.map(|ratio| ratio.ratio), Some(1.5));
        assert_eq!(change.remarks, [""; 0]);
        let row = &change.rows()[1];
        assert_eq!(
            row[..5],
            ["server CPU µs each", "127.0.0.1:1", "50.0", "50.0", "1.000"]
        );
    }

    #[test]
    fn what_is_not_the_same_is_said() {
        let mut other = report(1.0);
        other["concurrency"] = json!(7);
        other["machine"]["cores"] = json!(64);
        let old = Sheet::read(&report(1.0)).expect("a report");
        let change = Change::new(&old, &Sheet::read(&other).expect("a report"));
        let remarks = change.expect("the same kind").remarks;
        let place = "127.0.0.1:1";
        let expected = [
            format!("{place}: connections at a time was 8, is 7"),
            format!("{place}: cores was 2, is 64"),
        ];
        assert_eq!(remarks, expected);
    }

    #[test]
    fn what_is_in_one_report_only_is_said() {
        let both = |labels: [&str; 2]| {
            let reports = labels.map(|label| (label.to_owned(), vec![report(1.0)]));
            Sheet::of_reports(&reports).expect("reports")
        };
        let (old, new) = (both(["a", "b"]), both(["b", "c"]));
        let change = Change::new(&old, &new).expect("b is in both");
        assert!(change.figures.iter().all(|shift| shift.label == "b"));
        let expected = ["a is in the old report only", "c is in the new report only"];
        assert_eq!(change.remarks, expected);
        let strangers = Change::new(&old, &both(["x", "y"]));
        assert!(matches!(strangers, Err(NotAReport::Empty)));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for foreign in [
            json!({}),
            json!([]),
            json!("text"),
            json!({ "endpoints": 1 }),
        ] {
            let error = Sheet::read(&foreign).expect_err("no report");
            assert!(error.to_string().contains("sealgate bench"), "{error}");
        }
        let empty = json!({ "endpoints": [{ "label": "a", "rounds": [] }] });
        assert!(matches!(Sheet::read(&empty), Err(NotAReport::Empty)));
        let mut http = report(1.0);
        http["measured"] = json!("http");
        let old = Sheet::read(&report(1.0)).expect("a report");
        let other = Change::new(&old, &Sheet::read(&http).expect("a report"));
        assert!(matches!(other, Err(NotAReport::Kinds(..))));
    }

    fn report(per_second: f64) -> Value {
        crate::bench::tests::written_report(per_second)
    }
}
