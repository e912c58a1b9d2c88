//! The names of this machine and of its name server.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use stapled_ca::session::{Names as _, SystemNames};
use stapled_tests::{Private, skip};

/// An address of this machine that nothing else uses.
const SERVER: &str = "127.0.0.77";

/// The name in a question (RFC 1035, 4.1.2), and the rest of the message.
fn question(message: &[u8]) -> (String, usize) {
    let (mut labels, mut place) = (Vec::new(), 12);
    while message[place] != 0 {
        let end = place + 1 + usize::from(message[place]);
        labels.push(String::from_utf8_lossy(&message[place + 1..end]).into_owned());
        place = end;
    }
    (labels.join("."), place + 5)
}

/// A name server that knows every name below `search.example`, as 192.0.2.1, and no other. Returns the names asked for.
fn name_server() -> Option<Arc<Mutex<Vec<String>>>> {
    let socket = UdpSocket::bind((SERVER, 53)).ok()?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let (name, end) = question(&buffer[..length]);
            let is_known = name.ends_with("search.example") && buffer[end - 3] == 1;
            let flags = if name.ends_with("search.example") { [0x85, 0x80] } else { [0x85, 0x83] };
            let counts = [0, 1, 0, u8::from(is_known), 0, 0, 0, 0];
            let mut answer = [&buffer[..2], &flags, &counts, &buffer[12..end]].concat();
            if is_known {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            }
            log.lock().unwrap().push(name);
            socket.send_to(&answer, client).unwrap();
        }
    });
    Some(asked)
}

fn put(directory: &Path, place: &str, contents: &str) {
    let file = directory.join("file").with_extension(place.replace('/', "-"));
    std::fs::write(&file, contents).unwrap();
    assert!(Command::new("mount").arg("--bind").arg(&file).arg(place).status().unwrap().success());
}

#[tokio::test]
async fn no_search_list_completes_a_name() {
    let Some(private) = Private::find() else { return };
    if !private.is_inside("names::no_search_list_completes_a_name") {
        return;
    }
    let Some(asked) = name_server() else { return skip("a name server on port 53") };
    let directory = tempfile::tempdir().unwrap();
    put(
        directory.path(),
        "/etc/resolv.conf",
        &format!("nameserver {SERVER}\nsearch search.example\noptions ndots:1\n"),
    );
    put(directory.path(), "/etc/hosts", "192.0.2.7 printer Known.Example\n");

    for name in ["intranet", "a.example"] {
        let found = SystemNames.addresses(name).await;
        assert!(found.is_err(), "{name}: {found:?}");
    }
    let found = SystemNames.addresses("intranet.search.example").await.unwrap();
    assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    let names: std::collections::BTreeSet<String> = asked.lock().unwrap().drain(..).collect();
    assert_eq!(names, ["a.example", "intranet", "intranet.search.example"].map(str::to_owned).into());

    // The file of hosts comes first.
    for name in ["printer", "known.example"] {
        assert_eq!(SystemNames.addresses(name).await.unwrap(), ["192.0.2.7".parse::<IpAddr>().unwrap()], "{name}");
    }
    assert!(asked.lock().unwrap().is_empty());
}
