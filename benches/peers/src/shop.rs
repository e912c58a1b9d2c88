//! A directory with certificates, and the judgement of the staples that a program left there.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_ca::lab::Fault;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::staple::Judge;

use crate::world::World;

/// Certificates with their chains and keys in a directory.
pub struct Shop {
    pub world: World,
    folder: tempfile::TempDir,
    count: usize,
    cleared: usize,
}

impl Shop {
    /// Certificates whose responder takes `delay` for each answer.
    pub fn new(count: usize, delay: Duration) -> Result<Self, Box<dyn Error>> {
        let world = World::new()?;
        if !delay.is_zero() {
            world.lab().fault_all(Fault::Delay(delay));
        }
        let folder = tempfile::tempdir()?;
        let shop = Shop { world, folder, count, cleared: 0 };
        std::fs::create_dir(shop.certificates())?;
        for file in shop.files() {
            let number = file.file_stem().and_then(|stem| stem.to_str()).ok_or("no name")?.parse()?;
            std::fs::write(&file, shop.world.issue(number)?)?;
        }
        std::fs::write(shop.root(), shop.world.root_pem())?;
        Ok(shop)
    }

    /// The directory of the certificates.
    pub fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    /// The file of the CA's certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A file beside the directory, of any purpose.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The number of certificates.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The files of the certificates.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.certificates();
        (0..self.count).map(move |number| folder.join(format!("{number}.pem")))
    }

    /// Moves away the staples that a program has left. They are not removed: ext4 searches long for a free inode beside ones that
    /// were freed a moment ago, and the next program would pay for it.
    pub fn clear(&mut self) -> Result<(), Box<dyn Error>> {
        self.cleared += 1;
        let away = self.beside(&format!("before-{}", self.cleared));
        std::fs::create_dir(&away)?;
        for (number, file) in self.files().enumerate() {
            let staple = staple_file(&file);
            if staple.exists() {
                std::fs::rename(staple, away.join(number.to_string()))?;
            }
        }
        self.world.lab().forget_requests();
        Ok(())
    }

    /// The number of files with a good staple beside them.
    pub fn good(&self) -> Result<usize, Box<dyn Error>> {
        let good = |file: PathBuf| {
            let response = std::fs::read(staple_file(&file)).unwrap_or_default();
            Ok::<_, Box<dyn Error>>(usize::from(is_good(&file, response)?))
        };
        self.files().map(good).sum()
    }
}

/// The file in which a certificate's staple is.
pub fn staple_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".ocsp");
    name.into()
}

/// Whether a response is a staple for the certificate in a file.
pub fn is_good(file: &Path, response: Vec<u8>) -> Result<bool, Box<dyn Error>> {
    let chain = CertChain::from_pem(&std::fs::read(file)?)?;
    let judgement = Judge::new(&chain).at(SystemClock.now()).judge(response);
    Ok(judgement.is_ok_and(|judgement| judgement.staple().is_some()))
}
