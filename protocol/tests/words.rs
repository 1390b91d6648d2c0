//! What people are told: each error has words of its own, in the form of the house, without secrets.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mcpmqtt_protocol::broker::CloseReason;
use mcpmqtt_protocol::client::{
    LastSent, ListenError, Options, ProtocolError, PublishError, Reason, Refusal, Stranger,
};
use mcpmqtt_protocol::encode::EncodeError;
use mcpmqtt_protocol::frame::{Field, FrameError};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicFault, TopicName};
use mcpmqtt_protocol::{PacketType, QoS};

const FIELDS: [Field; 14] = [
    Field::PacketId,
    Field::Topic,
    Field::Filter,
    Field::Qos,
    Field::Flags,
    Field::Code,
    Field::ProtocolName,
    Field::ProtocolLevel,
    Field::KeepAlive,
    Field::ClientId,
    Field::WillTopic,
    Field::WillMessage,
    Field::UserName,
    Field::Password,
];

const KINDS: [PacketType; 14] = [
    PacketType::Connect,
    PacketType::Connack,
    PacketType::Publish,
    PacketType::Puback,
    PacketType::Pubrec,
    PacketType::Pubrel,
    PacketType::Pubcomp,
    PacketType::Subscribe,
    PacketType::Suback,
    PacketType::Unsubscribe,
    PacketType::Unsuback,
    PacketType::Pingreq,
    PacketType::Pingresp,
    PacketType::Disconnect,
];

/// One line, no full stop, a beginning that can stand behind a colon, and no two the same.
fn in_form<E: Error>(errors: impl IntoIterator<Item = E>) {
    let mut seen = BTreeSet::new();
    for error in errors {
        let text = error.to_string();
        let first = text.split(' ').next().unwrap();
        let a_name = first.chars().all(|char| char.is_ascii_uppercase());
        assert!(
            a_name
                || first.chars().next().is_some_and(char::is_lowercase)
                || first.parse::<u64>().is_ok(),
            "`{text}` begins like a sentence"
        );
        assert!(!text.ends_with('.') && !text.contains('\n'), "`{text}`");
        assert!(text.len() > 8, "`{text}` says nothing");
        assert!(seen.insert(text.clone()), "`{text}` is said twice");
    }
    assert!(!seen.is_empty());
}

fn frame_errors() -> Vec<FrameError> {
    let mut all = vec![
        FrameError::ReservedType(0xf0),
        FrameError::Qos3,
        FrameError::DupWithQos0,
        FrameError::ConnackFlags(2),
        FrameError::ConnackCode(6),
        FrameError::SessionPresentWithRefusal(5),
        FrameError::SubackCode(3),
        FrameError::ProtocolName,
        FrameError::ProtocolLevel(5),
        FrameError::ConnectReservedFlag,
        FrameError::WillQos3,
        FrameError::WillBitsWithoutWill,
        FrameError::PasswordWithoutUserName,
        FrameError::SubscribeQos(3),
    ];
    for kind in KINDS {
        let (bytes, min) = (1, 2);
        all.extend([
            FrameError::WrongDirection(kind),
            FrameError::Flags { kind, flags: 15 },
            FrameError::EndlessLength(kind),
            FrameError::Length {
                kind,
                bytes,
                min,
                exact: true,
            },
            FrameError::Length {
                kind,
                bytes,
                min,
                exact: false,
            },
            FrameError::TooLarge {
                kind,
                bytes: 2,
                max: 1,
            },
            FrameError::TrailingBytes { kind, bytes },
            FrameError::ZeroPacketId(kind),
            FrameError::Codec(kind),
        ]);
        for field in FIELDS {
            all.extend([
                FrameError::RunsPastEnd { kind, field },
                FrameError::NotUtf8 { kind, field },
                FrameError::Nul { kind, field },
                FrameError::Empty { kind, field },
                FrameError::Wildcard { kind, field },
            ]);
        }
    }
    all
}

fn protocol_errors() -> Vec<ProtocolError> {
    vec![
        ProtocolError::Frame(FrameError::Qos3),
        ProtocolError::NotConnack,
        ProtocolError::SecondConnack,
        ProtocolError::SessionPresent,
        ProtocolError::UnexpectedAck("PUBREC"),
        ProtocolError::SubackCount,
        ProtocolError::ClientPacket,
    ]
}

fn last_publish(again: bool) -> LastSent {
    LastSent::Publish {
        topic: TopicName::parse("t").unwrap(),
        bytes: 7,
        again,
    }
}

fn reasons() -> Vec<Reason> {
    let mut all = vec![
        Reason::NeverConnected,
        Reason::Transport("no route to host".into()),
        Reason::ConnectTimeout(Duration::from_millis(1500)),
        Reason::ClosedBeforeConnack("".into()),
        Reason::ClosedBeforeConnack("reset".into()),
        Reason::Closed("".into()),
        Reason::Closed("reset".into()),
        Reason::Takeover,
        Reason::ShortLived,
        Reason::ClosedAfter(last_publish(false), String::new()),
        Reason::ClosedAfter(last_publish(true), String::new()),
        Reason::ClosedAfter(
            LastSent::Subscribe(SubscribeFilter::parse("f").unwrap()),
            "reset".into(),
        ),
        Reason::MessageCutsConnection {
            topic: TopicName::parse("t").unwrap(),
            bytes: 7,
        },
        Reason::Stranger(Stranger::Http),
        Reason::Stranger(Stranger::Ssh),
        Reason::Stranger(Stranger::Amqp),
        Reason::Stranger(Stranger::MailOrFtp),
        Reason::Stranger(Stranger::Tls),
        Reason::Stranger(Stranger::Mqtt5(0x84)),
        Reason::KeepAlive,
        Reason::WriteStalled,
        Reason::NoSubscribeAck,
        Reason::NoPublishAck,
        Reason::BadOptions(EncodeError::EmptyClientId),
        Reason::Timeout(None),
        Reason::FilterRefused,
        Reason::FilterCutsConnection,
        Reason::FilterEndsConnection(Box::new(Reason::NoSubscribeAck)),
        Reason::BringsMalformed(FrameError::DupWithQos0),
        Reason::SessionGivenUp,
        Reason::Halted("an operator halted writing".into()),
        Reason::ShuttingDown,
    ];
    let refusals = [
        Refusal::ProtocolVersion,
        Refusal::ClientId,
        Refusal::Unavailable,
        Refusal::Credentials,
        Refusal::NotAuthorized,
        Refusal::NoUserName,
    ];
    all.extend(refusals.map(Reason::Refused));
    all.extend(protocol_errors().into_iter().map(Reason::Protocol));
    all
}

#[test]
fn every_error_has_words_of_its_own() {
    in_form(frame_errors());
    in_form(protocol_errors());
    in_form(reasons());
    in_form([
        PublishError::NotConnected(Reason::KeepAlive),
        PublishError::QueueFull(3),
        PublishError::QueueBytesFull(3),
        PublishError::TooLarge,
        PublishError::AboveLimit { bytes: 7, limit: 6 },
        PublishError::Topic(TopicName::parse("\u{1}").unwrap().sendable().unwrap_err()),
        PublishError::TakenBack,
        PublishError::Halted("an operator halted writing".into()),
    ]);
    in_form([
        ListenError::NotConnected(Reason::KeepAlive),
        ListenError::TooMany(3),
        ListenError::GivenUp(Reason::FilterCutsConnection),
    ]);
    in_form([
        CloseReason::Disconnect,
        CloseReason::Takeover,
        CloseReason::KeepAlive,
        CloseReason::NoConnect,
        CloseReason::NotConnect,
        CloseReason::SecondConnect,
        CloseReason::EmptyClientId,
        CloseReason::Frame(FrameError::Qos3),
        CloseReason::BrokerPacket,
        CloseReason::Topic(TopicFault::Empty),
        CloseReason::UnexpectedAck("PUBCOMP"),
        CloseReason::OutputFull(7),
        CloseReason::TooManyConnections(7),
        CloseReason::TooManySessions(7),
    ]);
    let mut encode = vec![
        EncodeError::PasswordWithoutUserName,
        EncodeError::EmptyClientId,
        EncodeError::NoFilters,
        EncodeError::DupWithQos0,
        EncodeError::PacketTooLarge(1 << 28),
        EncodeError::Codec,
    ];
    for field in FIELDS {
        encode.extend([
            EncodeError::TooLong {
                field,
                bytes: 70_000,
            },
            EncodeError::Nul(field),
            EncodeError::Empty(field),
            EncodeError::Wildcard(field),
        ]);
    }
    in_form(encode);
}

/// The words that an operator reads name what to change.
#[test]
fn what_a_setting_can_cure_names_the_setting() {
    for (reason, setting) in [
        (Reason::Refused(Refusal::Credentials), "`mqtt.password`"),
        (Reason::Refused(Refusal::NotAuthorized), "`mqtt.username`"),
        (Reason::Refused(Refusal::NotAuthorized), "`mqtt.password`"),
        (Reason::Stranger(Stranger::Tls), "`mqtt.tls`"),
        (Reason::Refused(Refusal::NoUserName), "`mqtt.username`"),
        (Reason::Refused(Refusal::ClientId), "`mqtt.client_id`"),
        (Reason::Takeover, "`mqtt.client_id`"),
    ] {
        assert!(reason.to_string().contains(setting), "{reason}");
    }
    let limit = Reason::ConnectTimeout(Duration::from_millis(1500));
    assert_eq!(
        limit.to_string(),
        "no answer within the connect timeout of 1.5 s"
    );
    let cut = Reason::Closed("reset".into());
    let why = Reason::Timeout(Some(Box::new(cut)));
    assert_eq!(
        why.to_string(),
        "the time limit was reached; the connection broke: reset"
    );
}

/// Time does not cure these, and others it does.
#[test]
fn only_refusals_and_bad_options_are_the_configuration_s_fault() {
    for reason in reasons() {
        let cures = matches!(
            reason,
            Reason::BadOptions(_) | Reason::Refused(_) | Reason::Stranger(_)
        ) && reason != Reason::Refused(Refusal::Unavailable);
        assert_eq!(reason.is_configuration(), cures, "{reason}");
    }
}

#[test]
fn what_is_printed_for_debugging_has_no_secret() {
    let mut options = Options::new("gateway");
    options.username = Some("operator".into());
    options.password = Some(b"correct horse".to_vec());
    let text = format!("{options:?}");
    assert!(text.contains("gateway") && text.contains('…'), "{text}");
    assert!(
        !text.contains("operator") && !text.contains("horse"),
        "{text}"
    );
    let message = Message {
        topic: TopicName::parse("door/code").unwrap(),
        payload: Arc::from(*b"4711"),
        qos: QoS::AtLeastOnce,
        retain: false,
    };
    let text = format!("{message:?}");
    assert_eq!(
        text,
        "Message(door/code, 4 bytes, AtLeastOnce, retain false)"
    );
}

#[test]
fn names_and_filters_are_shown_as_they_were_written() {
    assert_eq!(TopicName::parse("a/b").unwrap().to_string(), "a/b");
    for filter in ["a/+/#", "$share/team/a/+"] {
        assert_eq!(SubscribeFilter::parse(filter).unwrap().to_string(), filter);
    }
}
