//! HAProxy's own updater of responses, from its first request on: it has loaded the certificates then.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::contest::Measured;
use crate::programs::{Whose, cpu};
use crate::shop::{Shop, is_good};

/// How long HAProxy may load certificates, and how long it may update responses.
const PATIENCE: Duration = Duration::from_secs(1_200);
const PAUSE: Duration = Duration::from_millis(10);

/// A HAProxy that runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts HAProxy with the certificates of the directory, and waits until it has a good response for each.
pub fn measure(program: &Path, shop: &Shop) -> Result<Measured, Box<dyn Error>> {
    let socket = shop.beside("admin.sock");
    let list = shop.beside("list");
    let lines: String = shop.files().map(|file| format!("{} [ocsp-update on]\n", file.display())).collect();
    std::fs::write(&list, lines)?;
    let configuration = shop.beside("haproxy.cfg");
    let tls = shop.beside("tls.sock");
    std::fs::write(
        &configuration,
        format!(
            "global\n  stats socket {} level admin\n\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect \
             10s\n\nfrontend tls\n  bind unix@{} ssl crt-list {}\n",
            socket.display(),
            tls.display(),
            list.display()
        ),
    )?;
    let mut command = Command::new(program);
    command
        .args(["-q", "-db", "-f"])
        .arg(&configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let starts = Instant::now();
    let mut haproxy = Running(command.spawn()?);
    let process = haproxy.0.id().to_string();
    let lab = shop.world.lab();
    // The first request comes as soon as HAProxy has loaded the certificates.
    while !lab.wait_until(PAUSE, |requests| !requests.is_empty()) {
        if let Some(status) = haproxy.0.try_wait()? {
            return Err(format!("{}: {status}", program.display()).into());
        }
        if starts.elapsed() > PATIENCE {
            return Err(format!("{}: asks nothing", program.display()).into());
        }
    }
    let (before, began, loading) = (cpu(&process, Whose::Own)?, Instant::now(), starts.elapsed());
    lab.wait_until(PATIENCE, |requests| requests.len() >= shop.count());
    loop {
        // Asking costs HAProxy something, so the figures are from before.
        let (wall, cpu) = (began.elapsed(), cpu(&process, Whose::Own)? - before);
        let good = good(&socket, shop)?;
        if good == shop.count() || wall > PATIENCE {
            let with_start = Some([wall + loading, cpu + before]);
            return Ok(Measured { wall, cpu, good, with_start });
        }
        std::thread::sleep(PAUSE);
    }
}

/// The number of certificates for which HAProxy has a good response. Stops at the first one without.
fn good(socket: &Path, shop: &Shop) -> Result<usize, Box<dyn Error>> {
    let mut good = 0;
    for file in shop.files() {
        let shown = ask(socket, &format!("show ssl ocsp-response base64 {}", file.display()))?;
        let response = STANDARD.decode(shown.split_whitespace().collect::<String>()).unwrap_or_default();
        if !is_good(&file, response)? {
            break;
        }
        good += 1;
    }
    Ok(good)
}

fn ask(socket: &Path, command: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(stream, "{command}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
