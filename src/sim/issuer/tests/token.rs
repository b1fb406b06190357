use super::*;
use crate::sim::issuer::provider::Provider;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use std::time::SystemTime;

fn provider() -> Provider {
    Provider::new("https://localhost:1".to_owned())
}

fn good(provider: &Provider) -> Mint {
    Mint::entra_v2(&provider.base(), TENANT, AUDIENCE)
}

/// Whether the key of this JWK made the signature, if the algorithm is one that we know.
fn verify(token: &Token, jwk: &Value) -> bool {
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let rsa = |parameters: &RsaParameters| {
        let key = RsaPublicKeyComponents {
            n: part("n"),
            e: part("e"),
        };
        key.verify(parameters, &token.input, &token.signature)
    };
    let verified = match token.header["alg"].as_str().unwrap() {
        "RS256" => rsa(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => rsa(&RSA_PKCS1_2048_8192_SHA384),
        "PS256" => rsa(&RSA_PSS_2048_8192_SHA256),
        "ES256" => {
            let point = [vec![4], part("x"), part("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(&token.input, &token.signature)
        }
        "EdDSA" => {
            let key = UnparsedPublicKey::new(&ED25519, part("x"));
            key.verify(&token.input, &token.signature)
        }
        other => panic!("{other}"),
    };
    verified.is_ok()
}

#[test]
fn every_signature_is_of_the_published_key_and_of_no_other() {
    let provider = provider();
    let keys = provider.keys_document();
    let algorithms = [
        (Algorithm::Rs256, 0, 256),
        (Algorithm::Rs384, 0, 256),
        (Algorithm::Ps256, 0, 256),
        (Algorithm::Es256, 1, 64),
        (Algorithm::EdDsa, 2, 64),
    ];
    assert_eq!(algorithms.len(), 5);
    for (algorithm, at, length) in algorithms {
        let mint = Mint {
            algorithm: algorithm.clone(),
            ..good(&provider)
        };
        let token = Token::read(&provider.mint(&mint));
        assert_eq!(token.header["alg"], algorithm.name());
        assert_eq!(token.header["typ"], "JWT");
        assert_eq!(token.header["kid"], keys["keys"][at]["kid"]);
        assert_eq!(token.signature.len(), length);
        assert!(verify(&token, &keys["keys"][at]), "{algorithm:?}");
        let mut spoiled = Token::read(&provider.mint(&mint));
        spoiled.input[40] ^= 1;
        assert!(!verify(&spoiled, &keys["keys"][at]), "{algorithm:?}");
        let forged = Mint {
            key: KeyChoice::Unpublished,
            ..mint
        };
        let forged = Token::read(&provider.mint(&forged));
        assert_eq!(forged.header, token.header);
        assert_eq!(forged.claims, token.claims);
        assert_eq!(forged.signature.len(), length);
        assert!(!verify(&forged, &keys["keys"][at]), "{algorithm:?}");
    }
    assert_eq!(provider.kid(), keys["keys"][0]["kid"]);
}

#[test]
fn an_unsigned_token_ends_in_a_dot() {
    let provider = provider();
    let mint = Mint {
        algorithm: Algorithm::None,
        ..good(&provider)
    };
    let token = provider.mint(&mint);
    assert!(token.ends_with('.'));
    let token = Token::read(&token);
    assert_eq!(token.header["alg"], "none");
    assert_eq!(token.header["kid"], provider.kid());
}

#[test]
fn the_public_key_can_be_taken_for_a_secret() {
    let provider = provider();
    let secret = provider.public_pem().into_bytes();
    let mint = Mint {
        algorithm: Algorithm::Hs256 {
            secret: secret.clone(),
        },
        ..good(&provider)
    };
    let token = Token::read(&provider.mint(&mint));
    assert_eq!(token.header["alg"], "HS256");
    assert_eq!(token.header["kid"], provider.kid());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    hmac::verify(&key, &token.input, &token.signature).unwrap();
}

#[test]
fn the_pem_holds_the_modulus_that_is_published() {
    let provider = provider();
    let pem = provider.public_pem();
    let lines: Vec<&str> = pem.lines().collect();
    let [
        "-----BEGIN PUBLIC KEY-----",
        text @ ..,
        "-----END PUBLIC KEY-----",
    ] = &lines[..]
    else {
        panic!("{pem}");
    };
    assert!(text.iter().all(|line| line.len() <= 64));
    let der = base64::engine::general_purpose::STANDARD
        .decode(text.concat())
        .unwrap();
    let modulus = provider.keys_document()["keys"][0]["n"].clone();
    let modulus = URL_SAFE_NO_PAD.decode(modulus.as_str().unwrap()).unwrap();
    assert!(der.windows(256).any(|window| window == modulus));
    provider.rotate();
    assert_ne!(provider.public_pem(), pem);
}

#[test]
fn good_claims_are_those_of_their_issuer() {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let base = provider().base();
    let v2 = Mint::entra_v2(&base, TENANT, AUDIENCE).claims;
    let v1 = Mint::entra_v1(TENANT, AUDIENCE).claims;
    let oidc = Mint::oidc(&base, AUDIENCE).claims;
    let acs = Mint::acs(AUDIENCE).claims;
    for claims in [&v2, &v1, &oidc, &acs] {
        assert_eq!(claims["aud"], AUDIENCE);
        let iat = claims["iat"].as_u64().unwrap();
        assert!((now..now + 60).contains(&iat));
        assert_eq!(claims["nbf"], iat);
        assert_eq!(claims["exp"], iat + 3600);
    }
    for (claims, version) in [(&v2, "2.0"), (&v1, "1.0")] {
        assert_eq!(claims["ver"], version);
        assert_eq!(claims["tid"], TENANT);
        assert_eq!(claims["scp"], "user_impersonation");
        assert!(claims["oid"].is_string() && claims["sub"].is_string());
    }
    assert_eq!(v2["iss"], format!("{base}/{TENANT}/v2.0"));
    assert!(v2["azp"].is_string() && v2.get("appid").is_none());
    assert_eq!(v1["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert!(v1["appid"].is_string() && v1.get("azp").is_none());
    assert_eq!(oidc["iss"], base);
    assert_eq!(
        acs["iss"],
        "https://acscallautomation.communication.azure.com"
    );
    assert_eq!(acs.get("sub"), None);
}

#[test]
fn one_thing_at_a_time_can_be_spoiled() {
    let provider = provider();
    let mint = good(&provider).with("exp", 5).without("tid");
    let mint = Mint {
        header: json!({ "kid": null, "typ": "at+jwt", "crit": ["x"] }),
        ..mint.with("roles", json!(["a"]))
    };
    let token = Token::read(&provider.mint(&mint));
    assert_eq!(
        token.header,
        json!({ "alg": "RS256", "typ": "at+jwt", "crit": ["x"] })
    );
    assert_eq!(token.claims["exp"], 5);
    assert_eq!(token.claims["roles"], json!(["a"]));
    assert_eq!(token.claims.get("tid"), None);
    assert_eq!(token.claims["aud"], AUDIENCE);
    let mint = Mint {
        claims: json!([1]),
        ..mint
    };
    let token = Token::read(&provider.mint(&mint.with("a", 1)));
    assert_eq!(token.claims, json!([1]));
}

#[test]
fn any_bytes_can_be_signed() {
    let provider = provider();
    let header = format!(
        r#"{{"alg":"RS256","alg":"none","kid":"{}"}}"#,
        provider.kid()
    );
    let token = provider.sign(
        header.as_bytes(),
        b"\xff",
        &Algorithm::Rs256,
        KeyChoice::Signing,
    );
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(URL_SAFE_NO_PAD.decode(parts[0]).unwrap(), header.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.decode(parts[1]).unwrap(), b"\xff");
    let token = Token {
        header: json!({ "alg": "RS256" }),
        claims: Value::Null,
        input: token[..token.rfind('.').unwrap()].into(),
        signature: URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
    };
    assert!(verify(&token, &provider.keys_document()["keys"][0]));
}
