//! Submissions whose answer is lost, and the files of a server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::world::{CA, World, eventually, on_each_store};

on_each_store! {
    a_client_that_is_killed_before_its_answer_leaves_no_second_session
    a_client_whose_answer_is_lost_submits_again_by_itself
    malformed_calls_are_refused_in_json
    files_of_a_server_are_private_and_its_socket_goes_with_it
}

/// Passes one exchange on to the server. Returns when the server has answered; the client has not got the answer.
fn exchanged(listener: &TcpListener, server: &str) -> TcpStream {
    let (client, _) = listener.accept().unwrap();
    let mut far = TcpStream::connect(server).unwrap();
    let (mut near, mut there) = (client.try_clone().unwrap(), far.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut near, &mut there));
    let mut first = [0; 1];
    far.read_exact(&mut first).unwrap();
    client
}

fn active(world: &World) -> Vec<String> {
    let listed: serde_json::Value = serde_json::from_str(&world.operate(&["sessions", "list", "--json"]).out).unwrap();
    let sessions = listed["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["session"].as_str().unwrap().to_owned()).collect()
}

fn a_client_that_is_killed_before_its_answer_leaves_no_second_session(world: World) {
    world.request("a.csr");
    let (listener, key) = (TcpListener::bind("127.0.0.1:0").unwrap(), "0123456789abcdef0123456789abcdef");
    let between = format!("http://{}", listener.local_addr().unwrap());
    let submit = |server: &str| {
        let mut command = Command::new(CA);
        command.args(["submit", "--server", server, "a.csr", "--key", key]).current_dir(world.directory.path());
        command
    };
    let mut client = submit(&between).stdout(Stdio::piped()).spawn().unwrap();
    let held = exchanged(&listener, world.url().trim_start_matches("http://"));
    client.kill().unwrap();
    assert!(client.wait_with_output().unwrap().stdout.is_empty());
    drop(held);
    let made = active(&world);
    assert_eq!(made.len(), 1, "the server has made the session");
    let again = submit(&world.url()).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), format!("{} submitted\n", made[0]));
    assert_eq!(active(&world), made);
    world.request("a.csr");
    let other = submit(&world.url()).output().unwrap();
    assert!(String::from_utf8(other.stderr).unwrap().contains("(key_used)"));
}

fn a_client_whose_answer_is_lost_submits_again_by_itself(world: World) {
    world.request("a.csr");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = format!("http://{}", listener.local_addr().unwrap());
    let mut command = Command::new(CA);
    command.args(["submit", "--server", &between, "a.csr"]).current_dir(world.directory.path());
    let client = command.stdout(Stdio::piped()).spawn().unwrap();
    let server = world.url().trim_start_matches("http://").to_owned();
    exchanged(&listener, &server).shutdown(Shutdown::Both).unwrap();
    // The second try reaches the server.
    let (mut near, _) = listener.accept().unwrap();
    let mut far = TcpStream::connect(&server).unwrap();
    let (mut back, mut there) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut near, &mut there));
    std::thread::spawn(move || std::io::copy(&mut far, &mut back));
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{} submitted\n", active(&world).join(" ")));
}

fn malformed_calls_are_refused_in_json(world: World) {
    let server = world.url().trim_start_matches("http://").to_owned();
    let asked = |head: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(&server).unwrap();
        stream.write_all(format!("POST /session HTTP/1.1\r\nhost: x\r\n{head}\r\n").as_bytes()).unwrap();
        // The server may close the connection before it has read all.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    // The connection closes after an answer to a body that was not read.
    for (head, body, status, code) in [
        ("content-length: 100000\r\n", vec![b'x'; 66_000], "413", "request_too_long"),
        ("content-length: 10\r\n", Vec::new(), "408", "request_too_slow"),
        ("connection: close\r\nidempotency-key: short\r\ncontent-length: 1\r\n", vec![b'x'], "400", "bad_key"),
    ] {
        let answer = asked(head, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-type: application/json") && answer.contains(code), "{answer}");
    }
}

fn files_of_a_server_are_private_and_its_socket_goes_with_it(mut world: World) {
    let mode = |name: &str| std::fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ca/control"), 0o600);
    if world.redis.is_none() {
        assert_eq!(mode("ca/sessions"), 0o600);
    }
    world.terminate_server();
    assert!(!world.path("ca/control").exists());
    world.serve();
    eventually("the socket is there again", || world.path("ca/control").exists());
}
