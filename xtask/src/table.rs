//! Tables for people.

use std::fmt::Write as _;

/// Lines of cells, each column as wide as its widest cell.
pub(crate) fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing to memory cannot fail.
            let _infallible = write!(row, "{cell:width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_and_no_line_ends_with_spaces() {
        let lines = [["name", "figure"], ["a", "1"], ["longer", ""]];
        let text = aligned(&lines.map(|line| line.map(str::to_owned)));
        assert_eq!(text, "name    figure\na       1\nlonger\n");
    }
}
