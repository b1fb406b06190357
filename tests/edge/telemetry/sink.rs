//! Whoever reads the log may stop: nobody but the log waits for that.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tonegate::sim::stream::Stream;

use crate::binary::tonegate;
use crate::harness::{KEY, Wish, World, read_answer, request, text, within};
use crate::metrics::get;

/// A line of a refusal has some 250 bytes, and a pipe holds 64 KiB: so many fill it. In a soak so many
/// that the log's own queue of 8192 lines is full as well.
fn refusals() -> usize {
    match std::env::var_os("TONEGATE_SOAK") {
        Some(_) => 9_500,
        None => 400,
    }
}

#[tokio::test]
async fn c17_s36_a_log_that_nobody_reads_holds_no_session_and_no_end() {
    let world = World::with(Wish {
        tls: false,
        ..Wish::default()
    })
    .await;
    let mut child = tonegate()
        .args(["serve", "--config"])
        .arg(world.folder.join("edge.toml"))
        .env("TONEGATE_LOG", "tonegate=debug")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Until both addresses are known the log is read, and then never again.
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut addresses = Vec::new();
    while addresses.len() < 2 {
        let line = within("a line", log.next_line()).await.unwrap().unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["role"].is_string() {
            addresses.push(line["address"].as_str().unwrap().parse().unwrap());
        }
    }
    let [public, admin]: [std::net::SocketAddr; 2] = addresses.try_into().unwrap();
    let connect = async |headers: &[(&str, &str)]| {
        let mut tcp = TcpStream::connect(public).await.unwrap();
        let asked = request("/ws?model=sim-echo", headers);
        tcp.write_all(asked.as_bytes()).await.unwrap();
        read_answer(Stream::Plain(tcp)).await
    };
    let mut before = connect(&[("api-key", KEY)]).await.ok().unwrap();
    let asks = futures_util::stream::iter(0..refusals()).map(|_| connect(&[]));
    let refused: Vec<_> = asks.buffer_unordered(16).collect().await;
    assert!(
        refused
            .iter()
            .all(|answer| answer.as_ref().is_err_and(|refused| refused.status == 401))
    );
    // A session that was there goes on, another one begins, and both end.
    let mut after = connect(&[("api-key", KEY)]).await.ok().unwrap();
    for caller in [&mut before, &mut after] {
        let begun = Instant::now();
        caller.send(text("is anybody there?")).await;
        assert_eq!(caller.next().await, Some(text("is anybody there?")));
        assert!(begun.elapsed() < Duration::from_secs(5));
        caller.close(1000, "").await;
        assert_eq!(caller.closed().await.0, Some(1000));
    }
    if refusals() > 9_000 {
        within("lines dropped", async {
            loop {
                let (_, page) = get(admin, "/metrics").await.unwrap();
                let dropped = page
                    .lines()
                    .find_map(|line| line.strip_prefix("tonegate_log_lines_dropped_total "));
                if dropped.is_some_and(|count| count.parse::<u64>().unwrap() > 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    let id = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let ended = within("the end", child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    drop(log);
}
