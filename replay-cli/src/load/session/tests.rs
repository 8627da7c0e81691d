use super::*;
use crate::load::{FlowPlan, Side};

fn run(mtu: usize, limit: usize, plans: Vec<FlowPlan>) -> Session {
    let config = Config {
        mtu,
        tcp_limit: limit,
        ..Config::default()
    };
    let mut device = Device::new(mtu);
    device.add(plans);
    let mut session = Session::new(config, device).expect("sound settings");
    session.run().expect("the load ends");
    assert_eq!(session.device.troubles(), Vec::<String>::new());
    assert_eq!(session.far.troubles(), Vec::<String>::new());
    session
}

#[test]
fn both_streams_of_every_flow_arrive() {
    for side in [Side::Device, Side::Remote] {
        let plan = FlowPlan {
            closes_first: side,
            ..FlowPlan::new(300_000, 200_000)
        };
        let session = run(1500, 128, vec![plan; 20]);
        assert_eq!(session.device.totals().served, 20, "{side:?}");
        assert_eq!(session.device.totals().received, 4_000_000);
        assert_eq!(session.far.totals().received, 6_000_000);
        assert_eq!(session.closes(), 20);
    }
}

#[test]
fn a_stalled_side_holds_its_flow_back_and_no_other() {
    let slow = FlowPlan {
        remote_stalls_until: Micros::from_secs(30),
        device_stalls_until: Micros::from_secs(40),
        ..FlowPlan::new(100_000, 100_000)
    };
    let session = run(1500, 128, vec![slow, FlowPlan::new(100_000, 100_000)]);
    assert_eq!(session.device.totals().served, 2);
    assert!(session.now() >= Micros::from_secs(40));
}

#[test]
fn datagrams_come_back_as_they_went() {
    let mut device = Device::new(1500);
    device.add_udp(64, 6400, 512);
    let mut session = Session::new(Config::default(), device).expect("sound settings");
    session
        .run_while(|session| session.device.totals().datagrams.1 < 6400)
        .expect("every datagram comes back");
    assert_eq!(session.device.troubles(), Vec::<String>::new());
    assert_eq!(session.far.totals().datagrams, 6400);
}

#[test]
fn short_connections_follow_one_another_on_new_ports() {
    let mut device = Device::new(1500);
    device.add(vec![FlowPlan::new(200, 1000); 10]);
    let mut session = Session::new(Config::default(), device).expect("sound settings");
    let mut lives = 10;
    session
        .run_while(|session| {
            for number in 0..10 {
                if lives < 1000 && session.device.is_closed(number) {
                    session.device.reopen(number, session.now());
                    lives += 1;
                }
            }
            lives < 1000 || !session.device.is_done()
        })
        .expect("the load ends");
    assert_eq!(session.device.totals().served, 1000);
    assert_eq!(session.device.troubles(), Vec::<String>::new());
}
