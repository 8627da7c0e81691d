//! Two lists held side by side: what both have, in the same order.

/// The longest list of pairs that match, in order on both sides.
pub(crate) fn aligned(
    n: usize,
    m: usize,
    matches: impl Fn(usize, usize) -> bool,
) -> Vec<(usize, usize)> {
    // `longest[i][j]`: how many pairs there are from line i and frame j on.
    let width = m + 1;
    let mut equal = vec![false; n * m];
    let mut longest = vec![0_u32; (n + 1) * width];
    let at = |row: usize, column: usize| row * width + column;
    let read = |longest: &[u32], place: usize| longest.get(place).copied().unwrap_or(0);
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let same = matches(i, j);
            let best = if same {
                read(&longest, at(i + 1, j + 1)) + 1
            } else {
                read(&longest, at(i + 1, j)).max(read(&longest, at(i, j + 1)))
            };
            if let Some(cell) = longest.get_mut(at(i, j)) {
                *cell = best;
            }
            if let Some(cell) = equal.get_mut(i * m + j) {
                *cell = same;
            }
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < n && j < m {
        if equal.get(i * m + j).copied().unwrap_or(false) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if read(&longest, at(i + 1, j)) >= read(&longest, at(i, j + 1)) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_order_kept_on_both_sides_is_found() {
        let align = |a: &str, b: &str| -> String {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let pairs = aligned(a.len(), b.len(), |i, j| a[i] == b[j]);
            pairs.into_iter().map(|(i, _)| a[i]).collect()
        };
        assert_eq!(align("abcd", "xabyd"), "abd");
        assert_eq!(align("", "abc"), "");
        assert_eq!(align("abc", "abc"), "abc");
    }
}
