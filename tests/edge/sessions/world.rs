//! An edge that tells of its sessions, on a route for each of the three ways.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tonegate::secret::Digest;

use crate::gateway::app::{Answer, App, read};
use crate::harness::{Caller, Wish, World, text, within};
use crate::tokens::{AUDIENCE, Issued, TENANT};

/// People of Entra, and who they are to the customer.
pub const ENGINEER: &str = "00000000-0000-4000-8000-000000000001";
pub const COLLEAGUE: &str = "00000000-0000-4000-8000-000000000002";
pub const MANAGER: &str = "00000000-0000-4000-8000-000000000003";
/// Reports to nobody there is.
pub const STRANGER: &str = "00000000-0000-4000-8000-000000000009";

/// A key of whoever runs the edge.
pub const OPERATOR: &str = "the-operators-key-3Kp";

/// Where everybody sees their own, people their team, and the operator all.
pub const MINE: &str = "/mine";
pub const TEAM: &str = "/team";
pub const ALL: &str = "/all";

pub const BY_DIRECTORY: &str =
    "[roles]\nby = \"http\"\nurl = \"http://PEOPLE/people/{tenant}/{person}\"\ncache = \"0s\"\n";

/// An edge, an issuer of tokens, and a directory of people.
pub struct Office {
    pub issued: Issued,
    pub directory: Arc<App>,
}

/// A session, and its id as the edge names it.
pub struct Opened {
    pub caller: Caller,
    pub id: String,
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// In so many seconds, as answers write it.
pub fn date(seconds: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(at).to_string()
}

impl Office {
    pub async fn usual() -> Office {
        Office::with(BY_DIRECTORY, Wish::default()).await
    }

    /// `roles` is the table, and what else is to be in the settings.
    pub async fn with(roles: &str, wish: Wish) -> Office {
        let (directory, people) = App::start(None).await;
        for (person, body) in [
            (ENGINEER, json!({"id": "eng-001"})),
            (COLLEAGUE, json!({"id": "eng-002"})),
            (
                MANAGER,
                json!({"id": "mgr-001", "reports": ["eng-001", "eng-002"]}),
            ),
            (STRANGER, json!({"id": "eng-009"})),
        ] {
            let path = format!("/people/{TENANT}/{person}");
            directory.says(&path, 200, &body.to_string());
        }
        let roles = roles.replace("PEOPLE", &people.to_string());
        let route = |name: &str, path: &str, lines: &str| {
            format!(
                "[[routes]]\nname = \"{name}\"\npaths = [\"{path}\"]\nkind = \"sessions\"\n{lines}\n"
            )
        };
        let more = [
            route(
                "mine",
                MINE,
                "admit = [\"users\", \"key\"]\norigins = [\"https://app.example.com\"]",
            ),
            route("team", TEAM, "see = \"team\"\nadmit = [\"users\", \"key\"]"),
            route("all", ALL, "see = \"all\"\nadmit = [\"key\"]"),
        ]
        .concat();
        let operator = format!(
            "[[keys]]\nname = \"operator\"\nroutes = [\"all\", \"mine\"]\nsha256 = \"{}\"\n",
            Digest::of(OPERATOR).to_hex()
        );
        // Whoever may see all is named by routes, so no key may be without.
        let key = match wish.key.contains("routes = ") {
            true => wish.key,
            false => format!("routes = [\"browser\", \"mine\", \"team\"]\n{}", wish.key),
        };
        let wish = Wish {
            key,
            more: format!("{}\n{roles}\n{operator}\n{more}\n", wish.more),
            ..wish
        };
        let issued = Issued::with(wish, AUDIENCE, "leeway = \"0s\"").await;
        Office { issued, directory }
    }

    pub fn world(&self) -> &World {
        &self.issued.world
    }

    /// A token of somebody that ends in so many seconds.
    pub fn token(&self, person: &str, seconds: u64) -> String {
        let token = self.issued.token(|mint| {
            mint.claims["oid"] = json!(person);
            mint.claims["exp"] = json!(now() + seconds);
        });
        format!("Authorization: Bearer {token}\r\n")
    }

    /// Somebody's session, which ends with their token.
    pub async fn opens(&self, person: &str, seconds: u64) -> Opened {
        self.opens_with(&self.token(person, seconds)).await
    }

    /// A session with this credential, a header as it stands in a request.
    pub async fn opens_with(&self, credential: &str) -> Opened {
        let header = credential.trim_end();
        let header = header.split_once(": ").unwrap();
        let asked = self.world().ask("/ws?model=sim-echo", &[header]).await;
        let mut caller = asked.unwrap();
        let id = caller.head.one("x-tonegate-session").unwrap().to_owned();
        assert_eq!(id.len(), 24, "{id}");
        caller.send(text("hello")).await;
        assert_eq!(caller.next().await, Some(text("hello")));
        Opened { caller, id }
    }

    /// Asks this edge.
    pub async fn asks(&self, credential: &str, line: &str) -> Answer {
        self.asks_at(self.world().port, credential, line).await
    }

    /// Asks the edge at a port.
    pub async fn asks_at(&self, port: u16, credential: &str, line: &str) -> Answer {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let mut io = self.world().over(tcp.unwrap()).await;
        let head = format!("{line} HTTP/1.1\r\nHost: edge.example.com\r\n{credential}\r\n");
        io.write_all(head.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        within("an answer", read(&mut io, false)).await
    }

    /// Ids of the sessions that are told of there.
    pub async fn lists(&self, credential: &str, path: &str) -> Vec<String> {
        let answer = self.asks(credential, &format!("GET {path}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        ids(&answer)
    }

    /// What becomes of looking at one session, and whether it is in the list.
    pub async fn sees(&self, person: &str, id: &str) -> (u16, bool) {
        let credential = self.token(person, 60);
        let shown = self.asks(&credential, &format!("GET {TEAM}/{id}")).await;
        let listed = self.lists(&credential, TEAM).await;
        (shown.status, listed.iter().any(|other| other == id))
    }
}

impl Opened {
    /// It goes on.
    pub async fn lives(&mut self) {
        self.caller.send(text("still here")).await;
        assert_eq!(self.caller.next().await, Some(text("still here")));
    }

    pub async fn ends(&mut self, code: u16, reason: &str) {
        assert_eq!(self.caller.closed().await, (Some(code), reason.to_owned()));
    }
}

pub fn said(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn ids(answer: &Answer) -> Vec<String> {
    let told = said(answer);
    let sessions = told["sessions"].as_array().unwrap().iter();
    sessions
        .map(|session| session["session"].as_str().unwrap().to_owned())
        .collect()
}
