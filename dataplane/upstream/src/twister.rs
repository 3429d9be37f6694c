//! The Mersenne Twister (MT19937), because Envoy shuffles hosts with it: the same seed has to give
//! the same order here. Nothing secret or fair depends on it.

const SIZE: usize = 624;
const MIDDLE: usize = 397;

/// The generator.
pub(crate) struct Twister {
    state: [u32; SIZE],
    at: usize,
}

impl Twister {
    pub(crate) fn new(seed: u32) -> Self {
        let (mut state, mut last) = ([0; SIZE], seed);
        for (word, number) in state.iter_mut().zip(0_u32..) {
            if number > 0 {
                last = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(number);
            }
            *word = last;
        }
        Self { state, at: SIZE }
    }

    /// An evenly distributed number below `most`, drawn as Envoy draws it.
    pub(crate) fn below(&mut self, most: u32) -> u32 {
        let width = ((1_u64 << 32) / u64::from(most.max(1))).max(1);
        loop {
            let number = (u64::from(self.next()) / width) as u32;
            if number < most.max(1) {
                return number;
            }
        }
    }

    fn next(&mut self) -> u32 {
        if self.at >= SIZE {
            self.twist();
        }
        let mut word = self.word(self.at);
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn word(&self, at: usize) -> u32 {
        self.state.get(at % SIZE).copied().unwrap_or_default()
    }

    fn twist(&mut self) {
        self.at = 0;
        for at in 0..SIZE {
            let bits = (self.word(at) & 0x8000_0000) | (self.word(at + 1) & 0x7fff_ffff);
            let odd = if bits & 1 == 1 { 0x9908_b0df } else { 0 };
            let next = self.word(at + MIDDLE) ^ (bits >> 1) ^ odd;
            if let Some(word) = self.state.get_mut(at) {
                *word = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Twister;

    #[test]
    fn it_is_the_one_of_cplusplus() {
        // C++ demands of `std::mt19937` that the 10000th number of seed 5489 is this one.
        let mut random = Twister::new(5489);
        let last = (0..10_000).map(|_| random.next()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
