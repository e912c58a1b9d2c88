//! How fast certificates get their staples, and how much memory and computing each costs. Each measurement is a process of its own, so that no
//! memory of another one counts; the responder is in the process that started it.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::world::{Cpu, Peer, Staples, World, by_name, median, read_keys};

/// How long all certificates may take.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// Prints certificates a second, and bytes for each.
pub fn run(count: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    let world = World::new()?;
    let folder = std::env::temp_dir().join(format!("bench-peers-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for number in 0..=count {
        std::fs::write(folder.join(number.to_string()), world.issue(number)?)?;
    }
    let peers = [Peer::Stapled, Peer::OcspStapler];
    let mut found = [[Vec::new(), Vec::new(), Vec::new()], [Vec::new(), Vec::new(), Vec::new()]];
    for _ in 0..rounds {
        for (peer, found) in peers.iter().zip(&mut found) {
            let mut child = Command::new(std::env::current_exe()?);
            let output = child.args(["intake", peer.name()]).arg(&folder).arg(count.to_string()).output()?;
            let said = String::from_utf8(output.stdout)?;
            let values: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if values.len() != found.len() {
                return Err(format!("{}: {}", peer.name(), String::from_utf8_lossy(&output.stderr)).into());
            }
            found.iter_mut().zip(values).for_each(|(all, one)| all.push(one));
        }
    }
    std::fs::remove_dir_all(&folder)?;
    println!("| {count} certificates | stapled each second | ms of a processor each | bytes each |\n|---|---|---|---|");
    for (peer, [rates, computed, memory]) in peers.iter().zip(found.map(|all| all.map(median))) {
        println!("| {} | {rates:.0} | {computed:.2} | {memory:.0} |", peer.name());
    }
    println!();
    Ok(())
}

/// One measurement.
pub fn child(peer: Peer, folder: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let keys = read_keys(folder, count + 1)?;
    let inner = by_name(&keys)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (took, computed, memory) = runtime.block_on(async {
        let staples = Staples::start(peer, inner)?;
        // The first certificate costs what the others share.
        staples.add(&keys[count..], PATIENCE).await?;
        let (before, computed) = (resident()?, Cpu::of_process());
        let took = staples.add(&keys[..count], PATIENCE).await?;
        Ok::<_, Box<dyn Error>>((took, computed.elapsed(), resident()?.saturating_sub(before)))
    })?;
    let (count, computed) = (count as f64, computed.as_secs_f64() * 1e3);
    println!("{} {} {}", count / took.as_secs_f64(), computed / count, memory as f64 / count);
    // The tasks of both staplers would go on for ever.
    std::process::exit(0);
}

/// The memory of this process, in bytes.
fn resident() -> Result<usize, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
