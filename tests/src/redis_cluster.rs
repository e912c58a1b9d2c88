//! A Cluster of three Redis servers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::port::free_port;
use crate::redis::Redis;
use crate::wait::wait_until_within;

/// How long nodes may take to find each other on a busy machine.
const SLOW: Duration = Duration::from_secs(120);
/// How many slots a Cluster has.
const SLOTS: u16 = 16384;

/// Three nodes on 127.0.0.1 that share the slots, without replicas. Its drop ends them.
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<Redis>,
    ports: Vec<u16>,
}

impl RedisCluster {
    /// Starts nodes with these arguments, and waits until they serve all slots. They never count each other as failed, unless
    /// the arguments have another `--cluster-node-timeout`: so a test may set their clocks.
    pub fn start(arguments: &[&str]) -> Self {
        RedisCluster::start_on("--port", arguments)
    }

    /// The same, where the ports of the address are for TLS, with the certificates in the arguments.
    pub fn start_with_tls(arguments: &[&str]) -> Self {
        RedisCluster::start_on("--tls-port", &[arguments, &["--tls-cluster", "yes"]].concat())
    }

    fn start_on(kind: &str, arguments: &[&str]) -> Self {
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let nodes: Vec<Redis> = ports.iter().map(|port| start(kind, *port, arguments)).collect();
        let cluster = RedisCluster { nodes, ports };
        let bus =
            |node: &Redis| node.ask(&["CONFIG", "GET", "cluster-port"]).lines().nth(1).expect("a port").to_owned();
        for (place, node) in (0..).zip(&cluster.nodes) {
            let (first, end) = (SLOTS / 3 * place, if place == 2 { SLOTS } else { SLOTS / 3 * (place + 1) });
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]);
        }
        for node in &cluster.nodes {
            for (other, port) in cluster.nodes.iter().zip(&cluster.ports) {
                node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string(), &bus(other)]);
            }
        }
        for node in &cluster.nodes {
            wait_until_within(SLOW, "the node knows the others", || {
                let slots = node.ask(&["CLUSTER", "SLOTS"]);
                node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                    && cluster.ports.iter().all(|port| slots.contains(&port.to_string()))
            });
        }
        cluster
    }

    /// The address, as clients write it, with the first `hosts` nodes.
    pub fn address(&self, hosts: usize) -> String {
        let hosts: Vec<String> = self.ports.iter().take(hosts).map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    fn node(&self, place: usize) -> &Redis {
        self.nodes.get(place).expect("a node")
    }

    /// The place of the node that has this key, if the slots are where they were at the start.
    pub fn node_of(&self, key: &str) -> usize {
        usize::from(self.slot(key) / (SLOTS / 3)).min(2)
    }

    /// The slot of this key.
    pub fn slot(&self, key: &str) -> u16 {
        self.node(0).ask(&["CLUSTER", "KEYSLOT", key]).parse().expect("a slot")
    }

    /// A key of this node that begins with these letters.
    pub fn key_of(&self, node: usize, letters: &str) -> String {
        let mut keys = (0..1000).map(|number| format!("{letters}{number}"));
        keys.find(|key| self.node_of(key) == node).expect("a key")
    }

    /// All keys, with the place of their node.
    pub fn keys(&self) -> BTreeMap<String, usize> {
        let of_node = |(place, node): (usize, &Redis)| {
            let keys = node.ask(&["KEYS", "*"]);
            keys.lines().map(|key| (key.to_owned(), place)).collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(of_node).collect()
    }

    /// Begins to move a slot to a node: keys of the slot that are not on their node are looked for there.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, id) = (slot.to_string(), |node: usize| self.node(node).ask(&["CLUSTER", "MYID"]));
        self.node(to).ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        self.node(from).ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    }

    /// Moves a key to a node, without its slot.
    pub fn move_key(&self, key: &str, from: usize, to: usize) {
        self.node(from).ask(&[
            "MIGRATE",
            "127.0.0.1",
            &self.ports.get(to).expect("a port").to_string(),
            key,
            "0",
            "30000",
        ]);
    }

    /// Ends the move of a slot: the node has it.
    pub fn end_move(&self, slot: u16, to: usize) {
        let id = self.node(to).ask(&["CLUSTER", "MYID"]);
        // First the node that gets it, so that the slot is never without one.
        for place in [to, 0, 1, 2] {
            self.node(place).ask(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]);
        }
    }
}

fn start(kind: &str, port: u16, arguments: &[&str]) -> Redis {
    let (port, bus) = (port.to_string(), free_port().to_string());
    // A hundred years.
    let timeout = (100_u64 * 365 * 24 * 3600 * 1000).to_string();
    let fixed = [
        ["--save", "", kind, &port, "--cluster-enabled", "yes"],
        ["--cluster-port", &bus, "--cluster-node-timeout", &timeout, "--cluster-require-full-coverage", "no"],
    ];
    Redis::start_with(&[&fixed.concat(), arguments].concat())
}
