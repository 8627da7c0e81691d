use super::*;

mod kinds;

/// An IPv4 header with total length 24, and four bytes.
const V4: [u8; 24] = [
    0x45, 0, 0, 24, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4,
];

fn v6() -> Vec<u8> {
    let mut packet = vec![0; 44];
    packet[0] = 0x60;
    packet[5] = 4;
    packet
}

fn framed(header: &[u8], packet: &[u8]) -> Vec<u8> {
    [header, packet].concat()
}

fn ethernet(ethertype: u16) -> Vec<u8> {
    framed(&[2; 12], &ethertype.to_be_bytes())
}

#[track_caller]
fn holds(link: u16, header: &[u8], packet: &[u8]) {
    let frame = framed(header, packet);
    let found = ip_packet(link, &frame, frame.len());
    assert_eq!(
        found,
        Ok(IpBytes {
            bytes: packet,
            original_len: packet.len(),
            cut: false,
            overstated: false
        })
    );
}

#[track_caller]
fn skips(link: u16, frame: &[u8], reason: SkipReason) {
    assert_eq!(ip_packet(link, frame, frame.len()), Err(reason));
}

#[test]
fn loopback_families_are_read_in_either_byte_order() {
    for link in [0, 108] {
        holds(link, &[2, 0, 0, 0], &V4);
        holds(link, &[0, 0, 0, 2], &V4);
        for family in [10, 24, 28, 30] {
            holds(link, &[family, 0, 0, 0], &v6());
            holds(link, &[0, 0, 0, family], &v6());
        }
        skips(
            link,
            &framed(&[0, 0, 0, 17], &V4),
            SkipReason::AddressFamily(17),
        );
    }
}

#[test]
fn ethernet_holds_both_versions() {
    holds(1, &ethernet(0x0800), &V4);
    holds(1, &ethernet(0x86dd), &v6());
}

#[test]
fn vlan_tags_are_taken_off_nested() {
    for tag in [0x8100, 0x88a8, 0x9100] {
        let mut header = ethernet(tag);
        header.extend([0, 7, 0x81, 0, 0, 9, 0x08, 0]);
        holds(1, &header, &V4);
    }
}

#[test]
fn endless_vlan_tags_are_skipped() {
    let mut frame = ethernet(0x8100);
    for _ in 0..50 {
        frame.extend([0, 1, 0x81, 0]);
    }
    skips(1, &frame, SkipReason::TooManyTags);
}

#[test]
fn pppoe_sessions_are_unwrapped() {
    let header = framed(&ethernet(0x8864), &[0x11, 0, 0, 1, 0, 26, 0, 0x21]);
    holds(1, &header, &V4);
    let header = framed(&ethernet(0x8864), &[0x11, 0, 0, 1, 0, 46, 0, 0x57]);
    holds(1, &header, &v6());
    let frame = framed(&ethernet(0x8864), &[0x11, 0, 0, 1, 0, 4, 0xc0, 0x21, 1, 1]);
    skips(1, &frame, SkipReason::PppProtocol(0xc021));
}

#[test]
fn ppp_may_leave_out_what_it_has_negotiated_away() {
    holds(9, &[0xff, 3, 0, 0x21], &V4);
    holds(9, &[0, 0x57], &v6());
    holds(9, &[0x21], &V4);
    holds(50, &[0xff, 3, 0, 0x21], &V4);
    skips(
        9,
        &[0xff, 3, 0xc0, 0x21, 1],
        SkipReason::PppProtocol(0xc021),
    );
}

#[test]
fn mpls_labels_are_taken_off_down_to_the_last() {
    let header = framed(&ethernet(0x8847), &[0, 1, 0, 64, 0, 2, 1, 64]);
    holds(1, &header, &V4);
    holds(1, &header, &v6());
    let endless = framed(&ethernet(0x8847), &[0; 80]);
    skips(1, &endless, SkipReason::TooManyTags);
}

#[test]
fn snap_with_an_ethertype_is_unwrapped_and_other_llc_is_skipped() {
    holds(
        1,
        &framed(&ethernet(32), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]),
        &V4,
    );
    skips(
        1,
        &framed(&ethernet(38), &[0x42, 0x42, 3, 0, 0]),
        SkipReason::Llc,
    );
    skips(
        1,
        &framed(&ethernet(8), &[0xaa, 0xaa, 3, 0, 0, 0, 0, 8, 0]),
        SkipReason::Llc,
    );
}

#[test]
fn raw_links_go_by_the_version_field() {
    for link in [12, 14, 101] {
        holds(link, &[], &V4);
        holds(link, &[], &v6());
        skips(link, &[0x00, 1, 2], SkipReason::IpVersion(0));
    }
}

#[test]
fn version_links_hold_that_version_only() {
    holds(228, &[], &V4);
    holds(229, &[], &v6());
    skips(228, &v6(), SkipReason::IpVersion(6));
    skips(229, &V4, SkipReason::IpVersion(4));
    skips(
        1,
        &framed(&ethernet(0x0800), &v6()),
        SkipReason::IpVersion(6),
    );
}

#[test]
fn linux_cooked_headers_give_their_protocol() {
    let mut sll = [0; 16];
    sll[14] = 8;
    holds(113, &sll, &V4);
    let mut sll2 = [0; 20];
    (sll2[0], sll2[1]) = (0x86, 0xdd);
    holds(276, &sll2, &v6());
    (sll[14], sll[15]) = (0, 4);
    skips(113, &framed(&sll, &[0x42, 0x42, 3]), SkipReason::Llc);
    // There the number says that LLC follows; it is no length.
    holds(113, &framed(&sll, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]), &V4);
}

fn pktap_header(kind: u8, inner: u8) -> Vec<u8> {
    let mut header = vec![0; 108];
    (header[0], header[4], header[8]) = (108, kind, inner);
    header
}

#[test]
fn pktap_leads_to_its_inner_link() {
    for link in [258, 149] {
        holds(link, &framed(&pktap_header(1, 1), &ethernet(0x0800)), &V4);
        holds(link, &framed(&pktap_header(1, 0), &[30, 0, 0, 0]), &v6());
        holds(link, &pktap_header(1, 12), &V4);
        skips(link, &pktap_header(0, 12), SkipReason::NoPacket);
        skips(
            link,
            &framed(&pktap_header(1, 149), &pktap_header(1, 12)),
            SkipReason::LinkType(149),
        );
    }
}

#[test]
fn user2_without_a_pktap_header_is_another_link() {
    skips(
        149,
        &framed(&[1, 2, 3, 4, 5, 6, 7, 8], &V4),
        SkipReason::LinkType(149),
    );
    skips(149, &[1], SkipReason::LinkType(149));
}

#[test]
fn a_pktap_length_beyond_the_frame_is_a_cut_header() {
    let mut header = pktap_header(1, 12);
    header[3] = 0xff;
    skips(258, &header, SkipReason::LinkHeaderCut);
}

#[test]
fn link_padding_is_taken_off_by_the_length_of_ip() {
    let frame = [ethernet(0x0800), V4.to_vec(), vec![0; 22]].concat();
    assert_eq!(
        ip_packet(1, &frame, frame.len()),
        Ok(IpBytes {
            bytes: &V4,
            original_len: 24,
            cut: false,
            overstated: false
        })
    );
    let packet = v6();
    let frame = [ethernet(0x86dd), packet.clone(), vec![0; 4]].concat();
    assert_eq!(
        ip_packet(1, &frame, frame.len()),
        Ok(IpBytes {
            bytes: &packet,
            original_len: 44,
            cut: false,
            overstated: false
        })
    );
}

/// A length field of each kind of link that has one, and what stands between it and the packet.
fn bounded(length: u16) -> [Vec<u8>; 4] {
    let pppoe = |length: u16, ppp: &[u8]| {
        let head = [&[0x11, 0, 0, 1], length.to_be_bytes().as_slice(), ppp].concat();
        framed(&ethernet(0x8864), &head)
    };
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let tagged = [&[0, 5], (length + 8).to_be_bytes().as_slice(), &snap].concat();
    [
        pppoe(length + 2, &[0, 0x21]),
        pppoe(length + 3, &[0xff, 3, 0x21]),
        framed(&ethernet(length + 8), &snap),
        framed(&ethernet(0x8100), &tagged),
    ]
}

#[test]
fn a_link_s_own_length_bounds_the_packet() {
    for header in bounded(22) {
        let frame = framed(&header, &V4);
        let found = ip_packet(1, &frame, frame.len()).unwrap();
        assert_eq!((found.bytes, found.original_len), (&V4[..22], 22));
        assert_eq!((found.cut, found.overstated), (false, true));
        let packet = found.packet().unwrap();
        assert_eq!((packet.total_len, packet.declared_len), (22, 24));
        assert!(!packet.is_cut());
    }
    // One that says more than the frame has leaves the packet as it is.
    for header in bounded(60) {
        holds(1, &header, &V4);
    }
}

#[test]
fn a_zero_ip_length_leaves_the_packet_whole() {
    let mut packet = V4;
    packet[3] = 0;
    holds(101, &[], &packet);
    let mut packet = v6();
    packet[5] = 0;
    holds(101, &[], &packet);
}

#[test]
fn an_ip_length_below_the_header_leaves_the_packet_whole() {
    let mut packet = V4;
    packet[3] = 19;
    holds(101, &[], &packet);
}

#[test]
fn a_cut_packet_keeps_its_length_on_the_wire() {
    let frame = [ethernet(0x0800), V4[..22].to_vec()].concat();
    let wire = 14 + 24 + 22;
    assert_eq!(
        ip_packet(1, &frame, wire),
        Ok(IpBytes {
            bytes: &V4[..22],
            original_len: 24,
            cut: true,
            overstated: false
        })
    );
}

#[test]
fn an_original_length_below_the_captured_one_is_raised() {
    assert_eq!(
        ip_packet(101, &V4, 3),
        Ok(IpBytes {
            bytes: &V4,
            original_len: 24,
            cut: false,
            overstated: false
        })
    );
}

#[test]
fn frames_cut_at_any_byte_are_skipped_or_cut() {
    let mut tagged = ethernet(0x8100);
    tagged.extend([0, 7, 8, 0]);
    for length in 0..tagged.len() {
        let expected = if length == 0 {
            SkipReason::Empty
        } else {
            SkipReason::LinkHeaderCut
        };
        assert_eq!(
            ip_packet(1, &tagged[..length], 64),
            Err(expected),
            "{length}"
        );
    }
    skips(1, &tagged, SkipReason::LinkHeaderCut);
    skips(0, &[2, 0], SkipReason::LinkHeaderCut);
    skips(113, &[0; 15], SkipReason::LinkHeaderCut);
    skips(276, &[0; 19], SkipReason::LinkHeaderCut);
    skips(258, &[0; 11], SkipReason::LinkHeaderCut);
}

#[test]
fn other_protocols_and_links_are_named() {
    skips(
        1,
        &framed(&ethernet(0x0806), &[0; 28]),
        SkipReason::Ethertype(0x0806),
    );
    assert_eq!(
        SkipReason::Ethertype(0x0806).to_string(),
        "not IP: ethertype 0x0806 (ARP)"
    );
    assert_eq!(
        SkipReason::Ethertype(0x1234).to_string(),
        "not IP: ethertype 0x1234"
    );
    skips(147, &V4, SkipReason::LinkType(147));
    assert_eq!(
        SkipReason::LinkType(147).to_string(),
        "link type 147 not supported"
    );
}
