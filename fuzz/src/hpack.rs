//! Header blocks: what our decoder makes of any, our encoder writes so that it is read the same.

use wire::h2::{Connection, Event, PREFACE, Role};
use wire::head::Head;

use crate::h2::{config, frame};

/// Connections at both ends of what is written anew.
struct Again {
    client: Connection,
    server: Connection,
}

/// Blocks of up to 255 bytes, each behind its length, on streams one after the other: they share
/// the table.
pub(crate) fn blocks(mut input: &[u8]) {
    let mut server = Connection::new(Role::Server, &config());
    let (mut head, mut again) = (Head::default(), Again::new());
    let mut greeting = PREFACE.to_vec();
    frame(4, 0, 0, &[], &mut greeting);
    feed(&mut server, &greeting, &mut head, |_, _, _| {});
    let mut id = 1;
    while let Some((len, rest)) = input.split_first() {
        let (block, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        input = rest;
        let mut bytes = Vec::new();
        frame(1, 0x5, id, block, &mut bytes);
        id += 2;
        let goes_on = feed(&mut server, &bytes, &mut head, |server, event, head| {
            if let Event::Head { stream, .. } = event {
                again.check(head);
                server.reset(stream.id, wire::h2::ErrorCode::Cancel);
            }
        });
        server.clear_output();
        if !goes_on {
            return;
        }
    }
}

/// Takes in all bytes. False: the connection is at its end.
fn feed(
    connection: &mut Connection,
    mut bytes: &[u8],
    head: &mut Head,
    mut each: impl FnMut(&mut Connection, Event, &Head),
) -> bool {
    loop {
        let Ok(step) = connection.receive(bytes, head) else { return false };
        bytes = &bytes[step.skip + step.data..];
        match step.event {
            Some(event) => each(connection, event, head),
            None => return true,
        }
    }
}

impl Again {
    fn new() -> Self {
        let mut again = Self {
            client: Connection::new(Role::Client, &config()),
            server: Connection::new(Role::Server, &config()),
        };
        again.exchange(|_| {});
        again
    }

    /// Carries output over until there is none; `see` is shown the heads that come.
    fn exchange(&mut self, mut see: impl FnMut(&Head)) {
        let mut head = Head::default();
        loop {
            let up = self.client.output().to_vec();
            self.client.clear_output();
            let good = feed(&mut self.server, &up, &mut head, |server, event, head| {
                if let Event::Head { stream, .. } = event {
                    see(head);
                    server.reset(stream.id, wire::h2::ErrorCode::NoError);
                }
            });
            assert!(good, "what we write can be read: {:?}", self.server.failure());
            let down = self.server.output().to_vec();
            self.server.clear_output();
            assert!(feed(&mut self.client, &down, &mut head, |_, _, _| {}));
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    fn check(&mut self, head: &Head) {
        if self.client.send_request(head, true, 0).is_err() {
            *self = Self::new();
            return;
        }
        let text = |head: &Head| {
            let fields: Vec<_> = head.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let line = [head.method(), head.path(), head.authority()].map(<[u8]>::to_vec);
            (line, fields)
        };
        let (sent, mut received) = (text(head), None);
        self.exchange(|head| received = Some(text(head)));
        let received = received.expect("a head");
        assert_eq!(received.0, sent.0);
        // Fields of the connection do not go on, and cookies may be put together.
        for (name, value) in &received.1 {
            let is_sent = sent.1.iter().any(|(n, v)| (n, v) == (name, value));
            assert!(is_sent || name == b"cookie", "{received:?} of {sent:?}");
        }
    }
}
