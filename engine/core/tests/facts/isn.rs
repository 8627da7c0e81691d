//! Initial sequence numbers: RFC 6528, and nothing else, decides them.

use core::time::Duration;

use engine::DialResult;

use crate::support::{Bench, Device, Family, tcp};

fn emitted(seed: u64, port: u16, wait: Duration, others: u16) -> u32 {
    let mut bench = Bench::with(|config| config.seed = Some(seed));
    for other in 0..others {
        bench.connect(&mut Device::on_port(Family::V6, 1 + other, 443));
    }
    let mut device = Device::on_port(Family::V4, port, 443);
    let flow = bench.knock(&mut device);
    bench.wait(wait);
    tcp(&bench.dialed(flow, DialResult::Connected))[0].seq
}

#[test]
fn the_same_seed_tuple_and_time_give_the_same_number() {
    let none = Duration::ZERO;
    assert_eq!(emitted(5, 4000, none, 0), emitted(5, 4000, none, 0));
    assert_eq!(
        emitted(5, 4000, none, 0),
        emitted(5, 4000, none, 7),
        "other flows do not matter"
    );
}

#[test]
fn another_seed_or_tuple_gives_another_number() {
    let none = Duration::ZERO;
    assert_ne!(emitted(5, 4000, none, 0), emitted(6, 4000, none, 0));
    assert_ne!(emitted(5, 4000, none, 0), emitted(5, 4001, none, 0));
}

#[test]
fn the_number_moves_on_by_one_every_four_microseconds() {
    let start = emitted(5, 4000, Duration::ZERO, 0);
    let later = emitted(5, 4000, Duration::from_secs(2), 0);
    assert_eq!(later.wrapping_sub(start), 500_000);
}

#[test]
fn the_numbers_of_a_thousand_tuples_show_no_order() {
    let numbers: Vec<u32> = (0..1000)
        .map(|port| emitted(5, 4000 + port, Duration::ZERO, 0))
        .collect();
    let rising = numbers.windows(2).filter(|pair| pair[0] < pair[1]).count();
    // A fair coin gives 500 with a deviation of 9 (runs up and down); four of them are allowed either way.
    assert!((460..540).contains(&rising), "{rising} of 999 rise");
    let mut sixteenths = [0; 16];
    for number in numbers {
        sixteenths[(number >> 28) as usize] += 1;
    }
    assert!(
        sixteenths.iter().all(|count| (30..100).contains(count)),
        "{sixteenths:?}"
    );
}
