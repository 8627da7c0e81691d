//! Links beyond Ethernet: one header of each kind, made by hand from the registry's descriptions.

use super::*;

/// The header of a data frame of 802.11: frame control's two bytes, then what is behind 22 bytes of duration, addresses
/// and sequence control.
fn dot11(control: u8, flags: u8, behind: &[u8]) -> Vec<u8> {
    [&[control, flags], [0; 22].as_slice(), behind].concat()
}

/// LLC and SNAP with an ethertype.
fn snap(ethertype: u16) -> Vec<u8> {
    framed(&[0xaa, 0xaa, 3, 0, 0, 0], &ethertype.to_be_bytes())
}

fn data_frame(behind: &[u8]) -> Vec<u8> {
    framed(&dot11(0x08, 0, behind), &snap(0x0800))
}

#[test]
fn data_frames_of_802_11_hold_packets() {
    holds(105, &data_frame(&[]), &V4);
    holds(105, &framed(&dot11(0x08, 2, &[]), &snap(0x86dd)), &v6());
    // Both systems: a fourth address. QoS, with and without HT control.
    holds(105, &framed(&dot11(0x08, 3, &[7; 6]), &snap(0x0800)), &V4);
    holds(105, &framed(&dot11(0x88, 1, &[0, 0]), &snap(0x0800)), &V4);
    let controlled = framed(&dot11(0x88, 0x81, &[0; 6]), &snap(0x0800));
    holds(105, &controlled, &V4);
}

#[test]
fn frames_of_802_11_that_cannot_be_read_say_what_they_are() {
    let wireless =
        |frame: Vec<u8>, what| skips(105, &framed(&frame, &V4), SkipReason::Wireless(what));
    wireless(dot11(0x80, 0, &[]), "management frame");
    wireless(dot11(0xd4, 0, &[]), "control frame");
    wireless(dot11(0x48, 0, &[]), "frame without data");
    wireless(dot11(0x08, 0x41, &[]), "encrypted frame");
    wireless(dot11(0x08, 0x04, &[]), "fragment");
    wireless(dot11(0x88, 1, &[0x80, 0]), "A-MSDU");
    let mut second = dot11(0x08, 0, &[]);
    second[22] = 1;
    wireless(second, "fragment");
    assert_eq!(SkipReason::Wireless("A-MSDU").to_string(), "802.11: A-MSDU");
    skips(105, &dot11(0x08, 0, &[])[..20], SkipReason::LinkHeaderCut);
}

#[test]
fn radiotap_s_length_and_flags_are_followed() {
    holds(
        127,
        &framed(&[0, 0, 8, 0, 0, 0, 0, 0], &data_frame(&[])),
        &V4,
    );
    // A second word of bits, the time at its own alignment, then the flags: padding behind the header of 26 bytes.
    let header = |flags| {
        let words = [3, 0, 0, 0x80, 0, 0, 0, 0];
        [&[0, 0, 25, 0], words.as_slice(), &[0; 12], &[flags]].concat()
    };
    let padded = dot11(0x88, 0, &[0, 0, 0xee, 0xee]);
    holds(127, &[header(0x20), padded, snap(0x0800)].concat(), &V4);
    let plain = data_frame(&[]);
    holds(127, &framed(&header(0), &plain), &V4);
    skips(
        127,
        &[header(0x40), plain, V4.to_vec()].concat(),
        SkipReason::Wireless("frame with a bad check sequence"),
    );
    skips(127, &[0, 0, 200, 0, 0, 0, 0, 0], SkipReason::LinkHeaderCut);
}

#[test]
fn prism_and_avs_headers_give_their_length_in_either_byte_order() {
    let mut prism = vec![0; 144];
    (prism[0], prism[4]) = (0x44, 144);
    holds(119, &framed(&prism, &data_frame(&[])), &V4);
    prism[..8].copy_from_slice(&[0, 0, 0, 0x41, 0, 0, 0, 144]);
    holds(119, &framed(&prism, &data_frame(&[])), &V4);
    let mut avs = vec![0; 64];
    avs[..8].copy_from_slice(&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64]);
    holds(119, &framed(&avs, &data_frame(&[])), &V4);
}

#[test]
fn per_packet_information_names_the_link_behind_it() {
    let ppi = |inner: u8| vec![0, 0, 12, 0, inner, 0, 0, 0, 9, 9, 9, 9];
    holds(192, &framed(&ppi(105), &data_frame(&[])), &V4);
    holds(192, &framed(&ppi(1), &ethernet(0x86dd)), &v6());
    skips(192, &framed(&ppi(192), &ppi(1)), SkipReason::LinkType(192));
}

#[test]
fn cisco_hdlc_is_met_under_every_number_of_ppp() {
    for link in [9, 50, 104] {
        holds(link, &[0x0f, 0, 8, 0], &V4);
        holds(link, &[0x8f, 0, 0x86, 0xdd], &v6());
    }
}

#[test]
fn ppp_over_ethernet_without_ethernet_is_bounded_by_its_length() {
    holds(51, &[0x11, 0, 0, 1, 0, 26, 0, 0x21], &V4);
    let frame = framed(&[0x11, 0, 0, 1, 0, 24, 0, 0x21], &V4);
    let found = ip_packet(51, &frame, frame.len()).unwrap();
    assert_eq!((found.bytes, found.overstated), (&V4[..22], true));
}

#[test]
fn pppd_puts_the_direction_in_place_of_the_address() {
    for direction in [0, 1] {
        holds(166, &[direction, 3, 0, 0x21], &V4);
        holds(166, &[direction, 3, 0x57], &v6());
    }
    holds(166, &[0xff, 3, 0, 0x21], &V4);
}

#[test]
fn frame_relay_has_nlpids_snap_or_ethertypes() {
    holds(107, &[0x18, 0x41, 3, 0xcc], &V4);
    holds(107, &[0x18, 0x41, 3, 0x8e], &v6());
    // An address of three bytes, which padding makes even; one of four; SNAP; Cisco's ethertype; PPP.
    holds(107, &[0x18, 0x40, 0x41, 3, 0, 0xcc], &V4);
    holds(107, &[0x18, 0x40, 0x40, 0x41, 3, 0xcc], &V4);
    holds(107, &[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], &V4);
    holds(107, &[0x18, 0x41, 8, 0], &V4);
    holds(107, &[0x18, 0x41, 3, 0xcf, 0, 0x57], &v6());
    skips(107, &[0x18, 0x41, 3, 8, 0, 0], SkipReason::Nlpid(8));
    skips(107, &[0; 12], SkipReason::LinkHeaderCut);
}

#[test]
fn slip_has_a_header_of_sixteen_bytes() {
    holds(8, &[0; 16], &V4);
    holds(8, &[1; 16], &v6());
    skips(8, &[0; 16], SkipReason::LinkHeaderCut);
}

#[test]
fn fddi_carries_llc_in_its_asynchronous_frames() {
    holds(
        10,
        &framed(&[&[0x50], [2; 12].as_slice()].concat(), &snap(0x0800)),
        &V4,
    );
    let token = framed(&[0xc2; 13], &snap(0x0800));
    skips(10, &framed(&token, &V4), SkipReason::Llc);
}

#[test]
fn headers_of_firewalls_and_tunnels_give_their_family() {
    // pf's log: 61 bytes, filled up to 64.
    let mut pflog = vec![0; 64];
    (pflog[0], pflog[1]) = (61, 2);
    holds(117, &pflog, &V4);
    pflog[1] = 24;
    holds(117, &pflog, &v6());
    pflog[1] = 17;
    skips(117, &framed(&pflog, &V4), SkipReason::AddressFamily(17));
    holds(109, &framed(&[2, 0, 0, 0], &[9; 8]), &V4);
    holds(109, &framed(&[0, 0, 0, 24], &[9; 8]), &v6());
    holds(226, &framed(&[2, 2], &[0; 22]), &V4);
    holds(226, &framed(&[2, 26], &[0; 22]), &v6());
}

#[test]
fn a_netfilter_log_s_payload_is_found_in_either_byte_order() {
    for big in [false, true] {
        let field = |kind: u16, value: &[u8]| {
            let length = 4 + value.len() as u16;
            let head = if big {
                [length.to_be_bytes(), kind.to_be_bytes()]
            } else {
                [length.to_le_bytes(), kind.to_le_bytes()]
            };
            let mut field = [head.concat(), value.to_vec()].concat();
            field.resize(field.len().next_multiple_of(4), 0);
            field
        };
        let before = [field(1, &[8, 0, 1, 0]), field(10, b"drop\0")].concat();
        for (family, packet) in [(2, V4.to_vec()), (10, v6())] {
            let head = [&[family, 0, 0, 5], before.as_slice()].concat();
            let payload = field(9, &packet);
            let (length, packet) = payload.split_at(4);
            holds(239, &framed(&head, length), packet);
        }
        let nothing = [&[2, 0, 0, 5], before.as_slice()].concat();
        assert!(ip_packet(239, &nothing, nothing.len()).is_err());
    }
    skips(239, &[2, 0, 0, 0, 0, 0, 9, 0], SkipReason::LinkHeaderCut);
    skips(
        239,
        &framed(&[1, 0, 0, 0], &V4),
        SkipReason::AddressFamily(1),
    );
}

#[test]
fn ip_over_ieee_1394_has_long_addresses() {
    holds(138, &framed(&[2; 16], &[8, 0]), &V4);
}

#[test]
fn switch_tags_are_taken_off() {
    for link in [281, 284] {
        holds(link, &framed(&[2; 12], &[0, 1, 2, 3, 8, 0]), &V4);
    }
    holds(
        282,
        &[&[0, 1, 2, 3], ethernet(0x0800).as_slice()].concat(),
        &V4,
    );
    let tag = [0xda, 0xda, 0, 0, 0x40, 0, 0, 1, 0x86, 0xdd];
    holds(285, &framed(&[2; 12], &tag), &v6());
    holds(1, &framed(&[2; 12], &tag), &v6());
}

#[test]
fn cisco_metadata_is_taken_off() {
    let header = framed(&ethernet(0x8909), &[1, 1, 0, 1, 0, 16, 8, 0]);
    holds(1, &header, &V4);
    let mut endless = ethernet(0x8909);
    for _ in 0..20 {
        endless.extend([1, 1, 0, 1, 0, 16, 0x89, 9]);
    }
    skips(1, &endless, SkipReason::TooManyTags);
}

#[test]
fn no_header_of_any_link_makes_a_panic() {
    for link in 0..300 {
        for length in 0..40 {
            for byte in [0, 1, 2, 3, 0x0f, 0x40, 0x44, 0x50, 0x88, 0xff] {
                let _ = ip_packet(link, &vec![byte; length], length);
                let _ = ip_packet(link, &vec![byte; length], 0);
            }
        }
    }
}
