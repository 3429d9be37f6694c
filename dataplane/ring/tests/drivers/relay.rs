//! Moving bytes in bulk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringway_ring::{
    Buf, Driver, Event, Failure, Limits, Op, RelayEnd, Relayed, Size, Socket, What,
};

use crate::kit::{Made, World, is, on_both, pattern, read_all, write_all};

on_both!(
    bulk_is_relayed_both_ways,
    a_dry_source_ends_the_relay,
    a_relay_goes_on_after_receiving,
    a_relay_moves_no_more_than_it_was_asked_to,
    small_bursts_end_the_relay,
    the_source_fails,
    the_destination_fails,
    closing_an_end_ends_it_silently,
    what_cannot_be_relayed_is_refused,
    without_pipes_nothing_is_relayed,
);

fn relayed(socket: Socket) -> impl Fn(&Event) -> Option<Relayed> {
    move |event| match event.what {
        What::Relayed(relayed) if event.socket == socket => Some(relayed),
        _ => None,
    }
}

/// What a session does: relays until the end of the stream, copying by hand where it is drained.
fn carry(driver: &mut impl Driver, event: Event, ends: [Socket; 2], done: &mut [u64; 2]) {
    let way = usize::from(event.socket == ends[1]);
    let (from, to) = (ends[way], ends[1 - way]);
    match event.what {
        What::Relayed(Relayed { bytes, end: RelayEnd::Eof }) => {
            done[way] += bytes;
            driver.finish(to);
        }
        What::Relayed(Relayed { bytes, .. }) => {
            done[way] += bytes;
            driver.recv(from, 1, Size::Large);
        }
        What::Data(data) => {
            done[way] += data.len() as u64;
            driver.send(to, data);
        }
        What::Eof => driver.finish(to),
        What::Sent(_) if driver.unsent(from) == 0 => {
            let (source, destination) = (to, from);
            driver.relay(source, destination, u64::MAX).unwrap();
        }
        What::Sent(_) | What::Paused => {}
        other => panic!("{other:?}"),
    }
}

fn without_pipes_nothing_is_relayed<D: Made>() {
    let mut world = World::<D>::with(&Limits { pipes: 0, ..Limits::default() });
    let ((front, _client), (back, _server)) = (world.pair(), world.outgoing());
    let refused = world.driver.relay(front, back, u64::MAX).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
}

fn bulk_is_relayed_both_ways<D: Made>() {
    const BYTES: usize = 64 << 20;
    let mut world = World::<D>::new();
    let ((front, client), (back, server)) = (world.pair(), world.outgoing());
    let (up, down) = (pattern(BYTES, 11), pattern(BYTES / 2, 12));
    let readers = [read_all(client.try_clone().unwrap()), read_all(server.try_clone().unwrap())];
    let writers = [write_all(client, up.clone()), write_all(server, down.clone())];
    world.driver.relay(front, back, u64::MAX).unwrap();
    world.driver.relay(back, front, u64::MAX).unwrap();
    let mut done = [0; 2];
    world.until("both ends", |driver, events| {
        for event in events.drain(..) {
            carry(driver, event, [front, back], &mut done);
        }
        (done == [BYTES as u64, BYTES as u64 / 2]).then_some(())
    });
    world.turn_for(5);
    let [at_client, at_server] = readers.map(|reader| reader.join().unwrap());
    assert!(at_server == up, "upwards");
    assert!(at_client == down, "downwards");
    for writer in writers {
        writer.join().unwrap();
    }
    world.driver.close(front);
    world.driver.close(back);
    world.until_open(1);
}

fn a_dry_source_ends_the_relay<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, mut client), (to, mut server)) = (world.pair(), world.outgoing());
    client.write_all(&[1; 100_000]).unwrap();
    world.driver.relay(from, to, u64::MAX).unwrap();
    let report = world.expect("report", relayed(from));
    assert_eq!(report, Relayed { bytes: 100_000, end: RelayEnd::Drained });
    let mut got = vec![0; 100_000];
    server.read_exact(&mut got).unwrap();
    assert_eq!(world.driver.relayed(from), 0, "it is over");
    // One that begins dry ends as well.
    world.driver.relay(from, to, u64::MAX).unwrap();
    assert_eq!(world.expect("report", relayed(from)).bytes, 0);
}

fn a_relay_goes_on_after_receiving<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, mut client), (to, mut server)) = (world.pair(), world.outgoing());
    for round in 0..5 {
        world.driver.recv(from, 10, Size::Small);
        client.write_all(b"0123456789").unwrap();
        let data = world.bytes(from, 10);
        assert_eq!(data, b"0123456789", "round {round}");
        world.expect("pause", is(from, |what| matches!(what, What::Paused)));
        world.driver.relay(from, to, u64::MAX).unwrap();
        let sent = pattern(200_000, round);
        client.write_all(&sent).unwrap();
        let mut got = vec![0; sent.len()];
        let mut copy = server.try_clone().unwrap();
        let reader = std::thread::spawn(move || copy.read_exact(&mut got).map(|()| got));
        assert_eq!(world.expect("report", relayed(from)).bytes, 200_000);
        assert!(reader.join().unwrap().unwrap() == sent);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    world.driver.relay(from, to, u64::MAX).unwrap();
    let end = Relayed { bytes: 0, end: RelayEnd::Eof };
    assert_eq!(world.expect("end", relayed(from)), end);
    world.driver.finish(to);
    world.turn(1);
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
}

fn a_relay_moves_no_more_than_it_was_asked_to<D: Made>() {
    const LIMIT: usize = 3 << 20;
    let mut world = World::<D>::new();
    let ((from, client), (to, mut server)) = (world.pair(), world.outgoing());
    let sent = pattern(LIMIT + 1_000, 5);
    let writer = write_all(client, sent.clone());
    let copy = server.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; LIMIT];
        (&copy).read_exact(&mut got).map(|()| got)
    });
    let mut left = LIMIT as u64;
    while left > 0 {
        world.driver.relay(from, to, left).unwrap();
        let Relayed { bytes, end } = world.expect("report", relayed(from));
        left -= bytes;
        assert_eq!(end == RelayEnd::Whole, left == 0, "{end:?} with {left} left");
    }
    assert!(reader.join().unwrap().unwrap() == sent[..LIMIT]);
    writer.join().unwrap();
    // What lies behind it is received as ever.
    world.driver.recv(from, 1_000, Size::Small);
    assert_eq!(world.bytes(from, 1_000), &sent[LIMIT..]);
    // Nothing is nothing to wait for.
    world.driver.relay(to, from, 0).unwrap();
    assert_eq!(world.expect("end", relayed(to)), Relayed { bytes: 0, end: RelayEnd::Whole });
    server.set_nonblocking(true).unwrap();
    assert!(server.read(&mut [0; 1]).is_err(), "nothing more has come");
}

fn small_bursts_end_the_relay<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, mut client), (to, mut server)) = (world.pair(), world.outgoing());
    world.driver.relay(from, to, u64::MAX).unwrap();
    let mut got = [0; 100];
    for _ in 0..50 {
        client.write_all(&[1; 100]).unwrap();
        for _ in 0..3 {
            world.turn(1);
        }
        if world.events.iter().any(|event| matches!(event.what, What::Relayed(_))) {
            return;
        }
        server.read_exact(&mut got).unwrap();
    }
    panic!("fifty messages of 100 bytes were spliced");
}

fn the_source_fails<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, mut client), (to, _server)) = (world.pair(), world.outgoing());
    world.driver.relay(from, to, u64::MAX).unwrap();
    client.write_all(&[1; 10]).unwrap();
    world.turn(1);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let reset = Failure { op: Op::Relay, errno: libc::ECONNRESET };
    world.expect("failure", is(from, |what| matches!(what, What::Failed(f) if *f == reset)));
    world.driver.close(from);
    world.driver.close(to);
    world.until_open(1);
}

fn the_destination_fails<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, client), (to, server)) = (world.pair(), world.outgoing());
    relay_until_full(&mut world, [from, to], &client);
    assert!(world.driver.relayed(from) > 0);
    drop(server);
    world.expect(
        "failure",
        is(to, |what| matches!(what, What::Failed(Failure { op: Op::Relay, .. }))),
    );
    world.driver.reset(from);
    world.driver.reset(to);
    world.until_open(1);
}

/// Relays until everything is full, so that the relay still runs however slow this machine is.
pub(crate) fn relay_until_full<D: Made>(
    world: &mut World<D>,
    [from, to]: [Socket; 2],
    mut client: &TcpStream,
) {
    client.set_nonblocking(true).unwrap();
    world.driver.relay(from, to, u64::MAX).unwrap();
    while client.write(&[7; 65536]).is_ok() {
        world.turn(0);
        if world.events.drain(..).any(|event| matches!(event.what, What::Relayed(_))) {
            world.driver.relay(from, to, u64::MAX).unwrap();
        }
    }
}

fn closing_an_end_ends_it_silently<D: Made>() {
    for end in 0..2 {
        let mut world = World::<D>::new();
        let ((from, client), (to, _server)) = (world.pair(), world.outgoing());
        relay_until_full(&mut world, [from, to], &client);
        world.turn_for(2);
        assert!(world.events.is_empty(), "{:?}", world.events);
        let [closed, left] = if end == 0 { [from, to] } else { [to, from] };
        world.driver.close(closed);
        world.turn_for(20);
        assert_eq!(world.told(closed), [""; 0]);
        assert!(!world.told(left).iter().any(|told| told.starts_with("Relayed")));
        world.driver.reset(left);
        drop(client);
        world.until_open(1);
    }
}

fn what_cannot_be_relayed_is_refused<D: Made>() {
    let mut world = World::<D>::new();
    let ((from, _client), (to, _server)) = (world.pair(), world.outgoing());
    assert!(world.driver.relay(world.listener, to, u64::MAX).is_err());
    world.driver.send(to, Buf::from_static(b"first"));
    assert!(world.driver.relay(from, to, u64::MAX).is_err(), "bytes are queued");
    world.turn_for(2);
    world.driver.recv(from, 1, Size::Small);
    assert!(world.driver.relay(from, to, u64::MAX).is_err(), "the source is armed");
    world.driver.reset(from);
    assert!(world.driver.relay(from, to, u64::MAX).is_err(), "the source is closed");
}
