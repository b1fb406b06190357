//! The nginx.conf that stood here and what replaces it, asked the same.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tonegate::app::Edge;
use tonegate::config::{Environment, Settings};
use tonegate::secret::Digest;

use super::deployed;
use crate::harness::{KEY, UPSTREAM_KEY, Wish, World, within};
use crate::tokens::{Issued, VOICE_LIVE};

const EVIL: (&str, &str) = ("Origin", "https://evil.example");

/// An nginx of this test's own; dropping it ends it.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM: the master takes its workers along.
        let id = Pid::from_child(&self.0);
        let _ = kill_process(id, Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// Serves the shipped file with this world's upstream as Azure; callers of the world go there.
    async fn start(world: &mut World) -> Nginx {
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let folder = world.folder.join("nginx");
        fs::create_dir_all(folder.join("tmp")).unwrap();
        fs::copy(world.folder.join("edge.pem"), folder.join("tls.crt")).unwrap();
        fs::copy(world.folder.join("edge.key"), folder.join("tls.key")).unwrap();
        let text = deployed("nginx.conf")
            .replace("127.0.0.1:8443", &format!("127.0.0.1:{port}"))
            .replace("REPLACE-ME", UPSTREAM_KEY)
            .replace(
                "my-resource.services.ai.azure.com",
                &format!("127.0.0.1:{}", world.upstream.port()),
            );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .args(["-g", "daemon off;", "-c"])
            .arg(folder.join("nginx.conf"))
            .arg("-p")
            .arg(&folder)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is missing: run `make tools`");
        world.port = port;
        within("nginx", async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Nginx(child)
    }
}

async fn issued() -> Issued {
    let wish = Wish {
        upstream_takes_any: true,
        ..Wish::default()
    };
    Issued::with(wish, VOICE_LIVE, "").await
}

#[tokio::test]
async fn b19_what_nginx_lets_through_is_what_the_table_says() {
    let mut issued = issued().await;
    let _nginx = Nginx::start(&mut issued.world).await;
    let world = &issued.world;
    // Nobody in particular, from a foreign page, spends the key.
    let caller = world.ask("/voice-proxy", &[EVIL]).await.unwrap();
    let seen = world.upstream_saw(|seen| seen.scenario.is_some()).await;
    assert_eq!(seen.header("api-key").collect::<Vec<_>>(), [UPSTREAM_KEY]);
    drop(caller);
    // What is no token goes on as one, and the agent as it was written.
    let target = "/agent-service?token=garbage&agentId=x%26model%3Dy&projectName=p";
    let caller = world.ask(target, &[EVIL]).await.unwrap();
    let bearer = |seen: &tonegate::sim::voice_live::connection::Connection| {
        seen.header("authorization").collect::<Vec<_>>() == ["Bearer garbage"]
    };
    let seen = world.upstream_saw(bearer).await;
    assert!(
        seen.target.contains("agent-id=x%26model%3Dy"),
        "{}",
        seen.target
    );
    drop(caller);
}

#[tokio::test]
async fn b19_what_replaces_it_refuses_the_same() {
    let mut issued = issued().await;
    let base = issued.provider.base();
    let upstream = format!(
        "url = \"wss://localhost:{}\"\nroots = \"ca.pem\"",
        issued.world.upstream.port()
    );
    let text = deployed("tonegate.toml")
        .replace("resource    = \"my-resource\"", &upstream)
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("tls.crt", "edge.pem")
        .replace("tls.key", "edge.key")
        .replace(&"0".repeat(64), &Digest::of(KEY).to_hex())
        .replace(
            "kind     = \"entra\"",
            &format!("kind     = \"entra\"\nauthority = \"{base}\"\nroots = \"ca.pem\""),
        );
    let file = issued.world.folder.join("deployed.toml");
    fs::write(&file, text).unwrap();
    let variables = Environment::of([("AZURE_SPEECH_KEY", UPSTREAM_KEY)]);
    let mut settings = Settings::read_in(&[file], &variables).unwrap();
    settings.boot.admin = "127.0.0.1:0".parse().unwrap();
    let edge = Edge::start(&settings).unwrap();
    issued.world.port = edge.public().port();
    issued.world.edge = Some(edge);
    let world = &issued.world;
    let key = ("api-key", KEY);
    world
        .refused("/voice-proxy", &[])
        .await
        .is(401, "unauthenticated");
    world
        .refused("/voice-proxy", &[key, EVIL])
        .await
        .is(403, "forbidden");
    for (target, status) in [
        ("/agent-service?token=garbage", 401),
        ("/agent-service?token=a&token=b", 400),
        ("/agent-service?agentId=x%26model%3Dy", 400),
        ("/voice-proxy?model=gpt%26agent-id%3Devil", 400),
    ] {
        assert_eq!(world.refused(target, &[]).await.status, status, "{target}");
    }
    assert_eq!(world.upstream_total(), 0);
    drop(world.ask("/voice-proxy", &[key]).await.unwrap());
}
