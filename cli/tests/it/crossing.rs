//! What must not be lost: requests on their way while a connection is ended, and a certificate that a save spoils.

use crate::support::{
    Dev, DevBuilder,
    certificates::{Authority, secret},
    manifests::*,
    raw::*,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const ROUTE: &str = "backendRefs: [{name: one, port: 8080}]";

async fn limited(limits: &[&str]) -> Dev {
    let args: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    let documents = [web(), echo("one"), one_rule("r", ROUTE)];
    DevBuilder::default().manifests(documents).args(&args).start().await
}

#[tokio::test]
async fn an_http1_connection_that_is_too_old_is_ended_and_loses_no_request() {
    let dev = limited(&["connection_age_max=500ms"]).await;
    let tally = dev.ask("http://a.test:8080/?echo-body-size=1&echo-delay=5ms").many(1_000, 2).await;
    assert_eq!((tally.status(200), tally.failed()), (1_000, 0), "{tally:?}");
}

fn signal(dev: &Dev, name: &str) {
    assert!(std::process::Command::new("kill").args([name, &dev.pid().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn requests_that_arrived_during_a_stall_are_answered_before_the_end() {
    let mut dev = Dev::start([web(), echo("one"), one_rule("r", ROUTE)]).await;
    let address = dev.address(8080).await;
    let get = b"GET /?echo-body-size=1 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(get).await.unwrap();
        until(&mut stream, "\r\n\r\nx").await;
        kept.push(stream);
    }
    dev.terminate();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    signal(&dev, "-STOP");
    for stream in &mut kept {
        stream.write_all(get).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    signal(&dev, "-CONT");
    for stream in &mut kept {
        let (text, end) = rest(stream).await;
        assert_eq!(statuses(&text), [200], "{end:?}");
    }
    assert!(dev.ended().await.success());
}

fn https(name: &str, hostname: &str, secrets: &str) -> String {
    format!(
        "- {{name: {name}, port: 8443, protocol: HTTPS, hostname: \"{hostname}\", tls: {{certificateRefs: [{secrets}]}}}}\n"
    )
}

#[tokio::test]
async fn a_bad_certificate_keeps_the_last_good_one_in_service() {
    let ca = Authority::new();
    let (good, other) = (ca.server(&["a.test"]), ca.server(&["b.test"]));
    let gateway = gateway("web", &https("x", "a.test", "{name: cert}"));
    let documents = |secret: String| [gateway.clone(), secret, echo("one"), one_rule("r", ROUTE)];
    let dev = Dev::start(documents(secret("cert", &good))).await;
    let mixed = crate::support::certificates::secret_of("cert", &good.certificate_pem, &other.key_pem);
    dev.save(documents(mixed)).await;
    assert!(dev.output().contains("InvalidCertificateRef"), "{}", dev.output());
    assert_eq!(dev.ask("https://a.test:8443/").trust(ca.pem()).status().await, 200);
}
