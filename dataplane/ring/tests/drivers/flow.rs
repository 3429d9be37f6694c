//! Receiving and sending.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use ringway_ring::{Buf, Failure, Op, SEND_NOW_BYTES, Size, What};

use crate::kit::{Made, World, is, on_both, pattern, read_all, write_all};

on_both!(
    echo,
    a_budget_pauses_receiving,
    a_budget_is_replaced_when_used_up,
    large_buffers_take_more,
    end_of_stream_and_half_close,
    many_pieces_leave_in_order,
    a_slow_reader_gets_everything,
    a_finish_waits_for_what_is_queued,
    sending_to_a_closed_peer_fails,
    a_reset_is_told,
    nodelay_is_set,
    thousand_small_messages_in_one_go,
);

fn echo<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    world.driver.recv(socket, 1 << 20, Size::Small);
    for round in 0..100_u8 {
        let message = [round; 100];
        client.write_all(&message).unwrap();
        let data = world.expect("data", |event| match &event.what {
            What::Data(data) if event.socket == socket => Some(data.clone()),
            _ => None,
        });
        world.driver.send(socket, data);
        world.turn(0);
        let mut answer = [0; 100];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
    let sent = world.until("sent", |_, events| {
        let counts = events.iter().filter_map(|event| match event.what {
            What::Sent(n) => Some(n),
            _ => None,
        });
        let sum: usize = counts.sum();
        (sum == 10_000).then_some(sum)
    });
    assert_eq!(sent, 10_000);
    assert_eq!(world.driver.unsent(socket), 0);
    world.events.clear();
    assert_eq!(world.driver.pool().received_bytes(), 0, "an idle connection holds no memory");
}

fn a_budget_pauses_receiving<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    let sent = pattern(40_000, 3);
    client.write_all(&sent).unwrap();
    let mut got = Vec::new();
    let mut pauses = 0;
    while got.len() < sent.len() {
        let before = got.len();
        world.driver.recv(socket, 8192, Size::Small);
        world.until("pause", |_, events| {
            let mut paused = None;
            for event in events.drain(..) {
                match event.what {
                    What::Data(data) => got.extend_from_slice(&data),
                    What::Paused => paused = Some(()),
                    other => panic!("{other:?}"),
                }
            }
            paused.or_else(|| (got.len() == sent.len()).then_some(()))
        });
        pauses += 1;
        let burst = got.len() - before;
        assert!(burst <= 8192 + 4096, "{burst} bytes in a budget of 8192");
        world.turn_for(3);
        assert!(world.events.is_empty(), "nothing comes while paused: {:?}", world.events);
    }
    assert_eq!(got, sent);
    assert!(pauses >= 4);
}

fn a_budget_is_replaced_when_used_up<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    world.driver.recv(socket, 100, Size::Small);
    world.driver.recv(socket, 5_000, Size::Small);
    client.write_all(&pattern(60_000, 4)).unwrap();
    world.expect("pause", is(socket, |what| matches!(what, What::Paused)));
    let got: usize = world
        .events
        .iter()
        .map(|event| match &event.what {
            What::Data(data) => data.len(),
            _ => 0,
        })
        .sum();
    // Each of the two may exceed its budget by a buffer at the most.
    assert!((5_100..5_100 + 2 * 4096).contains(&got), "{got}");
    world.turn_for(5);
    assert!(!world.events.iter().any(|event| matches!(event.what, What::Paused)));
}

fn large_buffers_take_more<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    let sent = pattern(4 << 20, 5);
    let writer = write_all(client, sent.clone());
    world.driver.recv(socket, usize::MAX, Size::Large);
    let mut largest = 0;
    let mut got = Vec::new();
    world.until("end", |_, events| {
        let mut end = None;
        for event in events.drain(..) {
            match event.what {
                What::Data(data) => {
                    largest = largest.max(data.len());
                    got.extend_from_slice(&data);
                }
                What::Eof => end = Some(()),
                other => panic!("{other:?}"),
            }
        }
        end
    });
    writer.join().unwrap();
    assert!(got == sent);
    assert!(largest > 4096, "the largest piece had {largest} bytes");
}

fn end_of_stream_and_half_close<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    world.driver.recv(socket, 1 << 20, Size::Small);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    world.expect("end", is(socket, |what| matches!(what, What::Eof)));
    assert_eq!(world.told(socket), ["Data(Buf(8))"]);
    // The other direction still works, and ends by itself.
    world.driver.send(socket, Buf::from_static(b"answer"));
    world.driver.finish(socket);
    let mut answer = String::new();
    let reader = std::thread::spawn(move || client.read_to_string(&mut answer).map(|_| answer));
    world.until("sent", |driver, _| (driver.unsent(socket) == 0).then_some(()));
    world.turn_for(5);
    assert_eq!(reader.join().unwrap().unwrap(), "answer");
    assert_eq!(world.told(socket), ["Sent(6)"]);
    world.driver.close(socket);
    world.until_open(1);
}

fn many_pieces_leave_in_order<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    let reader = read_all(client);
    let mut expected = Vec::new();
    // More pieces than one message takes, of one to three digits and a comma.
    for n in 0..1_000 {
        let mut piece = world.driver.pool().take(8).unwrap();
        piece.extend(format!("{n},").as_bytes());
        expected.extend_from_slice(&piece);
        world.driver.send(socket, piece.freeze());
    }
    world.driver.close(socket);
    world.until("flush", |driver, _| (driver.pool().in_use_bytes() == 0).then_some(()));
    world.turn_for(2);
    assert_eq!(reader.join().unwrap(), expected);
    world.until_open(1);
}

fn a_slow_reader_gets_everything<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, mut client) = world.pair();
    let expected = pattern(12 << 20, 6);
    let mut queued = 0;
    let copy = expected.clone();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        let mut piece = vec![0; 300_000];
        while let Ok(n @ 1..) = client.read(&mut piece) {
            got.extend_from_slice(&piece[..n]);
            if got.len() % 5 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(got == copy);
    });
    let mut sent = 0;
    let mut most = 0;
    while sent < expected.len() {
        while world.driver.unsent(socket) < 512 * 1024 && queued < expected.len() {
            let Some(mut piece) = world.driver.pool().take(65536) else { break };
            let n = piece.extend(&expected[queued..]);
            queued += n;
            world.driver.send(socket, piece.freeze());
        }
        most = most.max(world.driver.unsent(socket));
        world.turn(50);
        for event in world.events.drain(..) {
            let What::Sent(n) = event.what else { panic!("{event:?}") };
            sent += n;
        }
    }
    assert_eq!(sent, expected.len());
    assert!(most >= SEND_NOW_BYTES, "the reader was never slower than the writer");
    world.driver.close(socket);
    world.until("flush", |driver, _| (driver.open() == 1).then_some(()));
    reader.join().unwrap();
}

fn a_finish_waits_for_what_is_queued<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    let expected = pattern(3 << 20, 7);
    for piece in expected.chunks(60_000) {
        let mut buffer = world.driver.pool().take(piece.len()).unwrap();
        buffer.extend(piece);
        world.driver.send(socket, buffer.freeze());
    }
    world.driver.finish(socket);
    assert!(world.driver.unsent(socket) > 0, "more than the socket takes at once");
    let reader = read_all(client);
    world.until("sent", |driver, _| (driver.unsent(socket) == 0).then_some(()));
    world.turn_for(2);
    assert!(reader.join().unwrap() == expected);
}

fn sending_to_a_closed_peer_fails<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    drop(client);
    let failed = |what: &What| matches!(what, What::Failed(Failure { op: Op::Send, .. }));
    for _ in 0..100 {
        world.driver.send(socket, Buf::from_static(b"anybody there?"));
        world.turn_for(1);
        if world.events.iter().any(|event| failed(&event.what)) {
            break;
        }
    }
    let count = world.events.iter().filter(|event| failed(&event.what)).count();
    assert_eq!(count, 1, "told once: {:?}", world.events);
    assert_eq!(world.driver.unsent(socket), 0);
    world.driver.send(socket, Buf::from_static(b"ignored"));
    assert_eq!(world.driver.unsent(socket), 0);
    world.driver.close(socket);
    world.until_open(1);
}

fn a_reset_is_told<D: Made>() {
    let mut world = World::<D>::new();
    let (socket, client) = world.pair();
    world.driver.recv(socket, 1 << 20, Size::Small);
    world.turn(0);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let reset = Failure { op: Op::Recv, errno: libc::ECONNRESET };
    world.expect("reset", is(socket, |what| matches!(what, What::Failed(f) if *f == reset)));
    world.turn_for(2);
    assert_eq!(world.told(socket), [""; 0], "told once");
    world.driver.close(socket);
    world.until_open(1);
}

/// The option is read where the kernel shows it: from the descriptor of this very process.
fn nodelay_is_set<D: Made>() {
    let mut world = World::<D>::new();
    let (accepted, client) = world.pair();
    let (connected, server) = world.outgoing();
    for (socket, peer) in [(accepted, client), (connected, server)] {
        let local = world.driver.local(socket).unwrap();
        let peer = peer.local_addr().unwrap();
        let found = (3..20_000).find_map(|fd| {
            // SAFETY: borrowed for the look only; a number that is no descriptor is an error.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
            let options = socket2::SockRef::from(&fd);
            let ours = options.local_addr().ok()?.as_socket()? == local;
            let theirs = options.peer_addr().ok()?.as_socket()? == peer;
            (ours && theirs).then(|| options.tcp_nodelay().ok())?
        });
        assert_eq!(found, Some(true));
    }
}

/// More than a submission queue holds, from many sockets in one turn.
fn thousand_small_messages_in_one_go<D: Made>() {
    let mut world = World::<D>::new();
    let mut pairs: Vec<_> = (0..600).map(|_| world.pair()).collect();
    for (socket, _) in &pairs {
        world.driver.recv(*socket, 1000, Size::Small);
        world.driver.send(*socket, Buf::from_static(b"ping"));
        world.driver.send(*socket, Buf::from_static(b"pong"));
    }
    world.turn(10);
    for (socket, client) in &mut pairs {
        let mut answer = [0; 8];
        world.driver.pool();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pingpong");
        client.write_all(b"thanks").unwrap();
        assert_eq!(world.bytes(*socket, 6), b"thanks");
    }
}
