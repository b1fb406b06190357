use std::borrow::Cow;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use super::*;
use crate::log::Scrub;

/// What has been written, by each call.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<String>>>);

impl Out {
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.lock().unwrap().push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn queue(lines: usize) -> Queue {
    Queue {
        lines,
        ..Queue::new(Box::leak(Box::default()))
    }
}

fn scrubbed(scrub: Option<Scrub>) -> Scrubbed {
    Scrubbed {
        scrub,
        unfiltered: Box::leak(Box::default()),
    }
}

fn flushed(queue: &Queue) -> Receiver<()> {
    let (done, written) = mpsc::sync_channel(1);
    queue.flush(done);
    written
}

#[test]
fn a_full_queue_drops_and_counts_instead_of_waiting() {
    let (queue, out) = (queue(2), Out::default());
    let mut writer = queue.writer(out.clone(), scrubbed(None));
    for i in 0..5 {
        writeln!(queue.make_writer(), "line {i}").unwrap();
    }
    assert_eq!(queue.dropped.load(Ordering::Relaxed), 3);
    writer.turn();
    assert_eq!(out.calls(), ["line 0\nline 1\n"]);
    let huge = "x".repeat(BYTES / 2);
    for _ in 0..2 {
        writeln!(queue.make_writer(), "{huge}").unwrap();
    }
    assert_eq!(queue.dropped.load(Ordering::Relaxed), 4);
    writer.turn();
    assert_eq!(out.calls().concat().len(), BYTES / 2 + 1);
    assert!(writer.batch.bytes.capacity() <= KEPT);
    writeln!(queue.make_writer(), "there is room again").unwrap();
    writer.turn();
    assert_eq!(out.calls(), ["there is room again\n"]);
}

#[test]
fn c21_what_cannot_be_filtered_is_not_written_but_counted() {
    let (queue, out) = (queue(8), Out::default());
    for line in [&b"one\n"[..], b"bad\n", b"\xff\n", b"worse\n", b"two\n"] {
        queue.make_writer().write_all(line).unwrap();
    }
    fn scrub(line: &str) -> Option<Cow<'_, str>> {
        assert!(line != "worse\n", "{line}");
        (line != "bad\n").then(|| line.replace('o', "0").into())
    }
    let mut writer = queue.writer(out.clone(), scrubbed(Some(Box::new(scrub))));
    writer.turn();
    assert_eq!(out.calls(), ["0ne\ntw0\n"]);
    let unfiltered = writer.scrubbed.unfiltered;
    assert_eq!(unfiltered.load(Ordering::Relaxed), 3);
}

#[test]
fn lines_are_written_whole_and_together_as_far_as_a_pipe_takes_them_whole() {
    let (queue, out) = (queue(LINES), Out::default());
    let lines: Vec<_> = [1000, 3000, 2000, 9000, 10, 20]
        .iter()
        .map(|length| format!("{}\n", "x".repeat(length - 1)))
        .collect();
    for line in &lines {
        queue.make_writer().write_all(line.as_bytes()).unwrap();
    }
    queue.writer(out.clone(), scrubbed(None)).turn();
    let written: Vec<usize> = out.calls().iter().map(String::len).collect();
    assert_eq!(written, [4000, 2000, 9000, 30]);
}

#[test]
fn a_line_that_comes_in_pieces_is_one_and_one_without_an_end_is_not_lost() {
    let (queue, out) = (queue(LINES), Out::default());
    let mut pending = queue.make_writer();
    pending.write_all(b"a ").unwrap();
    writeln!(queue.make_writer(), "b").unwrap();
    pending.write_all(b"c\n").unwrap();
    drop(pending);
    queue.make_writer().write_all(b"d").unwrap();
    queue.writer(out.clone(), scrubbed(None)).turn();
    assert_eq!(out.calls(), ["b\na c\nd"]);
}

#[test]
fn the_writer_is_woken_by_the_first_line_and_by_none_that_come_soon_after() {
    let (queue, out) = (queue(LINES), Out::default());
    let writer = queue.writer(out.clone(), scrubbed(None));
    std::thread::spawn(move || writer.run());
    let is_asleep = || queue.shared.lock().asleep;
    let until = |what: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    };
    until(&is_asleep);
    writeln!(queue.make_writer(), "first").unwrap();
    assert!(!is_asleep(), "it has been called");
    until(&|| !out.0.lock().unwrap().is_empty());
    assert_eq!(out.calls(), ["first\n"]);
    // It has written, and looks again by itself: nobody has to call it.
    writeln!(queue.make_writer(), "second").unwrap();
    until(&|| !out.0.lock().unwrap().is_empty());
    until(&is_asleep);
    assert_eq!(out.calls(), ["second\n"]);
}

#[test]
fn what_was_told_before_is_written_when_a_flush_ends_and_it_waits_for_no_pause() {
    let (queue, out) = (queue(LINES), Out::default());
    let writer = queue.writer(out.clone(), scrubbed(None));
    assert_eq!(
        flushed(&queue).recv_timeout(Duration::from_millis(1)),
        Err(RecvTimeoutError::Timeout),
        "nobody writes yet"
    );
    std::thread::spawn(move || writer.run());
    let begun = Instant::now();
    for i in 0..1000 {
        writeln!(queue.make_writer(), "{i}").unwrap();
        // It is dropped, not sent to.
        let ended = flushed(&queue).recv_timeout(Duration::from_secs(10));
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
        assert_eq!(out.calls(), [format!("{i}\n")]);
    }
    assert!(begun.elapsed() < 1000 * PAUSE, "{:?}", begun.elapsed());
}

#[test]
fn an_error_is_written_at_once() {
    let (queue, out) = (queue(LINES), Out::default());
    let writer = queue.writer(out.clone(), scrubbed(None));
    std::thread::spawn(move || writer.run());
    let subscriber = tracing_subscriber::fmt()
        .event_format(crate::log::line::Json)
        .with_writer(queue.clone())
        .finish();
    let mut quick = 0;
    tracing::subscriber::with_default(subscriber, || {
        for i in 0..300 {
            tracing::info!(i, "before it");
            let begun = Instant::now();
            tracing::error!(i, "at once");
            let mut told = String::new();
            while !told.contains("at once") {
                assert!(begun.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
                told.extend(out.calls());
            }
            quick += usize::from(begun.elapsed() < PAUSE / 2);
            // In order, and nothing is left behind.
            assert_eq!(told.lines().count(), 2, "{told}");
        }
    });
    // The machine may do something else now and then; whoever pauses is never so quick.
    assert!(quick > 100, "{quick}");
}

/// Takes so many bytes at a time, or fails, as a pipe does that nobody reads.
struct Broken(Out, Vec<Option<usize>>);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.1.pop() {
            None => self.0.write(bytes),
            Some(Some(count)) => self.0.write(&bytes[..count.min(bytes.len())]),
            Some(None) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written of two turns of lines and how many are counted as lost, where writes are answered like
/// this.
fn after(answers: &[Option<usize>]) -> (String, u64) {
    let (queue, out) = (queue(LINES), Out::default());
    let answers = answers.iter().rev().copied().collect();
    let mut writer = queue.writer(Broken(out.clone(), answers), scrubbed(None));
    for turn in [&["one\n", "two\n", "three\n"][..], &["four\n"]] {
        for line in turn {
            queue.make_writer().write_all(line.as_bytes()).unwrap();
        }
        writer.turn();
    }
    (out.calls().concat(), queue.dropped.load(Ordering::Relaxed))
}

#[test]
fn s36_lines_that_cannot_be_written_are_counted_and_do_not_end_the_log() {
    let all = "one\ntwo\nthree\nfour\n";
    for (answers, written, lost) in [
        (&[][..], all, 0),
        (&[Some(2), Some(4)], all, 0),
        (&[None], "four\n", 3),
        (&[Some(0)], "four\n", 3),
        // What was whole is not lost.
        (&[Some(4), None], "one\nfour\n", 2),
        (&[Some(8), None], "one\ntwo\nfour\n", 1),
        // Half a line has no end but that of the next one's beginning.
        (&[Some(6), None], "one\ntw\nfour\n", 2),
        (&[Some(6), None, None], "one\ntw", 3),
        (&[Some(6), None, Some(1), None], "one\ntw\n", 3),
        (&[Some(6), None, Some(1), Some(2), None], "one\ntw\nfo", 3),
    ] {
        assert_eq!(after(answers), (written.to_owned(), lost), "{answers:?}");
    }
}
