use crate::server::free_port;
use crate::{TestRedis, wait_until};

/// Primaries of a Redis Cluster on `127.0.0.1`, which share the slots evenly.
#[derive(Debug)]
pub struct TestCluster {
    nodes: Vec<TestRedis>,
}

const SLOTS: usize = 16_384;

impl TestCluster {
    /// Starts so many primaries, and waits until each finds the cluster whole.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn start(primaries: usize) -> Self {
        let nodes: Vec<TestRedis> = (0..primaries)
            .map(|_| {
                let bus = free_port().to_string();
                TestRedis::start(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "5000",
                ])
            })
            .collect();
        for (at, node) in nodes.iter().enumerate() {
            let first = SLOTS * at / primaries;
            let last = SLOTS * (at + 1) / primaries - 1;
            let range = [first.to_string(), last.to_string()];
            assert_eq!(node.cli(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]), "OK");
            let epoch = (at + 1).to_string();
            assert_eq!(node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "OK");
        }
        for node in &nodes[1..] {
            let (port, bus) = (nodes[0].port().to_string(), nodes[0].cluster_port());
            assert_eq!(node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
        for node in &nodes {
            wait_until("the cluster is whole", || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{primaries}");
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        Self { nodes }
    }

    /// The address, as a store takes it; names only the first node.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }

    /// The primaries.
    pub fn nodes(&self) -> &[TestRedis] {
        &self.nodes
    }
}

impl TestRedis {
    fn cluster_port(&self) -> String {
        self.cli(&["CONFIG", "GET", "cluster-port"]).lines().last().unwrap_or_default().to_owned()
    }
}
