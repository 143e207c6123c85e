//! A server that does nothing, for the session in the README.

fn main() {
    loop {
        std::thread::park();
    }
}
