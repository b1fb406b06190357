//! Samples: the four rates we hear, and PCM16 out of bytes or base64 into a buffer that the caller
//! owns. G.711 tables are in [`g711`], files in [`wav`].
//!
//! Everything here is pure and allocates nothing except the WAV reader, which serves tools and
//! prompts, never a call in progress.
//!
//! Not here: JSON (that is `wire`), resampling (that is `relay`), any opinion about what the samples
//! mean (that is `dtmf`).

mod decode;
pub mod g711;
pub mod wav;

pub use self::decode::Decoder;

use base64::Engine as _;
use base64::engine::GeneralPurposeConfig;
use std::sync::LazyLock;
use std::time::Duration;

/// A rate at which call audio arrives. Closed, because the detector has a table for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SampleRate {
    /// 8 kHz: G.711 trunks and narrow-band media streams.
    Hz8000,
    /// 16 kHz: ACS media streaming, the default.
    Hz16000,
    /// 24 kHz: Voice Live and ACS bidirectional streaming.
    Hz24000,
    /// 48 kHz: browsers.
    Hz48000,
}

impl SampleRate {
    /// All of them, slowest first.
    pub const ALL: [Self; 4] = [Self::Hz8000, Self::Hz16000, Self::Hz24000, Self::Hz48000];

    /// The rate with this many samples a second, if it is one of ours.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        match hz {
            8_000 => Some(Self::Hz8000),
            16_000 => Some(Self::Hz16000),
            24_000 => Some(Self::Hz24000),
            48_000 => Some(Self::Hz48000),
            _ => None,
        }
    }

    /// Samples a second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz48000 => 48_000,
        }
    }

    /// How many samples `duration` holds, rounded down.
    pub const fn samples_in(self, duration: Duration) -> u64 {
        let whole = duration.as_secs() * self.hz() as u64;
        let part = duration.subsec_nanos() as u64 * self.hz() as u64 / 1_000_000_000;
        whole + part
    }

    /// Milliseconds from the start of a stream to its sample number `at`.
    pub fn millis(self, at: u64) -> f64 {
        at as f64 * 1000.0 / f64::from(self.hz())
    }
}

/// Why bytes were not PCM16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not base64 as RFC 4648 section 4 has it, padding included.
    #[error("audio is not valid base64")]
    Base64,
    /// Half a sample at the end.
    #[error("audio ends in the middle of a sample")]
    OddLength,
    /// More samples than the caller's buffer holds.
    #[error("audio is longer than {limit} samples")]
    TooLong {
        /// Length of the caller's buffer.
        limit: usize,
    },
}

/// Little-endian PCM16 bytes into `out`; returns the part of it that was filled.
pub fn pcm16_from_bytes<'out>(bytes: &[u8], out: &'out mut [i16]) -> Result<&'out [i16], Error> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::OddLength);
    }
    let limit = out.len();
    let out = out.get_mut(..pairs.len()).ok_or(Error::TooLong { limit })?;
    for (sample, pair) in out.iter_mut().zip(pairs) {
        *sample = i16::from_le_bytes(*pair);
    }
    Ok(out)
}

/// Characters decoded in one go: their 1,536 bytes stay in the first-level cache, and a multiple of
/// four characters never splits a group.
const BASE64_PIECE: usize = 2048;

/// Base64 of little-endian PCM16 into `out`; returns the part of it that was filled.
///
/// It goes through a piece on the stack, because turning `&mut [i16]` into bytes would be `unsafe`.
pub fn pcm16_from_base64<'out>(text: &[u8], out: &'out mut [i16]) -> Result<&'out [i16], Error> {
    let limit = out.len();
    let mut bytes = [0u8; BASE64_PIECE / 4 * 3];
    let mut filled = 0;
    let mut pieces = text.chunks(BASE64_PIECE).peekable();
    while let Some(piece) = pieces.next() {
        let n = ENGINE
            .decode_slice(piece, &mut bytes)
            .map_err(|_| Error::Base64)?;
        if pieces.peek().is_some() && n != bytes.len() {
            return Err(Error::Base64); // padding in the middle of the text
        }
        match pcm16_from_bytes(&bytes[..n], &mut out[filled..]) {
            Ok(samples) => filled += samples.len(),
            Err(Error::TooLong { .. }) => return Err(Error::TooLong { limit }),
            Err(other) => return Err(other),
        }
    }
    Ok(&out[..filled])
}

#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
))]
type Base64 = base64::engine::Simd;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
type Base64 = base64::engine::GeneralPurpose;

static ENGINE: LazyLock<Base64> = LazyLock::new(|| {
    let config = GeneralPurposeConfig::new();
    #[cfg(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    ))]
    return Base64::standard(config);
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon")
    )))]
    return Base64::new(&base64::alphabet::STANDARD, config);
});

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;

    fn ramp(n: usize) -> Vec<i16> {
        (0..n).map(|i| (i as i32 * 7919 - 32768) as i16).collect()
    }

    fn bytes_of(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|s| s.to_le_bytes()).collect()
    }

    #[test]
    fn base64_of_every_length_comes_back() {
        let mut seen = 0;
        for n in (0..40).chain([766, 767, 768, 769, 770, 1535, 1536, 1537, 4000]) {
            let samples = ramp(n);
            let text = BASE64_STANDARD.encode(bytes_of(&samples));
            let mut out = vec![0; n];
            assert_eq!(
                pcm16_from_base64(text.as_bytes(), &mut out),
                Ok(&samples[..])
            );
            seen += 1;
        }
        assert_eq!(seen, 49);
    }

    #[test]
    fn a_buffer_one_sample_short_is_refused_whole() {
        for n in [1, 768, 769, 2000] {
            let text = BASE64_STANDARD.encode(bytes_of(&ramp(n)));
            let mut out = vec![0; n - 1];
            let got = pcm16_from_base64(text.as_bytes(), &mut out);
            assert_eq!(got, Err(Error::TooLong { limit: n - 1 }));
        }
    }

    #[test]
    fn bad_text_is_an_error_and_never_a_panic() {
        let good = BASE64_STANDARD.encode(bytes_of(&ramp(1600)));
        let mut out = vec![0; 4000];
        assert_eq!(pcm16_from_base64(b"AAA", &mut out), Err(Error::Base64));
        assert_eq!(pcm16_from_base64(b"AA AA", &mut out), Err(Error::Base64));
        assert_eq!(pcm16_from_base64(b"AAAA", &mut out), Err(Error::OddLength));
        // Padding at the very end of a piece, with more text after it.
        let mut padded = good.into_bytes();
        padded[BASE64_PIECE - 1] = b'=';
        assert_eq!(pcm16_from_base64(&padded, &mut out), Err(Error::Base64));
    }

    #[test]
    fn durations_and_positions_agree() {
        for rate in SampleRate::ALL {
            assert_eq!(SampleRate::from_hz(rate.hz()), Some(rate));
            let n = rate.samples_in(Duration::from_millis(1234));
            assert_eq!(rate.millis(n), 1234.0);
        }
        assert_eq!(SampleRate::from_hz(44_100), None);
    }
}
