//! Datagrams, and what ICMP says about them.

use engine::How;
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
