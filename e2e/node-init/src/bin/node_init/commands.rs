//! The machine's end of the command channel: one connection, one program, see [`workspacefs_node_init::wire`].

use crate::children::Children;
use crate::services::environment;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use workspacefs_node_init::wire::{Exit, Kind, Request, read_frame, write_frame};

/// How long output is still passed on after the program ended, while something it left behind holds its pipes.
const DRAIN: Duration = Duration::from_secs(1);

/// Accepts connections for ever.
pub fn serve(children: &Arc<Children>, address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                println!("node-init: accept: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let children = Arc::clone(children);
        thread::spawn(move || {
            if let Err(error) = converse(&children, stream) {
                println!("node-init: a command's connection failed: {error}");
            }
        });
    }
}

/// Carries out one request.
fn converse(children: &Children, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some((Kind::Request, payload)) = read_frame(&mut stream)? else {
        return Ok(());
    };
    let request: Request = serde_json::from_slice(&payload)?;
    let output = Arc::new(Mutex::new(stream.try_clone()?));
    let exit = match start(children, &request) {
        Err(error) => Exit::NotStarted(error.to_string()),
        Ok((mut child, end)) => {
            let group = group_of(&child);
            let stdin = child.stdin.take();
            let pumps = pumps(&mut child, &output);
            let ended = Arc::new(AtomicBool::new(false));
            let watched = Arc::clone(&ended);
            thread::spawn(move || {
                feed(stream, stdin);
                // The client went away first: nobody is left to want the result. What a program that ended by itself
                // left running stays, as with ssh.
                if !watched.load(Ordering::SeqCst) {
                    kill(group);
                }
            });
            let exit = wait(&end, Duration::from_millis(request.time_limit_ms), group);
            ended.store(true, Ordering::SeqCst);
            let since = Instant::now();
            while since.elapsed() < DRAIN && pumps.iter().any(|pump| !pump.is_finished()) {
                thread::sleep(Duration::from_millis(2));
            }
            exit
        }
    };
    send(&output, Kind::Exit, &serde_json::to_vec(&exit)?)?;
    // Ends `feed`, which holds the other half.
    output.lock().unwrap_or_else(PoisonError::into_inner).shutdown(std::net::Shutdown::Both)
}

fn start(children: &Children, request: &Request) -> io::Result<(Child, Receiver<ExitStatus>)> {
    let Some((program, arguments)) = request.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program named"));
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    environment(&mut command);
    command.envs(request.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    children.spawn(&mut command)
}

/// The process group that [`start`] gave the program: its own id.
fn group_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // Gone already is as good.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn wait(end: &Receiver<ExitStatus>, limit: Duration, group: Option<Pid>) -> Exit {
    match end.recv_timeout(limit) {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        },
        Err(RecvTimeoutError::Timeout) => {
            kill(group);
            // A program stuck in the kernel outlives even this; the answer does not wait for it.
            Exit::TimedOut
        }
        Err(RecvTimeoutError::Disconnected) => Exit::NotStarted("its end was missed".into()),
    }
}

/// Passes output on until both pipes end.
fn pumps(child: &mut Child, output: &Arc<Mutex<TcpStream>>) -> Vec<JoinHandle<()>> {
    let mut pumps = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        let output = Arc::clone(output);
        pumps.push(thread::spawn(move || pump(pipe, Kind::Stdout, &output)));
    }
    if let Some(pipe) = child.stderr.take() {
        let output = Arc::clone(output);
        pumps.push(thread::spawn(move || pump(pipe, Kind::Stderr, &output)));
    }
    pumps
}

fn pump(mut pipe: impl Read, kind: Kind, output: &Mutex<TcpStream>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if send(output, kind, &buffer[..count]).is_err() {
                    return;
                }
            }
        }
    }
}

/// Passes input on until the connection ends.
fn feed(mut stream: TcpStream, mut stdin: Option<ChildStdin>) {
    loop {
        match read_frame(&mut stream) {
            Ok(Some((Kind::Stdin, bytes))) => {
                if stdin.as_mut().is_some_and(|pipe| pipe.write_all(&bytes).is_err()) {
                    stdin = None;
                }
            }
            Ok(Some((Kind::StdinEnd, _))) => stdin = None,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

fn send(output: &Mutex<TcpStream>, kind: Kind, payload: &[u8]) -> io::Result<()> {
    write_frame(&mut *output.lock().unwrap_or_else(PoisonError::into_inner), kind, payload)
}
