//! PCM16 mono WAV files: prompts, test sounds and what the command line reads. Whatever is not
//! exactly that is refused with a reason that names the fact, so that nobody wonders why a stereo
//! file has no digits in it.

use super::SampleRate;

/// Why a file is not a PCM16 mono WAV at one of our rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first twelve bytes are not `RIFF....WAVE`.
    #[error("not a WAV file")]
    NotWav,
    /// A chunk says that it is longer than the file, or there is no `fmt ` or no `data`.
    #[error("WAV file is cut short or has no {0} chunk")]
    Missing(&'static str),
    /// Compressed or floating-point samples.
    #[error("WAV format tag is {0:#06x}, only PCM (0x0001) is read")]
    Encoding(u16),
    /// Stereo or more.
    #[error("WAV file has {0} channels, only mono is read")]
    Channels(u16),
    /// Not 16 bits.
    #[error("WAV samples have {0} bits, only 16 are read")]
    Width(u16),
    /// Not 8, 16, 24 or 48 kHz.
    #[error("WAV sample rate is {0} Hz, only 8000, 16000, 24000 and 48000 are read")]
    Rate(u32),
}

/// A file's samples and their rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Samples a second.
    pub rate: SampleRate,
    /// The audio, one channel.
    pub samples: Vec<i16>,
}

/// `WAVE_FORMAT_PCM`.
const TAG_PCM: u16 = 1;
/// `WAVE_FORMAT_EXTENSIBLE`: the real tag opens the sub-format, 24 bytes into the `fmt ` chunk.
const TAG_EXTENSIBLE: u16 = 0xfffe;

impl Wav {
    /// Reads a whole file. A `data` chunk of length 0 or 0xffffffff, as programs leave it that write
    /// into a pipe, reaches to the end of the file; but what follows an empty one may be more chunks.
    pub fn read(file: &[u8]) -> Result<Self, Error> {
        if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
            return Err(Error::NotWav);
        }
        let mut rest = &file[12..];
        let mut rate = None;
        while let Some((name, size, body)) = chunk(rest) {
            match name {
                b"fmt " => rate = Some(format(body.get(..size).ok_or(Error::Missing("fmt"))?)?),
                b"data" => {
                    let rate = rate.ok_or(Error::Missing("fmt"))?;
                    let open_ended = size == 0xffff_ffff || (size == 0 && !is_chunks(body));
                    let size = if open_ended { body.len() } else { size };
                    let data = body.get(..size).ok_or(Error::Missing("complete data"))?;
                    let (pairs, _) = data.as_chunks::<2>();
                    let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
                    return Ok(Self { rate, samples });
                }
                _ => {}
            }
            // Chunks are padded to even lengths; the pad is not counted in the size.
            rest = body
                .get(size.saturating_add(size & 1)..)
                .unwrap_or_default();
        }
        Err(Error::Missing(if rate.is_some() { "data" } else { "fmt" }))
    }

    /// The file's bytes.
    pub fn write(&self) -> Vec<u8> {
        let data = u32::try_from(self.samples.len() * 2).unwrap_or(u32::MAX);
        let hz = self.rate.hz();
        let mut file = Vec::with_capacity(44 + self.samples.len() * 2);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&data.saturating_add(36).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt ");
        file.extend_from_slice(&16u32.to_le_bytes());
        file.extend_from_slice(&TAG_PCM.to_le_bytes());
        file.extend_from_slice(&1u16.to_le_bytes());
        file.extend_from_slice(&hz.to_le_bytes());
        file.extend_from_slice(&(hz * 2).to_le_bytes());
        file.extend_from_slice(&2u16.to_le_bytes());
        file.extend_from_slice(&16u16.to_le_bytes());
        file.extend_from_slice(b"data");
        file.extend_from_slice(&data.to_le_bytes());
        for sample in &self.samples {
            file.extend_from_slice(&sample.to_le_bytes());
        }
        file
    }
}

/// Name, size and everything after the header of the next chunk.
fn chunk(rest: &[u8]) -> Option<(&[u8; 4], usize, &[u8])> {
    let (name, rest) = rest.split_first_chunk::<4>()?;
    let (size, body) = rest.split_first_chunk::<4>()?;
    Some((name, u32::from_le_bytes(*size) as usize, body))
}

/// Whether this is nothing but whole chunks with names of letters, digits and spaces.
fn is_chunks(mut rest: &[u8]) -> bool {
    while let Some((name, size, body)) = chunk(rest) {
        let named = name.iter().all(|&c| c.is_ascii_alphanumeric() || c == b' ');
        let padded = size.saturating_add(size & 1);
        // The last pad is often forgotten.
        if !named || (padded > body.len() && size != body.len()) {
            return false;
        }
        rest = body.get(padded..).unwrap_or_default();
    }
    rest.is_empty()
}

/// The rate, once everything else about the format is what we read.
fn format(body: &[u8]) -> Result<SampleRate, Error> {
    let word = |at: usize| -> Result<u16, Error> {
        let bytes = body.get(at..at + 2).ok_or(Error::Missing("complete fmt"))?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    let tag = match word(0)? {
        TAG_EXTENSIBLE => word(24)?,
        tag => tag,
    };
    if tag != TAG_PCM {
        return Err(Error::Encoding(tag));
    }
    if word(2)? != 1 {
        return Err(Error::Channels(word(2)?));
    }
    if word(14)? != 16 {
        return Err(Error::Width(word(14)?));
    }
    let hz = u32::from(word(4)?) | (u32::from(word(6)?) << 16);
    SampleRate::from_hz(hz).ok_or(Error::Rate(hz))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_file() -> Vec<u8> {
        Wav {
            rate: SampleRate::Hz16000,
            samples: vec![1, -2, 300, i16::MIN],
        }
        .write()
    }

    #[test]
    fn what_is_written_is_read() {
        for rate in SampleRate::ALL {
            let wav = Wav {
                rate,
                samples: vec![0, 1, -1, i16::MAX, i16::MIN],
            };
            assert_eq!(Wav::read(&wav.write()), Ok(wav));
        }
    }

    #[test]
    fn other_chunks_are_stepped_over_odd_ones_too() {
        let mut file = sample_file();
        file.splice(12..12, *b"LIST\x03\0\0\0abc\0");
        assert_eq!(Wav::read(&file).map(|wav| wav.samples.len()), Ok(4));
    }

    #[test]
    fn each_wrong_thing_is_named() {
        let with = |at: usize, byte: u8| {
            let mut file = sample_file();
            file[at] = byte;
            Wav::read(&file)
        };
        assert_eq!(Wav::read(b"hello"), Err(Error::NotWav));
        assert_eq!(with(0, b'X'), Err(Error::NotWav));
        assert_eq!(with(20, 3), Err(Error::Encoding(3)));
        assert_eq!(with(22, 2), Err(Error::Channels(2)));
        assert_eq!(with(34, 8), Err(Error::Width(8)));
        assert_eq!(with(24, 0x81), Err(Error::Rate(0x3e81)));
        assert_eq!(with(40, 200), Err(Error::Missing("complete data")));
        assert_eq!(with(36, b'X'), Err(Error::Missing("data")));
        assert_eq!(with(12, b'X'), Err(Error::Missing("fmt")));
    }

    #[test]
    fn no_cut_panics() {
        let file = sample_file();
        let mut refused = 0;
        for end in 0..file.len() {
            refused += usize::from(Wav::read(&file[..end]).is_err());
        }
        assert_eq!(refused, file.len());
    }

    #[test]
    fn chunks_after_no_audio_are_not_audio() {
        let silent = Wav {
            rate: SampleRate::Hz8000,
            samples: Vec::new(),
        };
        for chunks in [
            &b""[..],
            b"LIST\x03\0\0\0abc\0",
            b"LIST\x02\0\0\0abid3 \x01\0\0\0x",
        ] {
            let mut file = silent.write();
            file.extend_from_slice(chunks);
            assert_eq!(Wav::read(&file), Ok(silent.clone()), "{chunks:?}");
        }
        let mut cut = silent.write();
        cut.extend_from_slice(b"LIST\x09\0\0\0abc\0");
        assert_eq!(Wav::read(&cut).map(|wav| wav.samples.len()), Ok(6));
    }

    #[test]
    fn a_pipe_that_left_the_length_open_is_read_to_its_end() {
        for open in [0u32, u32::MAX] {
            let mut file = sample_file();
            file[40..44].copy_from_slice(&open.to_le_bytes());
            assert_eq!(Wav::read(&file).map(|wav| wav.samples.len()), Ok(4));
        }
    }
}
