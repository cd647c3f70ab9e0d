//! Means with their standard errors.

use serde::{Deserialize, Serialize};

/// A mean over examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error: the sample's standard deviation over √n; none for a single example.
    pub standard_error: Option<f64>,
    /// n, the number of examples.
    pub count: usize,
}

impl Estimate {
    /// Of these values; none where there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Some(Self {
            mean,
            standard_error: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()),
            count: values.len(),
        })
    }

    /// The share of true values; its error is the binomial one, √(p (1 − p) / n).
    pub fn share(values: impl IntoIterator<Item = bool>) -> Option<Self> {
        let (mut n, mut hits) = (0usize, 0usize);
        for value in values {
            n += 1;
            hits += usize::from(value);
        }
        let mean = hits as f64 / n as f64;
        (n > 0).then(|| Self {
            mean,
            standard_error: Some((mean * (1.0 - mean) / n as f64).sqrt()),
            count: n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = Estimate::of([1.0, 3.0]).unwrap();
        assert_eq!((found.mean, found.count), (2.0, 2));
        assert!((found.standard_error.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Estimate::of([2.0]).unwrap().standard_error, None);
        assert_eq!(Estimate::of([]), None);
        let share = Estimate::share([true, false, false, false]).unwrap();
        assert_eq!(share.mean, 0.25);
        assert!((share.standard_error.unwrap() - (0.1875f64 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Estimate::share([]), None);
    }
}
