//! A table of figures for growing numbers, each number measured in a process of its own.

use std::collections::BTreeMap;
use std::process::Command;

/// Prints a table: a line with the figures of each number, and at the end the growth of each figure. Its exponent is 1.00 if the figure is
/// in proportion to the number.
pub fn print_table(figures: &[&str], numbers: &[usize], mut measure: impl FnMut(usize) -> BTreeMap<String, f64>) {
    print!("{:>12}", "certificates");
    figures.iter().for_each(|figure| print!(" {figure:>12}"));
    println!();
    let mut points: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for number in numbers {
        let measured = measure(*number);
        print!("{number:>12}");
        for figure in figures {
            let value = measured[*figure];
            print!(" {:>12}", if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") });
            points.entry(figure).or_default().push((*number as f64, value));
        }
        println!();
    }
    print!("{:>12}", "growth");
    for figure in figures {
        let growth = points.get(figure).and_then(|points| exponent(points));
        print!(" {:>12}", growth.map_or_else(|| "-".to_owned(), |growth| format!("{growth:.2}")));
    }
    println!();
}

/// The exponent of the growth between the smallest and the largest number.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let ((few, least), (many, most)) = (points.first()?, points.last()?);
    (many > few && *least > 0.0 && *most > 0.0).then(|| (most / least).ln() / (many / few).ln())
}

/// Runs this bench with other arguments in a process of its own, and returns the figures that it prints as `name=value`.
pub fn run_part(arguments: &[&str]) -> BTreeMap<String, f64> {
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let figures = text.lines().map(|line| line.split_once('=').unwrap());
    figures.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}
