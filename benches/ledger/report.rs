//! Keeps what was measured, and tells it: medians with their spread, and the ratios that alone can be compared
//! between machines. A ratio is taken within a round, then the median of the rounds.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// How often, or how long.
#[derive(Debug, Clone, Copy)]
pub enum Unit {
    PerSecond,
    Milliseconds,
    Megabytes,
}

impl Unit {
    fn sign(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
        }
    }
}

/// What is asked of a ratio.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// Told, not judged.
    None,
    /// What the design aims at.
    AtLeast(f64),
    /// The same where less is better.
    AtMost(f64),
    /// The run fails below this.
    Must(f64),
}

impl Bound {
    fn is_met(self, median: f64) -> bool {
        match self {
            Self::None => true,
            Self::AtLeast(bound) | Self::Must(bound) => median >= bound,
            Self::AtMost(bound) => median <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::Must(bound) => format!("must be >= {bound}"),
        }
    }
}

struct Figure {
    name: String,
    unit: Unit,
    /// With the round that each belongs to.
    values: Vec<(usize, f64)>,
}

struct Ratio {
    name: String,
    of: String,
    to: String,
    bound: Bound,
}

/// All that a run found out.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
    remarks: Vec<String>,
}

/// Median, least and greatest.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    /// Takes a figure in and says it at once.
    pub fn add(&mut self, name: &str, unit: Unit, round: usize, value: f64) {
        println!(
            "  round {}  {name:<44} {} {}",
            round + 1,
            number(value),
            unit.sign()
        );
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.values.push((round, value)),
            None => self.figures.push(Figure {
                name: name.to_owned(),
                unit,
                values: vec![(round, value)],
            }),
        }
    }

    /// Takes in a figure, or why there is none.
    pub fn attempt(&mut self, name: &str, unit: Unit, round: usize, outcome: Result<f64>) {
        match outcome {
            Ok(value) => self.add(name, unit, round, value),
            Err(error) => self.remark(format!("{name}, round {}: {error:#}", round + 1)),
        }
    }

    /// Has the table compare two figures.
    pub fn compare(&mut self, name: &str, of: &str, to: &str, bound: Bound) {
        self.ratios.push(Ratio {
            name: name.to_owned(),
            of: of.to_owned(),
            to: to.to_owned(),
            bound,
        });
    }

    /// Something a reader of the table has to know.
    pub fn remark(&mut self, text: String) {
        println!("  ! {text}");
        self.remarks.push(text);
    }

    /// Prints the tables and writes them into `dir`; answers whether all that must be is.
    pub fn finish(&self, dir: &Path) -> Result<bool> {
        let mut kept = true;
        let mut figures = vec![["figure", "median", "min", "max", "unit"].map(str::to_owned)];
        let mut ratios = vec![["ratio", "median", "min", "max", "wanted", ""].map(str::to_owned)];
        let mut json_figures = Vec::<Value>::new();
        let mut json_ratios = Vec::<Value>::new();
        for figure in &self.figures {
            let values: Vec<f64> = figure.values.iter().map(|it| it.1).collect();
            let Some(spread) = spread(&values) else {
                continue;
            };
            let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
            figures.push([
                figure.name.clone(),
                median,
                min,
                max,
                figure.unit.sign().to_owned(),
            ]);
            json_figures.push(json!({
                "name": figure.name, "unit": figure.unit.sign(), "values": values,
                "median": spread.median, "min": spread.min, "max": spread.max,
            }));
        }
        for ratio in &self.ratios {
            let Some(spread) = spread(&self.quotients(ratio)) else {
                kept &= !matches!(ratio.bound, Bound::Must(_));
                ratios.push(
                    [
                        &ratio.name,
                        "-",
                        "-",
                        "-",
                        &ratio.bound.text(),
                        "not measured",
                    ]
                    .map(str::to_owned),
                );
                continue;
            };
            let met = ratio.bound.is_met(spread.median);
            kept &= met || !matches!(ratio.bound, Bound::Must(_));
            let verdict = match ratio.bound {
                Bound::None => "",
                _ if met => "yes",
                _ => "NO",
            };
            let [median, min, max] =
                [spread.median, spread.min, spread.max].map(|value| format!("{value:.2}"));
            ratios.push([
                ratio.name.clone(),
                median,
                min,
                max,
                ratio.bound.text(),
                verdict.to_owned(),
            ]);
            json_ratios.push(json!({
                "name": ratio.name, "median": spread.median, "min": spread.min, "max": spread.max,
                "wanted": ratio.bound.text(), "met": met,
            }));
        }

        let mut text = format!("{}\n{}", table(&ratios), table(&figures));
        for remark in &self.remarks {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n- {remark}");
        }
        println!("\n{text}");
        let json =
            json!({ "ratios": json_ratios, "figures": json_figures, "remarks": self.remarks });
        write(&dir.join("report.md"), &format!("# Benchmark\n\n{text}\n"))?;
        write(&dir.join("report.json"), &format!("{json:#}\n"))?;
        println!("\nwritten to {}", dir.join("report.md").display());
        Ok(kept)
    }

    fn values(&self, name: &str) -> &[(usize, f64)] {
        self.figures
            .iter()
            .find(|figure| figure.name == name)
            .map_or(&[], |figure| &figure.values)
    }

    fn quotients(&self, ratio: &Ratio) -> Vec<f64> {
        let divisors = self.values(&ratio.to);
        self.values(&ratio.of)
            .iter()
            .filter_map(|(round, value)| {
                let divisor = divisors.iter().find(|it| it.0 == *round)?.1;
                (divisor > 0.0).then(|| value / divisor)
            })
            .collect()
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let median = if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[middle - 1], upper)
    };
    Some(Spread {
        median,
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

/// Three digits or more.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

/// Markdown that can be read as it stands: first column to the left, the others to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a string cannot fail.
            let _ = if column == 0 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                text.push('|');
                text.push_str(&"-".repeat(width + 1));
                text.push(if column == 0 { '-' } else { ':' });
            }
            text.push_str("|\n");
        }
    }
    text
}
