//! What a mover answers while it works.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use workspacefs_api::mover::{Progress, Step};

use crate::world::World;

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn get(addr: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(addr).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Some(body.to_owned())
}

#[test]
fn from_the_first_tenth_on_the_end_is_foretold_within_a_fifth() {
    const BYTES: u64 = 30 << 20;
    const RATE: u64 = 2 << 20;
    let world = World::new();
    for number in 0..10 {
        world.write(&format!("a/{number}"), vec![number; (BYTES / 20) as usize]);
        world.write(&format!("b/in/{number}"), vec![number; (BYTES / 20) as usize]);
    }
    let addr = free_port();
    let arguments = ["--listen", &addr.to_string(), "--bandwidth", &RATE.to_string()];
    let mut command = world.fill_command(1, &["/a", "/b"], &arguments);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let mut seen: Vec<(Duration, Progress)> = Vec::new();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "it does not end");
        if let Some(body) = get(addr, "/progress") {
            seen.push((began.elapsed(), serde_json::from_str(&body).unwrap()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let copying: Vec<_> = seen.iter().filter(|(_, progress)| progress.step == Step::Copying).collect();
    let (start, end) = (copying.first().unwrap().0, copying.last().unwrap().0);
    let took = (end - start).as_secs_f64();
    let mut foretold = 0;
    for (at, progress) in copying.iter().filter(|(at, _)| (*at - start).as_secs_f64() >= took / 10.0) {
        assert_eq!((progress.files_found, progress.bytes_found, progress.generation), (20, BYTES, 1));
        let eta = progress.eta_seconds.unwrap_or_else(|| panic!("no end is foretold at {at:?}")) as f64;
        let ratio = ((*at - start).as_secs_f64() + eta) / took;
        assert!((0.8..=1.2).contains(&ratio), "{ratio} of {took} s, at {at:?}: {progress:?}");
        foretold += 1;
    }
    assert!(foretold > 50, "looked only {foretold} times");
    let rates = copying.iter().map(|(_, progress)| progress.bytes_per_second).max().unwrap();
    assert!((RATE * 8 / 10..RATE * 3 / 2).contains(&rates), "{rates} bytes per second");
}

#[test]
fn it_says_that_it_lives() {
    let world = World::new();
    world.write("a/file", vec![1; 4 << 20]);
    let addr = free_port();
    let arguments = ["--listen", &addr.to_string(), "--bandwidth", "1048576"];
    let mut child = world.fill_command(1, &["/a"], &arguments).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let answer = loop {
        match get(addr, "/healthz") {
            Some(answer) => break answer,
            None => assert!(began.elapsed() < Duration::from_secs(60), "it does not answer"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(answer, "ok\n");
    assert!(child.wait().unwrap().success());
}
