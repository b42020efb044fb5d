//! The twelve months of a home's year, packed: a home holds them always and looks at them once a day.
//!
//! Energies and their worth are written as variable-length integers (those of protobuf, signed ones in zigzag), so that a home needs
//! what its own year needs: about 20 bytes a month instead of 32.

use prost::encoding::{decode_varint, encode_varint};

use crate::profile::MonthSum;

/// Twelve months in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Months(Box<[u8]>);

impl Months {
    /// Packs a year.
    pub(crate) fn pack(months: &[MonthSum; 12]) -> Self {
        let mut bytes = Vec::with_capacity(12 * 32);
        for month in months {
            month
                .import_wh
                .iter()
                .chain(&month.export_wh)
                .for_each(|wh| encode_varint((*wh).into(), &mut bytes));
            [month.import_worth, month.export_worth]
                .iter()
                .for_each(|worth| encode_varint(zigzag(*worth), &mut bytes));
        }
        Self(bytes.into_boxed_slice())
    }

    /// The year again.
    pub(crate) fn unpack(&self) -> [MonthSum; 12] {
        let mut bytes = &self.0[..];
        let mut next = || decode_varint(&mut bytes).expect("`pack` wrote them");
        std::array::from_fn(|_| MonthSum {
            import_wh: [next() as u32, next() as u32],
            export_wh: [next() as u32, next() as u32],
            import_worth: unzigzag(next()),
            export_worth: unzigzag(next()),
        })
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MonthSum, Months};

    fn month() -> impl Strategy<Value = MonthSum> {
        let wh = || (any::<u32>(), any::<u32>()).prop_map(|(day, night)| [day, night]);
        (wh(), wh(), any::<i64>(), any::<i64>()).prop_map(
            |(import_wh, export_wh, import_worth, export_worth)| MonthSum {
                import_wh,
                export_wh,
                import_worth,
                export_worth,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(months in proptest::array::uniform12(month())) {
            prop_assert_eq!(Months::pack(&months).unpack(), months);
        }
    }

    #[test]
    fn the_year_of_a_usual_home_is_small() {
        let winter = MonthSum {
            import_wh: [160_000, 190_000],
            export_wh: [30_000, 12_000],
            import_worth: 31_500_000_000,
            export_worth: 2_900_000_000,
        };
        assert!(Months::pack(&[winter; 12]).0.len() <= 12 * 22);
    }
}
