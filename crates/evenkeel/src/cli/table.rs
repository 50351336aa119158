//! Tables for people: columns as wide as what is in them, within 80 characters.

/// What a terminal is sure to show in a line.
const WIDTH: usize = 80;
/// Space between columns.
const GAP: usize = 2;

/// Which side of its column a text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Lines of cells under a head. The first column gives way if there is not enough room.
pub(crate) fn table(indent: usize, head: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let count = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|(title, _)| count(title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(count(cell));
        }
    }
    let gaps = GAP * head.len().saturating_sub(1);
    let others: usize = widths.iter().skip(1).sum();
    let room = WIDTH.saturating_sub(indent + gaps + others).max(8);
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(room);
    }
    let mut text = String::new();
    let titles: Vec<String> = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = " ".repeat(indent);
        for (at, ((cell, width), (_, side))) in row.iter().zip(&widths).zip(head).enumerate() {
            let cell = shorten(cell, *width);
            let space = " ".repeat(width - count(&cell));
            line.push_str(if at == 0 { "" } else { "  " });
            match side {
                Side::Left => line.push_str(&(cell + &space)),
                Side::Right => line.push_str(&(space + &cell)),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The end of an address or a name tells more than its middle.
fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(1);
    let (begin, end) = (keep / 2, keep - keep / 2);
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

/// `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3 d 4 h`, `2 h 5 min`, `1 min 30 s`, `12 s`.
pub(crate) fn span(seconds: f64) -> String {
    let all = seconds.max(0.0).round() as u64;
    let (days, hours, minutes, rest) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line_and_fit() {
        let head = [("SERVER", Side::Left), ("WEIGHT", Side::Right)];
        let long = format!("{}.example:8080", "x".repeat(100));
        let rows = vec![vec!["a:1".into(), "1".into()], vec![long, "1000".into()]];
        let text = table(2, &head, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(lines[0].starts_with("  SERVER") && lines[0].ends_with("  WEIGHT"), "{text}");
        assert!(lines[1].ends_with("       1"), "{text}");
        assert!(lines[2].contains('…') && lines[2].contains(".example:8080"), "{text}");
    }

    #[test]
    fn numbers_and_times_are_for_people() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(123), "123");
        assert_eq!(
            [span(12.4), span(90.0), span(7500.0), span(90_000.0)],
            ["12 s", "1 min 30 s", "2 h 5 min", "1 d 1 h"]
        );
    }
}
