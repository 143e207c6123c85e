//! What starts threads, as the guide's table has it: `.ci/steps/servers` builds it with these libraries, and runs it.

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Checks how many threads there are, as soon as there are so many.
#[track_caller]
fn expect(what: &str, are_there: fn(usize) -> bool) {
    for _ in 0..1000 {
        if are_there(threads()) {
            return println!("{what}: {} threads", threads());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("{what}: {} threads", threads());
}

fn main() {
    expect("at the start", |count| count == 1);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    expect("a current-thread runtime that binds", |count| count == 1);
    drop(listener);
    let _ = runtime.block_on(async { tokio::net::lookup_host("localhost:80").await.map(drop) });
    expect("tokio::net::lookup_host", |count| count > 1);
    drop(runtime);
    expect("after the runtime", |count| count == 1);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::fs::read("/proc/self/stat")).unwrap();
    expect("tokio::fs", |count| count > 1);
    drop(runtime);
    expect("after the runtime", |count| count == 1);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    expect("tokio::runtime::Runtime::new", |count| count > 1);
    drop(runtime);
    expect("after the runtime", |count| count == 1);

    let (_writer, guard) = tracing_appender::non_blocking(std::io::sink());
    expect("tracing_appender::non_blocking", |count| count == 2);
    drop(guard);
    expect("after the guard", |count| count == 1);

    let watcher = notify::recommended_watcher(|_: notify::Result<notify::Event>| ()).unwrap();
    expect("notify::recommended_watcher", |count| count == 2);
    drop(watcher);
    expect("after the watcher", |count| count == 1);

    rayon::join(|| (), || ());
    expect("rayon::join", |count| count > 1);
}
