/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that writes what it likes into its own segment while we use the link:
 * header, ends, sleeping words, group and return words, cells, bodies; it rings
 * and shuts bells and hangs up.
 *
 *     role, sizes | lies in the header | (operation, its arguments) ...
 *
 * Operations of the peer and calls of ours come in any order; half of what the
 * peer does is right. Every message is read wholly, when it comes and again
 * when it is released, which may be after the link is gone. Held messages are
 * apart; so are our slots, from each other and from what was sent and never
 * returned; our books add up, an error is the last word, and nothing is left
 * open or mapped. With trust=none (0x40 of the first byte) what was received lies
 * in private memory, and its bytes are the same when it is released.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "shm_stage.h"
#include "weir.h"
#include "weir_stats.h"

#define HELD_MAX 16u
#define OUT_MAX  128u /* as many credits as we ask for at most */

static struct shm_victim victim;
static struct shm_session *session;
static struct weir_tx *tx;
static struct weir_rx *rx;
static struct weir_link_config config;
static struct shm_segment segment; /* the peer's, as it sees it */
static struct shm_bell bells[2];
static int doors[2];   /* of the victim's bells */
static uint64_t taken; /* messages that the peer received */

static struct weir_msg held[HELD_MAX];
static uint64_t held_sum[HELD_MAX]; /* of the bytes as they came */
static struct weir_permit permits[HELD_MAX];
static struct weir_slot slots[HELD_MAX];
static unsigned int held_count, permit_count, slot_count;
static bool distrusts;       /* trust=none */
static int tx_last, rx_last; /* negative: for ever */

/* Committed messages of ours that the peer has never returned. */
static struct {
	const uint8_t *from, *to;
	uint32_t body;
	uint16_t generation;
} out[OUT_MAX];
static unsigned int out_count;
static uint64_t committed;

/* --- set-up --------------------------------------------------------------- */

static void
choose_sizes(uint8_t byte)
{
	static const uint32_t sizes[] = { 8, 48, 300, 5000 };
	static const uint32_t credits[] = { 1, 4, 64, 128 };

	config = (struct weir_link_config){
		.size = sizeof(config),
		.msg_size_max = sizes[byte % 4],
		.tx_credits = credits[byte / 4 % 4],
		.large_count = 1,
		.flags = byte & 0x10 ? WEIR_LINK_MULTI_PRODUCER : 0,
	};
}

/* Something that may even be allowed: a peer chooses its classes. */
static void
change_class(struct fuzz_in *in)
{
	struct shm_header *h = &segment.front->header;
	uint8_t how = fuzz_u8(in);
	struct shm_class *c = &h->classes[how % SHM_CLASSES_MAX];

	switch (how >> 3 & 3) {
	case 0:
		c->first += (how >> 5) * SHM_GROUP_SIZE;
		h->body_limit += (how >> 5) * SHM_GROUP_SIZE;
		break;
	case 1:
		c->count += fuzz_near(in);
		break;
	case 2:
		c->offset += fuzz_near(in) * UINT64_C(8);
		break;
	default:
		c->stride += fuzz_near(in) * 8;
		c->size += fuzz_near(in);
	}
}

static void
lie_in_header(struct fuzz_in *in)
{
	uint8_t *header = (uint8_t *)&segment.front->header;
	uint8_t lies = fuzz_u8(in);

	for (uint8_t n = lies & 3; n > 0; n--) {
		uint8_t at = fuzz_u8(in);

		header[at] = fuzz_u8(in);
	}
	for (uint8_t n = lies >> 2 & 3; n > 0; n--)
		change_class(in);
}

/* Its hello, and then ours or the other way round. */
static void
shake_hands(bool listens)
{
	struct shm_hello got, hello = shm_stage_hello(&segment, listens);
	struct shm_creds creds;
	int fds[SHM_FDS];

	fds[SHM_FD_SEGMENT] = segment.fd;
	fds[SHM_FD_TX_BELL] = bells[0].door;
	fds[SHM_FD_RX_BELL] = bells[1].door;
	FUZZ_CHECK(weir_shm_send(victim.sock, &hello, fds) == 0);
	(void)shm_victim_step(&victim);
	doors[0] = doors[1] = -1;
	if (weir_shm_receive(victim.sock, &got, fds, &creds) != 1 ||
	    got.type == SHM_REFUSE)
		return;
	close(fds[SHM_FD_SEGMENT]);
	doors[0] = fds[SHM_FD_TX_BELL];
	doors[1] = fds[SHM_FD_RX_BELL];
}

static bool
set_up(struct fuzz_in *in)
{
	uint8_t byte = fuzz_u8(in);
	bool listens = (byte & 0x20) != 0;
	int rc;

	distrusts = (byte & 0x40) != 0;
	choose_sizes(byte);
	FUZZ_CHECK(weir_shm_segment_create(&config, WEIR_HUGEPAGES_NEVER,
					   &segment) == 0);
	lie_in_header(in);
	shm_victim_open(&victim, listens, distrusts ? ",trust=none" : "",
			&config);
	shake_hands(listens);
	rc = shm_victim_step(&victim);
	FUZZ_CHECK(rc == 0 || rc == -EPROTO);
	if (rc != 0)
		return false;
	session = shm_victim_session(&victim);
	session->cycles_per_ms = 0; /* looks for a dead peer whenever it may */
	FUZZ_CHECK(weir_link_split(victim.link, &tx, &rx) == 0);
	return true;
}

/* --- the peer ---------------------------------------------------------------- */

static struct shm_cell *
cell_of(uint64_t seq)
{
	const struct shm_header *h = &session->peer.header;

	return (struct shm_cell *)(segment.bytes + h->cells_offset) +
	       (seq & (h->cell_count - 1));
}

static uint64_t
next_seq(void)
{
	return rx == NULL ? 0 : WEIR_CONTAINER_OF(rx, struct shm_rx, rx)->seq;
}

/* Somewhere in what it may write. */
static void *
a_place(struct fuzz_in *in)
{
	struct shm_front *front = segment.front;
	uint8_t kind = fuzz_u8(in), index = fuzz_u8(in);

	switch (kind % 7) {
	case 0:
		return &front->tx.end;
	case 1:
		return &front->tx.sleeping;
	case 2:
		return index & 1 ? &front->rx.gone : &front->rx.sleeping;
	case 3:
		return &front->groups[index & 0x1c];
	case 4:
		return &front->returns[index & ~3u];
	case 5:
		return (uint8_t *)cell_of(index / 2) + (index & 1) * 8u;
	default:
		return segment.bytes + ((uint64_t)index << 8 | fuzz_u8(in)) *
					       8 % (segment.size - 7);
	}
}

static void
peer_writes(struct fuzz_in *in)
{
	uint8_t *at = a_place(in);
	uint64_t value = fuzz_near(in);
	uint8_t how = fuzz_u8(in);

	if (how & 1)
		value = fuzz_u32(in);
	if (how & 2)
		value <<= 32;
	memcpy(at, &value, how & 4 ? 8 : how & 8 ? 4 : 2);
}

/* The next message, as it should be or nearly. */
static void
peer_announces(struct fuzz_in *in)
{
	const struct shm_header *h = &session->peer.header;
	uint64_t seq = next_seq() + (fuzz_u8(in) & 3);
	uint8_t how = fuzz_u8(in), k = how >> 4 & 7;
	uint32_t body = (uint32_t)seq & (h->cell_count - 1);
	uint16_t generation = 0;
	uint32_t len = fuzz_u8(in);
	struct shm_cell *cell = cell_of(seq);

	if (k != 0 && k < h->class_count) {
		body = h->classes[k].first + fuzz_u8(in);
		len = h->classes[k].size - len % 4;
	} else if (len > SHM_INLINE_SIZE) {
		len = SHM_INLINE_SIZE - len % 4;
	}
	if (len > h->msg_size_max)
		len = h->msg_size_max;
	if (body < h->body_limit)
		generation = (uint16_t)(session->track[body].last + 1);
	if (how & 1)
		body += fuzz_near(in);
	if (how & 2)
		generation += (uint16_t)fuzz_near(in);
	if (how & 4)
		len += fuzz_near(in);
	atomic_store(&cell->body, body);
	atomic_store(&cell->generation, generation);
	atomic_store(&cell->word, (seq + 1) << 32 | len);
}

/* As the driver would, of what we sent. */
static void
peer_receives(void)
{
	const struct shm_header *h = &session->own.header;
	const struct shm_cell *cell =
		(const struct shm_cell *)(session->own.bytes +
					  h->cells_offset) +
		(taken & (h->cell_count - 1));
	uint32_t body = atomic_load(&cell->body);

	if ((uint32_t)(atomic_load(&cell->word) >> 32) != (uint32_t)(taken + 1))
		return;
	taken++;
	FUZZ_CHECK(body < h->body_limit);
	atomic_store(&segment.front->returns[body],
		     atomic_load(&cell->generation));
	atomic_store(&segment.front->groups[body / SHM_GROUP_SIZE],
		     (uint32_t)taken);
}

static void
peer_ends(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	uint32_t count = (uint32_t)next_seq() + (how & 4 ? fuzz_near(in) : 0);

	atomic_store(&segment.front->tx.end, (uint64_t)(how & 3) << 32 | count);
	if (how & 8)
		atomic_store(&segment.front->rx.gone, 1);
}

static void
peer_rings(struct fuzz_in *in)
{
	static const char bytes[512];
	uint8_t how = fuzz_u8(in);
	int door = doors[how & 1];

	for (uint8_t n = how >> 2 & 31; n > 0; n--)
		(void)!send(door, bytes, (size_t)n * 16,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	if ((how & 0x82) == 0x82)
		(void)shutdown(door, SHUT_RDWR);
}

static void
peer_on_socket(struct fuzz_in *in)
{
	static const char bytes[16];
	uint8_t how = fuzz_u8(in);

	if (victim.sock < 0)
		return;
	if (how & 1)
		(void)!send(victim.sock, bytes, how & 15,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (how & 2)
		(void)shutdown(victim.sock, how & 4 ? SHUT_RD : SHUT_WR);
	if ((how & 0xf8) == 0xf8)
		shm_victim_leave(&victim);
}

/* Whether it was right or a lie: these bytes are ours again. */
static void
see_returns(void)
{
	for (unsigned int i = 0; i < out_count;) {
		if (atomic_load(&segment.front->returns[out[i].body]) ==
		    out[i].generation)
			out[i] = out[--out_count];
		else
			i++;
	}
}

/* --- we ------------------------------------------------------------------------ */

/* @return a sum (FNV-1a): another one if a byte has changed. */
static uint64_t
read_wholly(const struct weir_msg *msg)
{
	const volatile uint8_t *bytes = msg->data;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (uint32_t i = 0; i < msg->len; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

/* Where the bytes of a class lie for us: our own copies, if we do not trust. */
static const uint8_t *
bytes_of_class(unsigned int k)
{
	return session->places != NULL
		       ? session->places + session->places_offset[k]
		       : session->peer.bytes +
				 session->peer.header.classes[k].offset;
}

/* Wholly inside one body that nobody holds. */
static void
check_msg(const struct weir_msg *msg)
{
	const struct shm_header *h = &session->peer.header;
	uint16_t body = (uint16_t)msg->cookie;
	const struct shm_class *c = &h->classes[0];

	while (body - c->first >= c->count)
		FUZZ_CHECK(++c < &h->classes[h->class_count]);
	FUZZ_CHECK(msg->data ==
		   bytes_of_class((unsigned int)(c - h->classes)) +
			   (uint64_t)c->stride * (body - c->first));
	FUZZ_CHECK(msg->len <= c->size && msg->len <= h->msg_size_max);
	FUZZ_CHECK(session->places != NULL ||
		   (const uint8_t *)msg->data + msg->len <=
			   session->peer.bytes + segment.size);
	for (unsigned int i = 0; i < held_count; i++)
		FUZZ_CHECK((uint16_t)held[i].cookie != body);
}

static void
last_word(int *last, int rc)
{
	FUZZ_CHECK(*last == 0 || rc == *last);
	if (rc < 0)
		*last = rc;
}

static void
we_receive(struct fuzz_in *in)
{
	uint16_t n = fuzz_u8(in) % 8;
	struct weir_msg msgs[8];
	int rc;

	if (rx == NULL || held_count + n > HELD_MAX)
		return;
	rc = weir_rx_recv_burst(rx, msgs, n);
	FUZZ_CHECK(rc <= n);
	FUZZ_CHECK(rc >= 0 || rc == -EPROTO || rc == -ECONNRESET ||
		   rc == -ETIMEDOUT || rc == WEIR_EOF);
	last_word(&rx_last, rc);
	for (int i = 0; i < rc; i++) {
		check_msg(&msgs[i]);
		held_sum[held_count] = read_wholly(&msgs[i]);
		held[held_count++] = msgs[i];
	}
}

static void
held_drop(unsigned int i)
{
	held_count--;
	held[i] = held[held_count];
	held_sum[i] = held_sum[held_count];
}

static void
we_release(unsigned int i)
{
	if (held_count == 0)
		return;
	i %= held_count;
	FUZZ_CHECK(read_wholly(&held[i]) == held_sum[i] || !distrusts);
	weir_msg_release(&held[i]);
	held_drop(i);
}

static void
we_reserve(struct fuzz_in *in)
{
	uint16_t n = fuzz_u8(in) % 8, size = fuzz_u16(in) % 5002;
	int rc;

	if (tx == NULL || permit_count + n > HELD_MAX)
		return;
	rc = weir_tx_reserve_burst(tx, size, &permits[permit_count], n);
	FUZZ_CHECK(rc <= n);
	if (rc == -EMSGSIZE) {
		FUZZ_CHECK(size > weir_tx_msg_size_max(tx));
		return;
	}
	FUZZ_CHECK(rc >= 0 || rc == -ECONNRESET || rc == -ETIMEDOUT ||
		   rc == -EPIPE);
	last_word(&tx_last, rc);
	permit_count += rc > 0 ? (unsigned int)rc : 0;
}

/* Inside our segment, and apart from other slots. */
static void
check_slot(const struct weir_slot *slot)
{
	const struct shm_segment *own = &session->own;
	const uint8_t *from = slot->data, *to = from + slot->len;

	FUZZ_CHECK(from >= own->bytes + own->header.cells_offset);
	FUZZ_CHECK(to <= own->bytes + own->size);
	for (unsigned int i = 0; i < slot_count; i++) {
		const uint8_t *other = slots[i].data;

		FUZZ_CHECK(from != other);
		FUZZ_CHECK(to <= other || other + slots[i].len <= from);
	}
	for (unsigned int i = 0; i < out_count; i++)
		FUZZ_CHECK(to <= out[i].from || out[i].to <= from);
}

static void
we_commit(struct weir_slot *slot)
{
	const struct shm_header *h = &session->own.header;
	const struct shm_cell *cell =
		(const struct shm_cell *)(session->own.bytes +
					  h->cells_offset) +
		(committed++ & (h->cell_count - 1));

	FUZZ_CHECK(out_count < h->cell_count);
	out[out_count].from = slot->data;
	out[out_count].to = (const uint8_t *)slot->data + slot->len;
	weir_slot_commit(slot);
	FUZZ_CHECK((uint32_t)(atomic_load(&cell->word) >> 32) ==
		   (uint32_t)committed);
	out[out_count].body = atomic_load(&cell->body);
	out[out_count++].generation = atomic_load(&cell->generation);
	see_returns();
}

static void
we_alloc(struct fuzz_in *in)
{
	unsigned int i = fuzz_u8(in);
	struct weir_permit permit;
	struct weir_slot slot;
	uint32_t size, len;

	if (permit_count == 0 || slot_count == HELD_MAX)
		return;
	i %= permit_count;
	permit = permits[i];
	permits[i] = permits[--permit_count];
	size = permit.size;
	len = fuzz_u16(in) % (size + 2);
	if (weir_permit_alloc(&permit, len, &slot) != 0) {
		FUZZ_CHECK(len > size);
		return;
	}
	FUZZ_CHECK(slot.len == len);
	check_slot(&slot);
	memset(slot.data, 0x5a, len);
	slots[slot_count++] = slot;
}

static void
we_finish_slot(struct fuzz_in *in)
{
	unsigned int how = fuzz_u8(in), i;

	if (slot_count == 0)
		return;
	i = how / 2 % slot_count;
	if (how & 1)
		weir_slot_discard(&slots[i]);
	else
		we_commit(&slots[i]);
	slots[i] = slots[--slot_count];
}

static void
we_drop(struct fuzz_in *in)
{
	unsigned int i = fuzz_u8(in);

	if (permit_count == 0)
		return;
	i %= permit_count;
	weir_permit_drop(&permits[i]);
	permits[i] = permits[--permit_count];
}

static void
we_forward(struct fuzz_in *in)
{
	struct weir_permit permit;
	unsigned int i = fuzz_u8(in);

	if (held_count == 0 || permit_count == 0)
		return;
	permit = permits[--permit_count];
	i %= held_count;
	if (weir_msg_forward(&held[i], &permit) != 0)
		return;
	held_drop(i);
	committed++; /* and not followed any further */
}

static void
we_audit(void)
{
	struct weir_tx_stats t;
	uint32_t pledged = 0, allocated = 0, outstanding = 0;

	if (tx == NULL)
		return;
	weir_tx_stats(tx, &t, sizeof(t));
	FUZZ_CHECK(t.free + t.permitted + t.allocated + t.outstanding ==
		   t.capacity);
	FUZZ_CHECK(t.permitted == permit_count && t.allocated == slot_count);
	for (uint32_t i = 0; i < t.class_count; i++) {
		const struct weir_class_stats *c = &t.classes[i];

		FUZZ_CHECK(c->free + c->pledged + c->allocated +
				   c->outstanding ==
			   c->total);
		pledged += c->pledged;
		allocated += c->allocated;
		outstanding += c->outstanding;
	}
	FUZZ_CHECK(pledged == t.permitted && allocated == t.allocated &&
		   outstanding == t.outstanding);
}

static void
we_sleep(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	struct pollfd at = { .fd = -1, .events = POLLIN };

	if (how & 1 && tx != NULL) {
		(void)weir_tx_arm(tx, how / 4u);
		at.fd = weir_tx_fd(tx);
	} else if (!(how & 1) && rx != NULL) {
		(void)weir_rx_arm(rx);
		at.fd = weir_rx_fd(rx);
	}
	FUZZ_CHECK(poll(&at, 1, 0) >= 0);
}

static void
we_ask(void)
{
	struct weir_rx_stats stats;
	struct weir_peer peer;
	int rc = weir_link_status(victim.link);

	FUZZ_CHECK(rc == 0 || rc == -ECONNRESET || rc == -ETIMEDOUT ||
		   rc == -EPROTO || rc == WEIR_EOF);
	FUZZ_CHECK((rc == -EPROTO) == (rx_last == -EPROTO));
	FUZZ_CHECK(weir_link_peer(victim.link, &peer) == 0);
	if (rx != NULL) {
		weir_rx_stats(rx, &stats, sizeof(stats));
		FUZZ_CHECK(stats.released <= stats.messages);
	}
}

static void
we_close(uint8_t how)
{
	int rc;

	if ((how & 0x81) == 1 && tx != NULL) {
		rc = weir_tx_close(tx);
		FUZZ_CHECK(rc == 0 || rc == -EBUSY || rc == -EALREADY ||
			   rc == tx_last || rc == -ECONNRESET ||
			   rc == -ETIMEDOUT);
		if (rc == 0)
			tx_last = -EPIPE;
		else if (rc == -ECONNRESET || rc == -ETIMEDOUT)
			last_word(&tx_last, rc);
	} else if ((how & 0x81) == 0x81 && tx != NULL) {
		permit_count = slot_count = 0; /* they die with it */
		weir_tx_destroy(tx);
		tx = NULL;
	} else if ((how & 0x81) == 0x80 && rx != NULL) {
		weir_rx_destroy(rx);
		rx = NULL;
	}
}

/* --- one input ------------------------------------------------------------------- */

static void
peer_step(struct fuzz_in *in, uint8_t op)
{
	switch (op) {
	case 0:
		peer_writes(in);
		break;
	case 1:
	case 2:
		peer_announces(in);
		break;
	case 3:
		peer_receives();
		break;
	case 4:
		peer_ends(in);
		break;
	case 5:
		peer_rings(in);
		break;
	default:
		peer_on_socket(in);
	}
	see_returns();
}

static void
our_step(struct fuzz_in *in, uint8_t op)
{
	switch (op) {
	case 7:
	case 8:
		we_receive(in);
		break;
	case 9:
		we_release(fuzz_u8(in));
		break;
	case 10:
		we_reserve(in);
		break;
	case 11:
		we_alloc(in);
		break;
	case 12:
		we_finish_slot(in);
		break;
	case 13:
		we_drop(in);
		break;
	case 14:
		we_forward(in);
		break;
	case 15:
		we_sleep(in);
		break;
	case 16:
		we_ask();
		break;
	default:
		we_close(fuzz_u8(in));
	}
	we_audit();
}

static void
leave(void)
{
	shm_victim_close(&victim);
	for (int i = 0; i < 2; i++)
		if (doors[i] >= 0)
			close(doors[i]);
}

/* Handles live longer than everything else. */
static void
end(void)
{
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	leave();
	while (held_count > 0)
		we_release(0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	bool up;

	if (bells[0].door == 0) {
		FUZZ_CHECK(weir_shm_bell_open(&bells[0]) == 0);
		FUZZ_CHECK(weir_shm_bell_open(&bells[1]) == 0);
		(void)shm_stage_port();
	}
	shm_stage_begin();
	held_count = permit_count = slot_count = 0;
	tx_last = rx_last = 0;
	taken = committed = 0;
	out_count = 0;
	up = set_up(&in);
	while (up && fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in) % 18;

		if (op < 7)
			peer_step(&in, op);
		else
			our_step(&in, op);
	}
	if (up)
		end();
	else
		leave();
	weir_shm_segment_close_fd(&segment);
	weir_shm_segment_unmap(&segment);
	shm_stage_end();
	return 0;
}
