//! Tests of addresses and ports: what is stable, what moves, and what is refused.

use super::*;
use std::{collections::HashSet, io, net::TcpListener, sync::Arc};

fn name(name: &str) -> QualifiedName {
    QualifiedName::new("default", name)
}

fn open(state: &Path) -> Allocator {
    Allocator::open(state, Layout::Loopback).unwrap()
}

fn loopback() -> bool {
    Layout::detect() == Layout::Loopback
}

/// A kernel with an unprivileged user, and listeners of other processes.
#[derive(Clone, Default)]
struct Fake {
    taken: Arc<Mutex<HashSet<SocketAddr>>>,
    is_root: bool,
}

impl Probe for Fake {
    fn bind(&self, address: SocketAddr, _: Transport) -> io::Result<()> {
        if self.taken.lock().unwrap().contains(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        if address.port() < 1024 && !self.is_root { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

fn open_fake(state: &Path, layout: Layout, fake: &Fake) -> Allocator {
    Allocator::open_with(state, layout, Box::new(fake.clone())).unwrap()
}

#[test]
fn addresses_stay_after_reopening_and_differ_by_owner() {
    let state = tempfile::tempdir().unwrap();
    let all = |allocator: &Allocator| {
        [
            allocator.gateway(&name("web")).unwrap(),
            allocator.gateway(&name("other")).unwrap(),
            allocator.service(&name("web"), None).unwrap(),
            allocator.pod(&name("web")).unwrap(),
            allocator.namespace("web").unwrap().unwrap(),
        ]
    };
    let allocator = open(state.path());
    let first = all(&allocator);
    assert_eq!(first[0], Ipv4Addr::LOCALHOST);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), first.len());
    assert!(first.iter().all(Ipv4Addr::is_loopback));
    drop(allocator);
    let again = open(state.path());
    again.service(&name("new"), None).unwrap();
    assert_eq!(all(&again), first);
}

#[test]
fn what_was_saved_is_there_though_the_process_died() {
    let state = tempfile::tempdir().unwrap();
    let allocator = open(state.path());
    let address = allocator.service(&name("a"), None).unwrap();
    allocator.save().unwrap();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(state.path().join("addresses.json"), copy.path().join("addresses.json")).unwrap();
    assert_eq!(open(copy.path()).service(&name("a"), None).unwrap(), address);
}

#[test]
fn state_directories_begin_at_different_addresses() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open(one.path()), open(two.path()));
    assert_ne!(one.service(&name("a"), None).unwrap(), two.service(&name("a"), None).unwrap());
    assert_eq!(one.gateway(&name("a")).unwrap(), two.gateway(&name("a")).unwrap());
}

#[test]
fn a_cluster_ip_in_loopback_is_honoured_and_others_are_not() {
    let state = tempfile::tempdir().unwrap();
    let allocator = open(state.path());
    let before = allocator.service(&name("a"), Some("10.0.0.7".parse().unwrap())).unwrap();
    assert!(before.is_loopback());
    let wanted = Ipv4Addr::new(127, 0, 5, 5);
    assert_eq!(allocator.service(&name("a"), Some(wanted.into())).unwrap(), wanted);
    let error = allocator.service(&name("b"), Some(wanted.into())).unwrap_err().to_string();
    assert!(error.contains("Service default/b") && error.contains("Service default/a"), "{error}");
    // The address that it left may be another's.
    allocator.service(&name("c"), Some(before.into())).unwrap();
}

#[test]
fn a_second_process_of_the_same_state_directory_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let first = open(state.path());
    let error = Allocator::open(state.path(), Layout::Loopback).unwrap_err().to_string();
    assert!(error.contains("another portolan uses the state directory"), "{error}");
    drop(first);
    open(state.path());
}

#[test]
fn a_damaged_state_file_is_named_and_left_alone() {
    for text in [
        "{",
        "{}",
        r#"{"version":2,"layout":"Loopback","base":"127.1.1.0","addresses":{},"ports":{},"single_address":{}}"#,
        r#"{"version":1,"layout":"Loopback","base":"127.1.1.0","addresses":{"Service a/b":"10.0.0.1"},"ports":{},"single_address":{}}"#,
        r#"{"version":1,"layout":"Loopback","base":"127.1.1.0","addresses":{"a":"127.9.9.9","b":"127.9.9.9"},"ports":{},"single_address":{}}"#,
    ] {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("addresses.json");
        std::fs::write(&path, text).unwrap();
        let error = Allocator::open(state.path(), Layout::Loopback).unwrap_err().to_string();
        assert!(error.contains("addresses.json is damaged") && error.contains("delete it"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_port_that_may_not_be_bound_moves_up_by_8000_and_stays() {
    let state = tempfile::tempdir().unwrap();
    let ip: IpAddr = Ipv4Addr::LOCALHOST.into();
    let fake = Fake::default();
    fake.taken.lock().unwrap().insert(SocketAddr::new(ip, 8443));
    {
        let allocator = open_fake(state.path(), Layout::Loopback, &fake);
        let http = allocator.bind_port(ip, 80, Transport::Tcp).unwrap();
        assert_eq!(http.port, 8080);
        assert!(http.note.unwrap().contains("may not bind"));
        assert_eq!(allocator.bind_port(ip, 443, Transport::Tcp).unwrap().port, 8444);
        assert_eq!(allocator.bind_port(ip, 9000, Transport::Tcp).unwrap(), BoundPort { port: 9000, note: None });
        // 8080 is wanted by a listener too, and taken by ours.
        assert_eq!(allocator.bind_port(ip, 8080, Transport::Tcp).unwrap().port, 8081);
    }
    let fake = Fake { is_root: true, ..Fake::default() };
    let allocator = open_fake(state.path(), Layout::Loopback, &fake);
    assert_eq!(allocator.bind_port(ip, 80, Transport::Tcp).unwrap().port, 8080);
    assert_eq!(allocator.bind_port(ip, 443, Transport::Tcp).unwrap().port, 8444);
    assert_eq!(allocator.bind_port(ip, 443, Transport::Udp).unwrap().port, 443);
}

#[test]
fn a_port_given_out_is_given_again_though_it_is_bound_by_now() {
    let state = tempfile::tempdir().unwrap();
    let allocator = open(state.path());
    let ip: IpAddr = Ipv4Addr::LOCALHOST.into();
    let other = TcpListener::bind((ip, 0)).unwrap();
    let wanted = other.local_addr().unwrap().port();
    let bound = allocator.bind_port(ip, wanted, Transport::Tcp).unwrap();
    assert_ne!(bound.port, wanted);
    assert!(bound.note.as_ref().unwrap().contains("has it"));
    let _ours = TcpListener::bind((ip, bound.port)).unwrap();
    assert_eq!(allocator.bind_port(ip, wanted, Transport::Tcp).unwrap(), bound);
    allocator.release_port(ip, wanted, Transport::Tcp);
    assert_ne!(allocator.bind_port(ip, wanted, Transport::Tcp).unwrap().port, bound.port);
}

#[test]
fn an_address_that_another_process_uses_is_left_to_it() {
    if !loopback() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let allocator = open(state.path());
    let owner = Owner::Service(name("a"));
    let before = allocator.service(&name("a"), None).unwrap();
    let other = TcpListener::bind((before, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let placed = allocator.listen(&owner, port, Transport::Tcp).unwrap();
    assert_ne!(placed.address.ip(), IpAddr::V4(before));
    assert_eq!(placed.address.port(), port);
    assert_eq!(
        allocator.service(&name("a"), None).unwrap(),
        placed.address.ip().to_string().parse::<Ipv4Addr>().unwrap()
    );
    // Seen by now: only a port moves.
    let _other = TcpListener::bind((placed.address.ip(), 0)).map(|listener| {
        let taken = listener.local_addr().unwrap().port();
        let again = allocator.listen(&owner, taken, Transport::Tcp).unwrap();
        assert_eq!(again.address.ip(), placed.address.ip());
        assert_ne!(again.address.port(), taken);
    });
}

#[test]
fn an_address_of_another_machine_is_an_error_that_names_a_way_out() {
    let state = tempfile::tempdir().unwrap();
    let error = open(state.path()).bind_port("192.0.2.1".parse().unwrap(), 8080, Transport::Tcp).unwrap_err();
    assert!(error.to_string().contains("--single-address"), "{error}");
}

#[test]
fn on_a_single_address_each_owner_and_port_has_a_port_that_stays() {
    let state = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let owners = [Owner::Gateway(name("a")), Owner::Gateway(name("b")), Owner::Service(name("a"))];
    let all = || {
        let allocator = open_fake(state.path(), Layout::SingleAddress, &fake);
        assert_eq!(allocator.namespace("default").unwrap(), None);
        assert_eq!(allocator.service(&name("a"), None).unwrap(), Ipv4Addr::LOCALHOST);
        let placed = owners.iter().map(|owner| allocator.listen(owner, 8080, Transport::Tcp).unwrap().address);
        placed.collect::<Vec<_>>()
    };
    let first = all();
    assert_eq!(first[0], "127.0.0.1:8080".parse().unwrap());
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3);
    assert!(first.iter().all(|address| address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!(all(), first);
    let note = open_fake(state.path(), Layout::SingleAddress, &fake)
        .listen(&Owner::Gateway(name("a")), 80, Transport::Tcp)
        .unwrap()
        .note;
    assert!(note.unwrap().contains("Gateway default/a port 80/TCP"));
}

#[test]
fn what_was_given_out_can_be_asked_for_while_another_has_it_open() {
    for layout in [Layout::Loopback, Layout::SingleAddress] {
        let state = tempfile::tempdir().unwrap();
        assert!(Known::read(state.path()).unwrap().is_none());
        let allocator = open_fake(state.path(), layout, &Fake::default());
        let owners = [Owner::Gateway(name("a")), Owner::Gateway(name("b")), Owner::Service(name("a"))];
        let ask = |owner: &Owner, port| allocator.listen(owner, port, Transport::Tcp).unwrap().address;
        let placed: Vec<_> = owners.iter().flat_map(|owner| [ask(owner, 80), ask(owner, 9090)]).collect();
        let namespace = allocator.namespace("shop").unwrap();
        allocator.save().unwrap();

        let known = Known::read(state.path()).unwrap().unwrap();
        assert_eq!(known.layout(), layout);
        let find = |owner: &Owner, port| known.placement(owner, port, Transport::Tcp).unwrap();
        let found: Vec<_> = owners.iter().flat_map(|owner| [find(owner, 80), find(owner, 9090)]).collect();
        assert_eq!(found, placed);
        assert_eq!(known.address(&Owner::Namespace("shop".into())), namespace);
        assert_eq!(known.placement(&Owner::Service(name("unheard-of")), 80, Transport::Tcp), None);
    }
}
