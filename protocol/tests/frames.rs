//! The wire: what is accepted, what is refused and when, and that what we write reads back.

#![allow(clippy::unwrap_used)]

use mcpmqtt_protocol::encode::{self, EncodeError};
use mcpmqtt_protocol::frame::{Field, Frame, FrameBuffer, FrameError, Receiver, TooLarge};
use mcpmqtt_protocol::{
    ConnectReturnCode, Packet, PacketType, Pid, Publish, QoS, QosPid, SubscribeReturnCodes,
};

const CAP: usize = 1024 * 1024;

/// Feeds the bytes of a hex string (blanks ignored) to a fresh buffer and reads one packet.
fn read(receiver: Receiver, hex: &str) -> Result<Option<String>, FrameError> {
    let mut buffer = FrameBuffer::new(receiver, CAP);
    buffer.extend(&bytes(hex));
    let packet = buffer.next_packet()?.map(|packet| format!("{packet:?}"));
    Ok(packet)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    assert!(digits.len() % 2 == 0, "odd number of digits in `{hex}`");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn pid(id: u16) -> Pid {
    Pid::try_from(id).unwrap()
}

fn length(kind: PacketType, bytes: usize, min: usize, exact: bool) -> FrameError {
    FrameError::Length {
        kind,
        bytes,
        min,
        exact,
    }
}

/// Every input the audit of `mqttrs` 0.4.1 found to panic or to be wrongly accepted, towards a client.
fn broken_for_a_client() -> Vec<(&'static str, FrameError)> {
    use PacketType::*;
    let topic = Field::Topic;
    vec![
        ("40 00", length(Puback, 0, 2, true)),
        ("50 00", length(Pubrec, 0, 2, true)),
        ("62 00", length(Pubrel, 0, 2, true)),
        ("70 00", length(Pubcomp, 0, 2, true)),
        ("90 00", length(Suback, 0, 3, false)),
        ("B0 00", length(Unsuback, 0, 2, true)),
        ("20 00", length(Connack, 0, 2, true)),
        ("20 00 00", length(Connack, 0, 2, true)),
        ("32 04 00 02 61 62", length(Publish, 4, 5, false)),
        ("30 00 00 00", length(Publish, 0, 3, false)),
        ("31 01 00 00 7A", length(Publish, 1, 3, false)),
        ("20 00 00 00", length(Connack, 0, 2, true)),
        ("40 00 30 03", length(Puback, 0, 2, true)),
        ("90 01 00", length(Suback, 1, 3, false)),
        ("90 02 00 01", length(Suback, 2, 3, false)),
        ("D0 01 00", length(Pingresp, 1, 0, true)),
        ("40 03 00 01 00", length(Puback, 3, 2, true)),
        ("20 03 00 00 00", length(Connack, 3, 2, true)),
        ("B0 03 00 01 00", length(Unsuback, 3, 2, true)),
        ("20 02 02 00", FrameError::ConnackFlags(2)),
        ("20 02 FE 01", FrameError::ConnackFlags(0xFE)),
        ("20 02 01 01", FrameError::SessionPresentWithRefusal(1)),
        ("20 02 01 05", FrameError::SessionPresentWithRefusal(5)),
        ("20 02 00 06", FrameError::ConnackCode(6)),
        ("20 02 01 FF", FrameError::ConnackCode(0xFF)),
        (
            "30 03 00 00 01",
            FrameError::Empty {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 03 00 01 23",
            FrameError::Wildcard {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 05 00 03 61 2F 2B",
            FrameError::Wildcard {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "31 03 00 01 00",
            FrameError::Nul {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 04 00 01 00 78",
            FrameError::Nul {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 03 00 01 FF",
            FrameError::NotUtf8 {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 05 00 03 ED A0 80",
            FrameError::NotUtf8 {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "30 03 00 02 61",
            FrameError::RunsPastEnd {
                kind: Publish,
                field: topic,
            },
        ),
        (
            "32 05 00 02 61 62 00",
            FrameError::RunsPastEnd {
                kind: Publish,
                field: Field::PacketId,
            },
        ),
        ("32 05 00 01 61 00 00", FrameError::ZeroPacketId(Publish)),
        ("40 02 00 00", FrameError::ZeroPacketId(Puback)),
        ("90 03 00 00 00", FrameError::ZeroPacketId(Suback)),
        ("B0 02 00 00", FrameError::ZeroPacketId(Unsuback)),
        ("90 03 00 01 03", FrameError::SubackCode(3)),
        ("90 03 00 01 7F", FrameError::SubackCode(0x7F)),
        ("90 04 00 01 00 81", FrameError::SubackCode(0x81)),
        ("38 02 00 00", FrameError::DupWithQos0),
        ("38", FrameError::DupWithQos0),
        ("36", FrameError::Qos3),
        ("3F", FrameError::Qos3),
        ("00 FF FF FF 7F", FrameError::ReservedType(0)),
        ("F0 FF FF FF 7F 00", FrameError::ReservedType(0xF0)),
        ("10", FrameError::WrongDirection(Connect)),
        ("82", FrameError::WrongDirection(Subscribe)),
        ("A2", FrameError::WrongDirection(Unsubscribe)),
        ("C0", FrameError::WrongDirection(Pingreq)),
        ("E0", FrameError::WrongDirection(Disconnect)),
        ("30 FF FF FF FF", FrameError::EndlessLength(Publish)),
        ("30 80 80 80 80", FrameError::EndlessLength(Publish)),
    ]
}

/// The same towards a broker.
fn broken_for_a_broker() -> Vec<(&'static str, FrameError)> {
    use PacketType::*;
    let past_end = |kind, field| FrameError::RunsPastEnd { kind, field };
    vec![
        ("82 03 71 6F 00 00", length(Subscribe, 3, 6, false)),
        ("82 02 00 01", length(Subscribe, 2, 6, false)),
        ("82 00", length(Subscribe, 0, 6, false)),
        ("82 06 00 01 00 02 61 62", past_end(Subscribe, Field::Qos)),
        (
            "82 06 00 01 00 03 61 00",
            past_end(Subscribe, Field::Filter),
        ),
        (
            "82 07 00 01 00 01 61 00 00",
            past_end(Subscribe, Field::Filter),
        ),
        (
            "82 06 00 00 00 01 61 00",
            FrameError::ZeroPacketId(Subscribe),
        ),
        ("82 06 00 01 00 01 61 03", FrameError::SubscribeQos(3)),
        ("82 06 00 01 00 01 61 40", FrameError::SubscribeQos(0x40)),
        (
            "82 06 00 01 00 00 00 00",
            FrameError::Empty {
                kind: Subscribe,
                field: Field::Filter,
            },
        ),
        (
            "82 06 00 01 00 01 00 00",
            FrameError::Nul {
                kind: Subscribe,
                field: Field::Filter,
            },
        ),
        ("A2 00", length(Unsubscribe, 0, 5, false)),
        ("A2 05 00 01 00 02 61", past_end(Unsubscribe, Field::Filter)),
        (
            "A2 05 00 01 00 01 FF",
            FrameError::NotUtf8 {
                kind: Unsubscribe,
                field: Field::Filter,
            },
        ),
        ("10 02 00 00", length(Connect, 2, 12, false)),
        ("10 03 00 04 4D 51 54 54 04", length(Connect, 3, 12, false)),
        (
            "10 00 00 04 4D 51 54 54 04 EE",
            length(Connect, 0, 12, false),
        ),
        (
            "10 0C 00 04 48 54 54 50 04 02 00 00 00 00",
            FrameError::ProtocolName,
        ),
        (
            "10 0C 00 04 4D 51 54 54 03 02 00 00 00 00",
            FrameError::ProtocolLevel(3),
        ),
        (
            "10 0D 00 04 4D 51 54 54 05 02 00 00 00 00 00",
            FrameError::ProtocolLevel(5),
        ),
        (
            "10 0E 00 06 4D 51 49 73 64 70 03 02 00 00 00 00",
            FrameError::ProtocolLevel(3),
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 03 00 00 00 00",
            FrameError::ConnectReservedFlag,
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 0A 00 00 00 00",
            FrameError::WillBitsWithoutWill,
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 22 00 00 00 00",
            FrameError::WillBitsWithoutWill,
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 1E 00 00 00 00",
            FrameError::WillQos3,
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 42 00 00 00 00",
            FrameError::PasswordWithoutUserName,
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 02 00 00 00 01",
            past_end(Connect, Field::ClientId),
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 06 00 00 00 00",
            past_end(Connect, Field::WillTopic),
        ),
        (
            "10 0F 00 04 4D 51 54 54 04 06 00 00 00 00 00 01 61",
            past_end(Connect, Field::WillMessage),
        ),
        (
            "10 0C 00 04 4D 51 54 54 04 82 00 00 00 00",
            past_end(Connect, Field::UserName),
        ),
        (
            "10 0E 00 04 4D 51 54 54 04 C2 00 00 00 00 00 00",
            past_end(Connect, Field::Password),
        ),
        (
            "10 0D 00 04 4D 51 54 54 04 02 00 00 00 00 EE",
            FrameError::TrailingBytes {
                kind: Connect,
                bytes: 1,
            },
        ),
        (
            "10 0D 00 04 4D 51 54 54 04 02 00 00 00 01 00",
            FrameError::Nul {
                kind: Connect,
                field: Field::ClientId,
            },
        ),
        (
            "10 11 00 04 4D 51 54 54 04 06 00 00 00 00 00 01 23 00 00",
            FrameError::Wildcard {
                kind: Connect,
                field: Field::WillTopic,
            },
        ),
        ("20", FrameError::WrongDirection(Connack)),
        ("90", FrameError::WrongDirection(Suback)),
        ("B0", FrameError::WrongDirection(Unsuback)),
        ("D0", FrameError::WrongDirection(Pingresp)),
        ("C0 01", length(Pingreq, 1, 0, true)),
        ("E0 01", length(Disconnect, 1, 0, true)),
        (
            "E1",
            FrameError::Flags {
                kind: Disconnect,
                flags: 1,
            },
        ),
    ]
}

#[test]
fn every_broken_packet_of_the_audit_is_refused_with_its_reason() {
    for (receiver, table) in [
        (Receiver::Client, broken_for_a_client()),
        (Receiver::Broker, broken_for_a_broker()),
    ] {
        assert!(table.len() > 30);
        for (hex, error) in table {
            assert_eq!(read(receiver, hex), Err(error), "{hex}");
        }
    }
}

#[test]
fn legal_oddities_are_accepted() {
    // A remaining length that is longer than it needs to be.
    let puback = read(Receiver::Client, "40 82 00 00 01").unwrap().unwrap();
    assert_eq!(puback, "Puback(Pid(1))");
    // U+FEFF is a character like any other [MQTT-1.5.3-3].
    let mut buffer = FrameBuffer::new(Receiver::Client, CAP);
    buffer.extend(&bytes("30 06 00 04 EF BB BF 61"));
    let Ok(Some(Packet::Publish(publish))) = buffer.next_packet() else {
        panic!("no PUBLISH");
    };
    assert_eq!(publish.topic_name, "\u{FEFF}a");
}

#[test]
fn wrong_flags_are_refused_at_the_first_byte() {
    use PacketType::*;
    let to_client: [(u8, PacketType); 8] = [
        (0x20, Connack),
        (0x40, Puback),
        (0x50, Pubrec),
        (0x62, Pubrel),
        (0x70, Pubcomp),
        (0x90, Suback),
        (0xB0, Unsuback),
        (0xD0, Pingresp),
    ];
    let to_broker = [
        (0x10, Connect),
        (0x40, Puback),
        (0x50, Pubrec),
        (0x62, Pubrel),
        (0x70, Pubcomp),
        (0x82, Subscribe),
        (0xA2, Unsubscribe),
        (0xC0, Pingreq),
        (0xE0, Disconnect),
    ];
    let mut cases = 0;
    let sides = [
        (Receiver::Client, &to_client[..]),
        (Receiver::Broker, &to_broker[..]),
    ];
    for (receiver, table) in sides {
        for &(legal, kind) in table {
            for first in (legal & 0xF0)..=(legal | 0x0F) {
                let mut buffer = FrameBuffer::new(receiver, CAP);
                buffer.extend(&[first]);
                let read = buffer.next_packet();
                if first == legal {
                    assert_eq!(read, Ok(None), "{first:02x}");
                } else {
                    let flags = first & 0x0F;
                    assert_eq!(read, Err(FrameError::Flags { kind, flags }), "{first:02x}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 120 + 135);
}

#[test]
fn a_packet_above_the_cap_is_refused_at_its_header() {
    let mut buffer = FrameBuffer::new(Receiver::Client, 1000);
    // 1 + 2 + 997 bytes: as large as allowed.
    buffer.extend(&bytes("30 E5 07"));
    assert_eq!(buffer.next_packet(), Ok(None));

    let mut buffer = FrameBuffer::new(Receiver::Client, 1000);
    buffer.extend(&bytes("30 E6 07"));
    let too_large = FrameError::TooLarge {
        kind: PacketType::Publish,
        bytes: 1001,
        max: 1000,
    };
    assert_eq!(buffer.next_packet(), Err(too_large));
    assert_eq!(
        too_large.to_string(),
        "a PUBLISH of 1001 bytes (at most 1000 are accepted)"
    );

    let mut buffer = FrameBuffer::new(Receiver::Client, 1000);
    buffer.extend(&bytes("30 FF FF FF 7F"));
    assert!(matches!(
        buffer.next_packet(),
        Err(FrameError::TooLarge {
            bytes: 268_435_460,
            ..
        })
    ));
}

/// Every way to cut the stream hands out the same: large ones without their payload, small ones whole.
#[test]
fn a_publish_above_the_cap_is_read_past_and_what_is_behind_it_is_read() {
    let mut stream = Vec::new();
    let qospids = [
        QosPid::AtMostOnce,
        QosPid::AtLeastOnce(Pid::try_from(7).unwrap()),
        QosPid::ExactlyOnce(Pid::try_from(8).unwrap()),
    ];
    for qospid in qospids {
        encode::publish(&mut stream, false, qospid, true, "a/b", &[0; 400]).unwrap();
        stream.extend(bytes("D0 00"));
    }
    // A topic longer than the cap and no payload at all.
    let topic = "t".repeat(300);
    encode::publish(&mut stream, false, qospids[0], false, &topic, &[]).unwrap();
    let read = |step: usize| {
        let mut buffer = FrameBuffer::new(Receiver::Client, 100);
        let mut found = Vec::new();
        for part in stream.chunks(step) {
            buffer.extend(part);
            while let Some(frame) = buffer.next_frame().unwrap() {
                found.push(match frame {
                    Frame::Packet(packet) => format!("{packet:?}"),
                    Frame::TooLarge(publish) => {
                        assert!(!publish.dup);
                        let TooLarge {
                            qospid,
                            retain,
                            topic,
                            payload_bytes,
                            ..
                        } = publish;
                        format!("{qospid:?} {retain} {topic} {payload_bytes}")
                    }
                });
            }
            assert!(buffer.buffered() <= 310, "{}", buffer.buffered());
        }
        assert_eq!(buffer.buffered(), 0);
        found
    };
    let whole = read(stream.len());
    assert_eq!(whole.len(), 7, "{whole:?}");
    assert_eq!(whole[0], "AtMostOnce true a/b 400");
    assert_eq!(whole[1], "Pingresp");
    assert_eq!(whole[6], format!("AtMostOnce false {topic} 0"));
    for step in [1, 2, 3, 50, 399, 410] {
        assert_eq!(read(step), whole, "in steps of {step}");
    }
}

/// The other types are refused as before, and so is a topic that runs past its packet.
#[test]
fn only_a_good_publish_is_read_past() {
    for (digits, words) in [
        ("90 FF 01", "SUBACK of 258 bytes"),
        ("30 FF 01 01 00", "runs past its end"),
        ("32 FF 01 00 FC 61", "runs past its end"),
        ("30 FF 01 00 02 C3 28", "not UTF-8"),
    ] {
        let mut buffer = FrameBuffer::new(Receiver::Client, 100);
        buffer.extend(&bytes(digits));
        if words.starts_with("runs") {
            buffer.extend(&[0x61; 300]);
        }
        let error = buffer.next_frame().unwrap_err();
        assert!(error.to_string().contains(words), "{digits}: {error}");
    }
}

#[test]
fn an_error_stays_until_the_buffer_is_cleared() {
    let mut buffer = FrameBuffer::new(Receiver::Client, CAP);
    buffer.extend(&bytes("D0 00 20 02 00 06 D0 00"));
    assert_eq!(buffer.next_packet(), Ok(Some(Packet::Pingresp)));
    assert_eq!(buffer.next_packet(), Err(FrameError::ConnackCode(6)));
    buffer.extend(&bytes("D0 00"));
    assert_eq!(buffer.next_packet(), Err(FrameError::ConnackCode(6)));
    buffer.clear();
    assert_eq!(buffer.buffered(), 0);
    buffer.extend(&bytes("D0 00"));
    assert_eq!(buffer.next_packet(), Ok(Some(Packet::Pingresp)));
    assert_eq!(buffer.next_packet(), Ok(None));
}

#[test]
fn errors_read_well_and_name_the_remedy() {
    let text = |hex| read(Receiver::Client, hex).unwrap_err().to_string();
    assert_eq!(text("42"), "a PUBACK with flags 0b0010 (must be 0b0000)");
    assert_eq!(text("60"), "a PUBREL with flags 0b0000 (must be 0b0010)");
    assert_eq!(
        text("40 00"),
        "a PUBACK of remaining length 0 (must be exactly 2)"
    );
    assert_eq!(text("10"), "a CONNECT, which only a client may send");
    assert_eq!(
        text("F0"),
        "a packet of the reserved type 15 (first byte 0xf0)"
    );
    assert_eq!(
        text("30 03 00 01 00"),
        "a PUBLISH whose topic contains U+0000"
    );
    let text = |hex| read(Receiver::Broker, hex).unwrap_err().to_string();
    assert_eq!(text("D0"), "a PINGRESP, which only a broker may send");
    assert_eq!(
        text("10 0D 00 04 4D 51 54 54 05 02 00 00 00 00 00"),
        "a CONNECT of MQTT protocol level 5 (only 4, MQTT 3.1.1, is spoken)"
    );
}

/// A stream of every packet a client may hear, and what it must be read as.
fn stream() -> (Vec<u8>, Vec<String>) {
    let mut out = Vec::new();
    encode::connack(&mut out, true, ConnectReturnCode::Accepted);
    let qos1 = QosPid::AtLeastOnce(pid(7));
    encode::publish(&mut out, false, QosPid::AtMostOnce, true, "a/b", b"x").unwrap();
    encode::publish(&mut out, true, qos1, false, "é", &[0x30; 130]).unwrap();
    encode::puback(&mut out, pid(1));
    encode::pubrec(&mut out, pid(2));
    encode::pubrel(&mut out, pid(3));
    encode::pubcomp(&mut out, pid(65535));
    let codes = [
        SubscribeReturnCodes::Success(QoS::ExactlyOnce),
        SubscribeReturnCodes::Failure,
    ];
    encode::suback(&mut out, pid(4), &codes).unwrap();
    encode::unsuback(&mut out, pid(5));
    encode::pingresp(&mut out);
    encode::publish(
        &mut out,
        false,
        QosPid::ExactlyOnce(pid(8)),
        false,
        "a",
        b"",
    )
    .unwrap();
    let packets = drain(Receiver::Client, &[&out]);
    assert_eq!(packets.len(), 11);
    (out, packets)
}

fn drain(receiver: Receiver, parts: &[&[u8]]) -> Vec<String> {
    let mut buffer = FrameBuffer::new(receiver, CAP);
    let mut packets = Vec::new();
    for part in parts {
        buffer.extend(part);
        while let Some(packet) = buffer.next_packet().unwrap() {
            packets.push(format!("{packet:?}"));
        }
    }
    assert_eq!(buffer.buffered(), 0);
    packets
}

#[test]
fn every_split_of_a_stream_gives_the_same_packets() {
    let (stream, packets) = stream();
    for first in 0..=stream.len() {
        let (head, tail) = stream.split_at(first);
        assert_eq!(
            drain(Receiver::Client, &[head, tail]),
            packets,
            "split at {first}"
        );
        for second in (0..=tail.len()).step_by(7) {
            let (middle, end) = tail.split_at(second);
            assert_eq!(drain(Receiver::Client, &[head, middle, end]), packets);
        }
    }
    for size in 1..stream.len() {
        let parts: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(drain(Receiver::Client, &parts), packets, "chunks of {size}");
    }
}

#[test]
fn a_long_stream_with_a_packet_always_half_read_comes_through_in_order() {
    let mut out = Vec::new();
    for i in 0..20_000_u32 {
        encode::publish(
            &mut out,
            false,
            QosPid::AtMostOnce,
            false,
            "t",
            &i.to_be_bytes(),
        )
        .unwrap();
    }
    let mut buffer = FrameBuffer::new(Receiver::Client, 64);
    let mut expected = 0_u32;
    for part in out.chunks(1_021) {
        buffer.extend(part);
        while let Some(packet) = buffer.next_packet().unwrap() {
            let Packet::Publish(publish) = packet else {
                panic!("{packet:?}")
            };
            assert_eq!(publish.payload, expected.to_be_bytes());
            expected += 1;
        }
        assert!(buffer.buffered() < 64);
    }
    assert_eq!(expected, 20_000);
}

/// Whatever bytes come: no panic, and a refusal or a packet, the same as `mqttrs` reads alone.
fn survive(receiver: Receiver, bytes: &[u8]) -> bool {
    let mut buffer = FrameBuffer::new(receiver, CAP);
    buffer.extend(bytes);
    match buffer.next_packet() {
        Ok(Some(packet)) => {
            assert_eq!(
                mqttrs::decode_slice(bytes),
                Ok(Some(packet)),
                "{bytes:02x?}"
            );
            true
        }
        Ok(None) => false,
        Err(FrameError::Codec(kind)) => {
            panic!("{kind:?} passed, but the codec refuses {bytes:02x?}")
        }
        Err(_) => false,
    }
}

#[test]
fn all_short_frames_are_read_or_refused() {
    let mut read = 0;
    for receiver in [Receiver::Client, Receiver::Broker] {
        for first in 0..=255 {
            survive(receiver, &[first]);
            for length in 0..=255 {
                survive(receiver, &[first, length]);
            }
            // Bodies of up to 6 bytes, from an alphabet that holds every value with a meaning.
            let alphabet = [0x00, 0x01, 0x02, 0x03, b'#', b'a', 0x80, 0xFF];
            for length in 0..=4_u32 {
                for n in 0..8_usize.pow(length) {
                    let mut frame = vec![first, length as u8];
                    frame.extend((0..length).map(|i| alphabet[n >> (3 * i) & 7]));
                    read += u32::from(survive(receiver, &frame));
                }
            }
            let alphabet = [0x00, 0x01, 0x02, b'a'];
            for length in 5..=6_u32 {
                for n in 0..4_usize.pow(length) {
                    let mut frame = vec![first, length as u8];
                    frame.extend((0..length).map(|i| alphabet[n >> (2 * i) & 3]));
                    read += u32::from(survive(receiver, &frame));
                }
            }
        }
    }
    assert!(read > 10_000, "only {read} frames were legal");
}

#[test]
fn mutated_packets_are_read_or_refused() {
    let mut client_stream = Vec::new();
    let will = encode::Will {
        topic: "w",
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: true,
    };
    let connect = encode::Connect {
        client_id: "id",
        clean_session: true,
        keep_alive: 60,
        username: Some("u"),
        password: Some(b"p"),
        will: Some(will),
    };
    encode::connect(&mut client_stream, &connect).unwrap();
    encode::subscribe(
        &mut client_stream,
        pid(1),
        &[("a/#", QoS::ExactlyOnce), ("+", QoS::AtMostOnce)],
    )
    .unwrap();
    encode::unsubscribe(&mut client_stream, pid(2), &["a/#", "+"]).unwrap();
    encode::publish(
        &mut client_stream,
        false,
        QosPid::AtLeastOnce(pid(3)),
        false,
        "a/b",
        b"x",
    )
    .unwrap();
    encode::pingreq(&mut client_stream);
    encode::disconnect(&mut client_stream);
    assert_eq!(drain(Receiver::Broker, &[&client_stream]).len(), 6);
    let (broker_stream, _) = stream();
    let sides = [
        (Receiver::Broker, client_stream),
        (Receiver::Client, broker_stream),
    ];
    let mut refused = 0;
    for (receiver, stream) in sides {
        for position in 0..stream.len() {
            for value in 0..=255 {
                let mut mutant = stream.clone();
                mutant[position] = value;
                let mut buffer = FrameBuffer::new(receiver, CAP);
                buffer.extend(&mutant);
                let end = loop {
                    match buffer.next_packet() {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                assert!(!matches!(end, Some(FrameError::Codec(_))), "{mutant:02x?}");
                refused += u32::from(end.is_some());
            }
        }
    }
    assert!(refused > 10_000, "only {refused} mutants were refused");
}

#[test]
fn publish_is_byte_for_byte_what_mqttrs_writes() {
    let long = "l".repeat(65_535);
    let mut checked = 0;
    for topic in ["a", "sensors/exampleroom1/temperature", "é/\u{FEFF}", &long] {
        for size in [0, 1, 100, 126, 127, 128, 16_380, 16_384, 70_000, 2_097_152] {
            let payload = vec![0xA5; size];
            for qospid in [
                QosPid::AtMostOnce,
                QosPid::AtLeastOnce(pid(1)),
                QosPid::ExactlyOnce(pid(0xFFFE)),
            ] {
                for (dup, retain) in [(false, false), (false, true), (true, true)] {
                    if dup && qospid == QosPid::AtMostOnce {
                        continue;
                    }
                    let mut ours = b"before".to_vec();
                    encode::publish(&mut ours, dup, qospid, retain, topic, &payload).unwrap();
                    let ours = ours.strip_prefix(b"before").unwrap();
                    assert_eq!(
                        ours.len(),
                        encode::publish_len(topic, &payload, qospid.qos())
                    );
                    let mut theirs = vec![0; ours.len()];
                    let publish = Publish {
                        dup,
                        qospid,
                        retain,
                        topic_name: topic,
                        payload: &payload,
                    };
                    let written = mqttrs::encode_slice(&publish.into(), &mut theirs);
                    assert_eq!(written, Ok(ours.len()));
                    assert!(ours == theirs, "{qospid:?} {size} {}", topic.len());
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 4 * 10 * 8);
}

#[test]
fn what_cannot_be_said_in_mqtt_is_an_error_and_nothing_is_written() {
    let mut out = b"before".to_vec();
    let long = "x".repeat(65_536);
    let qos0 = QosPid::AtMostOnce;
    let too_long = |field| EncodeError::TooLong {
        field,
        bytes: 65_536,
    };
    let connect = encode::Connect {
        client_id: "id",
        clean_session: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
    };
    let with = |change: &dyn Fn(&mut encode::Connect<'static>)| {
        let mut changed = connect.clone();
        change(&mut changed);
        encode::connect(&mut Vec::new(), &changed)
    };
    let long_static: &'static str = Box::leak(long.clone().into_boxed_str());
    let will = |topic, payload: &'static [u8]| {
        Some(encode::Will {
            topic,
            payload,
            qos: QoS::AtMostOnce,
            retain: false,
        })
    };
    assert_eq!(
        with(&|c| c.client_id = long_static),
        Err(too_long(Field::ClientId))
    );
    assert_eq!(
        with(&|c| c.client_id = "a\0"),
        Err(EncodeError::Nul(Field::ClientId))
    );
    assert_eq!(
        with(&|c| c.username = Some(long_static)),
        Err(too_long(Field::UserName))
    );
    assert_eq!(
        with(&|c| c.password = Some(b"p")),
        Err(EncodeError::PasswordWithoutUserName)
    );
    assert_eq!(
        with(&|c| c.will = will("#", b"")),
        Err(EncodeError::Wildcard(Field::WillTopic))
    );
    assert_eq!(
        with(&|c| c.will = will("", b"")),
        Err(EncodeError::Empty(Field::WillTopic))
    );
    assert_eq!(
        with(&|c| c.will = will("w", long_static.as_bytes())),
        Err(too_long(Field::WillMessage))
    );
    assert_eq!(with(&|c| c.client_id = ""), Ok(()));
    assert_eq!(
        with(&|c| {
            c.client_id = "";
            c.clean_session = false;
        }),
        Err(EncodeError::EmptyClientId)
    );

    for (topic, error) in [
        ("", EncodeError::Empty(Field::Topic)),
        ("a\0", EncodeError::Nul(Field::Topic)),
        ("a/+", EncodeError::Wildcard(Field::Topic)),
        ("#", EncodeError::Wildcard(Field::Topic)),
        (&long, too_long(Field::Topic)),
    ] {
        assert_eq!(
            encode::publish(&mut out, false, qos0, false, topic, b""),
            Err(error)
        );
    }
    let dup = encode::publish(&mut out, true, qos0, false, "a", b"");
    assert_eq!(dup, Err(EncodeError::DupWithQos0));
    let filter = |filter| (filter, QoS::AtMostOnce);
    let subscribe = encode::subscribe(&mut out, pid(1), &[filter("a"), filter("")]);
    assert_eq!(subscribe, Err(EncodeError::Empty(Field::Filter)));
    assert_eq!(
        encode::subscribe(&mut out, pid(1), &[]),
        Err(EncodeError::NoFilters)
    );
    let unsubscribe = encode::unsubscribe(&mut out, pid(1), &["a", &long]);
    assert_eq!(unsubscribe, Err(too_long(Field::Filter)));
    assert_eq!(
        encode::unsubscribe(&mut out, pid(1), &[]),
        Err(EncodeError::NoFilters)
    );
    assert_eq!(
        encode::suback(&mut out, pid(1), &[]),
        Err(EncodeError::NoFilters)
    );
    assert_eq!(out, b"before");
}

#[test]
fn a_connect_carries_all_it_was_given() {
    let mut out = Vec::new();
    let will = encode::Will {
        topic: "w/t",
        payload: b"\0\xFF",
        qos: QoS::ExactlyOnce,
        retain: true,
    };
    let connect = encode::Connect {
        client_id: "client",
        clean_session: false,
        keep_alive: 0x1234,
        username: Some("user"),
        password: Some(b"\0secret"),
        will: Some(will),
    };
    encode::connect(&mut out, &connect).unwrap();
    let wire = bytes(
        "10 2A 00 04 4D515454 04 F4 1234 0006 636C69656E74 0003 772F74 0002 00FF 0004 75736572 \
         0007 00736563726574",
    );
    assert_eq!(out, wire);
    assert!(!format!("{connect:?}").contains("secret"));

    let mut buffer = FrameBuffer::new(Receiver::Broker, CAP);
    buffer.extend(&out);
    let Ok(Some(Packet::Connect(read))) = buffer.next_packet() else {
        panic!("no CONNECT")
    };
    assert_eq!((read.client_id, read.keep_alive), ("client", 0x1234));
    assert_eq!(
        (read.username, read.password),
        (Some("user"), Some(&b"\0secret"[..]))
    );
}

#[test]
fn the_smallest_packets_are_the_bytes_of_the_standard() {
    type Write = fn(&mut Vec<u8>);
    let cases: [(Write, &str); 11] = [
        (|out| encode::puback(out, pid(0x1234)), "40 02 12 34"),
        (|out| encode::pubrec(out, pid(1)), "50 02 00 01"),
        (|out| encode::pubrel(out, pid(1)), "62 02 00 01"),
        (|out| encode::pubcomp(out, pid(1)), "70 02 00 01"),
        (|out| encode::unsuback(out, pid(1)), "B0 02 00 01"),
        (encode::pingreq, "C0 00"),
        (encode::pingresp, "D0 00"),
        (encode::disconnect, "E0 00"),
        (
            |out| encode::connack(out, true, ConnectReturnCode::Accepted),
            "20 02 01 00",
        ),
        (
            |out| encode::connack(out, true, ConnectReturnCode::NotAuthorized),
            "20 02 00 05",
        ),
        (
            |out| encode::subscribe(out, pid(10), &[("a/b", QoS::AtLeastOnce)]).unwrap(),
            "82 08 00 0A 00 03 61 2F 62 01",
        ),
    ];
    for (write, hex) in cases {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out, bytes(hex));
    }
}
