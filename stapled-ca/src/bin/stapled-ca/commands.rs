//! The commands.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stapled_ca::responder::{Limits, Responder};
use stapled_ca::store::{self, StoreError};
use stapled_ca::{
    Authority, AuthorityError, ExtendedKeyUsage, Kind, Profile, Record, Serial, SerialError, Status, Validity,
    interrupted, pem,
};
use tokio::net::TcpListener;

use crate::arguments::{Command, Delegate, Init, Intermediate, Issue, List, Purpose, Revoke, Serve};
use crate::presign::{self, PresignFailure};

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Presign(#[from] PresignFailure),
    #[error("cannot open the authority in {}: {source}; `stapled-ca init` makes an authority", dir.display())]
    Open { dir: PathBuf, source: AuthorityError },
    #[error("cannot find a certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("{which} is neither a file nor a serial number: {source}")]
    Which { which: String, source: SerialError },
    #[error("{} exists; choose another --out, or replace the file with --force", .0.display())]
    OutExists(PathBuf),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs a command. Its output goes to standard output.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match command {
        Command::Init(arguments) => init(&arguments, &mut out),
        Command::Intermediate(arguments) => intermediate(arguments, &mut out),
        Command::Responder(arguments) => responder(&arguments, &mut out),
        Command::Issue(arguments) => issue(arguments, &mut out),
        Command::Revoke(arguments) => revoke(&arguments, &mut out),
        Command::List(arguments) => match list(&arguments, &mut out) {
            // `stapled-ca list | head` is not a failure.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        },
        Command::Serve(arguments) => serve(&arguments, &mut out),
        Command::Presign(arguments) => {
            let authorities = arguments.dir.iter().map(|dir| open(dir)).collect::<Result<Vec<_>, _>>()?;
            Ok(presign::presign(&arguments, &authorities, &mut out)?)
        }
        Command::Respond(arguments) => Ok(presign::respond(&arguments, &mut out)?),
    }
}

fn init(arguments: &Init, out: &mut impl Write) -> Result<(), Failure> {
    let builder = Authority::root(&arguments.name).key(arguments.key.key).validity(Validity::Days(arguments.days));
    announce(&builder.create_in(&arguments.dir)?, &arguments.dir, out)
}

fn intermediate(arguments: Intermediate, out: &mut impl Write) -> Result<(), Failure> {
    let parent = open(&arguments.parent)?;
    let mut builder =
        parent.intermediate(&arguments.name).key(arguments.key.key).validity(Validity::Days(arguments.days));
    for url in arguments.ocsp_url {
        builder = builder.ocsp_url(url);
    }
    for url in arguments.ca_issuers_url {
        builder = builder.ca_issuers_url(url);
    }
    for url in arguments.crl_url {
        builder = builder.crl_url(url);
    }
    announce(&builder.create_in(&arguments.dir)?, &arguments.dir, out)
}

/// Prints the name of a new authority and the file of its certificate.
fn announce(authority: &Authority, dir: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let certificate = dir.join(store::CA_CERTIFICATE);
    writeln!(out, "{} ({}): {}", authority.name(), authority.key().key_type(), certificate.display())?;
    Ok(())
}

fn responder(arguments: &Delegate, out: &mut impl Write) -> Result<(), Failure> {
    let authority = open(&arguments.dir)?;
    let profile = Profile::ocsp_responder(&arguments.name).key(arguments.key.key).days(arguments.days);
    let issued = authority.install_delegate(&profile)?;
    let path = arguments.dir.join(store::RESPONDER_CERTIFICATE);
    writeln!(out, "{} {}", issued.serial(), path.display())?;
    Ok(())
}

fn issue(arguments: Issue, out: &mut impl Write) -> Result<(), Failure> {
    // Checked before the certificate is issued: the ledger must not list a certificate that was never written.
    if arguments.out.exists() && !arguments.force {
        return Err(Failure::OutExists(arguments.out));
    }
    let authority = open(&arguments.dir)?;
    let mut names = arguments.san.iter();
    let mut profile = Profile::server(names.next().map_or("", String::as_str))
        .key(arguments.key.key)
        .must_staple(arguments.must_staple)
        .days(arguments.days)
        .extended_key_usages(arguments.purpose.iter().filter_map(|purpose| match purpose {
            Purpose::Server => Some(ExtendedKeyUsage::ServerAuth),
            Purpose::Client => Some(ExtendedKeyUsage::ClientAuth),
            Purpose::None => None,
        }));
    for name in names {
        profile = profile.dns(name);
    }
    for url in arguments.ocsp_url {
        profile = profile.ocsp_url(url);
    }
    for url in arguments.ca_issuers_url {
        profile = profile.ca_issuers_url(url);
    }
    for url in arguments.crl_url {
        profile = profile.crl_url(url);
    }
    if let (Some(not_before), Some(not_after)) = (arguments.not_before, arguments.not_after) {
        profile = profile.valid_between(not_before, not_after);
    }
    if let Some(serial) = arguments.serial {
        profile = profile.serial(serial);
    }
    let issued = authority.issue(&profile)?;

    let mut text = issued.certificate_pem();
    if !arguments.no_chain {
        text.push_str(&issued.chain_pem());
    }
    if arguments.separate_key {
        let mut key_path = arguments.out.clone().into_os_string();
        key_path.push(".key");
        store::replace(Path::new(&key_path), issued.key_pem().as_bytes(), store::SECRET)?;
        store::replace(&arguments.out, text.as_bytes(), store::READABLE)?;
    } else {
        text.push_str(&issued.key_pem());
        store::replace(&arguments.out, text.as_bytes(), store::SECRET)?;
    }
    writeln!(out, "{} {}", issued.serial(), arguments.out.display())?;
    Ok(())
}

fn revoke(arguments: &Revoke, out: &mut impl Write) -> Result<(), Failure> {
    let authority = open(&arguments.dir)?;
    let serial = serial_of(&arguments.which)?;
    let record = if arguments.undo {
        authority.set_status(&serial, Status::Good)?
    } else {
        authority.revoke(&serial, arguments.reason)?
    };
    writeln!(out, "{} {} {}", record.serial, status_text(&record), record.subject)?;
    Ok(())
}

fn list(arguments: &List, out: &mut impl Write) -> Result<(), Failure> {
    for record in open(&arguments.dir)?.records()? {
        if arguments.json {
            serde_json::to_writer(&mut *out, &record)?;
            writeln!(out)?;
        } else {
            let until = jiff::Timestamp::from_second(record.not_after).unwrap_or_default();
            let kind = match record.kind {
                Kind::EndEntity => "",
                Kind::Authority => " (authority)",
                Kind::Responder => " (OCSP responder)",
            };
            let (serial, status) = (&record.serial, status_text(&record));
            writeln!(out, "{serial} {status} until {until} {}{kind}", record.subject)?;
        }
    }
    Ok(())
}

fn serve(arguments: &Serve, out: &mut impl Write) -> Result<(), Failure> {
    let mut builder = Responder::builder()
        .validity(Duration::from_secs(arguments.validity))
        .backdate(Duration::from_secs(arguments.backdate))
        .echo_nonce(arguments.nonce)
        .unknown_serial(arguments.unknown_serial)
        .record_first_questions(true)
        .presign(arguments.presign)
        .publish_crls(Duration::from_secs(arguments.crl_validity));
    for dir in &arguments.dir {
        let authority = open(dir)?;
        builder =
            if arguments.delegate { builder.installed_delegate(&authority)? } else { builder.authority(&authority) };
    }
    let responder = Arc::new(builder.build());
    let _upkeep = responder.upkeep()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let listen = |source| Failure::Listen { address: arguments.listen, source };
        let listener = TcpListener::bind(arguments.listen).await.map_err(listen)?;
        // Signals are caught before the address is printed: a reader of the address may stop the server at once.
        let shutdown = interrupted()?;
        writeln!(out, "OCSP at http://{}/", listener.local_addr()?)?;
        out.flush()?;
        // Spawned, so that the worker threads of the runtime answer, not this thread.
        let serving = tokio::spawn(responder.serve(listener, Limits::default(), shutdown));
        serving.await.map_err(io::Error::other)?;
        Ok(())
    })
}

fn open(dir: &Path) -> Result<Authority, Failure> {
    Authority::open(dir).map_err(|source| Failure::Open { dir: dir.to_owned(), source })
}

/// The serial number of a certificate in a file, or the number itself.
fn serial_of(which: &str) -> Result<Serial, Failure> {
    let path = Path::new(which);
    if !path.is_file() {
        return which.parse().map_err(|source| Failure::Which { which: which.to_owned(), source });
    }
    let first = pem::certificates(&store::read(path)?).into_iter().next();
    first.and_then(|der| Serial::of_certificate(&der)).ok_or_else(|| Failure::NoCertificate(path.to_owned()))
}

/// The status of a record in words.
fn status_text(record: &Record) -> String {
    match record.status {
        Status::Good => "good".to_owned(),
        Status::Revoked { reason: None, .. } => "revoked".to_owned(),
        Status::Revoked { reason: Some(reason), .. } => format!("revoked ({reason})"),
    }
}
