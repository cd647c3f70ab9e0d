//! Which vector instructions the kernels of this crate and of `mftma-train` use.
//!
//! Results do not depend on the level, only speed does: every sum has the same lanes and the same order, and products are
//! added with one rounding (fused), at each of them. Eigenproblems from 512 rows on and singular values are faer's, which chooses by
//! itself.
//!
//! The environment variable [`VARIABLE`] names a level to use instead of the best.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The environment variable that names a level.
pub const VARIABLE: &str = "MFTMA_SIMD";

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// Whatever every processor has. Slow where it has no fused multiply-add, which is then computed exactly by other means.
    Portable = 1,
    /// NEON, on 64-bit Arm.
    Neon = 2,
    /// AVX2 with FMA.
    Avx2 = 3,
    /// AVX-512 (F, VL, DQ, BW, CD), with AVX2 and FMA.
    Avx512 = 4,
}

/// Why a level cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// There is none of this name.
    #[error(
        "{0:?} is not a level of vector instructions; they are portable, neon, avx2 and avx512"
    )]
    Unknown(String),
    /// This processor does not have it.
    #[error("this processor does not have {asked}; it has {}", list(.has))]
    Missing {
        /// The level asked for.
        asked: Level,
        /// Those that the processor has.
        has: Vec<Level>,
    },
}

fn list(levels: &[Level]) -> String {
    let names: Vec<String> = levels.iter().map(Level::to_string).collect();
    names.join(", ")
}

impl Level {
    const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some() && Self::Avx2.is_available(),
            _ => false,
        }
    }

    /// The levels of this processor, the best last.
    pub fn available() -> Vec<Self> {
        let mut levels = Self::ALL.to_vec();
        levels.retain(|level| level.is_available());
        levels
    }

    /// The level in use: the one [forced](Self::force), else that of the environment, else the best. A value of the environment
    /// that cannot be used is passed over; [`from_environment`](Self::from_environment) tells of it.
    pub fn current() -> Self {
        match IN_USE.load(Ordering::Relaxed) {
            0 => {
                let level = Self::from_environment().ok().flatten();
                let level =
                    level.unwrap_or_else(|| *Self::available().last().unwrap_or(&Self::Portable));
                IN_USE.store(level as u8, Ordering::Relaxed);
                level
            }
            number => Self::ALL[usize::from(number - 1)],
        }
    }

    /// Uses this level in the whole process from now on: for tests and measurements of speed. Work that is under way may go on
    /// at another.
    ///
    /// # Errors
    /// [`LevelError::Missing`] where the processor does not have it.
    pub fn force(self) -> Result<(), LevelError> {
        self.checked()?;
        IN_USE.store(self as u8, Ordering::Relaxed);
        Ok(())
    }

    /// The level that the environment names, if it names one.
    ///
    /// # Errors
    /// Where the name is unknown, or the processor does not have the level.
    pub fn from_environment() -> Result<Option<Self>, LevelError> {
        match std::env::var_os(VARIABLE) {
            Some(name) if !name.is_empty() => {
                let level: Self = name.to_string_lossy().parse()?;
                level.checked().map(Some)
            }
            _ => Ok(None),
        }
    }

    fn checked(self) -> Result<Self, LevelError> {
        if self.is_available() {
            return Ok(self);
        }
        Err(LevelError::Missing {
            asked: self,
            has: Self::available(),
        })
    }
}

/// The level in use as its number, 0 before the first question.
static IN_USE: AtomicU8 = AtomicU8::new(0);

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Self, LevelError> {
        let found = Self::ALL
            .into_iter()
            .find(|level| level.to_string() == name);
        found.ok_or_else(|| LevelError::Unknown(name.to_owned()))
    }
}

/// The level in use as pulp has it.
pub(crate) fn arch() -> pulp::Arch {
    match Level::current() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => pulp::x86::V4::try_new().map_or(pulp::Arch::Scalar, pulp::Arch::V4),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => pulp::x86::V3::try_new().map_or(pulp::Arch::Scalar, pulp::Arch::V3),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => pulp::aarch64::Neon::try_new().map_or(pulp::Arch::Scalar, pulp::Arch::Neon),
        _ => pulp::Arch::Scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let error = "sse9".parse::<Level>().unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("avx2"), "{error}");
    }

    #[test]
    fn a_level_that_is_missing_is_refused_with_those_there_are() {
        assert!(Level::Portable.is_available());
        assert!(Level::current().is_available());
        let missing: Vec<Level> = Level::ALL
            .into_iter()
            .filter(|l| !l.is_available())
            .collect();
        assert!(!missing.is_empty(), "no processor has both NEON and AVX2");
        for level in missing {
            let error = level.force().unwrap_err().to_string();
            assert!(
                error.contains("portable") && error.contains(&level.to_string()),
                "{error}"
            );
        }
    }
}
