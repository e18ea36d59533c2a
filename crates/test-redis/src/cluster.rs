use std::thread;
use std::time::Duration;

use crate::server::free_port;
use crate::{TestRedis, wait_until};

/// A Redis Cluster of primaries on `127.0.0.1`, with evenly distributed slots.
#[derive(Debug)]
pub struct TestCluster {
    nodes: Vec<TestRedis>,
}

const SLOTS: usize = 16_384;

impl TestCluster {
    /// Starts a cluster and waits until each node reports the state `ok`.
    ///
    /// # Panics
    /// If the cluster does not become ready in time.
    pub fn start(primaries: usize) -> Self {
        let nodes: Vec<TestRedis> = (0..primaries).map(|_| start_node()).collect();
        for (index, node) in nodes.iter().enumerate() {
            let first = SLOTS * index / primaries;
            let last = SLOTS * (index + 1) / primaries - 1;
            let range = [first.to_string(), last.to_string()];
            assert_eq!(node.cli(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]), "OK");
            let epoch = (index + 1).to_string();
            assert_eq!(node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "OK");
        }
        for node in &nodes[1..] {
            let (port, bus) = (nodes[0].port().to_string(), nodes[0].cluster_port());
            assert_eq!(node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
        for node in &nodes {
            wait_until("cluster_state:ok", || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{primaries}");
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        Self { nodes }
    }

    /// The URL of the store, with the first node as seed.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }

    /// Starts a replica of a primary, and waits until it has all data and every node knows it.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub fn add_replica(&self, primary: usize) -> TestRedis {
        let replica = start_node();
        let (port, bus) =
            (self.nodes[primary].port().to_string(), self.nodes[primary].cluster_port());
        assert_eq!(replica.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        let id = self.nodes[primary].cli(&["CLUSTER", "MYID"]);
        wait_until("the replica knows its primary", || {
            replica.cli(&["CLUSTER", "REPLICATE", &id]) == "OK"
        });
        wait_until("the replica follows", || {
            replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let id = replica.cli(&["CLUSTER", "MYID"]);
        for node in &self.nodes {
            wait_until("the nodes know the replica", || {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                nodes.lines().any(|line| line.starts_with(&id) && line.contains("slave"))
            });
        }
        replica
    }

    /// Moves a slot from one primary to another as `redis-cli --cluster reshard` does, 20 keys at a time, with a pause after each batch.
    ///
    /// # Panics
    /// If a node returns an error.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize, pause: Duration) {
        let slot = slot.to_string();
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let id_of = |node: &TestRedis| node.cli(&["CLUSTER", "MYID"]);
        let (of_source, of_target) = (id_of(source), id_of(target));
        let set = |node: &TestRedis, what: &str, id: &str| {
            assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, what, id]), "OK");
        };
        set(target, "IMPORTING", &of_source);
        set(source, "MIGRATING", &of_target);
        let port = target.port().to_string();
        loop {
            let keys = source.cli(&["--raw", "CLUSTER", "GETKEYSINSLOT", &slot, "20"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.lines());
            assert_eq!(source.cli(&migrate), "OK", "{keys}");
            thread::sleep(pause);
        }
        // The target first: no moment without an owner.
        set(target, "NODE", &of_target);
        for node in &self.nodes {
            set(node, "NODE", &of_target);
        }
    }

    /// Kills a primary (SIGKILL).
    ///
    /// # Panics
    /// If the operating system returns an error.
    pub fn kill(&mut self, primary: usize) {
        self.nodes[primary].kill();
    }

    /// The primaries.
    pub fn nodes(&self) -> &[TestRedis] {
        &self.nodes
    }
}

fn start_node() -> TestRedis {
    let bus = free_port().to_string();
    TestRedis::start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        "5000",
    ])
}

impl TestRedis {
    fn cluster_port(&self) -> String {
        self.cli(&["CONFIG", "GET", "cluster-port"]).lines().last().unwrap_or_default().to_owned()
    }
}
