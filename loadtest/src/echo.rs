//! The strict echo: each frame goes back with its opcode and FIN bit, unmasked, in order.

use crate::Result;
use crate::frame::{self, CLOSE, Header, PING, PONG};

/// Moves all whole frames from `input` to `out`; the rest stays. False after a close.
pub fn answer(input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
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
        let first = match header.opcode() {
            PING => (header.first & !PING) | PONG,
            _ => header.first,
        };
        if header.opcode() != PONG {
            frame::write_header(out, first, header.payload, None);
            let start = out.len();
            out.extend_from_slice(&input[at + header.length..at + header.frame()]);
            frame::apply(mask, &mut out[start..]);
        }
        open = header.opcode() != CLOSE;
        at += header.frame();
    }
    input.drain(..at);
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a stream of frames is cut, the same bytes go back.
    #[test]
    fn every_cut_gives_the_same_answer() {
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for (opcode, back, text) in [
            (1, 1, "first"),
            (2, 2, ""),
            (9, 10, "ping"),
            (0, 0, "part"),
            (8, 8, "\u{3}\u{e8}"),
        ] {
            frame::write(&mut sent, opcode, text.as_bytes(), Some([9, 8, 7, 6]));
            frame::write(&mut expected, back, text.as_bytes(), None);
        }
        for cut in 0..=sent.len() {
            let mut input = sent[..cut].to_vec();
            let mut out = Vec::new();
            let open = answer(&mut input, &mut out).expect("sound");
            assert_eq!(open, cut != sent.len());
            if open {
                input.extend_from_slice(&sent[cut..]);
                assert!(!answer(&mut input, &mut out).expect("sound"));
            }
            assert_eq!((out, input.len()), (expected.clone(), 0));
        }
    }
}
