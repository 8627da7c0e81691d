//! No socket and no task is left behind. Open files are counted for the whole process: one test at a time, in a process
//! of their own.

#[path = "../dialer/scene.rs"]
mod scene;
#[path = "../../../core/tests/support/mod.rs"]
mod support;

use std::sync::{Mutex, PoisonError};

use engine::How;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use scene::{Scene, listen};
use support::{Device, Family, Udp};

/// Runs a test while no other has a runtime.
fn alone(test: impl Future<Output = ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Open files of this process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

fn alive() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[test]
fn stopping_resets_peers_and_leaves_no_socket_and_no_task() {
    alone(async {
        let (listener, at) = listen("127.0.0.1:0").await;
        let (files, tasks) = (open_files(), alive());
        let mut scene = Scene::new();
        let mut peers = Vec::new();
        for n in 0..200 {
            let mut device = Device {
                local: format!("10.0.0.2:{}", 20_000 + n).parse().expect("one"),
                ..scene.device(at)
            };
            scene.frame(&device.syn());
            peers.push(listener.accept().await.expect("a connection").0);
            scene.until(&mut device, |d| d.received_syn > 0).await;
            // Bytes on the way in both directions.
            scene.frame(&device.data(&[7; 1000]));
            peers[n].write_all(&[8; 1000]).await.expect("open");
        }
        let snapshot = scene.stop().await;
        assert_eq!(snapshot.counters.tcp_closes, 200);
        for mut peer in peers {
            let mut rest = Vec::new();
            let error = peer.read_to_end(&mut rest).await.expect_err("a reset");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!((open_files(), alive()), (files, tasks));
    });
}

#[test]
fn a_device_that_gives_up_while_the_dial_is_pending_leaves_no_socket() {
    alone(async {
        let (listener, at) = listen("127.0.0.1:0").await;
        let files = open_files();
        let mut scene = Scene::new();
        let mut device = scene.device(at);
        scene.frame(&device.syn());
        device.expected = 0;
        scene.frame(&device.raw("R", device.next, b"", b""));
        assert_eq!(scene.closes.recv().await, Some(How::Reset));
        scene.stop().await;
        drop(listener);
        assert_eq!(open_files(), files - 1);
    });
}

#[test]
fn stopping_closes_every_socket() {
    alone(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let at = server.local_addr().expect("bound");
        let files = open_files();
        let scene = Scene::new();
        for port in 0..50 {
            let mut device = Udp {
                remote: at,
                ..Udp::new(Family::V4, 5000, 1)
            };
            device.local.set_port(6000 + port);
            scene.frame(&device.send(b"hello"));
            server.recv_from(&mut [0; 9]).await.expect("a datagram");
        }
        assert_eq!(open_files(), files + 50);
        scene.stop().await;
        assert_eq!(open_files(), files);
    });
}
