use rustls::AlertDescription;
use rustls::client::ClientConnectionData;
use rustls::server::ServerConnectionData;

use super::{Message, Messages, Role};

/// A ticket of ten bytes, then a KeyUpdate that asks for one.
const BOTH: &[u8] = &[4, 0, 0, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 24, 0, 0, 1, 1];

fn read<R: Role>(pieces: &[&[u8]]) -> Result<Vec<String>, AlertDescription> {
    let mut messages = Messages::default();
    let mut read = Vec::new();
    for piece in pieces {
        let mut content = *piece;
        while let Some(message) =
            messages.next::<R>(&mut content).map_err(|breach| breach.alert.unwrap())?
        {
            read.push(match message {
                Message::Ticket(payload) => format!("ticket {payload:?}"),
                Message::KeyUpdate(is_asked) => format!("update {is_asked}"),
            });
        }
    }
    if messages.is_partial() {
        read.push("…".to_owned());
    }
    Ok(read)
}

#[test]
fn any_split_reads_the_same() {
    let whole = read::<ClientConnectionData>(&[BOTH]).unwrap();
    assert_eq!(whole, ["ticket [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "update true"]);
    for at in 0..=BOTH.len() {
        for size in 1..=BOTH.len() {
            let (front, back) = BOTH.split_at(at);
            let pieces: Vec<_> = front.chunks(size).chain(back.chunks(size)).collect();
            assert_eq!(read::<ClientConnectionData>(&pieces).unwrap(), whole, "{at} {size}");
        }
        let begun = at != 0 && at != 14 && at != BOTH.len();
        let last = read::<ClientConnectionData>(&[&BOTH[..at]]).unwrap().pop();
        assert_eq!(last == Some("…".to_owned()), begun, "{at}");
    }
}

#[test]
fn what_has_no_place_is_refused_by_its_first_bytes() {
    let unexpected = AlertDescription::UnexpectedMessage;
    for first in [0, 1, 2, 8, 11, 13, 20, 99] {
        assert_eq!(read::<ClientConnectionData>(&[&[first]]), Err(unexpected), "{first}");
        assert_eq!(read::<ServerConnectionData>(&[&[first]]), Err(unexpected), "{first}");
    }
    assert_eq!(read::<ServerConnectionData>(&[&[4]]), Err(unexpected), "a server has no tickets");
    let decode = AlertDescription::DecodeError;
    for wrong in [&[24, 0, 0, 0][..], &[24, 0, 0, 2], &[24, 1, 0, 0], &[4, 1, 0, 0]] {
        assert_eq!(read::<ClientConnectionData>(&[wrong]), Err(decode), "{wrong:?}");
    }
    assert_eq!(
        read::<ServerConnectionData>(&[&[24, 0, 0, 1, 2]]),
        Err(AlertDescription::IllegalParameter)
    );
}
