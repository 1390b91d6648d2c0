//! What the measuring programs share. Each of them prints rows, which `table.py` makes a table of.

pub mod bare;
pub mod histogram;
pub mod mqtt;
pub mod process;
pub mod row;

/// That of which half are smaller; NaN if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Microseconds.
pub fn micros(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
