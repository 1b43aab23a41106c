//! A user without privileges: everything works, and ports below 1024 are moved up by 8000.

use crate::support::{DevBuilder, manifests::*};
use portolan_client::HttpVersion;

#[tokio::test]
async fn a_user_without_privileges_serves_every_protocol() {
    let listeners = "- {name: http, port: 80, protocol: HTTP}
- {name: https, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: made}]}}
- {name: tcp, port: 900, protocol: TCP}";
    let rules = "- matches: [{path: {type: Exact, value: /moved}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /here}}}]
- backendRefs: [{name: one, port: 8080}]";
    let tcp = "parentRefs: [{name: web, sectionName: tcp}]\nrules: [{backendRefs: [{name: one, port: 8080}]}]";
    let documents = [
        gateway("web", listeners),
        echo("one"),
        crate::support::manifests::rules("http", rules),
        route("TCPRoute", "tcp", tcp),
    ];
    let dev = DevBuilder::default().manifests(documents).unprivileged().start().await;
    // Where the kernel lets everybody bind low ports nothing is moved.
    let first_open: u16 =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap().trim().parse().unwrap();
    for (port, moved) in [(80, 8080), (443, 8443), (900, 8900)] {
        let expected = if port < first_open { moved } else { port };
        assert_eq!(dev.address(port).await.port(), expected);
    }
    assert_eq!(dev.ask("http://a.test/").send().await.pod(), "one-0");
    assert_eq!(dev.ask("http://a.test/").http2().send().await.pod(), "one-0");
    for version in [HttpVersion::Http1, HttpVersion::Http2] {
        assert_eq!(dev.ask("https://a.test/").version(version).send().await.pod(), "one-0");
    }
    assert_eq!(dev.ask("tcp://a.test:900").body("WHO\n").send().await.pod(), "one-0");
    assert_eq!(dev.ask("ws://a.test/").body("x").send().await.pod(), "one-0");
    let location = dev.ask("http://a.test/moved").send().await.header("location").unwrap().to_owned();
    let port = dev.address(80).await.port();
    let expected = if port == 80 { "http://a.test/here".to_owned() } else { format!("http://a.test:{port}/here") };
    assert_eq!(location, expected, "redirects name the port that clients use");
    assert_eq!(dev.ask("http://one:8080/").send().await.pod(), "one-0", "a Service's address");
}
