//! How connections end is passed on truly, both ways.

use std::time::Duration;

use engine::{DialResult, How};
use engine_driver::Limits;
use engine_driver::dialer::Options;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::scene::{Scene, listen};

#[tokio::test]
async fn a_stream_passes_both_ways_and_both_half_closes_with_it() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, at) = listen(address).await;
        let mut scene = Scene::new();
        let mut device = scene.open(at).await;
        let (mut peer, _) = listener.accept().await.expect("a connection");
        scene.frame(&device.data(b"question"));
        scene.frame(&device.fin());
        let mut question = Vec::new();
        peer.read_to_end(&mut question).await.expect("no reset");
        assert_eq!(question, b"question");
        // The other half is still open.
        peer.write_all(b"answer").await.expect("still open");
        scene.until(&mut device, |d| d.received == b"answer").await;
        assert!(!device.received_fin);
        drop(peer);
        scene.until(&mut device, |d| d.received_fin).await;
        assert_eq!(scene.closes.recv().await, Some(How::Fin));
        scene.stop().await;
    }
}

#[tokio::test]
async fn a_peer_that_half_closes_still_hears_the_device() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let mut scene = Scene::new();
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    peer.shutdown().await.expect("open");
    scene.until(&mut device, |d| d.received_fin).await;
    scene.frame(&device.data(b"still here"));
    scene.frame(&device.fin());
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.expect("no reset");
    assert_eq!(heard, b"still here");
    assert_eq!(scene.closes.recv().await, Some(How::Fin));
    scene.stop().await;
}

#[tokio::test]
async fn a_reset_of_the_peer_is_a_reset_to_the_device_after_the_bytes_before_it() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let mut scene = Scene::new();
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    peer.write_all(b"last words").await.expect("open");
    scene
        .until(&mut device, |d| d.received == b"last words")
        .await;
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .expect("open");
    drop(peer);
    scene.until(&mut device, |d| d.received_rst).await;
    assert!(!device.received_fin);
    assert_eq!(scene.closes.recv().await, Some(How::Reset));
    scene.stop().await;
}

#[tokio::test]
async fn a_reset_after_the_peers_fin_is_seen_without_a_write() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let mut scene = Scene::new();
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    peer.shutdown().await.expect("open");
    scene.until(&mut device, |d| d.received_fin).await;
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .expect("open");
    drop(peer);
    scene.until(&mut device, |d| d.received_rst).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_reset_of_the_device_is_a_reset_to_the_peer() {
    let (listener, at) = listen("[::1]:0").await;
    let mut scene = Scene::new();
    let device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    scene.frame(&device.rst());
    let error = peer.read(&mut [0; 9]).await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    scene.stop().await;
}

#[tokio::test]
async fn a_refused_connect_is_a_refused_dial() {
    let (listener, at) = listen("127.0.0.1:0").await;
    drop(listener);
    let mut scene = Scene::new();
    let mut device = scene.device(at);
    scene.frame(&device.syn());
    scene.until(&mut device, |d| d.received_rst).await;
    assert_eq!(
        scene.closes.recv().await,
        Some(How::Dial(DialResult::Refused))
    );
    scene.stop().await;
}

#[tokio::test]
async fn a_connect_that_hangs_times_out() {
    // A listener that accepts nothing, its backlog full: the next SYN is not answered.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("a listener");
    let at = socket.local_addr().expect("bound").as_socket();
    let at = at.expect("IP");
    let _first = std::net::TcpStream::connect(at).expect("the backlog holds one");
    let mut options = Options::default();
    options.connect_timeout = Duration::from_millis(50);
    let mut scene = Scene::with(options, Limits::default());
    let mut device = scene.device(at);
    scene.frame(&device.syn());
    assert_eq!(
        scene.closes.recv().await,
        Some(How::Dial(DialResult::TimedOut))
    );
    scene.stop().await;
}
