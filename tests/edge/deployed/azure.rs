//! The settings that the template brings, and what the template says about them.

use std::collections::BTreeSet;
use std::fs;

use tonegate::config::{Engine, Environment, Settings};
use tonegate::ids::SessionId;
use tonegate::sim::certificate::Authority;

use super::deployed;

/// Names of variables that the template sets.
fn variables(template: &str) -> BTreeSet<String> {
    let (_, env) = template.split_once("env: [").unwrap();
    let (env, _) = env.split_once("volumeMounts: [").unwrap();
    let names = env.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("name: '")?;
        Some(rest.trim_end_matches('\'').to_owned())
    });
    names.collect()
}

/// A number that a parameter has where nobody gives another.
fn usual(template: &str, parameter: &str) -> usize {
    let (_, rest) = template
        .split_once(&format!("\nparam {parameter} int = "))
        .unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[test]
fn c07_c08_the_template_brings_all_that_its_settings_name() {
    let template = deployed("azure/main.bicep");
    let text = deployed("azure/edge.toml");
    let set = variables(&template);
    let named: BTreeSet<String> = text
        .split("${")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap().to_owned())
        .collect();
    assert_eq!(set, named);
    let folder = std::env::temp_dir().join(format!("tonegate-azure-{}", SessionId::random()));
    fs::create_dir(&folder).unwrap();
    // As Key Vault keeps a certificate: the key and the chain in one file.
    let identity = Authority::new("azure").issue(&["localhost"]).unwrap();
    let pem = format!("{}{}", identity.key_pem, identity.chain_pem);
    fs::write(folder.join("tls.pem"), pem).unwrap();
    let file = folder.join("edge.toml");
    fs::write(&file, &text).unwrap();
    let values = Environment::of([
        ("AZURE_CLIENT_ID", "22222222-2222-3333-4444-555555555555"),
        ("EDGE_OBJECT_ID", "33333333-2222-3333-4444-555555555555"),
        ("REDIS_HOST", "tonegate.westeurope.redis.azure.net"),
        ("TENANT_ID", "11111111-2222-3333-4444-555555555555"),
        ("AUDIENCE", "api://edge"),
        ("VOICE_RESOURCE", "my-resource"),
        ("ORIGIN", "https://app.example.com"),
    ]);
    let settings = Settings::read_in(&[file], &values);
    let settings = settings.unwrap();
    let checked = tonegate::app::check(&settings);
    fs::remove_dir_all(&folder).unwrap();
    checked.unwrap();
    // What the world reaches is what listens; what operators have is not reached from outside.
    assert!(template.contains(&format!("targetPort: {}\n", settings.boot.listen.port())));
    assert!(settings.boot.admin.ip().is_loopback());
    let Engine::Redis(_) = &settings.boot.store.engine else {
        panic!("edges that know nothing of each other");
    };
    let limits = &settings.live.limits;
    assert_eq!(usual(&template, "maxReplicas"), limits.replicas as usize);
    // Another replica comes before this one is full.
    assert!(usual(&template, "connectionsPerReplica") < limits.sessions);
    assert_eq!(usual(&template, "retentionDays"), 30);
    // All clients have one address there, so its share is all there is.
    assert_eq!(limits.unadmitted_per_address, limits.unadmitted);
    assert!(template.contains("NEVER COMPILED, NEVER DEPLOYED."));
}

#[test]
fn c07_nothing_but_the_edge_is_public_in_the_template() {
    let template = deployed("azure/main.bicep");
    assert_eq!(template.matches("external: true").count(), 1);
    assert_eq!(
        template.matches("publicNetworkAccess: 'Disabled'").count(),
        1
    );
    assert_eq!(
        template
            .matches("accessKeysAuthentication: 'Disabled'")
            .count(),
        1
    );
    // One rule lets the internet in, to the edge's port; the last one lets in nobody.
    assert_eq!(
        template.matches("sourceAddressPrefix: 'Internet'").count(),
        1
    );
    assert_eq!(template.matches("access: 'Deny'").count(), 2);
    // No key, no connection string: what is secret is a reference, or an identity.
    for word in [
        "listKeys",
        "password",
        "connectionString",
        "@secure",
        "AccountKey",
    ] {
        assert!(!template.contains(word), "{word}");
    }
}
