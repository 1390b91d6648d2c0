//! Bytes of a connection through `protocol::frame`: the same packets however they are cut, and each
//! of them as mqttrs and mqttbytes read its exact frame.
//!
//! Input: who reads (lowest bit), the size of the pieces, the bytes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mcpmqtt_protocol::frame::{FrameBuffer, FrameError, Receiver};
use mcpmqtt_protocol::{Packet, QosPid, SubscribeReturnCodes, encode};
use mqttbytes::v4;

const CAP: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let [who, piece, bytes @ ..] = input else { return };
    let receiver = if who & 1 == 0 { Receiver::Client } else { Receiver::Broker };
    let (whole, error) = read(receiver, bytes, bytes.len().max(1));
    let (cut, cut_error) = read(receiver, bytes, usize::from(*piece).max(1));
    assert_eq!(whole, cut);
    assert_eq!(error, cut_error);
    let mut start = 0;
    let mut buffer = FrameBuffer::new(receiver, CAP);
    buffer.extend(bytes);
    loop {
        let before = buffer.buffered();
        let Ok(Some(packet)) = buffer.next_packet() else { break };
        // The borrow ends with the packet: its length is known from the next one's start.
        let text = format!("{packet:?}");
        let length = before - buffer.buffered();
        let frame = &bytes[start..start + length];
        start += length;
        let Ok(Some(packet)) = mqttrs::decode_slice(frame) else {
            panic!("mqttrs refuses {frame:02x?}");
        };
        assert_eq!(text, format!("{packet:?}"));
        second_opinion(frame, &packet);
        again(receiver, &packet);
    }
});

fn read(receiver: Receiver, bytes: &[u8], piece: usize) -> (Vec<String>, Option<FrameError>) {
    let mut buffer = FrameBuffer::new(receiver, CAP);
    let mut packets = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend(piece);
        loop {
            match buffer.next_packet() {
                Ok(Some(packet)) => packets.push(format!("{packet:?}")),
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}

/// mqttbytes reads the same out of the frame.
fn second_opinion(frame: &[u8], ours: &Packet<'_>) {
    let mut stream = BytesMut::from(frame);
    let theirs = match v4::read(&mut stream, CAP) {
        Ok(theirs) => theirs,
        Err(error) => panic!("mqttbytes refuses {frame:02x?}: {error:?}"),
    };
    assert!(stream.is_empty(), "mqttbytes reads less of {frame:02x?}");
    match (ours, theirs) {
        (Packet::Connect(a), v4::Packet::Connect(b)) => {
            assert_eq!((a.client_id, a.clean_session, a.keep_alive), (&*b.client_id, b.clean_session, b.keep_alive));
            assert_eq!(a.last_will.is_some(), b.last_will.is_some());
        }
        (Packet::Connack(a), v4::Packet::ConnAck(b)) => {
            assert_eq!(a.session_present, b.session_present);
            assert_eq!(a.code as u8, b.code as u8);
        }
        (Packet::Publish(a), v4::Packet::Publish(b)) => {
            assert_eq!((a.topic_name, a.payload, a.retain, a.dup), (&*b.topic, &*b.payload, b.retain, b.dup));
            assert_eq!(a.qospid.qos() as u8, b.qos as u8);
            assert_eq!(a.qospid.pid().map_or(0, |pid| pid.get()), b.pkid);
        }
        (Packet::Puback(a), v4::Packet::PubAck(b)) => assert_eq!(a.get(), b.pkid),
        (Packet::Pubrec(a), v4::Packet::PubRec(b)) => assert_eq!(a.get(), b.pkid),
        (Packet::Pubrel(a), v4::Packet::PubRel(b)) => assert_eq!(a.get(), b.pkid),
        (Packet::Pubcomp(a), v4::Packet::PubComp(b)) => assert_eq!(a.get(), b.pkid),
        (Packet::Subscribe(a), v4::Packet::Subscribe(b)) => {
            assert_eq!(a.pid.get(), b.pkid);
            let ours: Vec<_> = a.topics.iter().map(|t| (t.topic_path.as_str(), t.qos as u8)).collect();
            let theirs: Vec<_> = b.filters.iter().map(|f| (f.path.as_str(), f.qos as u8)).collect();
            assert_eq!(ours, theirs);
        }
        (Packet::Suback(a), v4::Packet::SubAck(b)) => {
            assert_eq!(a.pid.get(), b.pkid);
            assert_eq!(a.return_codes.len(), b.return_codes.len());
            for (ours, theirs) in a.return_codes.iter().zip(&b.return_codes) {
                match (ours, theirs) {
                    (SubscribeReturnCodes::Success(a), v4::SubscribeReasonCode::Success(b)) => {
                        assert_eq!(*a as u8, *b as u8);
                    }
                    (SubscribeReturnCodes::Failure, v4::SubscribeReasonCode::Failure) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        (Packet::Unsubscribe(a), v4::Packet::Unsubscribe(b)) => {
            assert_eq!((a.pid.get(), a.topics.as_slice()), (b.pkid, b.topics.as_slice()));
        }
        (Packet::Unsuback(a), v4::Packet::UnsubAck(b)) => assert_eq!(a.get(), b.pkid),
        (Packet::Pingreq, v4::Packet::PingReq)
        | (Packet::Pingresp, v4::Packet::PingResp)
        | (Packet::Disconnect, v4::Packet::Disconnect) => {}
        other => panic!("{other:?}"),
    }
}

/// What our encoder writes of a PUBLISH reads as the same PUBLISH.
fn again(receiver: Receiver, packet: &Packet<'_>) {
    let Packet::Publish(publish) = packet else { return };
    let mut bytes = Vec::new();
    let qospid: QosPid = publish.qospid;
    encode::publish(&mut bytes, publish.dup, qospid, publish.retain, publish.topic_name, publish.payload)
        .expect("what was read can be written");
    let mut buffer = FrameBuffer::new(receiver, 2 * CAP);
    buffer.extend(&bytes);
    let read = buffer.next_packet().expect("what was written can be read");
    assert_eq!(read.as_ref(), Some(packet));
}
