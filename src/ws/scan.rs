//! Finds frame boundaries in bytes as they arrive, without moving the bytes.
//!
//! The scanner is shown each chunk of a stream and says what lies in it: a data frame begins, so
//! many payload bytes follow, here is a whole control frame. Data goes on at once, in place. What
//! cannot be judged yet is held back in the scanner: the piece of a header that the chunk ends
//! in, and a control frame until it is whole (131 bytes at the most), so that no byte of a frame
//! that breaks the RFC is ever released. It knows nothing of sockets or of the other leg.

use super::frame::{CONTROL_FRAME_MAX, CONTROL_PAYLOAD_MAX, Close, HEADER_MAX, Header, OpCode};
use super::{Role, Violation, mask};

/// What [`Scanner::next`] found at the start of its input.
#[derive(Debug)]
pub enum Found {
    /// A data frame begins; its payload follows as [`Found::Payload`].
    Data(Header),
    /// Payload bytes of the current data frame.
    Payload,
    /// A whole control frame.
    Control(Control),
}

/// One finding and where its bytes are.
#[derive(Debug)]
pub struct Step {
    pub found: Found,
    /// Bytes of earlier chunks that belong in front: [`Scanner::carried`] gives them.
    pub carried: usize,
    /// Bytes at the start of the input.
    pub taken: usize,
}

/// A control frame with its payload unmasked.
#[derive(Debug)]
pub struct Control {
    pub opcode: OpCode,
    payload: [u8; CONTROL_PAYLOAD_MAX],
    length: usize,
}

impl Control {
    pub fn payload(&self) -> &[u8] {
        &self.payload[..self.length]
    }
}

/// Follows the frames of one direction of one session.
#[derive(Debug)]
pub struct Scanner {
    role: Role,
    /// Longest message in bytes, fragments added up.
    max_message: u64,
    /// Made when the first chunk ends inside a header or a control frame; few sessions see one.
    held: Option<Box<[u8; CONTROL_FRAME_MAX]>>,
    held_length: usize,
    /// Payload bytes of the current data frame that are still to come.
    payload_left: u64,
    /// Between the first fragment of a message and its last one.
    in_message: bool,
    message_length: u64,
    ended: bool,
}

impl Scanner {
    /// A scanner for frames sent by `role`, whose messages may have `max_message` bytes.
    pub fn new(role: Role, max_message: u64) -> Scanner {
        Scanner {
            role,
            max_message,
            held: None,
            held_length: 0,
            payload_left: 0,
            in_message: false,
            message_length: 0,
            ended: false,
        }
    }

    /// Looks at what lies at the start of `input`, the bytes that follow those taken so far.
    ///
    /// `Ok(None)` means that the rest of this chunk is used up: it was empty, or it is held back
    /// until more arrives, or a close frame has ended the stream and nothing after it counts.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<Step>, Violation> {
        if self.ended || input.is_empty() {
            return Ok(None);
        }
        if self.payload_left > 0 {
            let taken = usize::try_from(self.payload_left)
                .map_or(input.len(), |left| left.min(input.len()));
            self.payload_left -= taken as u64;
            return Ok(Some(Step {
                found: Found::Payload,
                carried: 0,
                taken,
            }));
        }
        if self.held_length == 0 {
            let Some((found, size)) = self.begin(input)? else {
                self.hold(input);
                return Ok(None);
            };
            return Ok(Some(Step {
                found,
                carried: 0,
                taken: size,
            }));
        }
        let carried = self.held_length;
        self.hold(&input[..input.len().min(CONTROL_FRAME_MAX - carried)]);
        let whole = *self.held();
        let Some((found, size)) = self.begin(&whole[..self.held_length])? else {
            return Ok(None);
        };
        self.held_length = 0;
        Ok(Some(Step {
            found,
            carried,
            taken: size - carried,
        }))
    }

    /// The bytes that the latest step carried over from earlier chunks; `carried` is its count.
    pub fn carried(&self, carried: usize) -> &[u8] {
        self.held.as_ref().map_or(&[][..], |held| &held[..carried])
    }

    /// Whether all bytes released so far end with a whole frame, so that a control frame of the
    /// edge's own may follow them.
    pub fn is_between_frames(&self) -> bool {
        self.payload_left == 0
    }

    /// Whether all bytes released so far end with a whole message.
    pub fn is_between_messages(&self) -> bool {
        self.payload_left == 0 && !self.in_message
    }

    /// Judges the frame at the start of `bytes`: the header of a data frame, or a whole control
    /// frame, with its length in bytes. `None`: more bytes are needed.
    fn begin(&mut self, bytes: &[u8]) -> Result<Option<(Found, usize)>, Violation> {
        let Some(header) = Header::parse(bytes, self.role)? else {
            return Ok(None);
        };
        if header.opcode.is_control() {
            return self.control(header, bytes);
        }
        match (header.opcode, self.in_message) {
            (OpCode::Continuation, false) => return Err(Violation::StrayContinuation),
            (OpCode::Text | OpCode::Binary, true) => return Err(Violation::InterleavedMessage),
            _ => {}
        }
        if !self.in_message {
            self.message_length = 0;
        }
        self.message_length = self.message_length.saturating_add(header.length);
        if self.message_length > self.max_message {
            return Err(Violation::TooLarge);
        }
        self.in_message = !header.fin;
        self.payload_left = header.length;
        Ok(Some((Found::Data(header), header.size)))
    }

    fn control(
        &mut self,
        header: Header,
        bytes: &[u8],
    ) -> Result<Option<(Found, usize)>, Violation> {
        // A control header is judged to hold at most 125 before this cast.
        let length = header.length as usize;
        let Some(wire) = bytes.get(header.size..header.size + length) else {
            return Ok(None);
        };
        let mut payload = [0; CONTROL_PAYLOAD_MAX];
        payload[..length].copy_from_slice(wire);
        if let Some(key) = header.mask {
            mask::apply(&mut payload[..length], key, 0);
        }
        if header.opcode == OpCode::Close {
            Close::parse(&payload[..length])?;
            self.ended = true;
        }
        let control = Control {
            opcode: header.opcode,
            payload,
            length,
        };
        Ok(Some((Found::Control(control), header.size + length)))
    }

    /// Keeps what cannot be judged yet. An unfinished header is shorter than [`HEADER_MAX`] and an
    /// unfinished control frame shorter than [`CONTROL_FRAME_MAX`], so it always fits.
    fn hold(&mut self, bytes: &[u8]) {
        const { assert!(HEADER_MAX <= CONTROL_FRAME_MAX) };
        let (from, to) = (self.held_length, self.held_length + bytes.len());
        self.held()[from..to].copy_from_slice(bytes);
        self.held_length = to;
    }

    fn held(&mut self) -> &mut [u8; CONTROL_FRAME_MAX] {
        let held = &mut self.held;
        held.get_or_insert_with(|| Box::new([0; CONTROL_FRAME_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a scanner released, in order: frames as the oracle would list them.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        released: Vec<u8>,
        frames: Vec<(OpCode, bool, Vec<u8>)>,
        violation: Option<Violation>,
    }

    fn scan(stream: &[u8], cuts: &[usize], role: Role, max: u64) -> Seen {
        let mut scanner = Scanner::new(role, max);
        let mut seen = Seen::default();
        let mut from = 0;
        let mut current: Option<(Header, u64)> = None;
        for &to in cuts.iter().chain([&stream.len()]) {
            let chunk = &stream[from.min(to)..to.max(from)];
            from = to.max(from);
            let mut at = 0;
            loop {
                let step = match scanner.next(&chunk[at..]) {
                    Ok(Some(step)) => step,
                    Ok(None) => break,
                    Err(violation) => {
                        seen.violation = Some(violation);
                        return seen;
                    }
                };
                let bytes = &chunk[at..at + step.taken];
                seen.released
                    .extend_from_slice(scanner.carried(step.carried));
                seen.released.extend_from_slice(bytes);
                at += step.taken;
                match step.found {
                    Found::Data(header) => {
                        current = Some((header, 0));
                        seen.frames.push((header.opcode, header.fin, Vec::new()));
                    }
                    Found::Payload => {
                        let (header, offset) = current.as_mut().unwrap();
                        let mut plain = bytes.to_vec();
                        if let Some(key) = header.mask {
                            mask::apply(&mut plain, key, *offset);
                        }
                        *offset += plain.len() as u64;
                        let data = seen.frames.iter_mut().rev().find(|f| !f.0.is_control());
                        data.unwrap().2.extend(plain);
                    }
                    Found::Control(control) => {
                        seen.frames
                            .push((control.opcode, true, control.payload().to_vec()));
                    }
                }
            }
        }
        seen
    }

    fn encode(frames: &[(OpCode, bool, Vec<u8>)], key: Option<[u8; 4]>) -> Vec<u8> {
        use tokio_tungstenite::tungstenite::protocol::frame::{FrameHeader, coding};
        let mut wire = Vec::new();
        for (opcode, fin, payload) in frames {
            let bits = match opcode {
                OpCode::Continuation => 0,
                OpCode::Text => 1,
                OpCode::Binary => 2,
                OpCode::Close => 8,
                OpCode::Ping => 9,
                OpCode::Pong => 10,
            };
            let header = FrameHeader {
                is_final: *fin,
                opcode: coding::OpCode::from(bits),
                mask: key,
                ..FrameHeader::default()
            };
            header.format(payload.len() as u64, &mut wire).unwrap();
            let start = wire.len();
            wire.extend_from_slice(payload);
            if let Some(key) = key {
                mask::apply(&mut wire[start..], key, 0);
            }
        }
        wire
    }

    /// Legal streams: messages of one to four fragments with pings between them.
    fn frames() -> impl Strategy<Value = Vec<(OpCode, bool, Vec<u8>)>> {
        let payload = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..4),
            proptest::collection::vec(any::<u8>(), 120..132),
            (65_530usize..65_545).prop_map(|n| vec![7; n]),
        ];
        let ping = proptest::collection::vec(any::<u8>(), 0..126);
        let message = (
            any::<bool>(),
            proptest::collection::vec((payload, proptest::option::of(ping)), 1..4),
        );
        proptest::collection::vec(message, 1..5).prop_map(|messages| {
            let mut frames = Vec::new();
            for (binary, fragments) in messages {
                let last = fragments.len() - 1;
                for (i, (payload, ping)) in fragments.into_iter().enumerate() {
                    let opcode = match (i, binary) {
                        (0, true) => OpCode::Binary,
                        (0, false) => OpCode::Text,
                        _ => OpCode::Continuation,
                    };
                    frames.push((opcode, i == last, payload));
                    if let Some(ping) = ping {
                        frames.push((OpCode::Ping, true, ping));
                    }
                }
            }
            frames
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_split_of_a_legal_stream_gives_the_same_frames_and_bytes(
            frames in frames(),
            key in proptest::option::of(any::<[u8; 4]>()),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        ) {
            let wire = encode(&frames, key);
            let role = if key.is_some() { Role::Client } else { Role::Server };
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(wire.len() + 1)).collect();
            cuts.sort_unstable();
            let seen = scan(&wire, &cuts, role, 1 << 20);
            prop_assert_eq!(&seen.released, &wire);
            prop_assert_eq!(seen.frames, frames);
            prop_assert_eq!(seen.violation, None);
        }

        #[test]
        fn any_split_of_garbage_gives_the_same_verdict(
            wire in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(wire.len() + 1)).collect();
            cuts.sort_unstable();
            for role in [Role::Client, Role::Server] {
                let whole = scan(&wire, &[], role, 1000);
                prop_assert_eq!(&scan(&wire, &cuts, role, 1000), &whole);
                prop_assert!(wire.starts_with(&whole.released));
            }
        }
    }

    #[test]
    fn byte_by_byte_equals_whole() {
        let frames = vec![
            (OpCode::Text, false, vec![1; 200]),
            (OpCode::Ping, true, vec![2; 125]),
            (OpCode::Continuation, true, vec![]),
            (OpCode::Close, true, vec![3, 232, b'o', b'k']),
        ];
        let wire = encode(&frames, Some([1, 2, 3, 4]));
        let every: Vec<usize> = (0..wire.len()).collect();
        let seen = scan(&wire, &every, Role::Client, 1 << 20);
        assert_eq!(seen.released, wire);
        assert_eq!(seen.frames, frames);
    }

    #[test]
    fn a_bad_frame_releases_no_byte_of_itself() {
        let good = encode(&[(OpCode::Text, true, b"fine".to_vec())], None);
        let bad: &[(&[u8], Violation)] = &[
            (&[0x83, 0], Violation::ReservedOpcode),
            (&[0x80, 1, 0], Violation::StrayContinuation),
            (&[0x88, 1, 0], Violation::BadClose),
            (&[0x88, 2, 3, 237], Violation::BadClose),
            (&[0x81, 126, 0, 1], Violation::LongLength),
        ];
        for (bytes, violation) in bad {
            let stream = [&good, *bytes].concat();
            for cut in good.len()..stream.len() {
                let seen = scan(&stream, &[cut], Role::Server, 1 << 20);
                assert_eq!(seen.released, good, "{violation}, cut at {cut}");
                assert_eq!(seen.violation, Some(*violation));
            }
        }
    }

    #[test]
    fn fragments_add_up_to_the_message_limit() {
        let parts = |second: usize| {
            encode(
                &[
                    (OpCode::Binary, false, vec![0; 600]),
                    (OpCode::Ping, true, vec![0; 100]),
                    (OpCode::Continuation, true, vec![0; second]),
                    (OpCode::Binary, true, vec![0; 1000]),
                ],
                None,
            )
        };
        assert_eq!(scan(&parts(400), &[], Role::Server, 1000).violation, None);
        let over = scan(&parts(401), &[], Role::Server, 1000);
        assert_eq!(over.violation, Some(Violation::TooLarge));
        assert_eq!(over.frames.len(), 2);
    }

    #[test]
    fn a_message_may_not_begin_inside_another() {
        let frames = [
            (OpCode::Text, false, vec![0]),
            (OpCode::Text, true, vec![0]),
        ];
        let seen = scan(&encode(&frames, None), &[], Role::Server, 9);
        assert_eq!(seen.violation, Some(Violation::InterleavedMessage));
    }

    #[test]
    fn nothing_counts_after_a_close() {
        let close = encode(&[(OpCode::Close, true, vec![])], None);
        let stream = [&close[..], &[0xFF; 20]].concat();
        let seen = scan(&stream, &[3], Role::Server, 9);
        assert_eq!((seen.released, seen.violation), (close, None));
    }
}
