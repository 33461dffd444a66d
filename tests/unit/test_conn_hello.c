/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What both sides agree on, and how strangers become peers: cookies, sizes of
 * hellos, features, proofs, trailers.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "conn_pair.h"

static const uint8_t bytes[1000] = "message";
static const uint8_t addr[36] = { 1, 2, 3 };
static struct cookie_keys keys;

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair_init(pair);
	memset(pair->a.config.proof, 0xa5, WIRE_PROOF_LEN);
	memset(pair->b.config.proof, 0x5a, WIRE_PROOF_LEN);
	memset(&keys, 0, sizeof(keys));
	weir_cookie_rotate(&keys, (struct siphash_key){ { 3, 4 } });
	*state = pair;
	return 0;
}

static int
teardown(void **state)
{
	pair_free(*state);
	free(*state);
	return 0;
}

/* --- cookies ---------------------------------------------------------- */

static struct conn_stranger
who(uint32_t now_s)
{
	return (struct conn_stranger){ &keys, addr, sizeof(addr), now_s };
}

static struct conn_init
init_checked(struct pair *pair, struct wire_hdr *hdr)
{
	struct conn_init init;
	enum wire_error reason;

	pair_flush(pair, &pair->a);
	*hdr = pair_last(&pair->a);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, hdr, &init, &reason), 0);
	return init;
}

/* A RETRY for the newest INIT, decoded from `packet`. */
static struct wire_hdr
retry_for(struct pair *pair, uint8_t packet[CONN_RETRY_MAX + 4])
{
	struct conn_stranger stranger = who(100);
	struct wire_hdr hdr, retry;
	struct conn_init init = init_checked(pair, &hdr);
	uint32_t len = weir_conn_build_retry(&stranger, &hdr, &init, packet);

	assert_true(len <= CONN_RETRY_MAX);
	len = pair_seal(packet, len);
	assert_true(len < pair->a.wire[pair->a.sent - 1].len);
	assert_int_equal(weir_wire_decode(packet, len, &retry), WIRE_OK);
	assert_int_equal(retry.ts_echo, hdr.ts);
	assert_int_equal(retry.flags, hdr.flags & WIRE_F_TRAILER);
	return retry;
}

static void
a_client_comes_again_with_the_cookie(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[CONN_RETRY_MAX + 4];
	struct conn_stranger stranger = who(101);
	struct wire_hdr hdr, retry;
	struct conn_init init;

	pair_make(pair);
	retry = retry_for(pair, packet);
	weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	/* At once, and the same but for cookie and clock. */
	init = init_checked(pair, &hdr);
	assert_int_equal(pair->a.sent, 2);
	assert_non_null(hdr.cookie);
	assert_memory_equal(pair->a.wire[0].bytes + WIRE_HDR_LEN,
			    pair->a.wire[1].bytes + WIRE_HDR_LEN,
			    WIRE_PARAMS_LEN);
	assert_int_equal(pair->a.wire[1].len, WIRE_INIT_LEN);
	assert_false(init.validated);
	assert_true(weir_conn_check_cookie(&stranger, &hdr, &init));
	assert_true(init.validated);
	stranger.now_s = 100 + COOKIE_LIFE_S + 1;
	init.validated = false;
	assert_false(weir_conn_check_cookie(&stranger, &hdr, &init));
	/* Later repeats carry it too. */
	pair_wait(pair, 20 * MS);
	init_checked(pair, &hdr);
	assert_non_null(hdr.cookie);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* Answers to an INIT with a trailer have one, or the client drops them. */
static void
cookies_go_with_trailers(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[CONN_RETRY_MAX + 4];
	struct wire_hdr retry;

	pair->a.config.features_offer |= WIRE_FEATURE_CRC32C;
	pair->b.config.features_offer |= WIRE_FEATURE_CRC32C;
	pair_make(pair);
	retry = retry_for(pair, packet);
	retry.flags = 0;
	weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_CRC_MISSING], 1);
	retry.flags = WIRE_F_TRAILER;
	weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	pair_flush(pair, &pair->a);
	assert_non_null(pair_last(&pair->a).cookie);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
three_retries_are_obeyed_and_no_more(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[CONN_RETRY_MAX + 4];

	pair_make(pair);
	for (int i = 0; i < 5; i++) {
		struct wire_hdr retry = retry_for(pair, packet);

		weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
		if (i >= 3) {
			assert_int_equal(pair_flush(pair, &pair->a), 0);
			pair_wait(pair, 100 * MS);
		}
	}
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_RETRY], 2);
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
}

/* Several INITs were on their way: their RETRYs are one answer. */
static void
late_retries_do_not_count(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[CONN_RETRY_MAX + 4];
	struct wire_hdr retry;

	pair_make(pair);
	retry = retry_for(pair, packet);
	pair_wait(pair, 100 * MS);
	for (int i = 0; i < 5; i++)
		weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_RETRY], 4);
	pair_flush(pair, &pair->a);
	/* The listener has other keys now. */
	retry.ts_echo = pair_last(&pair->a).ts;
	pair_wait(pair, MS);
	weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_RETRY], 4);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
}

static void
a_retry_that_is_not_ours_is_ignored(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[CONN_RETRY_MAX + 4];
	struct wire_hdr retry, other;

	pair_make(pair);
	retry = retry_for(pair, packet);
	other = retry;
	other.token ^= UINT64_C(1) << 40;
	weir_conn_on_packet(pair->a.conn, &other, NULL, pair->now);
	other = retry;
	other.ack++;
	weir_conn_on_packet(pair->a.conn, &other, NULL, pair->now);
	other = retry;
	other.cookie = NULL;
	weir_conn_on_packet(pair->a.conn, &other, NULL, pair->now);
	assert_int_equal(pair_flush(pair, &pair->a), 0);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_TOKEN], 1);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_RETRY], 2);
	/* The longest cookie that can be is sent back whole. */
	retry.cookie = memset(packet, 0x77, WIRE_COOKIE_MAX);
	packet[0] = WIRE_EXT_COOKIE;
	packet[1] = WIRE_COOKIE_MAX / 8;
	weir_conn_on_packet(pair->a.conn, &retry, NULL, pair->now);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	other = pair_last(&pair->a);
	assert_memory_equal(other.cookie, packet, WIRE_COOKIE_MAX);
	assert_int_equal(pair->a.wire[1].len, WIRE_INIT_LEN);
}

static void
who_is_not_validated_hears_no_more_than_he_said(void **state)
{
	struct pair *pair = *state;
	uint32_t said = 0, heard = 0;

	pair->unvalidated = true;
	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	for (int i = 0; i < 4000; i++) {
		pair_flush(pair, &pair->b);
		pair_wait(pair, MS);
		/* INIT again now and then. */
		if (i % 100 == 50 &&
		    weir_conn_status(pair->b.conn) == -EINPROGRESS)
			pair_hand(pair, &pair->a, 0, &pair->b);
	}
	for (uint32_t i = 0; i < pair->b.sent; i++)
		heard += pair->b.wire[i].len;
	said = pair->a.wire[0].len *
	       (uint32_t)(1 + pair_stats(&pair->b).drops[CONN_DROP_DUPLICATE]);
	assert_true(heard <= said);
	assert_true(pair->b.sent >= 2);
	/* And does not stay for ever. */
	assert_int_equal(weir_conn_status(pair->b.conn), -ETIMEDOUT);
	assert_true(weir_conn_finished(pair->b.conn));
}

static void
an_unvalidated_client_gets_its_link_all_the_same(void **state)
{
	struct pair *pair = *state;

	pair->unvalidated = true;
	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	/* The first ACCEPT is lost: the client asks again. */
	pair_flush(pair, &pair->b);
	pair->b.wire[0].drop = true;
	pair_run(pair, 10 * MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* Its ACK is lost, and it has nothing to say: its PING has to be in time. */
static void
an_unvalidated_client_is_waited_for(void **state)
{
	struct pair *pair = *state;

	pair->unvalidated = true;
	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	pair_flush(pair, &pair->a);
	pair->a.wire[1].drop = true;
	pair_run(pair, 200 * MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* A client without a processor hears ACCEPT late, and is up then: so must the
 * server be. */
static void
a_client_that_was_starved_gets_its_link(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	for (int i = 0; i < 2500; i++) {
		pair_flush(pair, &pair->b);
		pair_wait(pair, MS);
	}
	assert_in_range(pair->b.sent, 10, 20);
	pair_run(pair, 10 * MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* --- sizes ------------------------------------------------------------ */

static void
hellos_have_the_size_of_full_packets(void **state)
{
	struct pair *pair = *state;
	struct conn_limits limits;

	pair->a.config.frag_size = pair->b.config.frag_size = 1400;
	pair->a.config.hello_len = 1456;
	pair_make(pair);
	pair_run(pair, 0);
	assert_int_equal(pair->a.wire[0].len, 1456);
	assert_int_equal(pair->b.wire[0].len, 1456);
	weir_conn_limits(pair->a.conn, &limits);
	assert_int_equal(limits.frag_size, 1400);
	/* An answer is never longer than what its sender may send. */
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* The path takes 1,300 bytes and no more. */
static void
narrow(struct end *end)
{
	for (uint32_t i = end->delivered; i < end->sent; i++)
		end->wire[i].drop |= end->wire[i].len > 1300;
}

static void
a_path_that_takes_less_is_found_out(void **state)
{
	struct pair *pair = *state;
	struct conn_limits limits;

	pair->a.config.frag_size = pair->b.config.frag_size = 1400;
	pair->a.config.hello_len = 1456;
	pair_make(pair);
	for (int i = 0; i < 200 && weir_conn_status(pair->b.conn) != 0; i++) {
		pair_flush(pair, &pair->a);
		narrow(&pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		if (weir_conn_peer(pair->b.conn) != NULL)
			pair_flush(pair, &pair->b);
		narrow(&pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		pair_wait(pair, MS);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	weir_conn_limits(pair->a.conn, &limits);
	assert_int_equal(limits.frag_size, 1144);
	weir_conn_limits(pair->b.conn, &limits);
	assert_int_equal(limits.frag_size, 1144);
	assert_int_equal(pair->a.wire[2].len, 1200);
}

static void
inits_without_an_answer_change_their_size_by_turns(void **state)
{
	static const uint32_t lens[] = { 1440, 1440, 1200, 1440, 1200, 1440 };
	static const uint32_t small[] = { 1000, 1000, 256, 1000, 256, 1000 };
	struct pair *pair = *state;

	for (int run = 0; run < 2; run++) {
		const uint32_t *want = run == 0 ? lens : small;

		teardown(state);
		setup(state);
		pair = *state;
		pair->a.config.hello_len = want[0];
		pair->a.config.frag_size = want[0] - WIRE_FULL_HDR_LEN;
		pair_make(pair);
		for (int i = 0; i < 6; i++) {
			struct wire_params params;

			while (pair_flush(pair, &pair->a) == 0)
				pair_wait(pair, MS);
			weir_wire_get_params(pair_last(&pair->a).params,
					     &params);
			assert_int_equal(pair->a.wire[i].len, want[i]);
			assert_int_equal(params.frag_size,
					 want[i] - WIRE_FULL_HDR_LEN);
		}
	}
}

/* The server may have chosen from an earlier INIT, a larger one. */
static void
a_client_takes_what_it_offered_not_what_was_chosen(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;
	static const uint8_t payload[1001];

	pair->a.config.frag_size = 1000;
	pair->b.config.frag_size = 700;
	pair_open(pair);
	pair_push(&pair->b, bytes, 10);
	pair_flush(pair, &pair->b);
	hdr = pair_last(&pair->b);
	hdr.payload = payload;
	hdr.payload_len = hdr.mlo = 1000;
	pair->a.kept += (uint32_t)weir_conn_on_packet(pair->a.conn, &hdr, pair,
						      pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_read(&pair->a), 1);
	hdr.seq++;
	hdr.payload_len = hdr.mlo = 1001;
	weir_conn_on_packet(pair->a.conn, &hdr, pair, pair->now);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_LENGTH);
}

/* Only from server to client: the server has chosen 1400 already. */
static void
a_narrow_way_back_makes_the_server_choose_again(void **state)
{
	struct pair *pair = *state;
	struct conn_limits limits;

	pair->a.config.frag_size = pair->b.config.frag_size = 1400;
	pair->a.config.hello_len = 1456;
	pair_make(pair);
	for (int i = 0; i < 200 && weir_conn_status(pair->b.conn) != 0; i++) {
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		pair_flush(pair, &pair->b);
		narrow(&pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		pair_wait(pair, MS);
	}
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	weir_conn_limits(pair->a.conn, &limits);
	assert_int_equal(limits.frag_size, 1144);
	weir_conn_limits(pair->b.conn, &limits);
	assert_int_equal(limits.frag_size, 1144);
	/* Data flows both ways at that size. */
	pair_push(&pair->b, bytes, 1000);
	pair_push(&pair->a, bytes, 1000);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->a), 1);
	assert_int_equal(pair_read(&pair->b), 1);
}

/* --- features --------------------------------------------------------- */

enum want {
	OFF,
	ON,
	REQUIRE
};

static void
set_crc(struct conn_config *config, enum want want)
{
	if (want != OFF)
		config->features_offer |= WIRE_FEATURE_CRC32C;
	if (want == REQUIRE)
		config->features_require |= WIRE_FEATURE_CRC32C;
}

/* Server's hello, or the listener's no, to the newest INIT. */
static int
answer_init(struct pair *pair)
{
	struct conn_init init;
	struct wire_hdr hdr;
	enum wire_error reason;
	int rc;

	pair_flush(pair, &pair->a);
	hdr = pair_last(&pair->a);
	rc = weir_conn_check_init(&pair->b.config, &hdr, &init, &reason);
	if (rc == -ECONNREFUSED) {
		struct wire_packet *packet = &pair->b.wire[pair->b.sent++];

		packet->len = pair_seal(
			packet->bytes,
			weir_conn_build_reject(&hdr, reason, packet->bytes));
		assert_true(packet->len < pair->a.wire[0].len);
		pair->a.delivered = pair->a.sent;
		pair_deliver(pair, &pair->b, &pair->a);
	}
	return rc;
}

static void
crc_is_agreed_on_or_refused(void **state)
{
	for (int a = OFF; a <= REQUIRE; a++) {
		for (int b = OFF; b <= REQUIRE; b++) {
			bool both = a != OFF && b != OFF;
			bool none = (a == REQUIRE && b == OFF) ||
				    (b == REQUIRE && a == OFF);
			struct conn_limits limits;
			struct pair *pair;

			teardown(state);
			setup(state);
			pair = *state;
			set_crc(&pair->a.config, (enum want)a);
			set_crc(&pair->b.config, (enum want)b);
			pair_make(pair);
			if (answer_init(pair) == 0)
				pair_run(pair, 0);
			assert_int_equal(weir_conn_status(pair->a.conn),
					 none ? -EPROTONOSUPPORT : 0);
			if (none) {
				assert_int_equal(
					weir_conn_error_code(pair->a.conn),
					WIRE_E_FEATURES);
				continue;
			}
			weir_conn_limits(pair->b.conn, &limits);
			assert_int_equal(limits.features & WIRE_FEATURE_CRC32C,
					 both ? WIRE_FEATURE_CRC32C : 0);
			pair_push(&pair->a, bytes, 10);
			pair_run(pair, MS);
			assert_int_equal(pair_read(&pair->b), 1);
			assert_int_equal(
				!!(pair_last(&pair->a).flags & WIRE_F_TRAILER),
				both);
		}
	}
}

/* Every pair of version ranges and modes that can be written down. */
static void
versions_and_modes_are_chosen_or_refused(void **state)
{
	struct pair *pair = *state;
	uint8_t ext[WIRE_PARAMS_LEN];
	struct wire_params params;
	struct conn_init init;
	struct wire_hdr hdr;
	enum wire_error reason;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	hdr = pair_last(&pair->a);
	weir_wire_get_params(hdr.params, &params);
	hdr.params = ext;
	for (int min = 0; min < 4; min++)
		for (int max = 0; max < 4; max++)
			for (int modes = 0; modes < 8; modes++) {
				int want = 0, rc;

				params.version_min = (uint8_t)min;
				params.version_max = (uint8_t)max;
				params.modes = (uint16_t)modes;
				weir_wire_put_params(&params, ext);
				rc = weir_conn_check_init(&pair->b.config, &hdr,
							  &init, &reason);
				if (min == 0 || min > max || modes == 0)
					want = -EPROTO;
				else if (min > 1 || !(modes & 1))
					want = -ECONNREFUSED;
				assert_int_equal(rc, want);
				if (want == -ECONNREFUSED)
					assert_int_equal(
						reason, min > 1 ? WIRE_E_VERSION
								: WIRE_E_MODE);
			}
}

static void
a_feature_nobody_offered_is_not_chosen(void **state)
{
	struct pair *pair = *state;
	struct conn_limits limits;

	for (int i = 0; i < 16; i++) {
		/* Bits without a meaning: only what both have. */
		uint64_t a = UINT64_C(0x100) * (uint64_t)(i & 3);
		uint64_t b = UINT64_C(0x100) * (uint64_t)(i >> 2);

		teardown(state);
		setup(state);
		pair = *state;
		pair->a.config.features_offer = a;
		pair->b.config.features_offer = b;
		pair_open(pair);
		weir_conn_limits(pair->a.conn, &limits);
		assert_int_equal(limits.features, a & b);
		weir_conn_limits(pair->b.conn, &limits);
		assert_int_equal(limits.features, a & b);
	}
}

static void
a_packet_without_its_trailer_is_dropped(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;

	set_crc(&pair->a.config, ON);
	set_crc(&pair->b.config, ON);
	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	pair_flush(pair, &pair->a);
	hdr = pair_last(&pair->a);
	hdr.flags &= (uint8_t)~WIRE_F_TRAILER;
	assert_int_equal(weir_conn_on_packet(pair->b.conn, &hdr,
					     (void *)(uintptr_t)9, pair->now),
			 0);
	assert_int_equal(pair_stats(&pair->b).drops[CONN_DROP_CRC_MISSING], 1);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_read(&pair->b), 1);
	/* ACCEPT is a hello, whatever became of the link. */
	pair_hand(pair, &pair->b, 0, &pair->a);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_DUPLICATE], 1);
}

static void
a_trailer_that_nobody_agreed_on_is_dropped(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;

	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	pair_flush(pair, &pair->a);
	hdr = pair_last(&pair->a);
	hdr.flags |= WIRE_F_TRAILER;
	assert_int_equal(weir_conn_on_packet(pair->b.conn, &hdr,
					     (void *)(uintptr_t)9, pair->now),
			 0);
	assert_int_equal(pair_stats(&pair->b).drops[CONN_DROP_FLAGS], 1);
}

/* --- gone ------------------------------------------------------------- */

static struct wire_hdr
gone_from(const struct end *end, uint64_t token, uint8_t packet[WIRE_HDR_LEN])
{
	struct wire_hdr hdr;

	weir_wire_put_gone(token, end->config.proof, packet);
	assert_int_equal(weir_wire_decode(packet, WIRE_HDR_LEN, &hdr), WIRE_OK);
	return hdr;
}

static void
gone_with_its_proof_ends_the_link(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	hdr = gone_from(&pair->b, pair->b.config.token, packet);
	assert_true(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	/* As if the peer had been silent, and without a word to it. */
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_DEAD);
	assert_int_equal(pair_flush(pair, &pair->a), 0);
}

static void
gone_without_its_proof_changes_nothing(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	pair_open(pair);
	for (uint32_t bit = 64; bit < 256; bit++) {
		gone_from(&pair->b, pair->b.config.token, packet);
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		weir_wire_decode(packet, WIRE_HDR_LEN, &hdr);
		assert_false(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	}
	/* Our own token and our own proof say nothing about the peer. */
	hdr = gone_from(&pair->a, pair->a.config.token, packet);
	assert_false(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_GONE], 193);
}

static void
who_promised_no_proof_cannot_be_gone(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	memset(pair->b.config.proof, 0, WIRE_PROOF_LEN);
	pair_open(pair);
	hdr = gone_from(&pair->b, pair->b.config.token, packet);
	assert_false(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

static void
gone_when_only_fin_is_left_is_a_good_end(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	pair_open(pair);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	weir_conn_close_tx(pair->a.conn);
	pair_flush(pair, &pair->a);
	hdr = gone_from(&pair->b, pair->b.config.token, packet);
	assert_true(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_true(weir_conn_finished(pair->a.conn));
}

static void
gone_ends_the_lingering(void **state)
{
	struct pair *pair = *state;
	uint8_t packet[WIRE_HDR_LEN];
	struct wire_hdr hdr;

	pair_open(pair);
	weir_conn_close_tx(pair->a.conn);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_false(weir_conn_finished(pair->a.conn));
	hdr = gone_from(&pair->b, pair->b.config.token, packet);
	assert_true(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_true(weir_conn_finished(pair->a.conn));
}

static void
gone_answers_only_what_is_longer_and_not_itself_an_answer(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;

	(void)pair;
	for (uint8_t type = 0; type < WIRE_TYPES; type++) {
		bool may = type == WIRE_DATA || type == WIRE_PING ||
			   type == WIRE_FIN || type == WIRE_BATCH;

		/* Types without a use do not get through the decoder. */
		if (type == 0 || type == WIRE_PROBE || type == WIRE_KEYUP)
			continue;
		memset(&hdr, 0, sizeof(hdr));
		hdr.vt = 0x10 | type;
		hdr.token = 1;
		assert_int_equal(weir_conn_gone_may_answer(&hdr, 41), may);
		assert_false(weir_conn_gone_may_answer(&hdr, WIRE_HDR_LEN));
		hdr.token = 0;
		assert_false(weir_conn_gone_may_answer(&hdr, 41));
	}
}

static void
pings_and_fins_can_be_answered_with_gone(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair->a.delivered = pair->a.sent;
	weir_conn_stop_rx(pair->a.conn);
	pair_flush(pair, &pair->a);
	assert_int_equal(wire_hdr_type(&(struct wire_hdr){
				 .vt = pair_last(&pair->a).vt }),
			 WIRE_PING);
	assert_true(pair->a.wire[pair->a.sent - 1].len > WIRE_HDR_LEN);
	weir_conn_close_tx(pair->a.conn);
	pair_flush(pair, &pair->a);
	assert_int_equal(pair_last(&pair->a).vt & 15, WIRE_FIN);
	assert_true(pair->a.wire[pair->a.sent - 1].len > WIRE_HDR_LEN);
}

static void
a_superseded_link_ends_without_a_word(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	weir_conn_supersede(pair->b.conn, pair->now);
	assert_int_equal(weir_conn_status(pair->b.conn), -ETIMEDOUT);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	assert_true(weir_conn_finished(pair->b.conn));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_comes_again_with_the_cookie),
		TEST(cookies_go_with_trailers),
		TEST(three_retries_are_obeyed_and_no_more),
		TEST(late_retries_do_not_count),
		TEST(a_retry_that_is_not_ours_is_ignored),
		TEST(who_is_not_validated_hears_no_more_than_he_said),
		TEST(an_unvalidated_client_gets_its_link_all_the_same),
		TEST(an_unvalidated_client_is_waited_for),
		TEST(a_client_that_was_starved_gets_its_link),
		TEST(hellos_have_the_size_of_full_packets),
		TEST(a_path_that_takes_less_is_found_out),
		TEST(inits_without_an_answer_change_their_size_by_turns),
		TEST(a_client_takes_what_it_offered_not_what_was_chosen),
		TEST(a_narrow_way_back_makes_the_server_choose_again),
		TEST(crc_is_agreed_on_or_refused),
		TEST(versions_and_modes_are_chosen_or_refused),
		TEST(a_feature_nobody_offered_is_not_chosen),
		TEST(a_packet_without_its_trailer_is_dropped),
		TEST(a_trailer_that_nobody_agreed_on_is_dropped),
		TEST(gone_with_its_proof_ends_the_link),
		TEST(gone_without_its_proof_changes_nothing),
		TEST(who_promised_no_proof_cannot_be_gone),
		TEST(gone_when_only_fin_is_left_is_a_good_end),
		TEST(gone_ends_the_lingering),
		TEST(gone_answers_only_what_is_longer_and_not_itself_an_answer),
		TEST(pings_and_fins_can_be_answered_with_gone),
		TEST(a_superseded_link_ends_without_a_word),
	};

	return cmocka_run_group_tests_name("conn_hello", tests, NULL, NULL);
}
