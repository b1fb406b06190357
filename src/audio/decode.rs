//! Base64 whose text comes in pieces, cut anywhere.
//!
//! Groups of four characters that lie whole in a piece are decoded from where they lie; only a group
//! that two pieces share is put together here.

use base64::Engine as _;

use super::{BASE64_PIECE, ENGINE, Error};

/// Decodes one text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// The start of a group whose end has not come.
    group: [u8; 4],
    length: usize,
    /// Padding has come: that was the end.
    padded: bool,
}

impl Decoder {
    /// The next piece of the text; `emit` gets the bytes in order, in runs of any length.
    ///
    /// After an error nothing more of this text makes sense.
    pub fn push(&mut self, mut text: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), Error> {
        if self.length > 0 {
            let (now, later) = text.split_at(text.len().min(4 - self.length));
            self.keep(now);
            text = later;
            if self.length == 4 {
                self.length = 0;
                let group = self.group;
                self.decode(&group, &mut emit)?;
            }
        }
        let (whole, rest) = text.split_at(text.len() / 4 * 4);
        self.decode(whole, &mut emit)?;
        self.keep(rest);
        Ok(())
    }

    /// Whether the text may end here.
    pub fn is_whole(&self) -> bool {
        self.length == 0
    }

    fn keep(&mut self, text: &[u8]) {
        self.group[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn decode(&mut self, groups: &[u8], emit: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        if groups.is_empty() {
            return Ok(());
        }
        let mut bytes = [0; BASE64_PIECE / 4 * 3];
        for piece in groups.chunks(BASE64_PIECE) {
            if self.padded {
                return Err(Error::Base64);
            }
            let n = ENGINE
                .decode_slice(piece, &mut bytes)
                .map_err(|_| Error::Base64)?;
            self.padded = n < piece.len() / 4 * 3;
            emit(&bytes[..n]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder
                .push(piece, |run| bytes.extend_from_slice(run))
                .ok()?;
        }
        decoder.is_whole().then_some(bytes)
    }

    #[test]
    fn every_cut_of_every_length_decodes_as_the_whole_does() {
        let mut cuts = 0;
        for length in (0..20).chain([1534, 1535, 1536, 1537, 1538, 1539]) {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37) as u8).collect();
            let text = BASE64_STANDARD.encode(&bytes).into_bytes();
            for cut in 0..=text.len() {
                let (first, second) = text.split_at(cut);
                assert_eq!(decode(&[first, second]).as_ref(), Some(&bytes), "at {cut}");
                cuts += 1;
            }
            let single: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(decode(&single).as_ref(), Some(&bytes));
        }
        assert!(cuts > 12_000);
    }

    #[test]
    fn nothing_may_follow_padding_wherever_the_text_is_cut() {
        let mut long = vec![b'A'; BASE64_PIECE];
        long[BASE64_PIECE - 1] = b'=';
        for start in [&b"AA=="[..], b"AAA=", &long] {
            assert!(decode(&[start]).is_some());
            assert_eq!(decode(&[start, b"AAAA"]), None);
            assert_eq!(decode(&[start, b"A", b"AAA"]), None);
            assert_eq!(decode(&[&[start, b"AAAA"].concat()]), None);
        }
    }

    proptest! {
        #[test]
        fn takes_what_the_plain_decoder_takes_and_nothing_else(
            text in prop_oneof![
                "[A-Za-z0-9+/]{0,12}={0,3}[A-Za-z=]{0,6}",
                "[ -~]{0,20}",
                "[A-Za-z0-9+/]{2040,2056}[A-Za-z=]{0,8}",
            ],
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 2),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let pieces = [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..]];
            prop_assert_eq!(decode(&pieces), BASE64_STANDARD.decode(bytes).ok());
        }
    }
}
