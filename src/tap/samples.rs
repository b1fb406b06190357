//! From the base64 of one append to samples, however the text is cut.

use super::format::Layout;
use crate::audio::{Decoder, Error};

/// Samples handed on at once: whole hops of the detector at every rate. 20 ms and 40 ms, which most
/// appends carry, are one such run.
const RUN: usize = 960;

/// The audio of one append while it comes.
#[derive(Debug, Default)]
pub(super) struct Samples {
    decoder: Decoder,
    /// The start of a sample whose end has not come.
    part: [u8; 4],
    length: usize,
}

/// Samples on their way. They are gathered over the pieces of one read: short runs cost more.
pub(super) struct Run {
    samples: [i16; RUN],
    length: usize,
}

impl Samples {
    /// More of the text; `hear` gets a run as often as one is full.
    pub(super) fn push(
        &mut self,
        layout: Layout,
        text: &[u8],
        run: &mut Run,
        hear: &mut impl FnMut(&[i16]),
    ) -> Result<(), Error> {
        let (part, length) = (&mut self.part, &mut self.length);
        let width = layout.width();
        self.decoder.push(text, |mut bytes| {
            if *length > 0 {
                let (now, later) = bytes.split_at(bytes.len().min(width - *length));
                part[*length..*length + now.len()].copy_from_slice(now);
                *length += now.len();
                bytes = later;
                if *length < width {
                    return;
                }
                run.put(layout, &part[..width], hear);
            }
            let (whole, rest) = bytes.split_at(bytes.len() / width * width);
            run.put(layout, whole, hear);
            part[..rest.len()].copy_from_slice(rest);
            *length = rest.len();
        })
    }

    /// Whether the text may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.decoder.is_whole() && self.length == 0
    }
}

impl Run {
    pub(super) fn new() -> Run {
        Run {
            samples: [0; RUN],
            length: 0,
        }
    }

    /// Hands on what there is.
    pub(super) fn flush(&mut self, hear: &mut impl FnMut(&[i16])) {
        hear(&self.samples[..std::mem::take(&mut self.length)]);
    }

    fn put(&mut self, layout: Layout, mut bytes: &[u8], hear: &mut impl FnMut(&[i16])) {
        let width = layout.width();
        while !bytes.is_empty() {
            let room = &mut self.samples[self.length..];
            let count = room.len().min(bytes.len() / width);
            let (now, later) = bytes.split_at(count * width);
            layout.samples(now, &mut room[..count]);
            self.length += count;
            bytes = later;
            if self.length == RUN {
                self.flush(hear);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::g711::Law;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    const LAYOUTS: [Layout; 4] = [
        Layout::Mono,
        Layout::Stereo,
        Layout::G711(Law::Mu),
        Layout::G711(Law::A),
    ];

    /// The samples of a text in pieces, a new read for each where `reads` says so.
    fn samples(layout: Layout, pieces: &[&[u8]], reads: bool) -> Option<Vec<i16>> {
        let (mut samples, mut run, mut heard) = (Samples::default(), Run::new(), Vec::new());
        let mut hear = |run: &[i16]| heard.extend_from_slice(run);
        for piece in pieces {
            samples.push(layout, piece, &mut run, &mut hear).ok()?;
            if reads {
                run.flush(&mut hear);
            }
        }
        run.flush(&mut hear);
        samples.is_whole().then_some(heard)
    }

    proptest! {
        #[test]
        fn every_cut_gives_the_samples_of_the_whole(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                proptest::collection::vec(any::<u8>(), 1900..4100),
            ],
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..9),
            layout in proptest::sample::select(LAYOUTS.to_vec()),
            reads in any::<bool>(),
        ) {
            let text = BASE64_STANDARD.encode(&bytes).into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            pieces.push(&text[from..]);
            let plain: Vec<i16> = match layout {
                Layout::Mono => bytes.chunks(2).map(|b| i16::from_le_bytes([b[0], *b.get(1).unwrap_or(&0)])).collect(),
                Layout::Stereo => bytes.chunks(4).map(|b| i16::from_le_bytes([b[0], *b.get(1).unwrap_or(&0)])).collect(),
                Layout::G711(law) => bytes.iter().map(|&octet| law.decode(octet)).collect(),
            };
            let whole = bytes.len() % layout.width() == 0;
            prop_assert_eq!(samples(layout, &pieces, reads), whole.then_some(plain));
        }
    }
}
