use super::*;
use crate::packet::Packet;
use crate::packet::build::{self, TcpSpec};

const CLIENT: &str = "10.0.0.2:40000";
const SERVER: &str = "192.0.2.1:80";

/// A table being filled with segments one second apart.
struct Script {
    table: FlowTable,
    time_ns: i64,
}

impl Script {
    fn new() -> Self {
        Self {
            table: FlowTable::with_room(2),
            time_ns: 0,
        }
    }

    /// A segment from one end to the other, its flags as letters.
    fn tcp(
        &mut self,
        from: &str,
        to: &str,
        flags: &str,
        sequence: u32,
        payload: usize,
    ) -> &mut Self {
        let payload = vec![0; payload];
        let flags = flags.chars().filter_map(Flags::from_letter);
        let bytes = build::tcp(&TcpSpec {
            sequence: Seq(sequence),
            flags: flags.fold(Flags::default(), Flags::with),
            payload: &payload,
            ..TcpSpec::new(from.parse().unwrap(), to.parse().unwrap())
        });
        let packet = Packet::whole(&bytes).unwrap();
        let tcp = packet.tcp().unwrap();
        self.packet(Protocol::Tcp, from, to, tcp.payload_len, Some(tcp))
    }

    fn up(&mut self, flags: &str, sequence: u32, payload: usize) -> &mut Self {
        self.tcp(CLIENT, SERVER, flags, sequence, payload)
    }

    fn down(&mut self, flags: &str, sequence: u32, payload: usize) -> &mut Self {
        self.tcp(SERVER, CLIENT, flags, sequence, payload)
    }

    fn packet(
        &mut self,
        protocol: Protocol,
        from: &str,
        to: &str,
        payload_len: usize,
        tcp: Option<&Tcp<'_>>,
    ) -> &mut Self {
        let (source, destination) = (from.parse().unwrap(), to.parse().unwrap());
        let time_ns = self.time_ns;
        self.table.packet(&Segment {
            protocol,
            source,
            destination,
            since: Since {
                at_ns: time_ns,
                frame: 1,
            },
            payload_len,
            payload: &[],
            tcp,
        });
        self.time_ns += 1_000_000_000;
        self
    }

    fn flows(&mut self) -> Vec<Flow> {
        std::mem::replace(&mut self.table, FlowTable::with_room(2))
            .finish()
            .0
    }

    fn only(&mut self) -> Flow {
        let [flow] = self.flows().try_into().unwrap();
        flow
    }
}

#[test]
fn both_sides_are_counted_from_the_client() {
    let mut script = Script::new();
    script
        .up("S", 100, 0)
        .down("S.", 900, 0)
        .up(".", 101, 0)
        .up("P.", 101, 78)
        .down(".", 901, 1448);
    let flow = script.only();
    assert_eq!(
        (flow.client, flow.server),
        (CLIENT.parse().unwrap(), SERVER.parse().unwrap())
    );
    assert_eq!((flow.up.packets, flow.up.bytes), (3, 78));
    assert_eq!((flow.down.packets, flow.down.bytes), (2, 1448));
    assert_eq!((flow.start_ns, flow.end_ns), (0, 4_000_000_000));
    assert_eq!(flow.tcp.unwrap().handshake(), "full");
}

#[test]
fn the_parts_of_a_handshake_that_are_missing_are_named() {
    let handshake = |script: &mut Script| script.only().tcp.unwrap().handshake();
    assert_eq!(handshake(Script::new().up("S", 1, 0)), "syn only");
    assert_eq!(
        handshake(Script::new().up("S", 1, 0).down("S.", 1, 0)),
        "no ack"
    );
    assert_eq!(
        handshake(Script::new().down("S.", 1, 0).up(".", 2, 0)),
        "no syn"
    );
    assert_eq!(
        handshake(Script::new().up(".", 2, 9).down(".", 2, 9)),
        "none"
    );
}

#[test]
fn without_a_syn_the_well_known_port_is_the_server() {
    let flow = Script::new().down(".", 1, 10).only();
    assert_eq!(flow.client, CLIENT.parse().unwrap());
    assert_eq!(flow.down.bytes, 10);
}

#[test]
fn without_a_syn_a_port_that_systems_give_out_is_the_client() {
    let (push, device) = ("192.0.2.1:5223", "10.0.0.2:49193");
    let flow = Script::new().tcp(push, device, ".", 1, 10).only();
    assert_eq!(flow.client, device.parse().unwrap());
}

#[test]
fn a_late_syn_turns_the_flow_around() {
    let (a, b) = ("10.0.0.2:5000", "192.0.2.1:4000");
    let mut script = Script::new();
    script.tcp(a, b, "F.", 9, 5).tcp(b, a, "S", 1, 0);
    let flow = script.only();
    assert_eq!((flow.client, flow.down.bytes), (b.parse().unwrap(), 5));
    assert_eq!(flow.tcp.unwrap().ends[0], Some((End::Fin, Sender::Server)));
}

#[test]
fn ends_are_listed_once_each_in_their_order() {
    let mut script = Script::new();
    script
        .up("S", 1, 0)
        .down("F.", 50, 0)
        .down("F.", 50, 0)
        .up("F.", 2, 0)
        .up("R", 3, 0);
    let ends = script.only().tcp.unwrap().ends;
    let expected = [
        (End::Fin, Sender::Server),
        (End::Fin, Sender::Client),
        (End::Rst, Sender::Client),
    ];
    assert_eq!(ends.iter().flatten().copied().collect::<Vec<_>>(), expected);
}

#[test]
fn what_brings_nothing_new_is_a_retransmission() {
    let mut script = Script::new();
    script
        .up("S", u32::MAX, 0)
        .up("S", u32::MAX, 0)
        .up(".", 0, 100)
        .up(".", 0, 100)
        .up(".", 50, 100)
        .up(".", 100, 0);
    assert_eq!(script.only().up.retransmissions, 2);
}

#[test]
fn a_new_syn_on_a_known_tuple_is_another_flow() {
    let mut script = Script::new();
    script.up("S", 100, 0).up("S", 100, 0).up("S", 5000, 0);
    let packets: Vec<u64> = script.flows().iter().map(|flow| flow.up.packets).collect();
    assert_eq!(packets, [2, 1]);
}

#[test]
fn a_simultaneous_open_is_one_flow() {
    let mut script = Script::new();
    script.up("S", 100, 0).down("S", 900, 0);
    assert_eq!(script.flows().len(), 1);
}

#[test]
fn packets_beyond_the_room_of_the_table_are_counted() {
    let mut script = Script::new();
    for port in 0..5 {
        script.packet(
            Protocol::Udp,
            &format!("10.0.0.2:{}", 4000 + port),
            "192.0.2.1:53",
            10,
            None,
        );
    }
    script.packet(Protocol::Udp, "192.0.2.1:53", "10.0.0.2:4001", 20, None);
    let (flows, beyond) = script.table.finish();
    assert_eq!((flows.len(), beyond), (2, 3));
    assert_eq!(flows[1].down.bytes, 20);
}

#[test]
fn a_reused_tuple_without_room_does_not_add_to_the_old_flow() {
    let mut script = Script::new();
    script
        .up("S", 1, 0)
        .tcp("10.0.0.2:1", SERVER, "S", 1, 0)
        .up("S", 700, 0)
        .up(".", 701, 10);
    assert_eq!(script.table.beyond, 2);
    assert_eq!(script.flows()[0].up.packets, 1);
}
