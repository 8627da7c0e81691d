//! The table of flows, as a person reads it.

use core::time::Duration;

use engine::DialResult;

use crate::support::{Bench, Device, Family, Udp, dials};

#[test]
fn the_table_says_what_each_flow_is_doing() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.feed([device.data(b"question")]);
    bench.remote(flow, b"an answer on its way");
    let udp = Udp::new(Family::V6, 5000, 7);
    let mapping = dials(&bench.feed([udp.send(b"12345")]))[0].0;
    bench.dialed(mapping, DialResult::Connected);
    bench
        .engine
        .remote_blocked(bench.now, mapping)
        .expect("open");
    bench.feed([udp.send(b"waits")]);
    bench.knock(&mut Device::on_port(Family::V4, 40_001, 80));
    bench.now = bench.now.plus(Duration::from_millis(150));
    let table = bench.engine.inspect(bench.now).to_string();
    let wanted = "\
proto  device              server                name  state           age    idle  up  down  up-q  down-q  next timer
tcp    10.0.0.2:40000      198.51.100.7:443      -     ESTABLISHED  0.150s  0.150s   8    20     0      20  transmit in 0.050s
udp    [2001:db8::2]:5000  [2001:db8:ffff::7]:7  -     BLOCKED      0.150s  0.150s   5     0    69       0  idle in 299.850s
tcp    10.0.0.2:40001      198.51.100.7:80       -     SYN-HELD     0.150s  0.150s   0     0     0       0  dial in 74.850s
2 TCP and 1 UDP flows
";
    assert_eq!(table, wanted, "\n{table}");
}
