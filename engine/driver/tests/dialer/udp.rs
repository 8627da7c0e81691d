//! Datagrams, and what ICMP says about them.

use engine::{How, UdpMapping};
use engine_driver::Limits;
use engine_driver::dialer::Options;
use tokio::net::UdpSocket;

use crate::scene::Scene;
use crate::support::{Family, Packet, Udp};

fn device(at: std::net::SocketAddr) -> Udp {
    let family = if at.is_ipv4() { Family::V4 } else { Family::V6 };
    Udp {
        remote: at,
        ..Udp::new(family, 5000, 1)
    }
}

#[tokio::test]
async fn datagrams_pass_both_ways_each_whole() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(address).await.expect("a free port");
        let at = server.local_addr().expect("bound");
        let mut scene = Scene::new();
        for payload in [&b"one"[..], b"", &[9; 1200]] {
            scene.frame(&device(at).send(payload));
            let mut heard = [0; 2000];
            let (count, from) = server.recv_from(&mut heard).await.expect("a datagram");
            assert_eq!(&heard[..count], payload);
            server.send_to(payload, from).await.expect("sent");
            let frame = scene.frames.recv().await.expect("the loop runs");
            let Packet::Udp { payload: back, .. } = Packet::read(&frame) else {
                panic!("a datagram was due");
            };
            assert_eq!(back, payload);
        }
        scene.stop().await;
    }
}

#[tokio::test]
async fn an_icmp_refusal_ends_the_flow() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let at = server.local_addr().expect("bound");
    drop(server);
    let mut scene = Scene::new();
    scene.frame(&device(at).send(b"anybody there?"));
    assert_eq!(scene.closes.recv().await, Some(How::Reset));
    scene.stop().await;
}

fn for_all_destinations() -> Scene {
    let mut options = Options::default();
    options.udp_mapping = UdpMapping::EndpointIndependent;
    Scene::with(options, Limits::default())
}

#[tokio::test]
async fn one_socket_serves_all_destinations_and_replies_say_whose_they_are() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut scene = for_all_destinations();
        let mut sources = Vec::new();
        for payload in [b"first", b"later"] {
            let server = UdpSocket::bind(address).await.expect("a free port");
            let at = server.local_addr().expect("bound");
            scene.frame(&device(at).send(payload));
            let mut heard = [0; 100];
            let (count, from) = server.recv_from(&mut heard).await.expect("a datagram");
            assert_eq!(&heard[..count], payload);
            server.send_to(b"reply", from).await.expect("sent");
            let frame = scene.frames.recv().await.expect("the loop runs");
            let Packet::Udp { from: whose, .. } = Packet::read(&frame) else {
                panic!("a datagram was due");
            };
            assert_eq!(whose, at);
            sources.push(from);
        }
        assert_eq!(sources[0], sources[1], "one mapping");
        assert_eq!(scene.stop().await.counters.udp_dials, 1);
    }
}

#[tokio::test]
async fn a_stranger_reaches_a_flow_for_all_destinations() {
    let mut scene = for_all_destinations();
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    scene.frame(&device(server.local_addr().expect("bound")).send(b"where am I?"));
    let (_, mapped) = server.recv_from(&mut [0; 100]).await.expect("a datagram");
    stranger.send_to(b"hello", mapped).await.expect("sent");
    let frame = scene.frames.recv().await.expect("the loop runs");
    let Packet::Udp { from, payload, .. } = Packet::read(&frame) else {
        panic!("a datagram was due");
    };
    assert_eq!(from, stranger.local_addr().expect("bound"));
    assert_eq!(payload, b"hello");
    scene.stop().await;
}

#[tokio::test]
async fn a_refusal_of_one_destination_leaves_the_flow_to_the_others() {
    let scene = for_all_destinations();
    let nobody = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let closed = nobody.local_addr().expect("bound");
    drop(nobody);
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    scene.frame(&device(closed).send(b"anybody there?"));
    scene.frame(&device(server.local_addr().expect("bound")).send(b"hello"));
    server
        .recv_from(&mut [0; 100])
        .await
        .expect("the second datagram goes out");
    assert_eq!(scene.stop().await.counters.udp_dials, 1);
}
