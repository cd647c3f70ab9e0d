//! When examples are learned.

/// For each example the first of `epochs` from which on it is correct at every later one too; none where it is wrong at the last.
///
/// `correct[e][i]`: whether example i is correct after `epochs[e]`; epochs ascend. An example that is forgotten and learned again counts
/// from the second time. Between two of the epochs nothing is known: the true time lies after the epoch before the one given here.
///
/// # Panics
/// Where `correct` has not one row for each epoch, or rows of different lengths.
pub fn learning_epochs(epochs: &[usize], correct: &[Vec<bool>]) -> Vec<Option<usize>> {
    assert_eq!(epochs.len(), correct.len(), "one row for each epoch");
    let examples = correct.first().map_or(0, Vec::len);
    assert!(
        correct.iter().all(|row| row.len() == examples),
        "one entry for each example"
    );
    let first = |example: usize| {
        let rows = epochs.iter().zip(correct).rev();
        rows.take_while(|(_, row)| row[example])
            .last()
            .map(|(epoch, _)| *epoch)
    };
    (0..examples).map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_learned_when_it_stays_correct() {
        let correct = [
            vec![true, false, true, false],
            vec![true, true, false, false],
            vec![true, true, true, false],
        ];
        let found = learning_epochs(&[0, 2, 8], &correct);
        assert_eq!(found, [Some(0), Some(2), Some(8), None]);
        assert!(learning_epochs(&[], &[]).is_empty());
    }
}
