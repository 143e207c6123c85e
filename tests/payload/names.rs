//! Answers each client with the address of a name, from a thread of its own, in which another one panics. For .ci/steps/programs.
use std::io::Write;
use std::net::{TcpListener, ToSocketAddrs};
use std::thread;

fn main() {
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap()).unwrap();
    for client in listener.incoming() {
        let mut client = client.unwrap();
        thread::spawn(move || {
            let address = "a.service.test:80".to_socket_addrs().map(|mut addresses| addresses.next());
            let caught = thread::spawn(|| panic!("on purpose")).join().is_err();
            writeln!(client, "{address:?}, caught: {caught}")
        });
    }
}
