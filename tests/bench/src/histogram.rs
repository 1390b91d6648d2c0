//! Latencies in buckets that are at most 0.8 % wide, so that none has to be kept.

use std::time::Duration;

#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; 64 * SUB],
            count: 0,
        }
    }
}

impl Histogram {
    pub fn add(&mut self, latency: Duration) {
        self.buckets[bucket(latency.as_nanos() as u64)] += 1;
        self.count += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Microseconds that half of the latencies do not exceed, and that 99 of 100 do not.
    pub fn both(&self) -> [f64; 2] {
        [self.micros(0.5), self.micros(0.99)]
    }

    pub fn median(&self) -> f64 {
        self.micros(0.5)
    }

    /// Microseconds that this share of the latencies does not exceed; NaN if there are none.
    pub fn micros(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(at) / 1e3;
            }
        }
        f64::NAN
    }
}

/// The first `SUB` buckets are one nanosecond wide; after that, each power of two has `SUB` of them.
fn bucket(nanos: u64) -> usize {
    let shift = (64 - SUB_BITS - 1).saturating_sub(nanos.leading_zeros() as usize);
    shift * SUB + (nanos >> shift) as usize
}

fn middle(bucket: usize) -> f64 {
    let shift = (bucket / SUB).saturating_sub(1);
    ((bucket - shift * SUB) as f64 + 0.5) * (1_u64 << shift) as f64
}

const SUB_BITS: usize = 7;
const SUB: usize = 1 << SUB_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_half_a_bucket_off() {
        for nanos in [1, 127, 128, 200, 1000, 12_345, 999_999_937, u64::MAX / 2] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(nanos));
            let off = (histogram.micros(0.5) * 1e3 - nanos as f64).abs();
            assert!(off <= (nanos as f64 * 0.004).max(0.5), "{nanos}: {off}");
        }
    }
}
