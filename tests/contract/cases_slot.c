/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots: their bytes, commit, discard, and that nobody copies. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* verifies link.tx.alloc.limits: the limit fits, one more byte does not, the
 * permit is given back and the link goes on */
static void
alloc_over_the_limit_fails_and_gives_back(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t max = weir_tx_msg_size_max(f->tx);
	struct weir_permit permit;
	struct weir_slot slot;

	take_permit(f, max, &permit);
	assert_int_equal(weir_permit_alloc(&permit, max + 1, &slot), -EMSGSIZE);
	assert_null(permit.tx);
	assert_null(slot.tx);
	audit(f);
	all_back(f);
	peer_go(f->b, STEP_RECV, .n = 1, .size = max, .seed = SEED);
	take_permit(f, max, &permit);
	assert_int_equal(weir_permit_alloc(&permit, max, &slot), 0);
	audit(f);
	pattern_fill(slot.data, max, pattern_seed(SEED, 0));
	commit(f, &slot);
	peer_finish(f->b);
	all_back(f);
}

/* verifies link.tx.alloc.limits: failed allocs leak nothing, ever */
static void
failed_allocs_leak_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 32));
	uint32_t max = weir_tx_msg_size_max(f->tx);
	struct weir_permit permit;
	struct weir_slot slot;

	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t hint = i % 2 != 0 ? 16 : max;

		assert_int_equal(try_permit(f, hint, &permit), 1);
		assert_int_equal(weir_permit_alloc(&permit, hint + 1, &slot),
				 -EMSGSIZE);
		audit(f);
	}
	assert_int_equal(
		weir_permit_alloc((take_permit(f, 0, &permit), &permit),
				  UINT32_MAX, &slot),
		-EMSGSIZE);
	all_back(f);
	assert_int_equal(count_permits(f, 16), weir_tx_capacity(f->tx, 16));
}

/* verifies link.tx.alloc.limits: a permit is good for its hint, not more */
static void
alloc_over_the_hint_fails(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;
	struct weir_slot slot;

	take_permit(f, 100, &permit);
	assert_int_equal(weir_permit_alloc(&permit, 101, &slot), -EMSGSIZE);
	audit(f);
	take_permit(f, 100, &permit);
	assert_int_equal(weir_permit_alloc(&permit, 100, &slot), 0);
	pattern_fill(slot.data, 100, pattern_seed(SEED, 0));
	commit(f, &slot);
	take_permit(f, 0, &permit);
	assert_int_equal(weir_permit_alloc(&permit, 1, &slot), -EMSGSIZE);
	take_permit(f, 0, &permit);
	assert_int_equal(weir_permit_alloc(&permit, 0, &slot), 0);
	commit(f, &slot);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 100, .seed = SEED);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 0, .seed = SEED);
	all_back(f);
}

/* verifies link.capacity: a small alloc gives the large pledge back at once */
static void
a_small_alloc_gives_the_large_pledge_back(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t max = weir_tx_msg_size_max(f->tx);
	uint32_t large = weir_tx_capacity(f->tx, max);
	struct weir_slot slots[16];
	struct weir_permit permit;

	/* More than there are large places, one after the other. */
	for (uint32_t i = 0; i < 16; i++) {
		take_permit(f, max, &permit);
		assert_int_equal(weir_permit_alloc(&permit, 10, &slots[i]), 0);
		audit(f);
	}
	if (large <= weir_tx_capacity(f->tx, 10) - 16)
		assert_int_equal(count_permits(f, max), large);
	for (uint32_t i = 0; i < 16; i++) {
		pattern_fill(slots[i].data, 10, pattern_seed(SEED, i));
		commit(f, &slots[i]);
	}
	peer_do(f->b, STEP_RECV, .n = 16, .size = 10, .seed = SEED);
	all_back(f);
}

/* verifies link.tx.slot.len: len bytes are ours to the last one, and the
 * neighbours' bytes are theirs */
static void
neighbouring_slots_do_not_overlap(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t sizes[160], n = edge_sizes(f, 2048, sizes, 160), room;
	struct weir_slot slots[160];

	room = weir_tx_capacity(f->tx, 2048);
	if (n > room)
		n = room;
	for (uint32_t i = 0; i < n; i++)
		open_filled(f, sizes[i], pattern_seed(SEED, i), &slots[i]);
	/* Write each slot fully once more, backwards, then look at all. */
	for (uint32_t i = n; i-- > 0;) {
		memset(slots[i].data, 0xa5, sizes[i]);
		pattern_fill(slots[i].data, sizes[i], pattern_seed(SEED, i));
	}
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(pattern_wrong(slots[i].data, sizes[i],
					       pattern_seed(SEED, i)),
				 -1);
	for (uint32_t i = 0; i < n; i++) {
		commit(f, &slots[i]);
		peer_do(f->b, STEP_RECV, .n = 1, .size = sizes[i], .seed = SEED,
			.k = i);
	}
	all_back(f);
}

/* verifies link.tx.slot.len: aligned to 8, and what was not written by us is
 * not changed by later calls */
static void
slots_are_aligned_and_stay_where_they_are(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_slot slots[20];
	void *data[20];

	for (uint32_t i = 0; i < 20; i++) {
		open_filled(f, 17 * i, pattern_seed(SEED, i), &slots[i]);
		assert_non_null(slots[i].data);
		assert_int_equal((uintptr_t)slots[i].data % 8, 0);
		data[i] = slots[i].data;
	}
	for (uint32_t i = 0; i < 20; i++) {
		assert_ptr_equal(slots[i].data, data[i]);
		commit(f, &slots[i]);
		assert_null(slots[i].tx);
	}
	for (uint32_t i = 0; i < 20; i++)
		peer_do(f->b, STEP_RECV, .n = 1, .size = 17 * i, .seed = SEED,
			.k = i);
	all_back(f);
}

/* verifies link.tx.commit: of several slots at once in their order, of none
 * too, and each is consumed */
static void
a_burst_is_committed_in_its_order(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_slot s[20];

	for (uint64_t round = 0; round < repeats(f, 40); round++) {
		weir_slot_commit_burst(s, 0);
		for (uint32_t i = 0; i < 20; i++)
			open_filled(f, 60, pattern_seed(round, i), &s[i]);
		weir_slot_commit_burst(&s[0], 1);
		weir_slot_commit_burst(&s[1], 19);
		for (uint32_t i = 0; i < 20; i++)
			assert_null(s[i].tx);
		weir_tx_flush(f->tx);
		audit(f);
		peer_do(f->b, STEP_RECV, .n = 20, .size = 60, .seed = round);
	}
	all_back(f);
}

/* verifies link.tx.alloc.limits: of several at once each slot has its length;
 * one that is too long fails them all, and all is given back */
static void
a_burst_of_allocs_is_all_or_none(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit p[12];
	struct weir_slot s[12];
	uint32_t lens[12];

	for (uint64_t round = 0; round < repeats(f, 40); round++) {
		for (uint32_t i = 0; i < 12; i++) {
			take_permit(f, i % 4 == 3 ? 600 : 48, &p[i]);
			lens[i] = i % 4 == 3 ? 600 - i : 4 * i;
		}
		assert_int_equal(weir_permit_alloc_burst(p, lens, s, 0), 0);
		assert_non_null(p[0].tx);
		lens[7] = round % 2 == 0 ? 601 : 600;
		assert_int_equal(weir_permit_alloc_burst(p, lens, s, 12),
				 round % 2 == 0 ? -EMSGSIZE : 0);
		audit(f);
		for (uint32_t i = 0; i < 12; i++) {
			assert_null(p[i].tx);
			if (round % 2 == 0) {
				assert_null(s[i].tx);
				continue;
			}
			assert_int_equal(s[i].len, lens[i]);
			pattern_fill(s[i].data, lens[i],
				     pattern_seed(round, i));
		}
		if (round % 2 == 0)
			continue;
		weir_slot_commit_burst(s, 12);
		weir_tx_flush(f->tx);
		for (uint32_t i = 0; i < 12; i++)
			peer_do(f->b, STEP_RECV, .n = 1, .size = lens[i],
				.seed = round, .k = i);
	}
	all_back(f);
}

/* verifies link.tx.discard: between two commits, unseen */
static void
a_discard_between_commits_is_unseen(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_slot s[3];

	for (uint64_t round = 0; round < repeats(f, 200); round++) {
		open_filled(f, 50, pattern_seed(round, 0), &s[0]);
		open_filled(f, 50, 999, &s[1]);
		open_filled(f, 50, pattern_seed(round, 1), &s[2]);
		commit(f, &s[0]);
		commit(f, &s[2]);
		weir_slot_discard(&s[1]);
		assert_null(s[1].tx);
		audit(f);
		peer_do(f->b, STEP_RECV, .n = 2, .size = 50, .seed = round);
	}
	all_back(f);
}

/* verifies link.tx.discard: repeated until any leak would run dry, also when
 * later slots were committed already */
static void
discards_leak_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	uint32_t sizes[160], n = edge_sizes(f, f->tx->msg_size_max, sizes, 160);
	uint64_t sent = 0;

	for (uint32_t i = 0; i < 10 * n; i++) {
		struct weir_slot lost, kept;

		open_filled(f, sizes[i % n], 1, &lost);
		open_filled(f, 8, pattern_seed(SEED, sent), &kept);
		commit(f, &kept);
		weir_slot_discard(&lost);
		audit(f);
		peer_do(f->b, STEP_RECV, .n = 1, .size = 8, .seed = SEED,
			.k = sent++);
	}
	all_back(f);
	assert_int_equal(count_permits(f, 8), weir_tx_capacity(f->tx, 8));
}

/* verifies link.tx.commit: with a receiver that has stopped, commit of all
 * that was reserved neither waits nor fails */
static void
commit_never_waits_for_the_receiver(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 256));
	uint32_t n = weir_tx_capacity(f->tx, 64);
	struct weir_slot *slots = calloc(n, sizeof(*slots));
	uint64_t start_ns;

	assert_non_null(slots);
	for (uint32_t i = 0; i < n; i++)
		open_filled(f, 64, pattern_seed(SEED, i), &slots[i]);
	start_ns = weir_now_ns();
	/* No pump in here: the peer and the ports stand still. */
	for (uint32_t i = 0; i < n; i++)
		weir_slot_commit(&slots[i]);
	assert_true(weir_now_ns() - start_ns < UINT64_C(2000000000));
	free(slots);
	weir_tx_flush(f->tx);
	audit(f);
	peer_do(f->b, STEP_RECV, .n = n, .size = 64, .seed = SEED);
	all_back(f);
}

/* verifies link.tx.commit: published is what the bytes are at commit, not at
 * alloc, and not before commit */
static void
commit_publishes_the_bytes_of_that_moment(void **state)
{
	static const uint32_t sizes[] = { 8, 48, 64, 1000, 4096, 60000 };
	struct fixture *f = link_up(state, NULL);

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct weir_slot slot;

		open_filled(f, sizes[i], 12345, &slot);
		peer_go(f->b, STEP_RECV, .n = 1, .size = sizes[i],
			.seed = SEED);
		for (int turn = 0; turn < 100; turn++) {
			peer_pump();
			if (f->bs != NULL)
				assert_int_equal(f->b->busy, true);
		}
		pattern_fill(slot.data, sizes[i], pattern_seed(SEED, 0));
		commit(f, &slot);
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.tx.commit: the last byte to change is the last written */
static void
a_change_just_before_commit_is_seen(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_msg msg;

	if (f->bs == NULL)
		case_skip(f, "looks at B's message directly; B is a process");
	for (uint32_t i = 0; i < 1000; i++) {
		struct weir_slot slot;
		int rc;

		open_filled(f, 33, 1, &slot);
		((volatile uint8_t *)slot.data)[i % 33] = (uint8_t)i;
		commit(f, &slot);
		pump_until((rc = weir_rx_recv(f->bs->ends[0].rx, &msg)) != 0);
		assert_int_equal(rc, 1);
		assert_int_equal(((const uint8_t *)msg.data)[i % 33],
				 (uint8_t)i);
		weir_msg_release(&msg);
	}
	all_back(f);
}

/* ---- zero copy ---------------------------------------------------------------- */

struct mapping {
	bool found, writable, memfd;
};

/* What /proc/self/maps says of an address. */
static struct mapping
mapping_of(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	struct mapping found = { 0 };
	char line[512], rights[8];
	unsigned long from, to;

	assert_non_null(maps);
	while (!found.found && fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3)
			continue;
		if ((uintptr_t)address < from || (uintptr_t)address >= to)
			continue;
		found.found = true;
		found.writable = rights[1] == 'w';
		found.memfd = strstr(line, "memfd:") != NULL;
	}
	fclose(maps);
	return found;
}

/* verifies zerocopy.framing.link: the slot and the received bytes lie in the
 * transport's own memory */
static void
payload_lies_in_the_transports_memory(void **state)
{
	static const uint32_t sizes[] = { 16, 48, 300, 1200 };
	struct fixture *f = link_up(state, NULL);

	if ((f->v->flags & (VARIANT_ADDRESS | VARIANT_MEMFD)) == 0)
		case_skip(f, "the transport's memory cannot be told apart "
			     "here; the counters of copies are checked");
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct weir_slot slot;
		struct weir_msg msg;
		const void *sent;

		open_filled(f, sizes[i], pattern_seed(SEED, 0), &slot);
		sent = slot.data;
		if (f->v->flags & VARIANT_MEMFD)
			assert_true(mapping_of(sent).memfd);
		commit(f, &slot);
		peer_do(f->b, STEP_HOLD, .n = 1, .size = sizes[i],
			.seed = SEED);
		if (f->bs != NULL && (f->v->flags & VARIANT_ADDRESS))
			assert_ptr_equal(f->bs->held[0].msg.data, sent);
		peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
		peer_do(f->b, STEP_SEND, .n = 1, .size = sizes[i]);
		take_msg(f, &msg);
		if (f->v->flags & VARIANT_MEMFD) {
			assert_true(mapping_of(msg.data).memfd);
			assert_false(mapping_of(msg.data).writable);
		}
		weir_msg_release(&msg);
	}
}

/* What a packet holds on any path: a link that was slow to come up may have
 * settled for such packets (docs/wire.md, 4.4). */
#define ONE_PACKET 1100

/* verifies zerocopy.framing.link: what is built in place is copied nowhere,
 * up to what one packet or one place holds */
static void
messages_built_in_place_are_not_copied(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_link_stats l;
	struct weir_tx_stats t;
	struct weir_rx_stats r;
	uint64_t n = repeats(f, 1000);

	peer_go(f->b, STEP_ECHO, .n = n);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t len = pattern_size(SEED, i, PATTERN_MIX(ONE_PACKET));

		send_one(f, len, pattern_seed(SEED, i));
		expect_one(f, len, pattern_seed(SEED, i));
	}
	peer_finish(f->b);
	weir_tx_stats(f->tx, &t, sizeof(t));
	weir_rx_stats(f->rx, &r, sizeof(r));
	weir_link_stats(f->as->ends[0].link, &l, sizeof(l));
	/* A device that wants each packet linear has repeats copied. */
	assert_in_range(t.copied_bytes, 0, ONE_PACKET * l.tx_retransmits);
	assert_int_equal(r.copied_bytes, (f->v->flags & VARIANT_COPIES) != 0
						 ? r.payload_bytes
						 : 0);
}

/* verifies zerocopy.framing.link: copies that a call makes are counted */
static void
copies_are_counted(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_tx_stats t;
	uint8_t bytes[700];

	pattern_fill(bytes, sizeof(bytes), pattern_seed(SEED, 0));
	assert_int_equal(weir_tx_send(f->tx, bytes, sizeof(bytes)), 0);
	weir_tx_stats(f->tx, &t, sizeof(t));
	assert_int_equal(t.copied_bytes, 700);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.payload_bytes, 700);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 700, .seed = SEED);
	all_back(f);
}

/* ---- the calls that copy ------------------------------------------------------- */

/* verifies link.tx.send: try_send is 1 while there is room, then 0 */
static void
try_send_says_when_there_is_no_room(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 32));
	uint8_t bytes[12];
	uint32_t n = 0;
	int rc;

	do {
		pattern_fill(bytes, 12, pattern_seed(SEED, n));
		rc = weir_tx_try_send(f->tx, bytes, 12);
		audit(f);
	} while (rc == 1 && ++n < 100);
	assert_int_equal(rc, 0);
	assert_int_equal(n, 32);
	peer_do(f->b, STEP_RECV, .n = n, .size = 12, .seed = SEED);
	all_back(f);
	assert_int_equal(weir_tx_try_send(f->tx, NULL, 0), 1);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 0);
}

/* verifies link.tx.send: over the limit is refused and changes nothing */
static void
send_over_the_limit_is_refused(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.msg_size_max = 1000));
	static const uint8_t bytes[1001];
	uint32_t max = weir_tx_msg_size_max(f->tx);

	assert_int_equal(max, 1000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(weir_tx_send(f->tx, bytes, max + 1),
				 -EMSGSIZE);
		assert_int_equal(weir_tx_try_send(f->tx, bytes, max + 1),
				 -EMSGSIZE);
		audit(f);
	}
	send_one(f, max, pattern_seed(SEED, 0));
	peer_do(f->b, STEP_RECV, .n = 1, .size = max, .seed = SEED);
	all_back(f);
}

static const char *
send_copies(void *arg)
{
	struct fixture *f = arg;
	uint8_t bytes[40];

	for (uint64_t i = 0; i < 500; i++) {
		int rc;

		pattern_fill(bytes, 40, pattern_seed(SEED, i));
		rc = weir_tx_send(f->tx, bytes, 40);
		if (rc != 0)
			return weir_strerror(rc);
	}
	return NULL;
}

/* verifies link.tx.send: send waits for room as long as it takes */
static void
send_waits_for_room(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 8));
	struct user user;

	user_start(&user, send_copies, f);
	peer_do(f->b, STEP_RECV, .n = 500, .size = 40, .seed = SEED);
	user_finish(&user);
	all_back(f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(alloc_over_the_limit_fails_and_gives_back),
	cmocka_unit_test(failed_allocs_leak_nothing),
	cmocka_unit_test(alloc_over_the_hint_fails),
	cmocka_unit_test(a_small_alloc_gives_the_large_pledge_back),
	cmocka_unit_test(neighbouring_slots_do_not_overlap),
	cmocka_unit_test(slots_are_aligned_and_stay_where_they_are),
	cmocka_unit_test(a_burst_is_committed_in_its_order),
	cmocka_unit_test(a_burst_of_allocs_is_all_or_none),
	cmocka_unit_test(a_discard_between_commits_is_unseen),
	cmocka_unit_test(discards_leak_nothing),
	cmocka_unit_test(commit_never_waits_for_the_receiver),
	cmocka_unit_test(commit_publishes_the_bytes_of_that_moment),
	cmocka_unit_test(a_change_just_before_commit_is_seen),
	cmocka_unit_test(payload_lies_in_the_transports_memory),
	cmocka_unit_test(messages_built_in_place_are_not_copied),
	cmocka_unit_test(copies_are_counted),
	cmocka_unit_test(try_send_says_when_there_is_no_room),
	cmocka_unit_test(send_over_the_limit_is_refused),
	cmocka_unit_test(send_waits_for_room),
};

CASE_LIST(cases_slot, tests);
