//! What a call needs to be let in: a token of ACS, a signed media URL, and the key of its code in the
//! store. Made as others make them: by an issuer, by whoever answers calls, by another cloud.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Result, tls};

const ACS: &str = "https://acscallautomation.communication.azure.com";
/// Seconds that tokens, URLs and keys live: longer than any run.
const LIFE: u64 = 3600;
/// Keys that are set in one write.
const KEYS_AT_ONCE: usize = 100;

pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// The secret in the media URL of a call: HS256 (RFC 7515) over what it is for.
pub fn sign(secret: &str, call: &str, ani: &str, now: u64) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({
        "aud": "tonegate:media-url", "call": call, "exp": now + LIFE, "ani": ani,
    });
    let signed = format!(
        "{}.{}",
        part(json!({"alg": "HS256", "typ": "JWT"})),
        part(claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Orders a token of ACS for each call from `tonegate sim issuer`.
pub async fn tokens(
    issuer: SocketAddr,
    ca: &Path,
    audience: &str,
    count: u32,
) -> Result<Vec<String>> {
    let connector = TlsConnector::from(tls::client(ca, Some(Arc::default()))?);
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let mut tokens = Vec::new();
    for number in 0..count {
        let claims = json!({"iss": ACS, "aud": audience, "jti": format!("{run}-{number}")});
        let order = json!({"claims": claims, "expires_in": LIFE}).to_string();
        let socket = TcpStream::connect(issuer).await?;
        let mut stream = connector
            .connect(ServerName::try_from("localhost")?, socket)
            .await?;
        let request = format!(
            "POST /mint HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{order}",
            issuer.port(),
            order.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        // An end without a word of TLS is one, too: the answer has its length.
        let _ = stream.read_to_end(&mut answer).await;
        tokens.push(token(&answer).ok_or("the issuer gives no token")?);
    }
    Ok(tokens)
}

fn token(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body: Value = serde_json::from_slice(answer.get(end + 4..)?).ok()?;
    Some(body["token"].as_str()?.to_owned())
}

/// Stores a key for each caller, with the command that any Redis client has for it.
pub async fn store(redis: SocketAddr, keys: &[String]) -> Result<()> {
    let mut socket = TcpStream::connect(redis).await?;
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let commands: String = keys.iter().map(|key| set(key)).collect();
        socket.write_all(commands.as_bytes()).await?;
        let mut answers = vec![0; keys.len() * b"+OK\r\n".len()];
        socket.read_exact(&mut answers).await?;
        if answers.chunks(5).any(|answer| answer != b"+OK\r\n") {
            return Err("Redis stores no key".into());
        }
    }
    Ok(())
}

fn set(key: &str) -> String {
    let life = LIFE.to_string();
    let words = ["SET", key, "1", "EX", &life];
    let words = words.map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_a_signed_token() {
        let token = sign("secret", "c1", "+15551234567", 1_800_000_000);
        let parts: Vec<&str> = token.split('.').collect();
        let json = |part: &str| -> Value {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        assert_eq!(json(parts[0])["alg"], "HS256");
        let claims = json(parts[1]);
        assert_eq!(claims["aud"], "tonegate:media-url");
        assert_eq!(
            (&claims["call"], &claims["ani"]),
            (&json!("c1"), &json!("+15551234567"))
        );
        assert_eq!(claims["exp"], 1_800_003_600u64);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let tag = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert!(hmac::verify(&key, signed.as_bytes(), &tag).is_ok());
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn a_key_is_set_as_redis_has_it() {
        assert_eq!(
            set("pstn:+1:8"),
            "*5\r\n$3\r\nSET\r\n$9\r\npstn:+1:8\r\n$1\r\n1\r\n$2\r\nEX\r\n$4\r\n3600\r\n"
        );
    }

    #[test]
    fn an_answer_without_a_token_is_none() {
        assert_eq!(
            token(b"HTTP/1.1 200 OK\r\n\r\n{\"token\":\"a.b.c\"}").as_deref(),
            Some("a.b.c")
        );
        for answer in [
            "",
            "HTTP/1.1 400 x\r\n\r\n{\"error\":\"x\"}",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(token(answer.as_bytes()), None);
        }
    }
}
