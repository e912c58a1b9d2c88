//! Protocols that begin in plain text and go over to TLS.

use std::io::{self, Read, Write};

use crate::describe::visible::Visible;

/// The longest line of a server, in bytes. Mail servers keep to 512 (RFC 5321 §4.5.3.1.5); others write longer ones.
const MAX_LINE: usize = 4096;
/// How many lines a server may send for one command.
const MAX_LINES: usize = 100;

/// A protocol that begins in plain text and goes over to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartTls {
    /// SMTP (RFC 3207).
    Smtp,
    /// IMAP (RFC 9051 §6.2.1).
    Imap,
    /// POP3 (RFC 2595).
    Pop3,
    /// FTP (RFC 4217).
    Ftp,
    /// LDAP (RFC 4511 §4.14).
    Ldap,
    /// PostgreSQL, SSLRequest.
    Postgres,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartTlsError {
    #[error("before TLS: {0}")]
    Io(#[from] io::Error),
    #[error("the server does not offer TLS: {0}")]
    Refused(String),
    #[error("the server does not speak {0}")]
    Foreign(&'static str),
}

impl StartTls {
    /// All of them, with their names.
    pub const ALL: [(StartTls, &'static str); 6] = [
        (StartTls::Smtp, "smtp"),
        (StartTls::Imap, "imap"),
        (StartTls::Pop3, "pop3"),
        (StartTls::Ftp, "ftp"),
        (StartTls::Ldap, "ldap"),
        (StartTls::Postgres, "postgres"),
    ];

    /// The usual port.
    pub fn port(self) -> u16 {
        match self {
            StartTls::Smtp => 25,
            StartTls::Imap => 143,
            StartTls::Pop3 => 110,
            StartTls::Ftp => 21,
            StartTls::Ldap => 389,
            StartTls::Postgres => 5432,
        }
    }

    /// Speaks the protocol until TLS begins. Nothing after that point is read.
    pub(super) fn begin(self, stream: &mut (impl Read + Write)) -> Result<(), StartTlsError> {
        match self {
            StartTls::Smtp => {
                reply(stream, "220")?;
                stream.write_all(b"EHLO localhost\r\n")?;
                let offered = reply(stream, "250")?;
                let offers =
                    |line: &String| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
                if !offered.iter().any(offers) {
                    return Err(StartTlsError::Refused("STARTTLS is not among its extensions".to_owned()));
                }
                stream.write_all(b"STARTTLS\r\n")?;
                reply(stream, "220").map(drop)
            }
            StartTls::Ftp => {
                reply(stream, "220")?;
                stream.write_all(b"AUTH TLS\r\n")?;
                reply(stream, "234").map(drop)
            }
            StartTls::Pop3 => {
                expect(&line(stream)?, "+OK")?;
                stream.write_all(b"STLS\r\n")?;
                expect(&line(stream)?, "+OK")
            }
            StartTls::Imap => {
                expect(&line(stream)?, "* OK")?;
                stream.write_all(b"a STARTTLS\r\n")?;
                for _ in 0..MAX_LINES {
                    let line = line(stream)?;
                    if line.starts_with("a ") {
                        return expect(&line, "a OK");
                    }
                }
                Err(StartTlsError::Foreign("IMAP"))
            }
            StartTls::Ldap => ldap(stream),
            StartTls::Postgres => {
                // The length of the message, and the number that stands for SSLRequest.
                stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
                match octet(stream)? {
                    b'S' => Ok(()),
                    b'N' | b'E' => Err(StartTlsError::Refused("it answers no".to_owned())),
                    _ => Err(StartTlsError::Foreign("the protocol of PostgreSQL")),
                }
            }
        }
    }
}

/// Sends the extended request StartTLS, and reads the answer.
fn ldap(stream: &mut (impl Read + Write)) -> Result<(), StartTlsError> {
    const NAME: &[u8] = b"1.3.6.1.4.1.1466.20037";
    let foreign = || StartTlsError::Foreign("LDAP");
    let mut request = vec![0x30, 0x1d, 2, 1, 1, 0x77, 0x18, 0x80, 0x16];
    request.extend(NAME);
    stream.write_all(&request)?;
    let (tag, length) = (octet(stream)?, length(stream)?.ok_or_else(foreign)?);
    if tag != 0x30 || length > MAX_LINE {
        return Err(foreign());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    // The number of the message, then the extended response, which begins with its result code.
    let mut rest = message.strip_prefix(&[2, 1, 1, 0x78]).ok_or_else(foreign)?;
    self::length(&mut rest)?.ok_or_else(foreign)?;
    match rest {
        [0x0a, 1, 0, ..] => Ok(()),
        [0x0a, 1, code, ..] => Err(StartTlsError::Refused(format!("result code {code}"))),
        _ => Err(foreign()),
    }
}

/// A length in BER: short, or in up to four octets.
fn length(stream: &mut impl Read) -> Result<Option<usize>, StartTlsError> {
    let first = octet(stream)?;
    let count = match first {
        0..=0x7f => return Ok(Some(first.into())),
        0x81..=0x84 => first & 0x7f,
        _ => return Ok(None),
    };
    let mut length = 0usize;
    for _ in 0..count {
        length = (length << 8) | usize::from(octet(stream)?);
    }
    Ok(Some(length))
}

/// The lines of a reply with this code: `250-` continues, `250 ` ends it.
fn reply(stream: &mut impl Read, code: &str) -> Result<Vec<String>, StartTlsError> {
    let mut lines = Vec::new();
    while lines.len() < MAX_LINES {
        let line = line(stream)?;
        expect(&line, code)?;
        let continues = line.as_bytes().get(3) == Some(&b'-');
        lines.push(line);
        if !continues {
            return Ok(lines);
        }
    }
    Err(StartTlsError::Refused("its reply does not end".to_owned()))
}

fn expect(line: &str, begin: &str) -> Result<(), StartTlsError> {
    match line.get(..begin.len()).is_some_and(|first| first.eq_ignore_ascii_case(begin)) {
        true => Ok(()),
        false => Err(StartTlsError::Refused(format!("it says \"{}\"", Visible::new(line)))),
    }
}

/// The next line, octet by octet: what follows belongs to TLS.
fn line(stream: &mut impl Read) -> Result<String, StartTlsError> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        match octet(stream)? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            octet => line.push(octet),
        }
    }
    Err(StartTlsError::Refused("its line does not end".to_owned()))
}

fn octet(stream: &mut impl Read) -> Result<u8, StartTlsError> {
    let mut octet = [0];
    stream.read_exact(&mut octet)?;
    let [octet] = octet;
    Ok(octet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server that says this, and what it has heard.
    struct Server<'a> {
        says: &'a [u8],
        heard: Vec<u8>,
    }

    impl Read for Server<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Server<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn speak(protocol: StartTls, says: &[u8]) -> (Result<(), StartTlsError>, Vec<u8>, usize) {
        let mut server = Server { says, heard: Vec::new() };
        let done = protocol.begin(&mut server);
        (done, server.heard, server.says.len())
    }

    #[test]
    fn each_protocol_goes_over_to_tls_and_reads_no_further() {
        for (protocol, says, heard) in [
            (
                StartTls::Smtp,
                &b"220-hi\r\n220 there\r\n250-mx\r\n250-SIZE 1\r\n250 starttls\r\n220 go\r\nTLS"[..],
                &b"EHLO localhost\r\nSTARTTLS\r\n"[..],
            ),
            (StartTls::Imap, b"* OK [CAPABILITY STARTTLS] hi\r\n* BYE not yet\r\na ok go\r\nTLS", b"a STARTTLS\r\n"),
            (StartTls::Pop3, b"+OK hi\r\n+OK go\r\nTLS", b"STLS\r\n"),
            (StartTls::Ftp, b"220 hi\r\n234 go\r\nTLS", b"AUTH TLS\r\n"),
            (
                StartTls::Ldap,
                b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00TLS",
                b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
            ),
            (
                StartTls::Ldap,
                b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00TLS",
                b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
            ),
            (StartTls::Postgres, b"STLS", b"\0\0\0\x08\x04\xd2\x16\x2f"),
        ] {
            let (done, said, rest) = speak(protocol, says);
            assert!(done.is_ok(), "{protocol:?}: {done:?}");
            assert_eq!((said.as_slice(), rest), (heard, 3), "{protocol:?}");
        }
    }

    #[test]
    fn a_server_without_tls_is_told_apart() {
        for (protocol, says, words) in [
            (
                StartTls::Smtp,
                &b"220 hi\r\n250 SIZE 1\r\n"[..],
                "does not offer TLS: STARTTLS is not among its extensions",
            ),
            (StartTls::Smtp, b"554 no\x1b\r\n", "it says \"554 no\\u{1b}\""),
            (StartTls::Imap, b"* OK hi\r\na BAD what\r\n", "it says \"a BAD what\""),
            (StartTls::Pop3, b"-ERR\r\n", "it says \"-ERR\""),
            (StartTls::Ldap, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00", "result code 53"),
            (StartTls::Ldap, b"HTTP/1.1 400", "does not speak LDAP"),
            (StartTls::Postgres, b"N", "does not offer TLS"),
            (StartTls::Smtp, b"220", "before TLS: "),
        ] {
            let error = speak(protocol, says).0.unwrap_err().to_string();
            assert!(error.contains(words), "{protocol:?}: {error}");
        }
    }

    proptest! {
        /// Any answer ends: with TLS or an error.
        #[test]
        fn any_answer_has_an_end(says in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (protocol, _) in StartTls::ALL {
                let _ = speak(protocol, &says);
                let _ = speak(protocol, &[b"220 x\r\n250-", says.as_slice()].concat());
                let _ = speak(protocol, &[b"\x30\x84", says.as_slice()].concat());
            }
        }
    }
}
