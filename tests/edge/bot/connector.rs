//! What the bot writes, before a connector that is strict, slow, away or wrong: once, or not at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;
use tonegate::metrics::Metrics;
use tonegate::sim::connector::{AUDIENCE, Connector as Simulated, Desk, Options, Trouble};
use tonegate::sim::platform;
use tonegate::upstream::connector::{
    Activity, Connector, Failure, Forbidden, Kind, Reference, Sent,
};

use super::peers::{CANARY, Peers, Trap, counted};
use crate::harness::within;

pub const CONVERSATION: &str = "19:a/b@thread.tacv2;messageid=1";
const PERSON: &str = "0000000a-1111-4222-8333-0123456789ab";
const SECRET: &str = "secret~of/the&bot=+";

/// One conversation of a channel, and an edge that is the bot.
struct World {
    desk: Arc<Desk>,
    bot: Connector,
    metrics: Arc<Metrics>,
    peers: Peers,
}

impl World {
    /// By a secret of the registration, in its tenant.
    async fn usual() -> World {
        World::with("").await
    }

    async fn with(lines: &str) -> World {
        let secret = |of: &mut platform::Options| of.secret = Some(SECRET.to_owned());
        let peers = Peers::new(AUDIENCE, true, secret).await;
        let tenant = platform::Options::loopback().tenant;
        let lines = format!("{}tenant = \"{tenant}\"\n{lines}", by_secret(&peers));
        World::before(peers, true, &tenant, &lines, &[]).await
    }

    async fn before(
        peers: Peers,
        tls: bool,
        tenant: &str,
        lines: &str,
        variables: &[(&str, &str)],
    ) -> World {
        let app_id = platform::Options::loopback().client_id;
        let simulated = Simulated::bind(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            identity: tls.then(|| peers.identity()),
            provider: peers.provider.clone(),
            tenant: tenant.to_owned(),
            app_id: app_id.clone(),
            prefix: "/amer".to_owned(),
        });
        let simulated = simulated.await.unwrap();
        let desk = simulated.desk();
        tokio::spawn(simulated.serve(peers.stop.clone()));
        let services = match lines.contains("service_urls") {
            true => String::new(),
            false => format!("service_urls = [\"{}\"]", desk.base()),
        };
        let table =
            format!("[bot]\napp_id = \"{app_id}\"\nroots = \"ca.pem\"\n{services}\n{lines}\n");
        let settings = peers.settings(&table, variables).live.bot.unwrap();
        let metrics = Arc::new(Metrics::new());
        let bot = Connector::new(settings, metrics.clone()).unwrap();
        peers.run(bot.identity());
        desk.open(CONVERSATION);
        World {
            desk,
            bot,
            metrics,
            peers,
        }
    }

    fn reference(&self) -> Reference {
        at(&self.desk.service_url())
    }

    async fn reply(&self) -> Result<Sent, Failure> {
        let to = self.reference();
        within("a reply", self.bot.reply(&to, Some("1700000000000"), "No.")).await
    }

    /// It was not sent, for this reason, which was counted; nothing that the connector said is told.
    async fn fails(&self, kind: Kind) -> Failure {
        let failure = self.reply().await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(!format!("{failure:?}").contains(CANARY));
        let series = "tonegate_bot_messages_total";
        let line = format!(
            "{series}{{operation=\"reply\",result=\"{}\"}} 1",
            kind.word()
        );
        counted(&self.metrics, &line);
        self.was_sound();
        failure
    }

    /// Sound messages, and those of them that were taken.
    fn seen(&self) -> (u64, usize) {
        (self.desk.asked(), self.desk.taken().len())
    }

    fn was_sound(&self) {
        assert_eq!(self.desk.violations(), [""; 0]);
        assert_eq!(self.peers.platform.asked().refused, [""; 0]);
    }
}

fn by_secret(peers: &Peers) -> String {
    format!(
        "secret = \"{SECRET}\"\nauthority = \"https://localhost:{}\"\n",
        peers.port
    )
}

pub fn at(service_url: &str) -> Reference {
    let written = json!({
        "serviceUrl": service_url,
        "channelId": "msteams",
        "conversation": CONVERSATION,
        "bot": "28:99999999-8888-7777-6666-555555555555",
        "user": "29:1abc",
        "aadObjectId": PERSON,
        "tenantId": "11111111-2222-3333-4444-555555555555",
        "locale": "en-US",
    });
    serde_json::from_value(written).unwrap()
}

#[tokio::test]
async fn c03_a_service_that_is_not_listed_is_shown_nothing() {
    let trap = Trap::new().await;
    let world = World::usual().await;
    let port = world.desk.base().rsplit_once(':').unwrap().1.to_owned();
    for url in [
        format!("https://localhost:{}/amer/", trap.port),
        format!("http://localhost:{}/amer/", trap.port),
        // The same one by another name, or without TLS.
        format!("https://127.0.0.1:{port}/amer/"),
        format!("http://localhost:{port}/amer/"),
        format!("https://localhost:{port}@127.0.0.1:{}/", trap.port),
        format!("https://localhost.:{port}/amer/"),
        format!("https://localhost:{port}/amer/../"),
        "https://smba.trafficmanager.net/amer/".to_owned(),
    ] {
        let sent = within("no reply", world.bot.reply(&at(&url), None, "No.")).await;
        assert_eq!(sent.unwrap_err().kind, Kind::Unlisted, "{url}");
    }
    assert_eq!(world.seen(), (0, 0));
    trap.is_untouched().await;
    let there = format!("https://localhost:{}/", trap.port);
    world.desk.then([Trouble::Redirect(there)]);
    world.fails(Kind::Refused).await;
    assert_eq!(world.seen(), (1, 0));
    trap.is_untouched().await;
}

#[tokio::test]
async fn c24_a_message_that_may_have_been_taken_is_not_sent_again() {
    for (trouble, kind, taken) in [
        (Trouble::Lost, Kind::Lost, 1),
        (Trouble::Held(Duration::from_secs(60)), Kind::Timeout, 1),
        (Trouble::Status(500), Kind::Failed, 0),
        (Trouble::Status(502), Kind::Failed, 0),
        (Trouble::Status(503), Kind::Failed, 0),
        (Trouble::Later(503, 0), Kind::Failed, 0),
        (Trouble::Status(504), Kind::Timeout, 0),
    ] {
        let world = World::with("timeout = \"500ms\"").await;
        world.peers.given(|asked| asked.given.len() == 1).await;
        world.desk.then([trouble]);
        let failure = world.fails(kind).await;
        assert!(!failure.kind.is_unsent());
        assert_eq!(world.seen(), (1, taken), "{kind:?}");
    }
}

#[tokio::test]
async fn c24_why_a_bot_may_not_write_is_told_apart() {
    let nested = Trouble::Nested;
    let code = |code| Trouble::Code(403, code);
    for (trouble, why) in [
        (nested("MessageWritesBlocked"), Forbidden::WritesBlocked),
        (code("MessageWritesBlocked"), Forbidden::WritesBlocked),
        (code("ConversationBlockedByUser"), Forbidden::BlockedByUser),
        (code("ForbiddenOperationException"), Forbidden::NotInstalled),
        (code("BotNotInConversationRoster"), Forbidden::NotInRoster),
        (
            Trouble::Code(404, "BotNotInConversationRoster"),
            Forbidden::NotInRoster,
        ),
        (code("BotDisabledByAdmin"), Forbidden::DisabledByAdmin),
        (code("InvalidBotApiHost"), Forbidden::WrongHost),
        (code("NotEnoughPermissions"), Forbidden::NotPermitted),
        (code("SomethingNew"), Forbidden::Other),
        (nested("SomethingNew"), Forbidden::Other),
        (Trouble::Status(403), Forbidden::Other),
    ] {
        let world = World::usual().await;
        world.desk.then([trouble]);
        let failure = world.fails(Kind::Forbidden(why)).await;
        assert!(failure.kind.is_unsent());
        assert_eq!(world.seen(), (1, 0));
    }
}

#[tokio::test]
async fn c24_other_refusals_are_told_apart_and_stay() {
    for (trouble, kind) in [
        (Trouble::Status(400), Kind::Refused),
        (
            Trouble::Code(404, "ActivityNotFoundInConversation"),
            Kind::NotFound,
        ),
        (Trouble::Code(413, "MessageSizeTooBig"), Kind::TooLarge),
        (Trouble::Status(409), Kind::Refused),
    ] {
        let world = World::usual().await;
        world.desk.then([trouble]);
        world.fails(kind).await;
        assert_eq!(world.seen(), (1, 0));
    }
    // A conversation that is gone.
    let world = World::usual().await;
    let mut gone = serde_json::to_value(world.reference()).unwrap();
    gone["conversation"] = json!("a:gone");
    let gone = serde_json::from_value(gone).unwrap();
    let sent = within("no reply", world.bot.reply(&gone, None, "No.")).await;
    let failure = sent.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert_eq!(failure.status.unwrap(), 404);
    world.was_sound();
}

#[tokio::test]
async fn c24_a_message_that_was_not_taken_is_sent_again_within_bounds() {
    for trouble in [
        Trouble::Code(412, "PreconditionFailed"),
        Trouble::Later(429, 1),
        Trouble::Status(429),
    ] {
        let world = World::usual().await;
        let waits = trouble == Trouble::Later(429, 1);
        world.desk.then([trouble]);
        let begun = Instant::now();
        assert!(world.reply().await.unwrap().id.is_some());
        assert!(!waits || begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(world.seen(), (2, 1));
        world.was_sound();
    }
    for (trouble, kind) in [
        (Trouble::Status(412), Kind::PreconditionFailed),
        (Trouble::Later(429, 0), Kind::Throttled),
    ] {
        let world = World::usual().await;
        world.desk.then(vec![trouble; 9]);
        world.fails(kind).await;
        assert_eq!(world.seen(), (3, 0));
    }
    // Whoever asked is told when to come again.
    let world = World::usual().await;
    world.desk.then([Trouble::Later(429, 3600)]);
    let failure = world.fails(Kind::Throttled).await;
    assert_eq!(failure.after, Some(Duration::from_secs(3600)));
    assert_eq!(world.seen(), (1, 0));
}

#[tokio::test]
async fn c24_a_connector_that_does_not_connect_is_tried_again_within_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let world = World::with(&format!("service_urls = [\"{url}\"]")).await;
    let closed = tokio::spawn(async move {
        // Each connection ends in the TLS handshake: nothing was asked on it.
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        listener
    });
    let to = at(&url);
    let sent = within("no reply", world.bot.reply(&to, None, "No.")).await;
    let failure = sent.unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable);
    assert!(failure.kind.is_unsent());
    let listener = within("three connections", closed).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(more.is_err());
}

#[tokio::test]
async fn c22_a_reply_and_a_message_of_its_own_arrive_at_the_conversation() {
    let world = World::usual().await;
    let sent = world.reply().await.unwrap();
    assert_eq!(sent.id.as_deref(), Some("1:1"));
    let card = json!({
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive"}],
        "recipient": {"id": "29:another"},
    });
    let activity = Activity::read(card.to_string().as_bytes()).unwrap();
    let to = world.reference();
    within("a message", world.bot.send(&to, activity))
        .await
        .unwrap();
    let taken = world.desk.taken();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|taken| taken.conversation == CONVERSATION));
    assert_eq!(taken[0].answers.as_deref(), Some("1700000000000"));
    assert_eq!(taken[0].body["text"], "No.");
    assert_eq!(taken[0].body["textFormat"], "plain");
    assert_eq!(taken[1].answers, None);
    assert_eq!(taken[1].body["attachments"], card["attachments"]);
    assert_eq!(taken[1].body["recipient"]["id"], "29:1abc");
    assert_eq!(taken[1].body["recipient"]["aadObjectId"], PERSON);
    for line in [
        "tonegate_bot_messages_total{operation=\"reply\",result=\"ok\"} 1",
        "tonegate_bot_messages_total{operation=\"send\",result=\"ok\"} 1",
        "tonegate_bot_message_seconds_count{operation=\"send\"} 1",
        "tonegate_identity_token_fetches_total{upstream=\"bot\",result=\"ok\"} 1",
    ] {
        counted(&world.metrics, line);
    }
    assert_eq!(world.peers.platform.asked().given, ["secret"]);
    world.was_sound();
    // It was taken, whatever the answer is.
    world.desk.then([Trouble::Text("<html>".to_owned())]);
    assert_eq!(world.reply().await.unwrap(), Sent { id: None });
}

#[tokio::test]
async fn c22_a_bot_of_any_tenant_asks_where_those_do() {
    let secret = |of: &mut platform::Options| {
        of.secret = Some(SECRET.to_owned());
        of.tenant = "botframework.com".to_owned();
    };
    let peers = Peers::new(AUDIENCE, true, secret).await;
    let lines = by_secret(&peers);
    let world = World::before(peers, true, "botframework.com", &lines, &[]).await;
    world.reply().await.unwrap();
    assert_eq!(world.peers.platform.asked().given, ["secret"]);
    world.was_sound();
}

#[tokio::test]
async fn c09_a_platform_vouches_for_the_bot() {
    let tenant = platform::Options::loopback().tenant;
    let lines = "managed_identity = true";
    let peers = Peers::new(AUDIENCE, false, |_| {}).await;
    let world = World::before(peers, true, &tenant, lines, &[]).await;
    world.reply().await.unwrap();
    assert_eq!(world.peers.platform.asked().given, ["imds"]);
    world.was_sound();
    // A service account, in the registration's own tenant.
    let peers = Peers::new(AUDIENCE, true, |_| {}).await;
    let file = peers.folder.join("token");
    std::fs::write(&file, platform::Options::loopback().assertion).unwrap();
    let file = file.display().to_string();
    let authority = format!("https://localhost:{}", peers.port);
    let variables = [
        ("AZURE_FEDERATED_TOKEN_FILE", file.as_str()),
        ("AZURE_TENANT_ID", "another"),
        ("AZURE_CLIENT_ID", "another"),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    let lines = format!("{lines}\ntenant = \"{tenant}\"");
    let world = World::before(peers, true, &tenant, &lines, &variables).await;
    world.reply().await.unwrap();
    assert_eq!(world.peers.platform.asked().given, ["workload"]);
    world.was_sound();
}

#[tokio::test]
async fn c09_a_refused_token_is_replaced_once_and_the_message_sent_once() {
    let world = World::usual().await;
    world.desk.then([Trouble::Status(401)]);
    world.reply().await.unwrap();
    assert_eq!(world.seen(), (2, 1));
    assert_eq!(world.desk.taken()[0].token, 2);
    let world = World::usual().await;
    world
        .desk
        .then(vec![Trouble::Code(401, "BotNotRegistered"); 9]);
    world.fails(Kind::Unauthorized).await;
    assert_eq!(world.seen(), (2, 0));
}

#[tokio::test]
async fn c09_without_a_token_nothing_is_sent() {
    let peers = Peers::new(AUDIENCE, false, |_| {}).await;
    peers.platform.fail(1000);
    let tenant = platform::Options::loopback().tenant;
    let world = World::before(peers, true, &tenant, "managed_identity = true", &[]).await;
    assert_eq!(world.reply().await.unwrap_err().kind, Kind::Unauthorized);
    assert_eq!(world.seen(), (0, 0));
}

/// As it is written out: `http://`, and loopback.
#[tokio::test]
async fn c03_plain_text_is_for_loopback_where_it_is_written_out() {
    let peers = Peers::new(AUDIENCE, false, |_| {}).await;
    let tenant = platform::Options::loopback().tenant;
    let world = World::before(peers, false, &tenant, "managed_identity = true", &[]).await;
    assert!(world.desk.base().starts_with("http://"));
    world.reply().await.unwrap();
    assert_eq!(world.seen(), (1, 1));
    world.was_sound();
}
