//! Numbers that look random and come again from the same seed, which a failed test prints.

/// The variable that names the only seed to run.
const SEED_VARIABLE: &str = "COPILOT_TEST_SEED";

/// See the module.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// The seed that somebody asks for in the environment, to see a failure again.
    #[must_use]
    pub fn asked_for() -> Option<u64> {
        let text = std::env::var(SEED_VARIABLE).ok()?;
        Some(text.parse().expect("COPILOT_TEST_SEED is a number"))
    }

    /// A seed that no earlier run had.
    #[must_use]
    pub fn fresh_seed() -> u64 {
        let mut bytes = [0; 4];
        let mut kernel = std::fs::File::open("/dev/urandom").expect("the kernel has randomness");
        std::io::Read::read_exact(&mut kernel, &mut bytes).expect("the kernel has randomness");
        u32::from_le_bytes(bytes).into()
    }

    /// The next number (SplitMix64).
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).expect("a small number")
    }

    /// Whether something with this many chances in a hundred happens.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- again with {SEED_VARIABLE}={}", self.seed);
        }
    }
}
