//! The commands.

use std::io::{self, Write};
use std::path::Path;

use stapled_ca::store;
use stapled_ca::{Authority, ExtendedKeyUsage, Profile, Reason, Status, Validity};

use crate::arguments::{Command, Delegate, Init, Intermediate, Issue, Purpose, Revoke, Root};
use crate::authorities::{ROOT, open, serial_of, status_text};
use crate::failure::Failure;
use crate::presign;

const ROOT_DAYS: u32 = 3650;
const INTERMEDIATE_DAYS: u32 = 1825;
const DELEGATE_DAYS: u32 = 30;

/// Runs a command. Its output goes to standard output.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match command {
        Command::Init(arguments) => init(&arguments, &mut out),
        Command::Root(arguments) => root(&arguments, &mut out),
        Command::Intermediate(arguments) => intermediate(arguments, &mut out),
        Command::Responder(arguments) => responder(&arguments, &mut out),
        Command::Issue(arguments) => issue(arguments, &mut out),
        Command::Revoke(arguments) => revoke(&arguments, &mut out),
        Command::Ledger(ledger) => match ledger.run(&mut out) {
            // `stapled-ca ledger list | head` is not a failure.
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        },
        Command::Serve(serve) => serve.run(&mut out),
        Command::Presign(arguments) => {
            let authorities = arguments.dir.iter().map(|dir| open(dir)).collect::<Result<Vec<_>, _>>()?;
            Ok(presign::presign(&arguments, &authorities, &mut out)?)
        }
        Command::Respond(arguments) => Ok(presign::respond(&arguments, &mut out)?),
        Command::Work(work) => work.run(&mut out),
        Command::Submit(submit) => block_on(submit.run(&mut out)),
        Command::Challenges(challenges) => block_on(challenges.run(&mut out)),
        Command::Ready(ready) => block_on(ready.run(&mut out)),
        Command::Fetch(fetch) => block_on(fetch.run(&mut out)),
        Command::Thanks(thanks) => block_on(thanks.run(&mut out)),
        Command::Sessions(sessions) => block_on(sessions.run(&mut out)),
        Command::Recover(recover) => block_on(recover.run(&mut out)),
        Command::Status(status) => block_on(status.run(&mut out)),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

fn init(arguments: &Init, out: &mut impl Write) -> Result<(), Failure> {
    let (dir, name, key) = (arguments.dir(), &arguments.name, arguments.key.key);
    let root_dir = dir.join(ROOT);
    // Before the root is made: an authority that was made otherwise, or has lost a file, must not get another root or key.
    let is_filled = |path: &std::path::PathBuf| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0);
    let traces = [store::CA_KEY, store::CA_CERTIFICATE, store::LEDGER].map(|name| dir.join(name));
    if let Some(path) = traces.into_iter().find(is_filled) {
        return Err(store::StoreError::Exists { path }.into());
    }
    std::fs::create_dir_all(dir).map_err(|source| Failure::Directory { dir: dir.to_owned(), source })?;
    // What an interrupted run made stays.
    let root = if root_dir.join(store::CA_CERTIFICATE).exists() {
        open(&root_dir)?
    } else {
        let root = Authority::root(&format!("{name} Root")).key(key).validity(Validity::Days(ROOT_DAYS));
        root.create_in(&root_dir)?
    };
    announce(&root, &root_dir, out)?;
    let mut intermediate = root.intermediate(name).key(key).validity(Validity::Days(INTERMEDIATE_DAYS));
    if let Some(url) = &arguments.public_url {
        let file = stapled_ca::responder::file_name(root.name());
        intermediate = intermediate
            .ocsp_url(format!("{url}/"))
            .ca_issuers_url(format!("{url}/{file}.crt"))
            .crl_url(format!("{url}/{file}.crl"));
    }
    let authority = intermediate.create_in(dir)?;
    announce(&authority, dir, out)?;
    let delegate = Profile::ocsp_responder(&format!("{name} OCSP Responder")).key(key).days(DELEGATE_DAYS);
    let issued = authority.install_delegate(&delegate)?;
    writeln!(out, "{name} OCSP Responder ({}): {}", issued.serial(), dir.join(store::RESPONDER_CERTIFICATE).display())?;
    Ok(())
}

fn root(arguments: &Root, out: &mut impl Write) -> Result<(), Failure> {
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
    if let (Some(Status::Revoked { reason, .. }), false) = (authority.status(&serial)?, arguments.force) {
        if arguments.undo && reason != Some(Reason::CertificateHold) {
            return Err(Failure::Final { serial });
        }
        if !arguments.undo && reason == Some(Reason::KeyCompromise) && arguments.reason != reason {
            return Err(Failure::Compromised { serial });
        }
    }
    let record = if arguments.undo {
        authority.set_status(&serial, Status::Good)?
    } else {
        authority.revoke(&serial, arguments.reason)?
    };
    writeln!(out, "{} {} {}", record.serial, status_text(&record), record.subject)?;
    Ok(())
}
