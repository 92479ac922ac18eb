//! An S3 service of others: moto's server from PyPI, filled by Amazon's own client. Unlike [`crate::s3`] it does not do what we think
//! that a service does. What is missing for it fails with a panic: it is for tests.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::python::installed;

/// What the client and everybody else sign with.
pub const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "moto/secret/of/nobody";

const VERSION: &str = "5.2.5";
const PINS: &str = include_str!("moto/5.2.5.txt");
/// `s3` is the client of the program that follows.
const CLIENT: &str = "import boto3, io, sys
from boto3.s3.transfer import TransferConfig
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1',
                  aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3])
";

/// A server on loopback, killed when this is dropped.
pub struct Moto {
    child: Child,
    venv: PathBuf,
    endpoint: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// With nothing in it.
    ///
    /// # Panics
    /// It cannot be installed or started.
    pub fn start() -> Self {
        let venv = installed("moto", VERSION, PINS);
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = address.expect("loopback has a free port");
        let mut command = Command::new(venv.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto_server starts");
        let this = Self { child, venv, endpoint: format!("http://{address}") };
        for _ in 0..600 {
            if std::net::TcpStream::connect(address).is_ok() {
                return this;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("moto_server does not listen");
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs a program with boto3's client `s3`, and `io` and `TransferConfig`.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn run(&self, program: &str) {
        let args = ["-c", &format!("{CLIENT}{program}"), &self.endpoint, ACCESS_KEY_ID, SECRET_ACCESS_KEY];
        let output = Command::new(self.venv.join("bin/python")).args(args).output();
        let output = output.expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
