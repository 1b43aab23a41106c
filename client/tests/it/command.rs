//! The whole command: what it prints where, and how it exits.

use std::sync::Arc;

use clap::Parser;
use http::Response;
use portolan_client::{Colour, Console, Exit, RequestArgs, run_on};
use serde_json::Value;

use crate::servers::{Names, echo, full, nobody, serve};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    request: RequestArgs,
}

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

async fn run(line: &[&str]) -> Ran {
    run_coloured(line, Colour::Off).await
}

async fn run_coloured(line: &[&str], colour: Colour) -> Ran {
    let args = Cli::try_parse_from([&["request"], line].concat()).unwrap().request;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console =
        Console { out: &mut out, err: &mut err, input: &mut &b"typed"[..], out_colour: colour, err_colour: colour };
    let exit = run_on(args, Arc::new(Names::default()), &mut console).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit, out: text(out), err: text(err) }
}

async fn unavailable() -> String {
    let answer = |_request, _peer| async { Response::builder().status(503).body(full("no backend")).unwrap() };
    format!("http://{}/", serve(None, answer).await)
}

#[tokio::test]
async fn a_body_is_printed_as_it_came_and_nothing_else() {
    let url = format!("http://{}/", serve(None, echo).await);
    let ran = run(&["-d", "-", "PUT", &url]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Answered, ""));
    let seen: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&seen["method"], &seen["body"]), (&"PUT".into(), &"typed".into()));
}

#[tokio::test]
async fn include_shows_status_and_headers_before_the_body() {
    let url = format!("http://{}/", serve(None, echo).await);
    let ran = run(&["-i", "-v", &url]).await;
    let (head, body) = ran.out.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\n") && head.contains("x-echo: yes"), "{head}");
    assert!(body.starts_with('{'));
    assert!(ran.err.starts_with("HTTP/1.1 from 127.0.0.1:"), "{}", ran.err);
}

#[tokio::test]
async fn json_output_holds_the_answer_or_the_error() {
    let url = format!("http://{}/", serve(None, echo).await);
    let seen: Value = serde_json::from_str(&run(&["-o", "json", &url]).await.out).unwrap();
    assert_eq!((&seen["status"], &seen["body"]["pod"]), (&200.into(), &"echo-0".into()));
    assert_eq!(seen["headers"]["x-echo"], "yes");

    let (_held, address) = nobody();
    let ran = run(&["-o", "json", &format!("http://{address}/")]).await;
    let seen: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.exit, &seen["error"]["kind"]), (Exit::Failed, &"refused".into()));
}

#[tokio::test]
async fn an_error_status_fails_only_where_asked() {
    let url = unavailable().await;
    let ran = run(&[&url]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Answered, "no backend"));
    assert_eq!(ran.err, "HTTP/1.1 503 Service Unavailable\n");
    assert_eq!(run(&["--fail", &url]).await.exit.code(), 22);
    assert_eq!(run(&["--fail", "-n", "5", &url]).await.exit.code(), 22);
    assert_eq!(run(&["-n", "5", &url]).await.exit.code(), 0);
}

#[tokio::test]
async fn no_answer_exits_with_1_and_a_hint() {
    let (_held, address) = nobody();
    let url = format!("http://{address}/");
    for line in [&[url.as_str()][..], &["-n", "3", &url]] {
        let ran = run(line).await;
        assert_eq!(ran.exit.code(), 1);
        assert!(format!("{}{}", ran.out, ran.err).contains("cannot connect to"), "{} {}", ran.out, ran.err);
        assert!(ran.err.contains(" hint: nothing listens on"), "{}", ran.err);
    }
}

#[tokio::test]
async fn senseless_arguments_exit_with_2() {
    for line in [
        &["ftp://a/"][..],
        &["--ca", "/no/such/file.pem", "https://a/"],
        &["--from", "nowhere", "http://a/"],
        &["-d", "@/no/such/file", "http://a/"],
    ] {
        let ran = run(line).await;
        assert_eq!(ran.exit.code(), 2, "{line:?}");
        assert!(ran.err.starts_with("error: ") && ran.out.is_empty(), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_tally_is_a_table_to_people_and_json_to_programs() {
    let url = format!("http://{}/", serve(None, echo).await);
    let ran = run(&["-n", "40", "-c", "4", "--by-header", "x-echo", &url]).await;
    let table = |heading: &str| {
        let mut lines = ran.out.lines().skip_while(|line| !line.starts_with(heading));
        (lines.next().unwrap().to_owned(), lines.next().unwrap().to_owned())
    };
    assert_eq!(table("POD").0, "POD     SERVICE  NAMESPACE  COUNT  SHARE");
    assert!(table("POD").1.starts_with("echo-0  echo     shop       40     100.0%  █"), "{}", ran.out);
    assert!(table("x-echo").1.starts_with("yes     40"), "{}", ran.out);
    assert!(table("STATUS").1.starts_with("200     40"), "{}", ran.out);
    assert!(!ran.out.contains("NO ANSWER") && !ran.out.contains('\x1b'), "{}", ran.out);

    let seen: Value = serde_json::from_str(&run(&["-n", "40", "-c", "4", "-o", "json", &url]).await.out).unwrap();
    assert_eq!((&seen["requests"], &seen["failed"], &seen["connections"]), (&40.into(), &0.into(), &4.into()));
    assert_eq!(seen["backends"][0]["count"], 40);
    assert_eq!(seen["statuses"]["200"], 40);
}

#[tokio::test]
async fn colours_are_for_terminals() {
    let ran = run_coloured(&["-i", &unavailable().await], Colour::On).await;
    assert!(ran.out.starts_with("\x1b[31mHTTP/1.1 503 Service Unavailable\x1b[0m\n"), "{:?}", ran.out);
}
