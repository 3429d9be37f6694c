// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//
// Two programs that let an application and its own sidecar hand bytes to each other without the
// loopback's TCP. `watch` sees connections being made and pairs their two sockets; `divert` sees
// each message on a paired socket and puts it into the other's receive queue.
//
// A pair is found by the connection's two initial sequence numbers: both ends know both, no NAT
// changes them (the addresses differ at both ends of a redirected connection), and nobody chooses
// them. Both ends must be in the sidecar's network namespace and exactly one of them must be the
// sidecar's own: all else stays as it was, network legs above all.
//
// The order of bytes. The kernel reads diverted bytes before those that came by TCP. So going over
// to TCP is always right, and diverting is right only when the peer has read all that ever went
// by TCP: when its `copied_seq` has reached our `write_seq`.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef u32 __wsum;

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline))
#define UINT(name, value) int (*name)[value]
#define TYPE(name, value) typeof(value) *name
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST32(value) __builtin_bswap32(value)
#else
#define HOST32(value) (value)
#endif

static void *(*const map_lookup)(void *, const void *) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *, const void *, const void *, u64) =
	(void *)BPF_FUNC_map_update_elem;
static long (*const map_delete)(void *, const void *) = (void *)BPF_FUNC_map_delete_elem;
static u64 (*const now_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static void *(*const current_task)(void) = (void *)BPF_FUNC_get_current_task;
static long (*const read_kernel)(void *, u32, const void *) = (void *)BPF_FUNC_probe_read_kernel;
static u64 (*const socket_cookie)(void *) = (void *)BPF_FUNC_get_socket_cookie;
static u64 (*const netns_cookie)(void *) = (void *)BPF_FUNC_get_netns_cookie;
static void *(*const storage_get)(void *, void *, void *, u64) = (void *)BPF_FUNC_sk_storage_get;
static long (*const set_callbacks)(struct bpf_sock_ops *, int) =
	(void *)BPF_FUNC_sock_ops_cb_flags_set;
static long (*const sockhash_update)(struct bpf_sock_ops *, void *, void *, u64) =
	(void *)BPF_FUNC_sock_hash_update;
static long (*const redirect)(struct sk_msg_md *, void *, void *, u64) =
	(void *)BPF_FUNC_msg_redirect_hash;

// What is read of the kernel's own structures. The offsets are filled in when the program is
// loaded, from the kernel's type information (BTF).
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct file {
	u32 f_flags;
};
struct socket {
	struct file *file;
};
struct sock {
	struct socket *sk_socket;
	struct {
		struct {
			int counter;
		} rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf;
};
struct tcp_sock {
	u32 copied_seq;
	u32 write_seq;
};
struct task_struct {
	int tgid;
};
#pragma clang attribute pop

#define READ(into, from) \
	read_kernel(&(into), sizeof(into), __builtin_preserve_access_index(&(from)))

// How long after a SYN its connection must be there. An older hint is of another connection.
#define HINT_NS 3000000000ull
// So often a message goes by TCP: connection tracking forgets connections that it hears nothing
// of, and its rules with them.
#define TCP_EVERY_NS 60000000000ull
#define AF_INET 2
#define NONBLOCK 04000

#define OURS 1
#define PAIRED 2
#define DIVERTED 4

#define COUNT_PAIRED 0
#define COUNT_FULL 1
#define COUNT_DIVERTED 2

#define CLIENT 0
#define SERVER 1

// Both ends of a connection find this. `end` is 0 where the connection is meant.
struct key {
	u32 client_isn;
	u32 server_isn;
	u32 client_port;
	u32 end;
};

struct pair {
	u64 socket[2];
	u32 client_is_ours;
	u32 unused;
};

struct address {
	u32 ip[4];
	u32 port;
};

struct hint {
	u64 when;
	u32 to_us;
	u32 unused;
};

// Goes with the socket and dies with it; an accepted one inherits its listener's.
struct mark {
	struct key key;
	u32 flags;
	u32 unused;
	u64 by_tcp;
};

// Whose side we are on. The process shows itself by a listener whose cookie it tells us.
struct identity {
	u64 netns;
	u64 tgid;
	u64 listener;
};

struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct identity);
} identity SECTION(".maps");

// Pairs made; connections that were not paired because a table was full; ends of connections from
// which something was diverted.
struct {
	UINT(type, BPF_MAP_TYPE_ARRAY);
	UINT(max_entries, 3);
	TYPE(key, u32);
	TYPE(value, u64);
} counts SECTION(".maps");

// The ports that the sidecar listens on, with the number of its listeners there.
struct {
	UINT(type, BPF_MAP_TYPE_HASH);
	UINT(max_entries, 1024);
	TYPE(key, u32);
	TYPE(value, u32);
} ports SECTION(".maps");

// SYNs that have reached a listener of this namespace: whoever sent one is at home here.
struct {
	UINT(type, BPF_MAP_TYPE_LRU_HASH);
	UINT(max_entries, 4096);
	TYPE(key, struct address);
	TYPE(value, struct hint);
} hints SECTION(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_HASH);
	UINT(max_entries, 16384);
	UINT(map_flags, BPF_F_NO_PREALLOC);
	TYPE(key, struct key);
	TYPE(value, struct pair);
} pairs SECTION(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_SOCKHASH);
	UINT(max_entries, 32768);
	TYPE(key, struct key);
	TYPE(value, u32);
} sockets SECTION(".maps");

struct {
	UINT(type, BPF_MAP_TYPE_SK_STORAGE);
	UINT(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	TYPE(key, int);
	TYPE(value, struct mark);
} marks SECTION(".maps");

INLINE void count(u32 which)
{
	u64 *value = map_lookup(&counts, &which);

	if (value)
		__sync_fetch_and_add(value, 1);
}

INLINE u32 current_tgid(void)
{
	struct task_struct *task = current_task();
	int tgid = 0;

	READ(tgid, task->tgid);
	return tgid;
}

// An IPv4 address in IPv6's clothes is the same address.
INLINE void normalise(struct address *address)
{
	if (address->ip[0] == 0 && address->ip[1] == 0 && address->ip[2] == HOST32(0xffff)) {
		address->ip[0] = address->ip[3];
		address->ip[2] = 0;
		address->ip[3] = 0;
	}
}

INLINE void call_back_on_states(struct bpf_sock_ops *ops)
{
	set_callbacks(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

// A listener of the sidecar's, or of another process.
INLINE void listening(struct bpf_sock_ops *ops, struct identity *us)
{
	struct bpf_sock *socket = ops->sk;
	u32 port = ops->local_port, one = 1, *listeners;
	struct mark *mark;

	if (us->listener && us->listener == socket_cookie(ops)) {
		us->netns = netns_cookie(ops);
		us->tgid = current_tgid();
		us->listener = 0;
		return;
	}
	if (!us->tgid || us->tgid != current_tgid() || us->netns != netns_cookie(ops) || !socket)
		return;
	mark = storage_get(&marks, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!mark)
		return;
	mark->flags = OURS;
	call_back_on_states(ops);
	listeners = map_lookup(&ports, &port);
	if (listeners)
		__sync_fetch_and_add(listeners, 1);
	else
		map_update(&ports, &port, &one, BPF_ANY);
}

// A connection of the sidecar's is about to be made, or another's.
INLINE void connecting(struct bpf_sock_ops *ops, struct identity *us)
{
	struct bpf_sock *socket = ops->sk;
	struct mark *mark;

	if (!us->tgid || us->tgid != current_tgid() || us->netns != netns_cookie(ops) || !socket)
		return;
	mark = storage_get(&marks, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (mark)
		mark->flags = OURS;
}

// A SYN has come to a listener. (This asks how long to wait; nothing is answered.)
INLINE void asked(struct bpf_sock_ops *ops, struct identity *us)
{
	u32 port = ops->local_port;
	struct address from = {};
	struct hint hint = {};

	if (ops->is_fullsock || us->netns != netns_cookie(ops))
		return;
	from.port = HOST32(ops->remote_port);
	if (ops->family == AF_INET) {
		from.ip[0] = ops->remote_ip4;
	} else {
		from.ip[0] = ops->remote_ip6[0];
		from.ip[1] = ops->remote_ip6[1];
		from.ip[2] = ops->remote_ip6[2];
		from.ip[3] = ops->remote_ip6[3];
		normalise(&from);
	}
	hint.when = now_ns();
	hint.to_us = map_lookup(&ports, &port) != 0;
	map_update(&hints, &from, &hint, BPF_ANY);
}

// Whether whoever reads from a socket must be ready to hear "not now". On a socket that may be
// diverted to the kernel says so even to a reader that is willing to wait, for instance when the
// end of the reader's own sending is acknowledged.
INLINE int never_waits(u64 own)
{
	struct socket *socket = 0;
	struct file *file = 0;
	u32 flags = 0;

	READ(socket, ((struct sock *)own)->sk_socket);
	READ(file, socket->file);
	READ(flags, file->f_flags);
	return flags & NONBLOCK;
}

// The client's side of a connection stands; it knows both sequence numbers. The server's side will
// stand when our acknowledgement arrives.
INLINE void connected(struct bpf_sock_ops *ops, struct identity *us)
{
	struct bpf_sock *socket = ops->sk;
	struct address at = {};
	struct pair pair = {}, *kept;
	struct key key = {};
	struct hint *hint;
	struct mark *mark;
	u64 when;
	u32 to_us;

	if (!socket || us->netns != netns_cookie(ops))
		return;
	at.port = ops->local_port;
	if (ops->family == AF_INET) {
		at.ip[0] = ops->local_ip4;
	} else {
		at.ip[0] = ops->local_ip6[0];
		at.ip[1] = ops->local_ip6[1];
		at.ip[2] = ops->local_ip6[2];
		at.ip[3] = ops->local_ip6[3];
		normalise(&at);
	}
	hint = map_lookup(&hints, &at);
	if (!hint)
		return;
	when = hint->when;
	to_us = hint->to_us;
	map_delete(&hints, &at);
	mark = storage_get(&marks, socket, 0, 0);
	pair.client_is_ours = mark && (mark->flags & OURS);
	if (pair.client_is_ours == to_us || now_ns() - when > HINT_NS)
		return;
	mark = storage_get(&marks, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!mark)
		return;
	key.client_isn = ops->snd_nxt;
	key.server_isn = ops->rcv_nxt;
	key.client_port = at.port;
	pair.socket[CLIENT] = (u64)socket;
	if (map_update(&pairs, &key, &pair, BPF_NOEXIST)) {
		count(COUNT_FULL);
		return;
	}
	// The verifier lets an address be read from only once it has forgotten that it is a socket's.
	kept = map_lookup(&pairs, &key);
	if (!kept)
		return;
	if (to_us && !never_waits(kept->socket[CLIENT])) {
		map_delete(&pairs, &key);
		return;
	}
	if (sockhash_update(ops, &sockets, &key, BPF_NOEXIST)) {
		map_delete(&pairs, &key);
		count(COUNT_FULL);
		return;
	}
	mark->key = key;
	mark->by_tcp = now_ns();
	mark->flags |= PAIRED;
	call_back_on_states(ops);
}

// The server's side stands.
INLINE void accepted(struct bpf_sock_ops *ops, struct identity *us)
{
	struct bpf_sock *socket = ops->sk;
	struct key key = {};
	struct pair *pair;
	struct mark *mark;

	if (!socket || us->netns != netns_cookie(ops))
		return;
	key.client_isn = ops->rcv_nxt;
	key.server_isn = ops->snd_nxt;
	key.client_port = HOST32(ops->remote_port);
	pair = map_lookup(&pairs, &key);
	if (!pair)
		return;
	mark = storage_get(&marks, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!mark || pair->client_is_ours == (mark->flags & OURS))
		return;
	key.end = SERVER;
	if (sockhash_update(ops, &sockets, &key, BPF_NOEXIST)) {
		count(COUNT_FULL);
		return;
	}
	mark->key = key;
	mark->by_tcp = now_ns();
	mark->flags |= PAIRED;
	call_back_on_states(ops);
	pair->socket[SERVER] = (u64)socket;
	count(COUNT_PAIRED);
}

// A socket has ended. The kernel itself takes it out of `sockets` and frees its mark.
INLINE void changed(struct bpf_sock_ops *ops)
{
	struct bpf_sock *socket = ops->sk;
	struct mark *mark;
	u32 port, *listeners;
	struct key key;

	if (ops->args[1] != BPF_TCP_CLOSE || !socket)
		return;
	mark = storage_get(&marks, socket, 0, 0);
	if (!mark)
		return;
	if (mark->flags & PAIRED) {
		key = mark->key;
		key.end = 0;
		map_delete(&pairs, &key);
	} else if (ops->args[0] == BPF_TCP_LISTEN) {
		port = ops->local_port;
		listeners = map_lookup(&ports, &port);
		if (listeners && __sync_fetch_and_add(listeners, -1) == 1)
			map_delete(&ports, &port);
	}
}

SECTION("sockops")
int watch(struct bpf_sock_ops *ops)
{
	u32 zero = 0;
	struct identity *us = map_lookup(&identity, &zero);

	if (!us)
		return 1;
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listening(ops, us);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		connecting(ops, us);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		asked(ops, us);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		connected(ops, us);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(ops, us);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		changed(ops);
		break;
	}
	return 1;
}

// Whether the peer has read all that has gone to it by TCP, and has room. The room is half of its
// receive buffer: what TCP has promised in its window needs the rest.
INLINE int is_ready(u64 own, u64 peer, u32 size)
{
	int used = 0, buffer = 0;
	u32 read = 0, written = 0;

	if (READ(read, ((struct tcp_sock *)peer)->copied_seq) ||
	    READ(written, ((struct tcp_sock *)own)->write_seq) ||
	    READ(used, ((struct sock *)peer)->sk_backlog.rmem_alloc.counter) ||
	    READ(buffer, ((struct sock *)peer)->sk_rcvbuf))
		return 0;
	return read == written && (u64)(u32)used + size <= (u32)buffer / 2;
}

// Always says that the message may go; the question is only by which way.
SECTION("sk_msg")
int divert(struct sk_msg_md *msg)
{
	struct bpf_sock *socket = msg->sk;
	struct pair *pair;
	struct mark *mark;
	struct key key;
	u64 own, peer, now;
	u32 end;

	if (!socket)
		return SK_PASS;
	mark = storage_get(&marks, socket, 0, 0);
	if (!mark || !(mark->flags & PAIRED))
		return SK_PASS;
	// After a FIN or a reset TCP knows the right error.
	if (socket->state != BPF_TCP_ESTABLISHED && socket->state != BPF_TCP_CLOSE_WAIT)
		return SK_PASS;
	key = mark->key;
	end = key.end;
	key.end = 0;
	pair = map_lookup(&pairs, &key);
	if (!pair)
		return SK_PASS;
	own = pair->socket[end == SERVER];
	peer = pair->socket[end != SERVER];
	if (!peer || !is_ready(own, peer, msg->size))
		return SK_PASS;
	now = now_ns();
	if (now - mark->by_tcp > TCP_EVERY_NS) {
		mark->by_tcp = now;
		return SK_PASS;
	}
	key.end = end == SERVER ? CLIENT : SERVER;
	// Fails where the peer has just been closed: TCP will answer with a reset.
	if (redirect(msg, &sockets, &key, BPF_F_INGRESS) == SK_PASS && !(mark->flags & DIVERTED)) {
		mark->flags |= DIVERTED;
		count(COUNT_DIVERTED);
	}
	return SK_PASS;
}

// `probe_read_kernel` asks for a licence that is compatible with the kernel's; MIT is.
char licence[] SECTION("license") = "Dual MIT/GPL";
