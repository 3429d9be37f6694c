//! temp
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;
use ringway_ring::*;
fn run(mut driver: impl Driver, name: &str, conns: usize, size: usize) {
    let bound = listener("127.0.0.1:0".parse().unwrap(), Bind::default()).unwrap();
    let addr = bound.local_addr().unwrap();
    driver.listen(bound.as_fd(), Tag(0)).unwrap();
    let total = (if conns == 1 { 40000 } else { 400000 }) / (1 + size / 8192);
    let client = std::thread::spawn(move || {
        machine::pin(0).unwrap();
        let mut streams: Vec<_> = (0..conns).map(|_| { let s = TcpStream::connect(addr).unwrap(); s.set_nodelay(true).unwrap(); s }).collect();
        let msg = vec![1u8; size];
        let mut ans = vec![0u8; size];
        let start = Instant::now();
        for _ in 0..total / conns {
            for s in &mut streams { s.write_all(&msg).unwrap(); }
            for s in &mut streams { s.read_exact(&mut ans).unwrap(); }
        }
        start.elapsed()
    });
    machine::pin(1).unwrap();
    let mut events = Vec::new();
    let mut open = 0; let mut seen = false; let mut turns = 0u64;
    let cpu = machine::thread_cpu();
    while !seen || open > 0 {
        driver.turn(None, &mut events).unwrap();
        turns += 1;
        for event in events.drain(..) {
            match event.what {
                What::Accepted(s) => { driver.recv(s, 1 << 20, if size > 4096 { Size::Large } else { Size::Small }); open += 1; seen = true; }
                What::Data(d) => driver.send(event.socket, d),
                What::Paused => driver.recv(event.socket, 1 << 20, if size > 4096 { Size::Large } else { Size::Small }),
                What::Eof | What::Failed(_) => { driver.close(event.socket); open -= 1; }
                _ => {}
            }
        }
    }
    let cpu = machine::thread_cpu() - cpu;
    let t = client.join().unwrap();
    println!("{name} conns {conns} size {size}: {:.0} rps, {:.1} us cpu/req, {:.2} turns/req", total as f64 / t.as_secs_f64(), cpu.as_micros() as f64 / total as f64, turns as f64 / total as f64);
}
fn main() {
    println!("{:?} rss {}", probe(), machine::resident_bytes());
    let u = Uring::new(&Limits::default()).unwrap();
    println!("rss with uring {}", machine::resident_bytes());
    drop(u);
    for (c, s) in [(1, 64), (1, 64), (4, 64), (64, 64)] {
        run(Uring::new(&Limits::default()).unwrap(), "uring", c, s);
        run(Epoll::new(&Limits::default()).unwrap(), "epoll", c, s);
    }
    println!("rss after {}", machine::resident_bytes());
}
