//! HTTP/3: announced on HTTPS listeners, served to our own client and to one of another make.

use crate::support::{Dev, certificates::Authority, certificates::secret, manifests::*};
use portolan_client::HttpVersion;
use std::{path::PathBuf, process::Command};

async fn serving(ca: &Authority) -> Dev {
    let listener = "- {name: x, port: 8443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: cert}]}}";
    Dev::start([
        gateway("web", listener),
        secret("cert", &ca.server(&["a.test"])),
        echo("one"),
        one_rule("r", "backendRefs: [{name: one, port: 8080}]"),
    ])
    .await
}

#[tokio::test]
async fn http3_is_announced_with_the_port_that_clients_use() {
    let ca = Authority::new();
    let dev = serving(&ca).await;
    let reply = dev.ask("https://a.test:8443/").trust(ca.pem()).send().await;
    let announced = reply.header("alt-svc").unwrap_or_default().to_owned();
    assert!(announced.contains("h3=\":8443\""), "{announced:?}");
}

#[tokio::test]
async fn http3_serves_requests_with_and_without_bodies() {
    let ca = Authority::new();
    let dev = serving(&ca).await;
    let ask = |url: &str| dev.ask(url).trust(ca.pem()).version(HttpVersion::Http3);
    let reply = ask("https://a.test:8443/p?q").send().await;
    assert_eq!((reply.pod().as_str(), reply.echo().path.as_str()), ("one-0", "/p?q"));
    assert_eq!(reply.received("x-forwarded-proto"), ["https"]);
    assert_eq!(ask("POST https://a.test:8443/").body(vec![b'y'; 300_000]).send().await.echo().body_length, 300_000);
    assert_eq!(ask("https://a.test:8443/?echo-body-size=2000000").send().await.0.bytes, 2_000_000);
    assert_eq!(ask("HEAD https://a.test:8443/").send().await.text(), "");
    assert_eq!(ask("https://a.test:8443/?echo-status=418").status().await, 418);
}

#[tokio::test]
async fn http3_requests_follow_each_other_on_one_connection() {
    let ca = Authority::new();
    let dev = serving(&ca).await;
    let tally = dev.ask("https://a.test:8443/").trust(ca.pem()).version(HttpVersion::Http3).many(300, 3).await;
    assert_eq!((tally.status(200), tally.failed(), tally.connections), (300, 0, 3), "{tally:?}");
}

/// Where aioquic is kept between runs.
fn python_packages() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("aioquic")
}

/// Python with aioquic, or why there is none.
fn python() -> Result<PathBuf, String> {
    let said = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    said(Command::new("python3").arg("--version")).map_err(|error| format!("there is no python3: {error}"))?;
    let packages = python_packages();
    let installed = || said(Command::new("python3").args(["-c", "import aioquic"]).env("PYTHONPATH", &packages));
    if installed().is_err() {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "aioquic==1.2.0", "--target"];
        said(Command::new("python3").args(pip).arg(&packages))
            .map_err(|error| format!("aioquic cannot be installed: {error}"))?;
    }
    installed().map(|()| packages)
}

#[tokio::test]
async fn http3_serves_aioquic_where_python_is_there() {
    let packages = match python() {
        Ok(packages) => packages,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let ca = Authority::new();
    let dev = serving(&ca).await;
    let ca_file = dev.state().join("trusted.pem");
    std::fs::write(&ca_file, ca.pem()).unwrap();
    let address = dev.address(8443).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http3_client.py");
    let run = tokio::process::Command::new("python3")
        .arg(script)
        .args([&address.ip().to_string(), &address.port().to_string(), "a.test"])
        .arg(&ca_file)
        .env("PYTHONPATH", packages)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("GET 200 one-0") && out.contains("POST 200 100000"), "{out}\n{err}");
}
