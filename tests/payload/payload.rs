//! What the launcher's tests run in the jail: a static program that says what it sees. `rustc` alone compiles it.

use std::io::{Read, Write};

fn main() {
    let mut args = std::env::args();
    println!("name: {}", args.next().unwrap());
    for arg in args {
        match arg.as_str() {
            "look" => {
                println!("pid: {}", std::process::id());
                println!("entries: {}", std::fs::read_dir("/").unwrap().count());
                println!("mkdir: {:?}", std::fs::create_dir("/x").map_err(|e| e.kind()));
                println!("create: {:?}", std::fs::write("x", "").map_err(|e| e.kind()));
                println!("passwd: {:?}", std::fs::read("/etc/passwd").map_err(|e| e.kind()));
                println!("up: {:?}", std::fs::read("../../etc/passwd").map_err(|e| e.kind()));
            }
            "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
            "copy" => {
                let mut text = Vec::new();
                std::io::stdin().read_to_end(&mut text).unwrap();
                std::io::stdout().write_all(&text).unwrap();
            }
            "abort" => std::process::abort(),
            arg => match arg.strip_prefix("exit=") {
                Some(status) => std::process::exit(status.parse().unwrap()),
                None => println!("arg: {arg}"),
            },
        }
    }
}
