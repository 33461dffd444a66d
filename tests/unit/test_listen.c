/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that belong to no link: what lib/listen.h decides, case by case.
 * Each test is a table or a short story of INITs that come to one listener.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "listen.h"

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static struct conn_config policy;
static struct listen keeper;
static struct listen_door door;
static struct listen_known known;
static uint64_t now;

/* The visitor: his packet, decoded, and where he writes from. */
static uint8_t packet[WIRE_INIT_LEN];
static uint8_t address[12];
static struct wire_hdr hdr;
static struct wire_params params;
static struct listen_visit visit;

static int
setup(void **state)
{
	(void)state;
	weir_conn_config_init(&policy);
	policy.token = 1;
	keeper = (struct listen){ .secret = { { 3, 4 } } };
	weir_cookie_rotate(&keeper.keys, (struct siphash_key){ { 1, 2 } });
	door = (struct listen_door){ .policy = &policy, .open = true };
	known = (struct listen_known){ 0 };
	now = 1000 * S;
	memset(address, 7, sizeof(address));
	params = (struct wire_params){
		.token = 4711,
		.instance = 5,
		.epoch = 9,
		.isn = 12,
		.frag_size = 1400,
		.window_packets = 64,
		.credit_msgs = 64,
		.msg_size_max = 1000,
		.modes = WIRE_MODE_BARE,
		.version_min = 1,
		.version_max = 1,
	};
	return 0;
}

static void
come(void)
{
	visit = (struct listen_visit){ .hdr = &hdr,
				       .len = WIRE_INIT_LEN,
				       .addr = address,
				       .addr_len = sizeof(address),
				       .now_ns = now };
	assert_int_equal(weir_wire_decode(packet, WIRE_INIT_LEN, &hdr),
			 WIRE_OK);
}

/* An INIT, with the cookie of an answer if there is one. */
static enum listen_verdict
init(const struct listen_visit *cookie)
{
	struct wire_hdr out = { .vt = 0x10 | WIRE_INIT, .seq = params.isn };
	uint32_t len = WIRE_HDR_LEN;
	enum listen_verdict verdict;
	uint8_t ext[COOKIE_LEN];

	if (cookie != NULL)
		memcpy(ext, cookie->answer + WIRE_HDR_LEN, COOKIE_LEN);
	memset(packet, 0, sizeof(packet));
	len += weir_wire_put_params(&params, packet + len);
	if (cookie != NULL) {
		memcpy(packet + len, ext, COOKIE_LEN);
		len += COOKIE_LEN;
	}
	out.hlen = (uint8_t)(len / 8);
	weir_wire_encode(&out, packet);
	come();
	verdict = weir_listen_read(&keeper, &door, &visit);
	if (verdict == LISTEN_LOOK)
		verdict = weir_listen_judge(&keeper, &door, &visit, &known);
	if (verdict == LISTEN_ANSWER)
		assert_true(visit.answer_len < visit.len);
	return verdict;
}

static void
counted(enum listen_count what, uint64_t times)
{
	assert_int_equal(keeper.counts[what], times);
}

/* What the answer is, and of a REJECT why. */
static void
answered(enum wire_type type, enum wire_error reason)
{
	struct wire_error_info error;
	struct wire_hdr back;

	assert_int_equal(
		weir_wire_decode(visit.answer, visit.answer_len, &back),
		WIRE_OK);
	assert_int_equal(wire_hdr_type(&back), type);
	assert_int_equal(back.token, params.token);
	if (type != WIRE_REJECT)
		return;
	weir_wire_get_error(back.error, &error);
	assert_int_equal(error.code, reason);
}

static void
who_has_no_cookie_comes_again_with_it(void **state)
{
	struct listen_visit first;

	(void)state;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_RETRY, WIRE_E_NONE);
	assert_false(visit.init.validated);
	first = visit;
	counted(LISTEN_INIT_RETRY, 0);
	weir_listen_sent(&keeper, &visit);
	counted(LISTEN_INIT_RETRY, 1);
	counted(LISTEN_COOKIE_WRONG, 0);
	assert_int_equal(init(&first), LISTEN_ACCEPT);
	assert_true(visit.init.validated);
	/* It is of no use elsewhere, or later. */
	address[3]++;
	assert_int_equal(init(&first), LISTEN_ANSWER);
	assert_false(visit.init.validated);
	counted(LISTEN_COOKIE_WRONG, 1);
	address[3]--;
	now += (COOKIE_LIFE_S + 1) * S;
	assert_int_equal(init(&first), LISTEN_ANSWER);
	answered(WIRE_RETRY, WIRE_E_NONE);
	counted(LISTEN_COOKIE_WRONG, 2);
}

static void
under_pressure_and_not_before_a_cookie_is_wanted(void **state)
{
	(void)state;
	door.cookie = LISTEN_COOKIE_PRESSURE;
	door.half_open = LISTEN_PRESSURE - 1;
	assert_false(weir_listen_asks(&door));
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
	assert_false(visit.init.validated);
	door.half_open++;
	assert_true(weir_listen_asks(&door));
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_RETRY, WIRE_E_NONE);
	door.cookie = LISTEN_COOKIE_OFF;
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
}

/* Anyone can say that he is the peer of a link; who ends it must show it. */
static void
former_links_end_only_for_who_shows_a_cookie(void **state)
{
	struct listen_visit first;

	(void)state;
	door.cookie = LISTEN_COOKIE_OFF;
	known.former = true;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_RETRY, WIRE_E_NONE);
	assert_false(visit.init.validated);
	first = visit;
	assert_int_equal(init(&first), LISTEN_ACCEPT);
	assert_true(visit.init.validated);
	/* The other end of a pair is who it says it is. */
	door.paired = true;
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
	assert_true(visit.init.validated);
	/* But not if cookies are asked for all the same. */
	door.cookie = LISTEN_COOKIE_ALWAYS;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	assert_false(visit.init.validated);
}

/* Even where nobody else gets in. */
static void
the_same_init_goes_to_its_link(void **state)
{
	(void)state;
	known = (struct listen_known){ .same = true, .crowded = true };
	door.half_open = LISTEN_BACKLOG;
	assert_int_equal(init(NULL), LISTEN_AGAIN);
	counted(LISTEN_INIT_AGAIN, 1);
	counted(LISTEN_INIT_REFUSED, 0);
}

static void
a_full_listener_refuses_softly(void **state)
{
	struct listen_visit first;

	(void)state;
	door.cookie = LISTEN_COOKIE_OFF;
	door.half_open = LISTEN_BACKLOG / 2;
	door.waiting = LISTEN_BACKLOG / 2 - 1;
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
	door.waiting++;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_BUSY);
	counted(LISTEN_INIT_NO_ROOM, 1);
	/* Who asks for cookies refuses only who is there, and he may end his
	 * former links, which makes room. */
	door.cookie = LISTEN_COOKIE_ALWAYS;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_RETRY, WIRE_E_NONE);
	first = visit;
	assert_int_equal(init(&first), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_BUSY);
	assert_true(visit.init.validated);
	counted(LISTEN_INIT_NO_ROOM, 2);
	/* Too many links have its token: not even a cookie is made. */
	door.waiting = 0;
	known.crowded = true;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_BUSY);
	counted(LISTEN_INIT_REFUSED, 3);
}

static void
without_memory_nobody_is_let_in_for_a_while(void **state)
{
	(void)state;
	door.cookie = LISTEN_COOKIE_OFF;
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
	assert_int_equal(weir_listen_no_memory(&keeper, &visit), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_BUSY);
	now += MS - 1;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_BUSY);
	now++;
	assert_int_equal(init(NULL), LISTEN_ACCEPT);
	counted(LISTEN_INIT_NO_ROOM, 2);
}

static void
where_nobody_listens_all_are_refused_but_not_without_end(void **state)
{
	uint64_t told = 0;

	(void)state;
	door.open = false;
	for (int i = 0; i < 1000; i++)
		told += init(NULL) == LISTEN_ANSWER;
	assert_int_equal(told, 256);
	counted(LISTEN_REJECT_LIMITED, 1000 - told);
	counted(LISTEN_INIT_REFUSED, 1000);
	now += MS; /* ten more */
	for (int i = 0; i < 1000; i++)
		told += init(NULL) == LISTEN_ANSWER;
	assert_int_equal(told, 256 + 10);
	now += S;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_NO_LISTENER);
}

static void
what_cannot_be_agreed_on_is_said_and_what_is_malformed_is_not(void **state)
{
	(void)state;
	params.modes = WIRE_MODE_STABLE;
	assert_int_equal(init(NULL), LISTEN_ANSWER);
	answered(WIRE_REJECT, WIRE_E_MODE);
	params.modes = WIRE_MODE_BARE;
	params.token = 0;
	assert_int_equal(init(NULL), LISTEN_MALFORMED);
	counted(LISTEN_INIT_MALFORMED, 1);
	counted(LISTEN_INIT_REFUSED, 1);
}

static enum listen_verdict
unknown(enum wire_type type, uint32_t len)
{
	hdr = (struct wire_hdr){ .vt = (uint8_t)(0x10 | type),
				 .token = params.token };
	visit = (struct listen_visit){ .hdr = &hdr, .len = len, .now_ns = now };
	return weir_listen_unknown(&keeper, &visit);
}

static void
who_asks_for_a_link_that_is_gone_is_told_so_many_times(void **state)
{
	uint8_t proof[WIRE_PROOF_LEN], promised[WIRE_PROOF_LEN];
	struct wire_hdr back;
	uint64_t told = 0;

	(void)state;
	assert_int_equal(unknown(WIRE_DATA, WIRE_HDR_LEN + 8), LISTEN_ANSWER);
	answered(WIRE_GONE, WIRE_E_NONE);
	weir_wire_decode(visit.answer, visit.answer_len, &back);
	weir_wire_get_gone(&back, proof);
	weir_cookie_proof(keeper.secret, params.token, promised);
	assert_memory_equal(proof, promised, WIRE_PROOF_LEN);
	weir_listen_sent(&keeper, &visit);
	counted(LISTEN_GONE_SENT, 1);
	/* Never longer than the question, never an answer to an answer. */
	assert_int_equal(unknown(WIRE_DATA, WIRE_HDR_LEN), LISTEN_DROP);
	assert_int_equal(unknown(WIRE_GONE, 100), LISTEN_DROP);
	assert_int_equal(unknown(WIRE_RESET, 100), LISTEN_DROP);
	counted(LISTEN_TOKEN_UNKNOWN, 4);
	counted(LISTEN_GONE_LIMITED, 0);
	for (int i = 0; i < 1000; i++)
		told += unknown(WIRE_DATA, 100) == LISTEN_ANSWER;
	assert_int_equal(told, 63);
	counted(LISTEN_GONE_LIMITED, 1000 - told);
	now += MS;
	assert_int_equal(unknown(WIRE_DATA, 100), LISTEN_ANSWER);
	assert_int_equal(unknown(WIRE_DATA, 100), LISTEN_DROP);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_has_no_cookie_comes_again_with_it),
		TEST(under_pressure_and_not_before_a_cookie_is_wanted),
		TEST(former_links_end_only_for_who_shows_a_cookie),
		TEST(the_same_init_goes_to_its_link),
		TEST(a_full_listener_refuses_softly),
		TEST(without_memory_nobody_is_let_in_for_a_while),
		TEST(where_nobody_listens_all_are_refused_but_not_without_end),
		TEST(what_cannot_be_agreed_on_is_said_and_what_is_malformed_is_not),
		TEST(who_asks_for_a_link_that_is_gone_is_told_so_many_times),
	};

	return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
