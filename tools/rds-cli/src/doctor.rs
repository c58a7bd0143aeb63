// SPDX-License-Identifier: GPL-2.0

//! `rds doctor`: what is missing or wrong for RDS on this machine, and how to put it right.

mod facts;

use crate::context::Context;
use crate::failure::{printed, reason, Failure, Outcome};
use clap::{ArgMatches, Command};
use facts::{Machine, Port, QueuePair};
use rds::{Socket, Transport};
use serde_json::json;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// `rds doctor`
pub fn command() -> Command {
    Command::new("doctor")
        .about("Say what is missing or wrong for RDS on this machine, and how to put it right")
        .after_help(
            "It looks, and changes nothing. The exit status is 1 if RDS can work neither over RDMA nor over TCP.\n\n\
             Examples:\n  rds doctor\n  rds doctor --json | jq '.[] | select(.verdict != \"ok\")'",
        )
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Note,
    Fault,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fault => "fault",
        }
    }

    fn style(self) -> anstyle::Style {
        let color = match self {
            Self::Ok => anstyle::AnsiColor::Green,
            Self::Note => anstyle::AnsiColor::Yellow,
            Self::Fault => anstyle::AnsiColor::Red,
        };
        color.on_default().bold()
    }
}

/// What heals a queue pair of the connection manager that has failed: nothing but a device made anew.
fn manager(queue_pair: &QueuePair, ports: &[Port], findings: &mut Findings) {
    let QueuePair { device, port, .. } = queue_pair;
    if queue_pair.state != "ERR" {
        return;
    }
    let netdev = ports
        .iter()
        .find(|p| p.device == *device && p.number == *port)
        .and_then(|p| p.netdev.as_deref())
        .unwrap_or("NETDEV");
    findings.fault(
        &format!("connections of {device} port {port}"),
        "its queue pair 1, which makes them, is in the error state: there are no new ones",
        format!(
            "rdma link delete {device} && rdma link add {device} type rxe netdev {netdev}     (a network \
             card: load its driver anew)"
        ),
    );
}

/// What was found of one thing.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    what: String,
    found: String,
    fix: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, what: &str, found: impl Into<String>, fix: Option<String>) {
        self.0.push(Finding {
            verdict,
            what: what.into(),
            found: found.into(),
            fix,
        });
    }

    fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.add(Verdict::Ok, what, found, None);
    }

    fn note(&mut self, what: &str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Note, what, found, Some(fix.into()));
    }

    fn fault(&mut self, what: &str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Fault, what, found, Some(fix.into()));
    }

    /// What RDMA lacks: a fault, unless there is TCP instead.
    fn lack(&mut self, ways: Ways, what: &str, found: impl Into<String>, fix: impl Into<String>) {
        if ways.tcp {
            self.note(what, found, fix);
        } else {
            self.fault(what, found, fix);
        }
    }
}

/// Which module there is, and whether something forbids to load it.
fn module(machine: &Machine, context: &Context, findings: &mut Findings) -> Option<Socket> {
    let loaded: Vec<_> = ["rrds", "rds", "rds_rdma", "rds_tcp"]
        .into_iter()
        .filter(|name| machine.has_module(name))
        .collect();
    let denied = machine.denied(&["rrds", "rds", "rds_rdma", "rds_tcp"]);
    let family = context.family;
    let socket = match Socket::new(family) {
        Ok(socket) => {
            let found = format!("sockets of family {family}; loaded: {}", loaded.join(", "));
            findings.ok("address family", found);
            Some(socket)
        }
        Err(error) => {
            let found = format!("family {family}: {}", reason(&error));
            let fix = if loaded.is_empty() {
                "modprobe rds_rdma     (the kernel's own; or: insmod krdma.ko && insmod rrds.ko)"
                    .into()
            } else {
                format!(
                    "{} is loaded under another number: rds --family N",
                    loaded.join(", ")
                )
            };
            findings.fault("address family", found, fix);
            None
        }
    };
    for (module, file) in denied {
        let found = format!("{module} is denied by {file}");
        let fix = format!("remove the line from {file}, or load it by insmod");
        if socket.is_some() {
            findings.note("deny-list", found, fix);
        } else {
            findings.fault("deny-list", found, fix);
        }
    }
    socket
}

/// What there is to go over.
#[derive(Clone, Copy, Default)]
struct Ways {
    rdma: bool,
    tcp: bool,
}

fn transports(context: &Context, machine: &Machine, findings: &mut Findings) -> Ways {
    // To choose one that is not loaded would have the kernel's own load it.
    let choose = |transport, is_loaded: bool| {
        if !is_loaded {
            return Err("not loaded".to_string());
        }
        Socket::new(context.family)
            .and_then(|socket| socket.set_transport(transport))
            .map_err(|error| reason(&error))
    };
    let has_rrds = machine.has_module("rrds");
    let port = machine.tcp_port();
    let is_listening = machine.listens(port);
    let rdma = choose(Transport::Rdma, has_rrds || machine.has_module("rds_rdma"));
    let tcp = choose(
        Transport::Tcp,
        has_rrds && is_listening || machine.has_module("rds_tcp"),
    );
    let ways = Ways {
        rdma: rdma.is_ok(),
        tcp: tcp.is_ok(),
    };

    match rdma {
        Ok(()) => findings.ok("RDMA transport", "there"),
        Err(why) => {
            let fix = if has_rrds {
                "dmesg | grep rrds     (says which devices it took, and why not others)".into()
            } else if machine.in_first_namespace() {
                "modprobe rds_rdma".into()
            } else {
                "the kernel's own works in the first network namespace only: leave this one, or \
                 take rrds"
                    .to_string()
            };
            findings.lack(ways, "RDMA transport", why, fix);
        }
    }
    match tcp {
        Ok(()) => {
            findings.ok("TCP transport", "there");
            listener(port, is_listening, findings);
        }
        // Who has RDMA needs none.
        Err(_) if ways.rdma => {}
        Err(why) => findings.note(
            "TCP transport",
            why,
            "insmod rrds.ko tcp=1, or modprobe rds_tcp     (for hosts without RDMA)",
        ),
    }
    ways
}

fn listener(port: u16, is_listening: bool, findings: &mut Findings) {
    let what = format!("TCP port {port}");

    if is_listening {
        findings.ok(&what, "peers can connect, if no firewall is in the way");
    } else {
        findings.fault(
            &what,
            "nobody listens in this network namespace: peers cannot connect",
            format!("is it another program's? ss -tlnp 'sport = :{port}'"),
        );
    }
}

fn bindable(context: &Context, addr: SocketAddr) -> Result<(), String> {
    let try_it = || {
        let socket = Socket::new(context.family)?;
        socket.set_transport(Transport::Rdma)?;
        socket.bind(addr)
    };
    try_it().map_err(|error| reason(&error))
}

fn address(machine: &Machine, port: &Port, ip: IpAddr) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let scope = port
                .netdev
                .as_ref()
                .and_then(|name| machine.device_index(name));
            SocketAddrV6::new(v6, 0, 0, scope.unwrap_or(0)).into()
        }
        other => (other, 0).into(),
    }
}

fn devices(machine: &Machine, context: &Context, ways: Ways, findings: &mut Findings) {
    let ports = machine.rdma_ports();
    if ports.is_empty() {
        findings.lack(
            ways,
            "RDMA devices",
            "none",
            "load the driver of the network card, or: modprobe rdma_rxe && rdma link add rxe0 \
             type rxe netdev eth0",
        );
        return;
    }
    let mut usable = 0;
    for port in &ports {
        let name = format!("{} port {}", port.device, port.number);
        if port.is_iwarp {
            findings.note(
                &name,
                "iWARP, which RDS does not run on",
                "take another device",
            );
            continue;
        }
        if port.state != "ACTIVE" {
            let fix = match &port.netdev {
                Some(netdev) => format!("ip link set {netdev} up, and look at the cable"),
                None => "look at the cable and at the subnet manager".into(),
            };
            findings.lack(ways, &name, format!("state {}", port.state), fix);
            continue;
        }
        let on = port.netdev.as_deref().unwrap_or("no network device");
        findings.ok(&name, format!("active, {}, on {on}", port.link_layer));
        if let Some(mtu) = port.netdev.as_ref().and_then(|netdev| machine.mtu(netdev)) {
            if port.link_layer == "Ethernet" && mtu < 4200 {
                findings.note(
                    &format!("MTU of {on}"),
                    format!("{mtu}: RDS's pieces of 4 KiB travel in several packets"),
                    format!("ip link set {on} mtu 9000     (on all hosts and switches)"),
                );
            }
        }
        if port.addresses.is_empty() {
            let fix = format!("ip addr add 10.0.0.1/24 dev {on}");
            findings.lack(ways, &format!("addresses of {on}"), "no IP address", fix);
        }
        for &ip in &port.addresses {
            let what = format!("address {ip}");
            if !ways.rdma {
                continue;
            }
            match bindable(context, address(machine, port, ip)) {
                Ok(()) => {
                    usable += 1;
                    findings.ok(&what, "can be bound to");
                }
                Err(why) => findings.note(
                    &what,
                    format!("cannot be bound to: {why}"),
                    format!("is it an address of {on}? ip addr show {on}"),
                ),
            }
        }
    }
    for queue_pair in &machine.manager_queue_pairs() {
        manager(queue_pair, &ports, findings);
    }
    if ways.rdma && usable == 0 {
        findings.lack(
            ways,
            "addresses",
            "RDS over RDMA can bind to none",
            "see the devices above; rdma system show tells whether they are in this namespace",
        );
    }
}

fn settings(machine: &Machine, findings: &mut Findings) {
    let rds = |name: &str| machine.sysctl(&format!("net/rds/{name}"));
    if rds("ping_enable") == Some(0) {
        findings.note(
            "net.rds.ping_enable",
            "0: this host does not answer rds ping",
            "sysctl -w net.rds.ping_enable=1",
        );
    }
    if let Some(1..) = rds("ib/flow_control") {
        findings.note(
            "net.rds.ib.flow_control",
            "not 0, but peers never offer credits: it has no effect",
            "sysctl -w net.rds.ib.flow_control=0",
        );
    }
    for (name, what) in [
        (
            "wmem_max",
            "longer messages are refused with EMSGSIZE, unless root sends them",
        ),
        (
            "rmem_max",
            "receivers are congested from there on, unless root sets their buffers",
        ),
    ] {
        let Some(bytes) = machine.sysctl(&format!("net/core/{name}")) else {
            continue;
        };
        let key = format!("net.core.{name}");
        if bytes < rds::MAX_MESSAGE as u64 {
            let fix = format!("sysctl -w {key}=4194304");
            findings.note(&key, format!("{bytes}: {what}"), fix);
        } else {
            findings.ok(&key, bytes.to_string());
        }
    }
    if let Some(limit) = machine.locked_memory() {
        const ENOUGH: u64 = 8 << 20;
        if limit < ENOUGH {
            findings.note(
                "locked memory",
                format!("{limit} bytes: too little for RDMA operations of applications"),
                "ulimit -l unlimited, or a line `* - memlock unlimited` in \
                 /etc/security/limits.conf",
            );
        } else {
            findings.ok("locked memory", "enough");
        }
    }
}

fn examine(machine: &Machine, context: &Context) -> Vec<Finding> {
    let mut findings = Findings::default();
    let socket = module(machine, context, &mut findings);
    let ways = match socket {
        Some(_) => transports(context, machine, &mut findings),
        None => Ways::default(),
    };
    devices(machine, context, ways, &mut findings);
    settings(machine, &mut findings);
    findings.0
}

/// Runs it.
pub fn run(context: &Context, _: &ArgMatches) -> Result<Outcome, Failure> {
    let findings = examine(&Machine::this(), context);
    let good = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Fault);
    let mut out = anstream::stdout();
    if context.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({
                    "verdict": f.verdict.name(), "what": f.what, "found": f.found, "fix": f.fix,
                })
            })
            .collect();
        let list = serde_json::Value::from(list);
        printed(writeln!(out, "{list:#}"))?;
        return Ok(good.into());
    }
    let width = findings
        .iter()
        .map(|f| f.what.chars().count())
        .max()
        .unwrap_or(0);
    for finding in &findings {
        let style = finding.verdict.style();
        printed(writeln!(
            out,
            "{style}{:<5}{style:#}  {:<width$}  {}",
            finding.verdict.name(),
            finding.what,
            finding.found
        ))?;
        if let Some(fix) = &finding.fix {
            printed(writeln!(out, "       {:<width$}  -> {fix}", ""))?;
        }
    }
    Ok(good.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::tests::Root;
    use rds::TCP_PORT;

    fn verdicts(findings: &Findings, what: &str) -> Vec<Verdict> {
        let mine = findings.0.iter().filter(|f| f.what.contains(what));
        mine.map(|f| f.verdict).collect()
    }

    #[test]
    fn every_fault_has_a_fix() {
        let root = Root::new("fix");
        let mut findings = Findings::default();
        settings(&root.machine(), &mut findings);
        root.write("proc/sys/net/rds/ping_enable", "0\n");
        root.write("proc/sys/net/rds/ib/flow_control", "1\n");
        root.write("proc/sys/net/core/wmem_max", "212992\n");
        root.write("proc/sys/net/core/rmem_max", "4194304\n");
        settings(&root.machine(), &mut findings);
        assert_eq!(verdicts(&findings, "ping_enable"), [Verdict::Note]);
        assert_eq!(verdicts(&findings, "flow_control"), [Verdict::Note]);
        assert_eq!(verdicts(&findings, "wmem_max"), [Verdict::Note]);
        assert_eq!(verdicts(&findings, "rmem_max"), [Verdict::Ok]);
        for finding in &findings.0 {
            assert_eq!(
                finding.fix.is_none(),
                finding.verdict == Verdict::Ok,
                "{finding:?}"
            );
        }
    }

    #[test]
    fn somebody_has_to_listen_for_tcp() {
        let root = Root::new("listen");
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let line = |port: u16, state: &str| {
            format!("   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000\n")
        };
        let judge = |text: &str, verdict| {
            root.write("proc/net/tcp6", &(head.to_string() + text));
            let machine = root.machine();
            let port = machine.tcp_port();
            let mut findings = Findings::default();
            listener(port, machine.listens(port), &mut findings);
            let what = format!("TCP port {port}");
            assert_eq!(verdicts(&findings, &what), [verdict], "{text}");
        };

        judge(&line(22, "0A"), Verdict::Fault);
        judge(&line(TCP_PORT, "01"), Verdict::Fault);
        judge(&(line(22, "0A") + &line(TCP_PORT, "0A")), Verdict::Ok);
        root.write("proc/sys/net/rds/parameters/tcp_port", "22\n");
        judge(&line(TCP_PORT, "0A"), Verdict::Fault);
        judge(&line(22, "0A"), Verdict::Ok);
    }

    #[test]
    fn devices_are_judged() {
        let root = Root::new("devices");
        let context = Context::for_tests();
        let mut findings = Findings::default();
        devices(&root.machine(), &context, Ways::default(), &mut findings);
        assert_eq!(verdicts(&findings, "RDMA devices"), [Verdict::Fault]);
        let mut findings = Findings::default();
        let tcp = Ways {
            tcp: true,
            ..Ways::default()
        };
        devices(&root.machine(), &context, tcp, &mut findings);
        assert_eq!(verdicts(&findings, "RDMA devices"), [Verdict::Note]);
        root.port("rxe0", "4: ACTIVE", "eth0", "1500");
        root.port("rxe1", "1: DOWN", "eth1", "9000");
        let mut findings = Findings::default();
        devices(&root.machine(), &context, Ways::default(), &mut findings);
        assert_eq!(verdicts(&findings, "rxe0"), [Verdict::Ok]);
        assert_eq!(verdicts(&findings, "rxe1"), [Verdict::Fault]);
        assert_eq!(verdicts(&findings, "MTU"), [Verdict::Note]);
        assert_eq!(verdicts(&findings, "addresses of eth0"), []);
        assert_eq!(verdicts(&findings, "connections"), []);
        for queue_pair in facts::queue_pairs(
            r#"[{"ifindex":0,"ifname":"rxe0","port":1,"lqpn":1,"type":"GSI","state":"ERR"},
                {"ifindex":1,"ifname":"rxe1","port":1,"lqpn":1,"type":"GSI","state":"RTS"},
                {"ifindex":0,"ifname":"rxe0","port":1,"lqpn":17,"type":"RC","state":"ERR"}]"#,
        ) {
            manager(&queue_pair, &root.machine().rdma_ports(), &mut findings);
        }
        assert_eq!(
            verdicts(&findings, "connections of rxe0 port 1"),
            [Verdict::Fault]
        );
        assert_eq!(verdicts(&findings, "connections"), [Verdict::Fault]);
        assert_eq!(facts::queue_pairs("Error"), []);
    }
}
