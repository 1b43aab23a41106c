//! One echo pod by itself, for trying out clients: `cargo run -p portolan-dev --example echo_pod -- 127.0.0.1 8080`.

use portolan_dev::echo::{EchoPod, EchoPort, EchoProtocol, EchoSpec, FailCounters, Identity};
use std::{error::Error, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1".to_owned()).parse()?;
    let number = arguments.next().unwrap_or_else(|| "8080".to_owned()).parse()?;
    let pod = EchoPod::start(EchoSpec {
        identity: Identity::new("echo-0", "default", vec!["echo".to_owned()]),
        address,
        ports: vec![EchoPort::new(number, EchoProtocol::Auto), EchoPort::new(number, EchoProtocol::Udp)],
        tls: None,
        fails: FailCounters::default(),
    })?;
    for (port, bound) in pod.bound() {
        println!("{port} on {bound}");
    }
    tokio::signal::ctrl_c().await?;
    pod.stop(Duration::from_secs(5)).await;
    Ok(())
}
