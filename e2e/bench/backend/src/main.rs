//! `bench-backend LISTEN [BODY]`: answers HTTP/1.1 requests from one thread and one epoll, at the least cost.
//! It is a load tool and no server: it reads heads alone, and takes every request for one without a body.

mod answers;
mod connection;

use std::{env, io, net::TcpListener, process::ExitCode};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
};

use crate::{
    answers::Answers,
    connection::{Arrived, Connection},
};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// Bytes read at once; many pipelined heads fit.
const READ_BYTES: usize = 64 * 1024;
/// The listener's own mark among the events; connections are marked by their place in the table.
const LISTENER: u64 = u64::MAX;
/// Edge-triggered: what is not read to its end is not told again.
const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let Some(listen) = args.next() else {
        eprintln!("usage: bench-backend LISTEN [BODY]");
        return ExitCode::from(2);
    };
    let body = args.next().unwrap_or_else(|| "Hello, World!".to_owned());
    match serve(&listen, &Answers::new(&body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-backend: {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: &str, answers: &Answers) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections = Connections::default();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            outcome => outcome?,
        };
        for event in &events {
            let (mark, flags) = (event.data.u64(), event.flags);
            if mark == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
            } else {
                connections.ready(mark, flags, &mut buffer, answers);
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &impl std::os::fd::AsFd, connections: &mut Connections) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mark = connections.free_mark();
        epoll::add(epoll, &stream, EventData::new_u64(mark), INTEREST)?;
        connections.insert(mark, stream);
    }
    Ok(())
}

/// The open connections by their marks; marks of closed ones are used again.
#[derive(Default)]
struct Connections {
    open: Vec<Option<Connection>>,
    free: Vec<u64>,
    accepted: u64,
}

// === impl Connections ===

impl Connections {
    fn free_mark(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() as u64 - 1
        })
    }

    fn insert(&mut self, mark: u64, stream: std::net::TcpStream) {
        self.accepted += 1;
        self.open[mark as usize] = Some(Connection::new(stream, self.accepted));
    }

    fn ready(&mut self, mark: u64, flags: EventFlags, buffer: &mut [u8], answers: &Answers) {
        let slot = &mut self.open[mark as usize];
        let Some(connection) = slot else { return };
        let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let arrived = match (ending, flags.contains(EventFlags::IN)) {
            (true, _) => Arrived::End,
            (false, true) => Arrived::Bytes,
            (false, false) => Arrived::Nothing,
        };
        if connection.ready(arrived, buffer, answers).is_err() {
            *slot = None;
            self.free.push(mark);
        }
    }
}
