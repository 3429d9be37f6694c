//! Closing, in every state.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringway_ring::{Buf, LINGER_MS_MAX, Size, Socket, Tag, What};

use crate::kit::{Made, World, is, on_both, pattern, read_all, segments_in};

on_both!(
    unsent_bytes_reach_the_peer,
    the_peer_reads_our_last_words,
    lingering_ends_in_time,
    leaving_takes_all_bytes_along_and_does_not_linger,
    last_bytes_and_the_fin_are_one_segment,
    a_reset_is_at_once,
    nothing_is_heard_after_closing,
    stale_handles_are_ignored,
    a_slot_is_used_again_under_a_new_name,
    a_driver_ends_with_everything_open,
);

fn unsent_bytes_reach_the_peer<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    let expected = pattern(8 << 20, 21);
    for piece in expected.chunks(60_000) {
        let mut buffer = world.driver.pool().take(piece.len()).unwrap();
        buffer.extend(piece);
        world.driver.send(socket, buffer.freeze());
    }
    world.driver.close(socket);
    assert_eq!(world.driver.unsent(socket), 0, "nobody's business any more");
    let reader = read_all(client);
    world.until_open(1);
    assert!(reader.join().unwrap() == expected);
    assert_eq!(world.driver.pool().in_use_bytes(), 0);
}

/// The peer goes on sending while we answer and close, as to a server that refuses a large upload.
/// Were the socket just closed, the kernel would answer with a reset.
fn the_peer_reads_our_last_words<D: Made>() {
    let mut world = World::<D>::new();
    for _ in 0..10 {
        let (socket, mut client) = world.pair();
        world.driver.recv(socket, 1000, Size::Small);
        client.write_all(&[b'x'; 100_000]).unwrap();
        world.turn(1);
        world.driver.send(socket, Buf::from_static(b"413 too much"));
        world.driver.close(socket);
        world.turn_for(1);
        for _ in 0..10 {
            client.write_all(&[b'x'; 10_000]).unwrap();
            world.turn_for(1);
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "413 too much");
        drop(client);
        world.until_open(1);
    }
}

fn lingering_ends_in_time<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    world.driver.send(socket, Buf::from_static(b"bye"));
    world.turn(0);
    world.driver.close(socket);
    let start = Instant::now();
    world.turn_for(50);
    assert_eq!(world.driver.open(), 2, "the peer has not closed, so it lingers");
    world.until_open(1);
    let took = start.elapsed();
    let most = Duration::from_millis(LINGER_MS_MAX + 500);
    assert!((Duration::from_millis(LINGER_MS_MAX - 10)..most).contains(&took), "{took:?}");
    drop(client);
}

fn leaving_takes_all_bytes_along_and_does_not_linger<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    world.driver.recv(socket, 1000, Size::Small);
    world.turn(0);
    let expected = pattern(4 << 20, 22);
    for piece in expected.chunks(60_000) {
        let mut buffer = world.driver.pool().take(piece.len()).unwrap();
        buffer.extend(piece);
        world.driver.send(socket, buffer.freeze());
    }
    world.driver.leave(socket);
    let kept = client.try_clone().unwrap();
    let reader = read_all(client);
    let begun = Instant::now();
    // The peer keeps its side open, and still nobody waits for it.
    world.until_open(1);
    assert!(begun.elapsed() < Duration::from_millis(LINGER_MS_MAX / 2), "it lingered");
    assert!(reader.join().unwrap() == expected);
    drop(kept);
}

/// Both ways of ending, with the last bytes in the same turn or in the one before.
fn last_bytes_and_the_fin_are_one_segment<D: Made>() {
    let end: [fn(&mut D, Socket); 2] = [D::leave, D::finish];
    for end in end {
        let [together, apart] = [true, false].map(|is_together| {
            let mut world = World::<D>::new();
            let (socket, mut client) = world.pair();
            world.driver.recv(socket, 1000, Size::Small);
            client.write_all(b"the last request").unwrap();
            world.bytes(socket, 16);
            world.driver.send(socket, Buf::from_static(b"answer"));
            if !is_together {
                world.expect("sent", is(socket, |what| matches!(what, What::Sent(6))));
            }
            end(&mut world.driver, socket);
            let reader = std::thread::spawn(move || {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "answer");
                segments_in(&client)
            });
            world.turn_for(20);
            reader.join().unwrap()
        });
        assert_eq!(apart, together + 1);
    }
}

fn a_reset_is_at_once<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    world.driver.recv(socket, 1000, Size::Small);
    world.driver.send(socket, Buf::from_static(b"lost"));
    world.driver.reset(socket);
    world.until_open(1);
    let end = client.read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
}

/// Goal: after `close` nothing is heard of a socket. Method: everything that makes events is under
/// way when it is closed.
fn nothing_is_heard_after_closing<D: Made>() {
    let mut world = World::<D>::new();
    for reset in [false, true] {
        let mut pairs: Vec<_> = (0..50).map(|_| world.pair()).collect();
        for (socket, client) in &mut pairs {
            world.driver.recv(*socket, 1 << 20, Size::Small);
            client.write_all(&[1; 10_000]).unwrap();
        }
        world.turn(0);
        for (at, (socket, client)) in pairs.iter_mut().enumerate() {
            client.write_all(&[2; 10_000]).unwrap();
            world.driver.send(*socket, Buf::from_static(&[3; 70_000]));
            if at % 2 == 0 {
                world.turn(0);
                client.write_all(&[4; 100]).unwrap();
            }
            world.events.retain(|event| event.socket != *socket);
            if reset { world.driver.reset(*socket) } else { world.driver.close(*socket) }
        }
        world.events.clear();
        for _ in 0..20 {
            world.turn(1);
            assert!(world.events.is_empty(), "{:?}", world.events);
        }
        drop(pairs);
        world.until_open(1);
    }
}

fn stale_handles_are_ignored<D: Made>() {
    let mut world = World::<D>::new();
    let (stale, _client) = world.pair();
    world.driver.reset(stale);
    world.until_open(1);
    let (fresh, _other) = world.pair();
    world.driver.recv(stale, 100, Size::Small);
    world.driver.send(stale, Buf::from_static(b"to nobody"));
    world.driver.finish(stale);
    world.driver.retag(stale, Tag(9));
    world.driver.close(stale);
    world.driver.reset(stale);
    assert_eq!((world.driver.unsent(stale), world.driver.relayed(stale)), (0, 0));
    assert!(world.driver.peer(stale).is_err());
    assert!(world.driver.relay(stale, fresh, u64::MAX).is_err());
    assert!(world.driver.relay(fresh, stale, u64::MAX).is_err());
    world.turn_for(2);
    assert_eq!(world.driver.open(), 2, "the newcomer is untouched");
}

fn a_slot_is_used_again_under_a_new_name<D: Made>() {
    let mut world = World::<D>::new();
    let mut names = std::collections::HashSet::new();
    for _ in 0..100 {
        let (socket, client) = world.pair();
        assert!(names.insert(socket), "a name came twice");
        world.driver.recv(socket, 10, Size::Small);
        drop(client);
        world.expect("end", |event| {
            (event.socket == socket && matches!(event.what, What::Eof)).then_some(())
        });
        world.driver.close(socket);
        world.until_open(1);
    }
}

/// Goal: a driver can be dropped whatever is under way, and what it has handed out stays valid.
fn a_driver_ends_with_everything_open<D: Made>() {
    let mut world = World::<D>::new();
    let mut pairs: Vec<(_, TcpStream)> = (0..20).map(|_| world.pair()).collect();
    for (at, (socket, client)) in pairs.iter_mut().enumerate() {
        world.driver.recv(*socket, 1 << 20, Size::Small);
        client.write_all(b"still here").unwrap();
        if at % 2 == 0 {
            world.driver.send(*socket, Buf::from_static(&[5; 9_000_000]));
        }
    }
    let deaf = world.connect_to("127.0.0.1:1".parse().unwrap());
    let _ = world.driver.connect(&deaf, Tag(3));
    world.turn_for(5);
    let data: Vec<_> = world
        .events
        .drain(..)
        .filter_map(|event| match event.what {
            What::Data(data) => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(data.len(), 20);
    let pool = world.driver.pool().clone();
    drop(world);
    assert!(data.iter().all(|data| **data == *b"still here"));
    drop(pool);
    drop(data);
}
