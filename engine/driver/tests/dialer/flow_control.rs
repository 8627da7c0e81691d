//! Back-pressure both ways: what one side does not take, the other is kept from sending.

use engine_driver::Limits;
use engine_driver::dialer::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::scene::{Scene, listen};

#[tokio::test]
async fn a_large_download_arrives_whole() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let mut scene = Scene::new();
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    let whole: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    let sent = whole.clone();
    let sending = tokio::spawn(async move {
        peer.write_all(&sent).await.expect("open");
        peer.shutdown().await.expect("open");
        peer
    });
    scene.until(&mut device, |d| d.received_fin).await;
    assert!(device.received == whole, "{} bytes", device.received.len());
    drop(sending.await);
    scene.stop().await;
}

#[tokio::test]
async fn an_upload_to_a_peer_that_does_not_read_stops_and_goes_on_when_it_does() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let mut scene = Scene::new();
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    let (mut sent, mut edge) = (0_usize, device.next.wrapping_add(16_384));
    // The device sends whatever the window allows, until the window stays shut.
    loop {
        while edge.wrapping_sub(device.next) >= 1000 && edge.wrapping_sub(device.next) < 1 << 20 {
            let frame = device.data(&[7; 1000]);
            scene.frame(&frame);
            sent += 1000;
        }
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(300), async {
            let frame = scene.frames.recv().await.expect("the loop runs");
            let crate::support::Packet::Tcp(segment) = crate::support::Packet::read(&frame) else {
                panic!("a segment was due");
            };
            edge = segment.ack.wrapping_add(u32::from(segment.window));
        });
        if quiet.await.is_err() {
            break;
        }
    }
    assert!(sent < 40_000_000, "the kernel's buffers have an end");
    let snapshot = scene.handle.snapshot();
    assert!(snapshot.stats.host_refused_bytes > 0);
    let mut heard = vec![0; sent];
    let reading = peer.read_exact(&mut heard);
    tokio::time::timeout(std::time::Duration::from_secs(10), reading)
        .await
        .expect("it goes on")
        .expect("open");
    assert!(heard.iter().all(|byte| *byte == 7));
    scene.stop().await;
}

#[tokio::test]
async fn a_download_that_the_device_does_not_take_is_left_with_the_peer() {
    let (listener, at) = listen("127.0.0.1:0").await;
    let limits = Limits {
        inbox_bytes: 20_000,
        ..Limits::default()
    };
    let mut scene = Scene::with(Options::default(), limits);
    let mut device = scene.open(at).await;
    let (mut peer, _) = listener.accept().await.expect("a connection");
    // The device acknowledges nothing more.
    let writing = tokio::spawn(async move {
        let mut written = 0;
        let pushing = async {
            loop {
                written += peer.write(&[9; 100_000]).await.expect("open");
            }
        };
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(500), pushing);
        let _: Result<(), _> = quiet.await;
        (peer, written)
    });
    let (mut peer, written) = writing.await.expect("no panic");
    let snapshot = scene.handle.snapshot();
    assert!(snapshot.counters.downstream_bytes <= 16_384 + 20_000);
    assert!(written > 100_000);
    peer.shutdown().await.expect("open");
    scene.until(&mut device, |d| d.received_fin).await;
    assert_eq!(device.received.len(), written);
    scene.stop().await;
}

#[tokio::test]
async fn a_thousand_flows_at_a_time_each_get_their_own_bytes() {
    engine_driver::dialer::raise_file_limit().expect("a limit");
    let (listener, at) = listen("127.0.0.1:0").await;
    let server = tokio::spawn(async move {
        for _ in 0..1000 {
            let (mut peer, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut bytes = [0; 2];
                peer.read_exact(&mut bytes).await.expect("open");
                peer.write_all(&bytes).await.expect("open");
                peer.read_exact(&mut bytes).await
            });
        }
    });
    let mut scene = Scene::new();
    let mut devices = std::collections::BTreeMap::new();
    for n in 0..1000_u16 {
        let mut device = scene.device(at);
        device.local.set_port(10_000 + n);
        scene.frame(&device.syn());
        devices.insert(device.local, device);
    }
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < 1000 {
        let frame = scene.frames.recv().await.expect("the loop runs");
        let crate::support::Packet::Tcp(segment) = crate::support::Packet::read(&frame) else {
            panic!("a segment was due");
        };
        let device = devices.get_mut(&segment.to).expect("one of ours");
        device.take(&segment);
        if segment.has('S') {
            scene.frame(&device.ack());
            let port = device.local.port().to_be_bytes();
            scene.frame(&device.data(&port));
        } else if !segment.payload.is_empty() {
            assert_eq!(device.received, device.local.port().to_be_bytes());
            // A segment that the device does not acknowledge comes again.
            answered.insert(device.local);
        }
    }
    assert_eq!(scene.handle.snapshot().counters.tcp_dial_fail, 0);
    server.await.expect("no panic");
    scene.stop().await;
}
