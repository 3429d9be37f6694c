use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use super::operation::{self, Operation};
use super::{Ring, Uring};
use crate::bind::{Bind, listener};
use crate::driver::{Driver, Nanos, Size, Socket, Tag, What};
use crate::engine::Engine;
use crate::start::{Limits, probe};

#[path = "../../tests/common/mod.rs"]
mod skips;

/// A kernel whose multishot receives keep no budget: receives are armed one at a time.
fn without_budgets(limits: &Limits) -> Uring {
    let engine = Engine::new(limits, |core| Ring::with_budgets(core, false)).unwrap();
    Uring { engine }
}

#[test]
fn receives_work_without_budgets() {
    if let Err(reason) = probe() {
        return skips::without_uring("receives_work_without_budgets", &reason);
    }
    // Three buffers, so that they run out as well.
    let mut driver = without_budgets(&Limits { small_buffers: 3, ..Limits::default() });
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    driver.listen(bound.as_fd(), Tag(0)).unwrap();
    let mut client = TcpStream::connect(bound.local_addr().unwrap()).unwrap();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut events, mut got, mut since_pause, mut ended) = (Vec::new(), Vec::new(), 0, false);
    while !ended {
        let deadline = Nanos(driver.now().0 + 1_000_000_000);
        driver.turn(Some(deadline), &mut events).unwrap();
        for event in events.drain(..) {
            match event.what {
                What::Accepted(socket) => driver.recv(socket, 10_000, Size::Small),
                What::Data(data) => {
                    got.extend_from_slice(&data);
                    since_pause += data.len();
                    driver.send(event.socket, data);
                }
                What::Paused => {
                    assert!((10_000..10_000 + 4096).contains(&since_pause), "{since_pause}");
                    since_pause = 0;
                    driver.recv(event.socket, 10_000, Size::Small);
                }
                What::Eof => {
                    ended = true;
                    driver.close(event.socket);
                }
                What::Sent(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(got, sent);
    while driver.open() > 1 {
        driver.turn(Some(Nanos(driver.now().0 + 10_000_000)), &mut events).unwrap();
    }
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).unwrap();
    assert_eq!(echoed, sent);
}

#[test]
fn user_data_tells_operations_and_sockets_apart() {
    let sockets = [
        Socket { slot: 0, generation: 0 },
        Socket { slot: 0x00ff_ffff, generation: u32::MAX },
        Socket { slot: 12_345, generation: 7 },
    ];
    for socket in sockets {
        for operation in Operation::OF_SOCKETS {
            let user_data = operation.user_data(socket);
            assert_eq!(Operation::of(user_data), Some((operation, socket)));
        }
    }
    assert_eq!(Operation::of(operation::NOTHING), None);
    assert_eq!(Operation::of(operation::WAKE), None);
}
