//! What is printed: tables in Markdown, and at the end every line of the goals.

/// How a line of the goals came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// A figure, and whether it is within the goal.
    Measured { figure: String, reached: bool },
    /// Why there is no figure.
    Missing(String),
}

/// One goal and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) work: String,
    pub(super) goal: String,
    pub(super) outcome: Outcome,
}

/// Everything that was found out.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) lines: Vec<Line>,
    /// Runs of ours, and those whose counts are not the target's.
    pub(super) compared: u64,
    pub(super) mismatches: Vec<String>,
}

impl Book {
    /// Notes a figure. One that could not be computed is missing.
    pub(super) fn line(&mut self, work: &str, goal: &str, measured: Option<(String, bool)>) {
        let outcome = match measured {
            Some((figure, reached)) => Outcome::Measured { figure, reached },
            None => Outcome::Missing("a round is missing".to_owned()),
        };
        self.lines.push(Line { work: work.to_owned(), goal: goal.to_owned(), outcome });
    }

    /// Notes that a goal could not be looked at.
    pub(super) fn missing(&mut self, work: &str, goal: &str, why: &str) {
        let outcome = Outcome::Missing(why.to_owned());
        self.lines.push(Line { work: work.to_owned(), goal: goal.to_owned(), outcome });
    }

    /// Compares what a run of ours says it sent with what the target counted.
    pub(super) fn compare(&mut self, what: &str, sent: u64, counted: u64) {
        self.compared += 1;
        if sent != counted {
            self.mismatches.push(format!("{what}: sent {sent}, and the target counted {counted}"));
        }
    }

    /// The table of all lines.
    pub(super) fn summary(&self) -> String {
        let mut table = Table::new(&["work", "goal", "measured", "outcome"]);
        for line in &self.lines {
            let (figure, outcome) = match &line.outcome {
                Outcome::Measured { figure, reached: true } => (figure.as_str(), "reached"),
                Outcome::Measured { figure, reached: false } => (figure.as_str(), "**missed**"),
                Outcome::Missing(why) => (why.as_str(), "not measured"),
            };
            table.row(&[&line.work, &line.goal, figure, outcome]);
        }
        table.text()
    }

    /// Whether all was measured, and every count is the target's.
    pub(super) fn is_whole(&self) -> Result<(), String> {
        let missing = |line: &&Line| matches!(line.outcome, Outcome::Missing(_));
        match (self.mismatches.is_empty(), self.lines.iter().filter(missing).count()) {
            (false, _) => Err(format!("counts differ: {}", self.mismatches.join("; "))),
            (true, 0) => Ok(()),
            (true, missing) => Err(format!("{missing} lines could not be measured")),
        }
    }
}

/// A table in Markdown; numbers are told from words by their first row.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: &[&str]) {
        // A bar would end the cell.
        self.rows.push(cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect());
    }

    pub(super) fn text(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let is_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
        let align = |column: usize| {
            let cell = self.rows.iter().filter_map(|row| row.get(column)).find(|cell| *cell != "–");
            if cell.is_some_and(is_number) { "---:" } else { "---" }
        };
        let rule: String = (0..self.head.len()).map(|column| format!("|{}", align(column))).collect();
        line(&self.head) + &rule + "|\n" + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

/// A figure, or a dash.
pub(super) fn or_dash<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_numbers_and_keeps_its_cells() {
        let mut table = Table::new(&["who", "CPU"]);
        table.row(&["a|b", "4.0 (3–5)"]);
        assert_eq!(table.text(), "| who | CPU |\n|---|---:|\n| a\\|b | 4.0 (3–5) |\n");
    }

    #[test]
    fn a_missed_goal_is_no_failure_and_a_missing_figure_is_one() {
        let mut book = Book::default();
        book.line("keep-alive", "≤ 1.00 × wrk", Some(("1.20".to_owned(), false)));
        assert_eq!(book.is_whole(), Ok(()));
        assert!(book.summary().contains("| keep-alive | ≤ 1.00 × wrk | 1.20 | **missed** |"));
        book.line("keep-alive", "≤ 0.62 × oha", None);
        assert_eq!(book.is_whole(), Err("1 lines could not be measured".to_owned()));
    }

    #[test]
    fn counts_that_differ_are_a_failure() {
        let mut book = Book::default();
        book.compare("round 1", 7, 7);
        assert_eq!(book.is_whole(), Ok(()));
        book.compare("round 2", 7, 8);
        let failure = book.is_whole().unwrap_err();
        assert!(failure.contains("round 2: sent 7, and the target counted 8"), "{failure}");
    }
}
