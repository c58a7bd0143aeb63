// SPDX-License-Identifier: GPL-2.0

//! What the machine's files say, below a folder that tests replace.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where modprobe reads what it may not load.
const DENY: [&str; 4] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
];

/// A port of an RDMA device.
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    pub device: String,
    pub number: u32,
    /// `ACTIVE`, `DOWN`, ..
    pub state: String,
    /// `Ethernet` or `InfiniBand`.
    pub link_layer: String,
    pub is_iwarp: bool,
    pub netdev: Option<String>,
    pub addresses: Vec<IpAddr>,
}

/// A queue pair of the connection manager: number 1 of a port.
#[derive(Debug, PartialEq, Eq)]
pub struct QueuePair {
    pub device: String,
    pub port: u32,
    /// `RTS`, `ERR`, ..
    pub state: String,
}

/// Those in what `rdma -j resource show qp` says; none if it is anything else.
pub fn queue_pairs(text: &str) -> Vec<QueuePair> {
    let Ok(serde_json::Value::Array(all)) = serde_json::from_str(text) else {
        return Vec::new();
    };
    let of = |entry: &serde_json::Value| {
        (entry["type"] == "GSI").then_some(())?;
        Some(QueuePair {
            device: entry["ifname"].as_str()?.into(),
            port: entry["port"].as_u64()?.try_into().ok()?,
            state: entry["state"].as_str()?.into(),
        })
    };
    all.iter().filter_map(of).collect()
}

/// A machine, seen through its files.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one that this runs on.
    pub fn this() -> Self {
        Self { root: "/".into() }
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path))
            .ok()
            .map(|text| text.trim().to_string())
    }

    /// The names in a folder, sorted; none if it is not there.
    fn list(&self, path: impl AsRef<Path>) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.root.join(path))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether a module is there, loaded or built in.
    pub fn has_module(&self, name: &str) -> bool {
        self.root.join("sys/module").join(name).is_dir()
    }

    /// Those of the modules that modprobe will not load, and the file that says so.
    pub fn denied(&self, modules: &[&str]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for folder in DENY {
            for name in self.list(folder) {
                if !name.ends_with(".conf") {
                    continue;
                }
                let file = format!("{folder}/{name}");
                let text = self.read(&file).unwrap_or_default();
                for module in text.lines().filter_map(denies) {
                    let pair = (module.to_string(), format!("/{file}"));
                    if modules.contains(&module) && !found.contains(&pair) {
                        found.push(pair);
                    }
                }
            }
        }
        found
    }

    /// The queue pairs of the connection manager. No file tells of them, but the rdma tool does, if it is
    /// there.
    pub fn manager_queue_pairs(&self) -> Vec<QueuePair> {
        if self.root != Path::new("/") {
            return Vec::new();
        }
        let said = Command::new("rdma")
            .args(["-j", "resource", "show", "qp"])
            .output();
        said.map(|said| queue_pairs(&String::from_utf8_lossy(&said.stdout)))
            .unwrap_or_default()
    }

    /// A number below /proc/sys.
    pub fn sysctl(&self, name: &str) -> Option<u64> {
        self.read(Path::new("proc/sys").join(name))?.parse().ok()
    }

    /// Whether this network namespace is that of the first process; also if it cannot be told.
    pub fn in_first_namespace(&self) -> bool {
        let link = |path: &str| fs::read_link(self.root.join(path)).ok();
        match (link("proc/self/ns/net"), link("proc/1/ns/net")) {
            (Some(ours), Some(first)) => ours == first,
            _ => true,
        }
    }

    /// Bytes that a process may lock; `None` if it cannot be told.
    pub fn locked_memory(&self) -> Option<u64> {
        let text = self.read("proc/self/limits")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Max locked memory"))?;
        match line.split_whitespace().next()? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }

    pub fn mtu(&self, netdev: &str) -> Option<u64> {
        self.read(Path::new("sys/class/net").join(netdev).join("mtu"))?
            .parse()
            .ok()
    }

    pub fn device_index(&self, netdev: &str) -> Option<u32> {
        self.read(Path::new("sys/class/net").join(netdev).join("ifindex"))?
            .parse()
            .ok()
    }

    /// All ports of all RDMA devices.
    pub fn rdma_ports(&self) -> Vec<Port> {
        let class = Path::new("sys/class/infiniband");
        let mut found = Vec::new();
        for device in self.list(class) {
            let ports = class.join(&device).join("ports");
            // "1: CA", "4: RNIC"
            let kind = self
                .read(class.join(&device).join("node_type"))
                .unwrap_or_default();
            for number in self.list(&ports) {
                let port = ports.join(&number);
                let state = self.read(port.join("state")).unwrap_or_default();
                let netdevs = port.join("gid_attrs/ndevs");
                let names = self.list(&netdevs);
                found.push(Port {
                    device: device.clone(),
                    number: number.parse().unwrap_or(0),
                    state: state.rsplit(' ').next().unwrap_or("").to_string(),
                    link_layer: self.read(port.join("link_layer")).unwrap_or_default(),
                    is_iwarp: kind.ends_with("RNIC"),
                    netdev: names.iter().find_map(|name| self.read(netdevs.join(name))),
                    addresses: self.addresses(&port.join("gids")),
                });
            }
        }
        found
    }

    /// The port of RDS over TCP: rrds may have another one.
    pub fn tcp_port(&self) -> u16 {
        self.read("proc/sys/net/rds/parameters/tcp_port")
            .and_then(|text| text.parse().ok())
            .unwrap_or(rds::TCP_PORT)
    }

    /// Whether something listens on a TCP port, by IPv4 or IPv6.
    pub fn listens(&self, port: u16) -> bool {
        let port = format!(":{port:04X}");
        let is_it = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("0A")
        };
        ["proc/net/tcp", "proc/net/tcp6"]
            .iter()
            .filter_map(|path| self.read(path))
            .any(|text| text.lines().any(is_it))
    }

    /// The IP addresses among a port's GIDs: with RoCE, those of its network device.
    fn addresses(&self, gids: &Path) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for name in self.list(gids) {
            let gid = self
                .read(gids.join(name))
                .and_then(|text| text.parse::<Ipv6Addr>().ok());
            let Some(gid) = gid.filter(|gid| !gid.is_unspecified()) else {
                continue;
            };
            let ip = gid.to_canonical();
            if !found.contains(&ip) {
                found.push(ip);
            }
        }
        found
    }
}

/// The module that a line of modprobe's configuration denies.
fn denies(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    match (words.next()?, words.next()?, words.next()) {
        ("blacklist", module, _) => Some(module),
        ("install", module, Some(command))
            if command.ends_with("/true") || command.ends_with("/false") =>
        {
            Some(module)
        }
        ("alias", "net-pf-21", Some("off")) => Some("rds"),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A folder that looks like a machine's root, gone when dropped.
    pub struct Root(PathBuf);

    impl Root {
        pub fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("rds-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        pub fn machine(&self) -> Machine {
            Machine {
                root: self.0.clone(),
            }
        }

        pub fn write(&self, path: &str, text: &str) {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }

        /// A port with an IPv4 and a link-local address.
        pub fn port(&self, device: &str, state: &str, netdev: &str, mtu: &str) {
            let base = format!("sys/class/infiniband/{device}");
            self.write(&format!("{base}/node_type"), "1: CA\n");
            let port = format!("{base}/ports/1");
            self.write(&format!("{port}/state"), state);
            self.write(&format!("{port}/link_layer"), "Ethernet\n");
            self.write(&format!("{port}/gid_attrs/ndevs/0"), netdev);
            self.write(
                &format!("{port}/gids/0"),
                "fe80:0000:0000:0000:5054:00ff:fe00:0001\n",
            );
            self.write(
                &format!("{port}/gids/1"),
                "0000:0000:0000:0000:0000:ffff:0a00:0001\n",
            );
            self.write(
                &format!("{port}/gids/2"),
                "0000:0000:0000:0000:0000:0000:0000:0000\n",
            );
            self.write(&format!("sys/class/net/{netdev}/mtu"), mtu);
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn deny_lists() {
        for (line, module) in [
            ("blacklist rds", Some("rds")),
            ("  install rds /bin/true", Some("rds")),
            ("install rds_rdma /usr/bin/false # why", Some("rds_rdma")),
            ("alias net-pf-21 off", Some("rds")),
            ("# blacklist rds", None),
            ("install rds /sbin/modprobe --ignore-install rds", None),
            ("options rds x=1", None),
            ("", None),
        ] {
            assert_eq!(denies(line), module, "{line:?}");
        }
        let root = Root::new("deny");
        root.write("etc/modprobe.d/rds.conf", "blacklist rds\nblacklist dccp\n");
        root.write("lib/modprobe.d/rds.txt", "blacklist rds_tcp\n");
        let denied = root.machine().denied(&["rds", "rds_tcp"]);
        assert_eq!(denied, [("rds".into(), "/etc/modprobe.d/rds.conf".into())]);
    }

    #[test]
    fn ports() {
        let root = Root::new("ports");
        assert_eq!(root.machine().rdma_ports(), []);
        root.port("rxe0", "4: ACTIVE\n", "eth0", "9000\n");
        let port = root.machine().rdma_ports().pop().unwrap();
        assert_eq!(
            (&*port.device, port.number, &*port.state),
            ("rxe0", 1, "ACTIVE")
        );
        assert_eq!(port.netdev.as_deref(), Some("eth0"));
        let addresses: Vec<_> = port.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["fe80::5054:ff:fe00:1", "10.0.0.1"]);
        assert_eq!(root.machine().mtu("eth0"), Some(9000));
    }

    #[test]
    fn limits() {
        let root = Root::new("limits");
        assert_eq!(root.machine().locked_memory(), None);
        let line =
            |value| format!("Limit  Soft Hard\nMax locked memory         {value}  1  bytes\n");
        root.write("proc/self/limits", &line("65536"));
        assert_eq!(root.machine().locked_memory(), Some(65536));
        root.write("proc/self/limits", &line("unlimited"));
        assert_eq!(root.machine().locked_memory(), Some(u64::MAX));
    }
}
