// SPDX-License-Identifier: GPL-2.0

use super::*;
use std::vec::Vec;

const LOCAL: Addr = Addr::v4([10, 0, 0, 1]);
const PEER: Addr = Addr::v4([10, 0, 0, 2]);
const FAR: Addr = Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

fn encoded<'a>(record: &impl Record<'a>, v6: bool) -> Option<Vec<u8>> {
    let mut found = None;
    record.encode(v6, &mut |bytes| found = Some(bytes.to_vec()));
    found
}

/// Bytes that all differ, so that a field at a wrong place is seen.
fn numbered(len: usize) -> Vec<u8> {
    (1..=len as u8).collect()
}

/// What is read is written to where it was, every byte of the record, and fewer bytes are refused.
/// `gaps` are bytes without a meaning.
fn there_and_back<R>(gaps: [&[usize]; 2])
where
    R: for<'a> Record<'a>,
{
    for (v6, gaps) in [(false, gaps[0]), (true, gaps[1])] {
        let mut bytes = numbered(R::size(v6));
        gaps.iter().for_each(|at| bytes[*at] = 0);
        let record = R::parse(v6, &bytes).unwrap();
        let mut to = [0; LONGEST];
        assert_eq!(record.write(v6, &mut to), R::size(v6));
        assert_eq!(to[..bytes.len()], bytes, "v6 {v6}");
        for len in 0..bytes.len() {
            assert!(R::parse(v6, &bytes[..len]).is_none(), "{len} are enough");
        }
        bytes.push(7);
        assert!(R::parse(v6, &bytes).is_some(), "a later kernel's is longer");
    }
}

#[test]
fn records_are_read_as_they_are_written() {
    there_and_back::<Listed>([&[], &[]]);
    there_and_back::<SocketInfo>([&[], &[]]);
    there_and_back::<TcpSocket>([&[], &[]]);
    there_and_back::<RdmaConnection>([&[62, 63], &[86, 87]]);
}

#[test]
fn a_connection_is_read_as_it_is_written() {
    let connection = Connection {
        next_tx: 1,
        next_rx: u64::MAX,
        local: LOCAL,
        peer: PEER,
        transport: "infiniband",
        flags: Connection::CONNECTED | Connection::SENDING,
        tos: Some(9),
    };
    let four = encoded(&connection, false).unwrap();
    assert_eq!(four.len(), 42);
    assert_eq!(four[16..24], [10, 0, 0, 1, 10, 0, 0, 2]);
    assert_eq!(four[24..35], *b"infiniband\0");
    assert_eq!(four[40..], [5, 9]);
    assert_eq!(Connection::parse(false, &four), Some(connection));
    assert_eq!(Connection::parse(false, &four[..41]), None);
    let six = encoded(&connection, true).unwrap();
    assert_eq!(six.len(), 65);
    let without = Connection {
        tos: None,
        ..connection
    };
    assert_eq!(Connection::parse(true, &six), Some(without));
    let long = Connection {
        transport: "a name of more than sixteen bytes",
        ..connection
    };
    let bytes = encoded(&long, false).unwrap();
    let read = Connection::parse(false, &bytes).unwrap();
    assert_eq!((read.transport, read.flags), ("a name of more t", 5));
}

#[test]
fn counters_are_the_same_in_both_forms() {
    let name = "a name that is longer than the field for it";
    let bytes = encoded(&Counter { name, value: 7 }, false).unwrap();
    assert_eq!((bytes.len(), bytes[31]), (40, 0));
    let short = Counter {
        name: "ping",
        value: 7,
    };
    let bytes = encoded(&short, true).unwrap();
    assert_eq!(bytes[..5], *b"ping\0");
    assert_eq!(bytes[32..], 7_u64.to_ne_bytes());
    assert_eq!(Counter::parse(false, &bytes), Some(short));
    assert_eq!(Counter::parse(true, &[0xff; 40]).unwrap().name, "");
}

#[test]
fn lists_with_ipv4_addresses_leave_out_the_others() {
    let socket = SocketInfo {
        sndbuf: 1,
        bound: LOCAL,
        bound_port: 0x1234,
        connected: Addr::default(),
        connected_port: 0,
        rcvbuf: 2,
        inode: 3,
    };
    let bytes = encoded(&socket, false).unwrap();
    assert_eq!(bytes[4..14], [10, 0, 0, 1, 0, 0, 0, 0, 0x12, 0x34]);
    let far = SocketInfo {
        bound: FAR,
        ..socket
    };
    assert_eq!(encoded(&far, false), None);
    assert_eq!(encoded(&far, true).unwrap()[4..20], FAR.0);
    let unbound = SocketInfo {
        bound: Addr::default(),
        ..socket
    };
    assert_eq!(encoded(&unbound, false), None);
}
