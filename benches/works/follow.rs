//! A stream followed as a relay follows it, read by read: frames found, and shown to a tap.

use tonegate::tap::Tap;
use tonegate::ws::Role;
use tonegate::ws::scan::{Found, Scanner};

/// A read of a relay.
pub(crate) const READ: usize = 64 * 1024;

/// Follows `stream`, `read` bytes at a time, and shows it to `tap`, if there is one; how many frames
/// there were.
pub(crate) fn follow(stream: &[u8], read: usize, role: Role, mut tap: Option<&mut Tap>) -> usize {
    let mut scanner = Scanner::new(role, 1 << 20);
    let mut frames = 0;
    for chunk in stream.chunks(read) {
        let mut at = 0;
        while let Ok(Some(step)) = scanner.next(&chunk[at..]) {
            match (&step.found, &mut tap) {
                (Found::Data(header), Some(tap)) => tap.frame(header),
                (Found::Payload, Some(tap)) => tap.payload(&chunk[at..at + step.taken]),
                _ => {}
            }
            frames += usize::from(matches!(step.found, Found::Data(_)));
            at += step.taken;
        }
    }
    frames
}
