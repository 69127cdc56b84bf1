//! A number in hundredths: operators write `2.0`, and the contract and the store hold 200.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A number in hundredths, stored as an integer so that equal numbers are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Percent {
    /// The hundredths of a number, rounded.
    ///
    /// # Errors
    /// If it is negative, or has more hundredths than an integer of 32 bits holds.
    pub fn from_number(number: f64) -> Result<Self, OutOfRange> {
        let hundredths = (number * 100.0).round();
        if !(0.0..=f64::from(u32::MAX)).contains(&hundredths) {
            return Err(OutOfRange);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked above")]
        Ok(Self(hundredths as u32))
    }

    /// The number: 2.0 for 200 hundredths.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.number())
    }
}

/// A number is negative, too large, or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number is out of range; write a number such as 2 or 0.5")]
pub struct OutOfRange;

/// For serde's `with`: an optional number, such as `2` or `0.5`.
pub mod option {
    use super::{Deserialize, Deserializer, Percent};
    use serde::{Serialize, Serializer};

    /// Writes the number, if there is one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(percent: &Option<Percent>, serializer: S) -> Result<S::Ok, S::Error> {
        percent.map(Percent::number).serialize(serializer)
    }

    /// Reads the number, if there is one.
    ///
    /// # Errors
    /// If it is not a number in range.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Percent>, D::Error> {
        let number = Option::<f64>::deserialize(deserializer)?;
        number.map(Percent::from_number).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_hundredths() {
        for (number, hundredths) in
            [(0.0, 0), (0.29, 29), (0.5, 50), (1.0, 100), (2.0, 200), (1.15, 115), (100.0, 10_000)]
        {
            let percent = Percent::from_number(number).unwrap();
            assert_eq!(percent, Percent(hundredths), "{number}");
            assert_eq!(Percent::from_number(percent.number()), Ok(percent));
        }
        for number in [-0.01, f64::NAN, f64::INFINITY, 1e12] {
            assert_eq!(Percent::from_number(number), Err(OutOfRange), "{number}");
        }
    }
}
