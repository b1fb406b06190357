//! What far ends have in common that take text messages alone: pings are answered, a close is echoed,
//! anything else that is no whole text message ends the connection.

use crate::Result;
use crate::frame::{self, CLOSE, Header, PING, PONG, TEXT};

/// A text message in one frame.
pub const FIN_TEXT: u8 = 0x80 | TEXT;

/// Takes all whole frames from `input`, shows each text to `hear` and adds the answers to `out`; the
/// rest stays. False after a close.
pub fn answer(
    input: &mut Vec<u8>,
    out: &mut Vec<u8>,
    mut hear: impl FnMut(&[u8], &mut Vec<u8>) -> Result<()>,
) -> Result<bool> {
    let mut at = 0;
    let mut open = true;
    while open {
        let Some(header) = Header::parse(&input[at..])? else {
            break;
        };
        if input.len() - at < header.frame() {
            break;
        }
        let mask = header.mask.ok_or("an unmasked frame from a client")?;
        let payload = &mut input[at + header.length..at + header.frame()];
        frame::apply(mask, payload);
        match (header.first, header.opcode()) {
            (FIN_TEXT, _) => hear(payload, out)?,
            (_, PING) => frame::write(out, PONG, payload, None),
            (_, PONG) => {}
            (_, CLOSE) => {
                frame::write(out, CLOSE, payload, None);
                open = false;
            }
            (first, _) => return Err(format!("unexpected frame {first:#04x}").into()),
        }
        at += header.frame();
    }
    input.drain(..at);
    Ok(open)
}

/// Adds a text message of these parts.
pub fn say(out: &mut Vec<u8>, parts: [&[u8]; 3]) {
    let length = parts.iter().map(|part| part.len()).sum();
    frame::write_header(out, FIN_TEXT, length, None);
    out.extend(parts.into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    fn back(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
        say(out, [b"<", text, b">"]);
        Ok(())
    }

    #[test]
    fn a_part_of_a_frame_waits_and_a_close_is_answered() {
        let mut whole = Vec::new();
        frame::write(&mut whole, TEXT, b"a", MASK);
        frame::write(&mut whole, PING, b"b", MASK);
        frame::write(&mut whole, CLOSE, &[3, 232], MASK);
        let expected = [0x81, 3, b'<', b'a', b'>', 0x8a, 1, b'b', 0x88, 2, 3, 232];
        for cut in 0..whole.len() {
            let (mut input, mut out) = (whole[..cut].to_vec(), Vec::new());
            assert!(answer(&mut input, &mut out, back).expect("sound"), "{cut}");
            input.extend_from_slice(&whole[cut..]);
            assert!(!answer(&mut input, &mut out, back).expect("sound"), "{cut}");
            assert_eq!(out, expected, "{cut}");
        }
    }

    #[test]
    fn what_is_no_text_ends_the_connection() {
        for (first, mask) in [(0x82, MASK), (0x01, MASK), (0x80, MASK), (0x81, None)] {
            let mut input = Vec::new();
            frame::write_header(&mut input, first, 0, mask);
            let answered = answer(&mut input, &mut Vec::new(), back);
            assert!(answered.is_err(), "{first:#04x} {mask:?}");
        }
    }
}
