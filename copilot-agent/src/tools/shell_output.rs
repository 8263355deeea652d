//! The output of a command: decoded as it comes, and bounded for the model. Pure.

use std::collections::VecDeque;

/// Decodes UTF-8 that arrives in pieces. What is not UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a character whose rest has not come yet.
    incomplete: Vec<u8>,
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8], text: &mut String) {
        let joined;
        let mut rest = if self.incomplete.is_empty() {
            bytes
        } else {
            let mut start = std::mem::take(&mut self.incomplete);
            start.extend_from_slice(bytes);
            joined = start;
            &joined
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => return text.push_str(valid),
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(length) = error.error_len() else {
                        self.incomplete = invalid.to_vec();
                        return;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &invalid[length..];
                }
            }
        }
    }

    /// What is left at the end of the output.
    pub(super) fn finish(&mut self, text: &mut String) {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// The head and the tail of a text of any length.
#[derive(Debug)]
pub(super) struct Bounded {
    half: usize,
    head: String,
    head_chars: usize,
    tail: VecDeque<char>,
    dropped: u64,
}

impl Bounded {
    /// Keeps at most `chars` characters.
    pub(super) fn new(chars: usize) -> Self {
        Self {
            half: chars / 2,
            head: String::new(),
            head_chars: 0,
            tail: VecDeque::new(),
            dropped: 0,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        for character in text.chars() {
            if self.head_chars < self.half {
                self.head.push(character);
                self.head_chars += 1;
                continue;
            }
            if self.tail.len() == self.half {
                self.tail.pop_front();
                self.dropped += 1;
            }
            self.tail.push_back(character);
        }
    }

    pub(super) fn finish(self) -> String {
        let mut text = self.head;
        if self.dropped > 0 {
            text.push_str(&format!("\n[… {} characters left out …]\n", self.dropped));
        }
        text.extend(self.tail);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_may_arrive_in_pieces() {
        let bytes = "aé€😀z".as_bytes();
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut text = String::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece, &mut text);
            }
            decoder.finish(&mut text);
            assert_eq!(text, "aé€😀z", "in pieces of {size}");
        }
        let mut decoder = Decoder::default();
        let mut text = String::new();
        decoder.push(b"a\xff\xfeb\xe2\x82", &mut text);
        decoder.finish(&mut text);
        assert_eq!(text, "a\u{fffd}\u{fffd}b\u{fffd}");
    }

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        let mut short = Bounded::new(10);
        short.push("0123456789");
        assert_eq!(short.finish(), "0123456789");
        let mut long = Bounded::new(10);
        for _ in 0..10 {
            long.push("0123456789");
        }
        assert_eq!(long.finish(), "01234\n[… 90 characters left out …]\n56789");
    }
}
