//! ITU-T G.711 µ-law and A-law: 256-entry tables to PCM16, and the encoders that tests and
//! simulators need. The tables are computed by the compiler from the recommendation's segments.
//!
//! Levels: a full-scale PCM16 sine is [`FULL_SCALE_DBM0`] in both laws as scaled here, so one
//! figure serves the whole product.

/// Level of a full-scale sine in dBm0 (ITU-T G.711: the theoretical load capacity is +3.17 dBm0 for
/// µ-law and +3.14 dBm0 for A-law; we use one figure, the lower).
#[allow(clippy::approx_constant, reason = "decibels, not a circle")]
pub const FULL_SCALE_DBM0: f32 = 3.14;

/// Which companding law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law: North America and Japan, RTP payload type 0.
    Mu,
    /// A-law: the rest of the world, RTP payload type 8.
    A,
}

impl Law {
    /// One octet to PCM16.
    pub const fn decode(self, octet: u8) -> i16 {
        self.table()[octet as usize]
    }

    /// The decoding table, for loops.
    pub const fn table(self) -> &'static [i16; 256] {
        match self {
            Self::Mu => &MU_LAW,
            Self::A => &A_LAW,
        }
    }

    /// PCM16 to one octet.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => mu_encode(sample),
            Self::A => a_encode(sample),
        }
    }
}

/// µ-law octet to PCM16.
pub static MU_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = mu_decode(octet as u8);
        octet += 1;
    }
    table
};

/// A-law octet to PCM16.
pub static A_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = a_decode(octet as u8);
        octet += 1;
    }
    table
};

/// Added before taking the logarithm so that segments begin at powers of two (G.711 table 2, in
/// 16-bit units).
const MU_BIAS: i32 = 0x84;
/// The largest magnitude that still fits the last segment once biased.
const MU_CLIP: i32 = 32_635;

const fn mu_decode(octet: u8) -> i16 {
    let bits = !octet;
    let segment = (bits >> 4) & 7;
    let step = (bits & 0x0f) as i32;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if bits & 0x80 != 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

const fn mu_encode(sample: i16) -> u8 {
    let wide = sample as i32;
    let sign = if wide < 0 { 0x80 } else { 0 };
    let mut magnitude = if wide < 0 { -wide } else { wide };
    if magnitude > MU_CLIP {
        magnitude = MU_CLIP;
    }
    magnitude += MU_BIAS;
    let segment = 24 - magnitude.leading_zeros(); // bit 7 is the lowest that can be the top one
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | step as u8)
}

const fn a_decode(octet: u8) -> i16 {
    let bits = octet ^ 0x55; // even bits are inverted on the line
    let segment = (bits >> 4) & 7;
    let step = ((bits & 0x0f) as i32) << 4;
    let magnitude = match segment {
        0 => step + 8,
        1 => step + 0x108,
        _ => (step + 0x108) << (segment - 1),
    };
    (if bits & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

const fn a_encode(sample: i16) -> u8 {
    // Negative values are mirrored with ones' complement, so that -1 and 0 share a magnitude.
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = (if sample < 0 { !sample } else { sample }) as i32;
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        let segment = 24 - magnitude.leading_zeros(); // 256..511 is segment 1
        ((segment as i32) << 4) | ((magnitude >> (segment + 3)) & 0x0f)
    };
    (sign | code as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_the_recommendation() {
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x55), -8);
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::A.decode(0x2a), -32_256);
    }

    #[test]
    fn every_octet_survives_decode_and_encode() {
        let mut seen = 0;
        for law in [Law::Mu, Law::A] {
            for octet in 0..=255u8 {
                let again = law.encode(law.decode(octet));
                // µ-law has two zeros; 0x7f (minus zero) comes back as 0xff.
                let expected = if law == Law::Mu && octet == 0x7f {
                    0xff
                } else {
                    octet
                };
                assert_eq!(again, expected, "{law:?} {octet:#04x}");
                seen += 1;
            }
        }
        assert_eq!(seen, 512);
    }

    #[test]
    fn every_sample_comes_back_within_half_a_step() {
        let mut seen = 0;
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                // The step is 1/16 of the segment, whose size is at most the magnitude; beyond
                // the last code the recommendation clips.
                let magnitude = i32::from(sample).abs();
                let allowed = 8 + magnitude / 32 + 4 + (magnitude - 32_256).max(0);
                assert!(error <= allowed, "{law:?} {sample}: {error} > {allowed}");
                seen += 1;
            }
        }
        assert_eq!(seen, 131_072);
    }
}
