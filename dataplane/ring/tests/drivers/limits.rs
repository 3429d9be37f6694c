//! What happens where something runs out.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringway_ring::{Failure, Limits, Nanos, Op, Size, Socket, Tag, What};

use crate::common;
use crate::kit::{Made, World, on_both, pattern};
use crate::relay::relay_until_full;

on_both!(
    receives_wait_for_buffers,
    without_large_buffers_small_ones_do,
    a_full_table_pauses_the_listener,
    too_many_queued_pieces_fail,
    what_the_kernel_still_reads_is_kept,
    no_pipe_means_drained,
    more_completions_than_fit,
);

fn tiny() -> Limits {
    Limits { small_buffers: 4, large_buffers: 1, pipes: 1, ..Limits::default() }
}

fn receives_wait_for_buffers<D: Made>() {
    let mut world = World::<D>::with(&tiny());
    let mut pairs: Vec<_> = (0..20).map(|_| world.pair()).collect();
    let sent = pattern(5_000, 8);
    for (socket, client) in &mut pairs {
        world.driver.recv(*socket, 1 << 20, Size::Small);
        client.write_all(&sent).unwrap();
    }
    world.turn_for(10);
    let held = world.driver.pool().received_bytes();
    assert_eq!(held, 4 * 4096, "all buffers are in the caller's hands");
    // Each time the caller lets go of some, others get their turn, until all have everything.
    let mut got = std::collections::HashMap::<Socket, Vec<u8>>::new();
    world.until("everything", |_, events| {
        for event in events.drain(..) {
            match event.what {
                What::Data(data) => got.entry(event.socket).or_default().extend_from_slice(&data),
                other => panic!("{other:?}"),
            }
        }
        let done = got.len() == pairs.len() && got.values().all(|bytes| bytes.len() == sent.len());
        done.then_some(())
    });
    assert!(got.values().all(|bytes| *bytes == sent));
    assert_eq!(world.driver.pool().received_bytes(), 0);
}

/// Large buffers that are held for long hold nobody up who has asked for large ones too, before
/// they ran out or afterwards.
fn without_large_buffers_small_ones_do<D: Made>() {
    let limits = Limits { small_buffers: 8, large_buffers: 2, ..Limits::default() };
    let mut world = World::<D>::with(&limits);
    let mut pairs: Vec<_> = (0..6).map(|_| world.pair()).collect();
    let sent = pattern(60_000, 8);
    let (early, late) = pairs.split_at_mut(4);
    for (socket, client) in early.iter_mut() {
        world.driver.recv(*socket, 60_000, Size::Large);
        client.write_all(&sent).unwrap();
    }
    let mut held = Vec::new();
    let mut got = std::collections::HashMap::<Socket, Vec<u8>>::new();
    let mut take = |world: &mut World<D>, sockets: usize| {
        world.until("everything", |_, events| {
            for event in events.drain(..) {
                let What::Data(data) = event.what else { continue };
                got.entry(event.socket).or_default().extend_from_slice(&data);
                if data.held_bytes() == 64 * 1024 {
                    held.push(data);
                }
            }
            let done = got.values().filter(|bytes| bytes.len() == sent.len()).count();
            (done == sockets).then_some(())
        });
    };
    take(&mut world, 4);
    for (socket, client) in late.iter_mut() {
        client.write_all(&sent).unwrap();
        world.driver.recv(*socket, 60_000, Size::Large);
    }
    take(&mut world, 6);
    assert_eq!(held.len(), 2, "all large buffers are held");
    assert!(got.values().all(|bytes| *bytes == sent));
}

fn a_full_table_pauses_the_listener<D: Made>() {
    let mut world = World::<D>::with(&Limits { sockets: 4, ..Limits::default() });
    let mut pairs: Vec<_> = (0..3).map(|_| world.pair()).collect();
    let late: Vec<_> = (0..3).map(|_| TcpStream::connect(world.addr).unwrap()).collect();
    world.turn_for(250);
    let told = world.told(world.listener);
    let failure = What::Failed(Failure { op: Op::Accept, errno: libc::EMFILE });
    assert_eq!(told, [format!("{failure:?}")], "told once, whatever the number of pauses");
    assert_eq!(world.driver.open(), 4);
    let connect = world.connect_to(world.addr);
    assert_eq!(
        world.driver.connect(&connect, Tag(0)).unwrap_err().raw_os_error(),
        Some(libc::EMFILE)
    );
    // When there is room again accepting goes on by itself.
    drop(late);
    let (socket, client) = pairs.pop().unwrap();
    drop(client);
    world.driver.reset(socket);
    world.until_open(3);
    let _client = TcpStream::connect(world.addr).unwrap();
    world.expect("accept after the pause", |event| match event.what {
        What::Accepted(_) => Some(()),
        _ => None,
    });
}

fn too_many_queued_pieces_fail<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, _client) = world.pair();
    for _ in 0..10_000 {
        world.driver.send(socket, ringway_ring::Buf::from_static(b"x"));
    }
    world.turn(0);
    let failure = What::Failed(Failure { op: Op::Send, errno: libc::ENOBUFS });
    let told = world.told(socket);
    assert!(told.contains(&format!("{failure:?}")), "{told:?}");
    assert_eq!(world.driver.unsent(socket), 0);
}

/// Too long to be copied behind another piece.
static LONG: [u8; 4096] = [b'x'; 4096];

/// A socket fails while the kernel still has a send of it: the bytes must not be used for anything
/// else before the kernel is done with them, or the peer would get somebody else's.
fn what_the_kernel_still_reads_is_kept<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    let expected = pattern(14 << 20, 9);
    for piece in expected.chunks(60_000) {
        let mut buffer = world.driver.pool().take(piece.len()).unwrap();
        buffer.extend(piece);
        world.driver.send(socket, buffer.freeze());
    }
    world.turn_for(5);
    assert!(world.driver.unsent(socket) > 0, "the peer does not read");
    for _ in 0..10_000 {
        world.driver.send(socket, ringway_ring::Buf::from_static(&LONG));
    }
    assert_eq!(world.driver.unsent(socket), 0, "the socket has failed");
    let mut scribbled = Vec::new();
    while let Some(mut buffer) = world.driver.pool().take(65536) {
        buffer.extend(&[0xee; 65536]);
        scribbled.push(buffer);
    }
    client.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    let mut bytes = vec![0; 1 << 20];
    for _ in 0..100 {
        world.turn(1);
        while let Ok(n @ 1..) = client.read(&mut bytes) {
            got.extend_from_slice(&bytes[..n]);
        }
    }
    assert!(expected.starts_with(&got), "wrong bytes among {}", got.len());
    world.driver.close(socket);
    world.until_open(1);
    drop(scribbled);
    assert_eq!(world.driver.pool().in_use_bytes(), 0);
}

fn no_pipe_means_drained<D: Made>() {
    let mut world = World::<D>::with(&Limits { pipes: 1, ..Limits::default() });
    // The one that there is is full, and nobody empties it.
    let ((hog, feeder), (sink, _silent)) = (world.pair(), world.outgoing());
    relay_until_full(&mut world, [hog, sink], &feeder);
    let ((from, mut client), (to, _server)) = (world.pair(), world.outgoing());
    client.write_all(b"some bytes").unwrap();
    world.driver.relay(from, to, u64::MAX).unwrap();
    let relayed = world.expect("report", |event| match event.what {
        What::Relayed(relayed) if event.socket == from => Some(relayed),
        _ => None,
    });
    assert_eq!((relayed.bytes, relayed.end), (0, ringway_ring::RelayEnd::Drained));
    world.driver.recv(from, 100, Size::Small);
    assert_eq!(world.bytes(from, 10), b"some bytes", "nothing is lost");
    assert!(world.driver.now() > Nanos(0));
}

/// More answers in one turn than a completion queue (4,096) holds: none is lost.
fn more_completions_than_fit<D: Made>() {
    const PAIRS: usize = 2_200;
    let mut world = World::<D>::with(&Limits { small_buffers: 4_096, ..Limits::default() });
    let mut clients = Vec::new();
    let mut sockets = Vec::new();
    while clients.len() < PAIRS {
        match TcpStream::connect(world.addr) {
            Ok(client) => clients.push(client),
            Err(error) => return common::skip("more_completions_than_fit", &error.to_string()),
        }
        if clients.len() % 200 == 0 {
            world.until("accepts", |_, events| {
                sockets.extend(events.drain(..).filter_map(|event| match event.what {
                    What::Accepted(socket) => Some(socket),
                    _ => None,
                }));
                (sockets.len() == clients.len()).then_some(())
            });
        }
    }
    for (client, socket) in clients.iter_mut().zip(&sockets) {
        client.write_all(b"ping").unwrap();
        world.driver.recv(*socket, 4, Size::Small);
        world.driver.send(*socket, ringway_ring::Buf::from_static(b"pong"));
    }
    let (mut sent, mut got, mut paused) = (0, 0, 0);
    world.until("all answers", |_, events| {
        for event in events.drain(..) {
            match event.what {
                What::Sent(n) => sent += n,
                What::Data(data) => got += data.len(),
                What::Paused => paused += 1,
                other => panic!("{other:?}"),
            }
        }
        ((sent, got, paused) == (4 * PAIRS, 4 * PAIRS, PAIRS)).then_some(())
    });
}
