/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports, listeners, links coming up, and everything that is refused. */

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void
order_with_endpoint(struct fixture *f, struct peer *peer, struct order order,
		    const char *suffix)
{
	snprintf(order.endpoint, sizeof(order.endpoint), "%s%s",
		 endpoint_of(f, 0, peer == listener_of(f)), suffix);
	peer_start(peer, &order);
}

/* Joined links are put together from links that are tested by themselves. */
static struct fixture *
single_carrier(void **state)
{
	struct fixture *f = fixture_of(state);

	if (f->v->carriers > 1)
		case_skip(f, "a joined link: each carrier is tested alone");
	return f;
}

/* verifies link.setup: in progress, up, ended; in that order on both sides */
static void
status_goes_from_progress_to_up_to_end(void **state)
{
	struct fixture *f = single_carrier(state);
	struct peer *l = listener_of(f), *c = connector_of(f);
	int64_t rc;

	order_with_endpoint(f, l, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(l).rc, 0);
	order_with_endpoint(f, c, (struct order){ STEP_CONNECT }, "");
	assert_int_equal(peer_finish(c).rc, 0);
	rc = peer_do(c, STEP_STATUS).rc;
	/* A polled peer may have answered before anybody accepts. */
	if (rc != 0 || !(f->v->flags & VARIANT_POLLED))
		assert_int_equal(rc, -EINPROGRESS);
	peer_go(l, STEP_ACCEPT);
	pump_until((rc = peer_do(c, STEP_STATUS).rc) != -EINPROGRESS);
	assert_int_equal(rc, 0);
	assert_int_equal(peer_finish(l).rc, 0);
	assert_int_equal(peer_do(l, STEP_UP).rc, 0);
	peer_do(l, STEP_SPLIT);
	peer_do(c, STEP_SPLIT);
	assert_int_equal(peer_do(l, STEP_STATUS).rc, 0);
	peer_do(l, STEP_TX_CLOSE);
	assert_int_equal(peer_do(c, STEP_DRAIN).rc, WEIR_EOF);
	assert_int_equal(peer_do(c, STEP_STATUS).rc, 0);
	peer_do(c, STEP_TX_CLOSE);
	assert_int_equal(peer_do(l, STEP_DRAIN).rc, WEIR_EOF);
	assert_int_equal(peer_do(c, STEP_STATUS_LAST).rc, WEIR_EOF);
	assert_int_equal(peer_do(l, STEP_STATUS_LAST).rc, WEIR_EOF);
}

/* verifies link.setup: the halves of a link that is not up answer 0 */
static void
halves_answer_nothing_before_the_link_is_up(void **state)
{
	struct fixture *f = single_carrier(state);
	struct weir_link_config config = { sizeof(config) };
	struct weir_permit permit;
	struct weir_link *link;
	struct weir_msg msg;
	struct weir_peer who;

	if (connector_of(f) != f->a)
		case_skip(f, "A does not connect here; run by the variant "
			     "where it does");
	assert_int_equal(weir_link_connect(f->as->ports[0],
					   endpoint_of(f, 0, false), &config,
					   &link),
			 0);
	for (int i = 0; i < 100; i++) {
		peer_pump();
		assert_int_equal(weir_link_status(link), -EINPROGRESS);
		assert_int_equal(weir_tx_reserve(link->tx, &permit), 0);
		assert_int_equal(weir_rx_recv(link->rx, &msg), 0);
		assert_int_equal(weir_tx_capacity(link->tx, 1), 0);
		assert_int_equal(weir_link_peer(link, &who), -ENOTCONN);
	}
	assert_int_equal(weir_link_wait(link, in_ms(5)), 0);
	assert_int_equal(weir_tx_reserve_wait(link->tx, 1, in_ms(5), &permit),
			 0);
	assert_int_equal(weir_rx_recv_wait(link->rx, in_ms(5), &msg), 0);
	weir_link_destroy(link);
}

/* verifies link.setup: as soon as the status says "up", everything that can be
 * asked of the halves has its answer, without a reserve or recv before */
static void
a_link_that_is_up_answers_questions(void **state)
{
	struct fixture *f = single_carrier(state);
	struct weir_link_config config = { sizeof(config), .tx_credits = 64 };
	struct weir_tx_stats t;
	struct weir_link *link;

	if (connector_of(f) != f->a)
		case_skip(f, "A does not connect here; run by the variant "
			     "where it does");
	order_with_endpoint(f, f->b, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(f->b).rc, 0);
	peer_go(f->b, STEP_ACCEPT);
	assert_int_equal(weir_link_connect(f->as->ports[0],
					   endpoint_of(f, 0, false), &config,
					   &link),
			 0);
	pump_until(weir_link_status(link) == 0);
	peer_finish(f->b);
	assert_int_equal(weir_tx_capacity(link->tx, 16), 64);
	assert_true(weir_tx_fd(link->tx) >= 0);
	assert_true(weir_rx_fd(link->rx) >= 0);
	weir_tx_stats(link->tx, &t, sizeof(t));
	assert_int_equal(t.capacity, 64);
	assert_int_equal(t.free, 64);
	weir_link_destroy(link);
}

/* verifies link.setup: nobody there is an error when the time is over, not
 * before, and it stays */
static void
an_absent_listener_is_an_error_in_time(void **state)
{
	struct fixture *f = single_carrier(state);
	struct peer *c = connector_of(f);
	uint64_t start_ns = weir_now_ns();
	int64_t rc;

	order_with_endpoint(
		f, c,
		(struct order){ STEP_CONNECT,
				.config.connect_timeout_ns = 300000000 },
		"");
	assert_int_equal(peer_finish(c).rc, 0);
	/* In the limit of a step; no more is promised on a busy machine. */
	rc = peer_do(c, STEP_STATUS_LAST).rc;
	assert_true(rc == -ECONNREFUSED || rc == -ETIMEDOUT);
	assert_true(weir_now_ns() - start_ns >= 250000000);
	assert_int_equal(peer_do(c, STEP_STATUS).rc, rc);
	peer_do(c, STEP_SPLIT);
	assert_int_equal(peer_do(c, STEP_DRAIN).rc, rc);
	assert_int_equal(peer_do(c, STEP_RESERVE_END).rc, rc);
}

/* verifies link.setup: connecting before the listener exists works */
static void
connecting_before_the_listener_exists_works(void **state)
{
	struct fixture *f = single_carrier(state);
	struct peer *l = listener_of(f), *c = connector_of(f);

	order_with_endpoint(f, c, (struct order){ STEP_CONNECT }, "");
	assert_int_equal(peer_finish(c).rc, 0);
	for (uint64_t until_ns = in_ms(200); weir_now_ns() < until_ns;)
		peer_pump();
	assert_int_equal(peer_do(c, STEP_STATUS).rc, -EINPROGRESS);
	order_with_endpoint(f, l, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(l).rc, 0);
	peer_go(l, STEP_ACCEPT);
	peer_do(c, STEP_UP);
	assert_int_equal(peer_finish(l).rc, 0);
	peer_do(l, STEP_SPLIT);
	peer_do(c, STEP_SPLIT);
	peer_go(l, STEP_EXCHANGE, .n = 50, .size = 50, .seed = 1, .k = 2);
	peer_do(c, STEP_EXCHANGE, .n = 50, .size = 50, .seed = 2, .k = 1);
	peer_finish(l);
}

/* verifies link.setup: a link that waits at a listener which goes is refused */
static void
a_listener_that_goes_refuses_who_waits(void **state)
{
	struct fixture *f = single_carrier(state);
	struct peer *l = listener_of(f), *c = connector_of(f);
	int64_t rc;

	order_with_endpoint(f, l, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(l).rc, 0);
	order_with_endpoint(
		f, c,
		(struct order){ STEP_CONNECT,
				.config.connect_timeout_ns = 500000000 },
		"");
	assert_int_equal(peer_finish(c).rc, 0);
	for (uint64_t until_ns = in_ms(50); weir_now_ns() < until_ns;)
		peer_pump();
	peer_do(l, STEP_UNLISTEN);
	rc = peer_do(c, STEP_STATUS_LAST).rc;
	/* A link may be up before it is accepted; then it is reset. */
	if ((f->v->flags & VARIANT_POLLED) && rc == -ECONNRESET)
		return;
	if (rc != -ECONNREFUSED && rc != -ETIMEDOUT)
		fail_msg("neither refused nor timed out: %s",
			 weir_strerror((int)rc));
}

/* verifies link.setup: links that were accepted outlive their listener */
static void
accepted_links_outlive_the_listener(void **state)
{
	struct fixture *f = link_up(state, NULL);

	for (uint64_t k = 0; k < f->v->carriers; k++)
		peer_do(listener_of(f), STEP_UNLISTEN, .k = k);
	peer_go(f->b, STEP_EXCHANGE, .n = 200, .size = 99, .seed = 2, .k = 1);
	peer_do(f->a, STEP_EXCHANGE, .n = 200, .size = 99, .seed = 1, .k = 2);
	peer_finish(f->b);
	all_back(f);
}

/* verifies link.setup: an address has one listener; it is free afterwards */
static void
an_address_has_one_listener(void **state)
{
	struct fixture *f = single_carrier(state);
	struct weir_link_config config = { sizeof(config) };
	struct weir_listener *first, *second = NULL;
	const char *endpoint = endpoint_of(f, 0, true);
	struct weir_port *port = f->as->ports[0];

	if (listener_of(f) != f->a)
		case_skip(f, "A does not listen here; run by the variant "
			     "where it does");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			weir_listener_open(port, endpoint, &config, &first), 0);
		assert_int_equal(
			weir_listener_open(port, endpoint, &config, &second),
			-EADDRINUSE);
		assert_null(second);
		assert_true(weir_last_error()[0] != '\0');
		weir_listener_close(first);
	}
}

/* verifies link.setup: the limit is the smaller of what both can take */
static void
the_limit_is_what_both_can_take(void **state)
{
	struct fixture *f = fixture_of(state);
	uint32_t max;

	link_open(f, 0, CONFIG(.msg_size_max = 5000),
		  CONFIG(.msg_size_max = 3000));
	max = weir_tx_msg_size_max(f->tx);
	assert_in_range(max, 3000, 5000);
	peer_go(f->b, STEP_RECV, .n = 1, .size = max, .seed = SEED);
	send_one(f, max, pattern_seed(SEED, 0));
	peer_finish(f->b);
	peer_go(f->b, STEP_SEND, .n = 1, .size = 3000, .seed = SEED);
	expect_one(f, 3000, pattern_seed(SEED, 0));
	peer_finish(f->b);
	all_back(f);
}

/* verifies link.setup: who is at the other end */
static void
the_peer_has_a_name(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_peer peer;
	pid_t wanted = f->b->pid != 0 ? f->b->pid : getpid();

	if (f->v->carriers > 1)
		case_skip(f, "a joined link has no single peer");
	assert_int_equal(weir_link_peer(f->as->ends[0].link, &peer), 0);
	if (f->v->flags & VARIANT_POLLED) {
		assert_true(peer.address[0] != '\0');
	} else {
		assert_int_equal(peer.pid, wanted);
		assert_int_equal(peer.uid, geteuid());
		assert_int_equal(peer.gid, getegid());
		assert_int_equal(peer_do(f->b, STEP_PEER).n, getpid());
	}
}

/* verifies link.setup: a port with users stays open */
static void
a_port_with_users_stays_open(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct peer *l = listener_of(f);

	assert_int_equal(peer_do(f->a, STEP_PORT_CLOSE).rc, -EBUSY);
	peer_do(f->a, STEP_TX_DESTROY);
	assert_int_equal(peer_do(f->a, STEP_PORT_CLOSE).rc, -EBUSY);
	peer_do(f->b, STEP_RESET);
	peer_do(f->a, STEP_RESET);
	if (f->v->carriers > 1 || l != f->a)
		return;
	order_with_endpoint(f, l, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(l).rc, 0);
	assert_int_equal(peer_do(l, STEP_PORT_CLOSE).rc, -EBUSY);
}

/* verifies link.setup: a port that was closed can be opened again */
static void
a_port_can_be_opened_again(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->a, STEP_SEND, .n = 3, .size = 30, .seed = SEED);
	peer_do(f->b, STEP_RECV, .n = 3, .size = 30, .seed = SEED);
	peer_do(f->b, STEP_RESET);
	peer_do(f->a, STEP_RESET);
	for (uint64_t k = 0; k < f->v->carriers; k++) {
		assert_int_equal(peer_do(f->b, STEP_PORT_CLOSE, .k = k).rc, 0);
		assert_int_equal(peer_do(f->a, STEP_PORT_CLOSE, .k = k).rc, 0);
	}
	/* The next case opens them again; so does this one. */
	case_setup(state);
	link_up(state, NULL);
	peer_do(f->a, STEP_SEND, .n = 3, .size = 30, .seed = SEED);
	peer_do(f->b, STEP_RECV, .n = 3, .size = 30, .seed = SEED);
}

/* verifies link.setup: the listener's descriptor tells of a link */
static void
the_listeners_descriptor_tells_of_a_link(void **state)
{
	struct fixture *f = single_carrier(state);
	struct peer *l = listener_of(f);
	struct pollfd pfd = { .events = POLLIN };

	if (l != f->a)
		case_skip(f, "A does not listen here; run by the variant "
			     "where it does");
	order_with_endpoint(f, l, (struct order){ STEP_LISTEN }, "");
	assert_int_equal(peer_finish(l).rc, 0);
	pfd.fd = weir_listener_fd(f->as->listeners[0]);
	if (pfd.fd == -EOPNOTSUPP)
		case_skip(f, "listeners have no descriptor: sleep on the port");
	assert_true(pfd.fd >= 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	order_with_endpoint(f, f->b, (struct order){ STEP_CONNECT }, "");
	peer_finish(f->b);
	peer_go(f->b, STEP_UP);
	pump_until(poll(&pfd, 1, 0) == 1);
	peer_do(f->a, STEP_ACCEPT);
	peer_finish(f->b);
}

/* ---- what is refused ---------------------------------------------------------- */

static int
try_connect(struct fixture *f, const struct weir_link_config *config)
{
	struct weir_link *link = NULL;
	int rc = weir_link_connect(f->as->ports[0], endpoint_of(f, 0, false),
				   config, &link);

	if (rc == 0)
		weir_link_destroy(link);
	else
		assert_null(link);
	return rc;
}

static int
try_listen(struct fixture *f, const struct weir_link_config *config)
{
	struct weir_listener *listener = NULL;
	int rc = weir_listener_open(f->as->ports[0], endpoint_of(f, 0, true),
				    config, &listener);

	if (rc == 0)
		weir_listener_close(listener);
	else
		assert_null(listener);
	return rc;
}

/* Both ways to start a link refuse it, with a text that says what to do. */
static void
expect_refusal(struct fixture *f, const struct weir_link_config *config, int rc)
{
	assert_int_equal(try_connect(f, config), rc);
	assert_non_null(strchr(weir_last_error(), ';'));
	assert_int_equal(try_listen(f, config), rc);
	assert_non_null(strchr(weir_last_error(), ';'));
}

/* verifies link.mode: stable is refused, never turned into bare */
static void
stable_mode_is_refused(void **state)
{
	struct fixture *f = fixture_of(state);
	const struct weir_driver *driver = f->as->ports[0]->driver;

	assert_true(weir_driver_supports(driver, WEIR_MODE_BARE));
	assert_false(weir_driver_supports(driver, WEIR_MODE_STABLE));
	expect_refusal(f, CONFIG(.mode = WEIR_MODE_STABLE), -EOPNOTSUPP);
}

/* verifies link.mode: a mode that does not exist is malformed */
static void
an_unknown_mode_is_malformed(void **state)
{
	struct fixture *f = fixture_of(state);

	expect_refusal(f, CONFIG(.mode = 2), -EINVAL);
	expect_refusal(f, CONFIG(.mode = UINT32_MAX), -EINVAL);
	assert_false(weir_driver_supports(f->as->ports[0]->driver,
					  (enum weir_mode)40));
}

/* verifies link.tx.sync: a driver that has no Tx for several threads says so */
static void
multi_producer_is_refused(void **state)
{
	struct fixture *f = fixture_of(state);

	if ((f->as->ports[0]->driver->caps & WEIR_CAP_MULTI_PRODUCER) == 0)
		expect_refusal(f, CONFIG(.flags = WEIR_LINK_MULTI_PRODUCER),
			       -EOPNOTSUPP);
	expect_refusal(f, CONFIG(.flags = 1u << 7), -EINVAL);
}

/* verifies link.setup: limits of a config are checked */
static void
configs_out_of_range_are_refused(void **state)
{
	struct fixture *f = fixture_of(state);
	struct weir_link_config wrong = { 0 };

	expect_refusal(f, CONFIG(.tx_credits = 32769), -EINVAL);
	expect_refusal(f, CONFIG(.msg_size_max = WEIR_MSG_SIZE_LIMIT + 1),
		       -EINVAL);
	expect_refusal(f, CONFIG(.large_count = 65), -EINVAL);
	expect_refusal(f, &wrong, -EINVAL);
	wrong.size = sizeof(wrong) + 8;
	expect_refusal(f, &wrong, -EINVAL);
}

/* verifies link.setup: a config from an older header is taken as it is */
static void
a_config_of_an_older_header_is_taken(void **state)
{
	struct fixture *f = single_carrier(state);
	struct weir_link_config older = {
		.size = offsetof(struct weir_link_config, flags),
		.flags = 0xffffffffu, /* beyond its size: not there */
		.tx_credits = 0xffffffffu,
	};

	if (connector_of(f) == f->a)
		assert_int_equal(try_connect(f, &older), 0);
	else
		assert_int_equal(try_listen(f, &older), 0);
}

/* verifies link.setup: malformed endpoints are refused with a text */
static void
malformed_endpoints_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"mem",
		":x",
		"mem:a,b",
		"mem:a,=b",
		"nosuch:name",
		"mem:a,x=1,x=1",
		"mem:a,color=red",
		"M:EM",
		"shm:a,key",
		"shm:x,color=red",
	};
	struct fixture *f = fixture_of(state);
	struct weir_port *port = NULL;
	struct weir_link *link = NULL;
	char long_name[700];
	int rc;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rc = weir_port_open(bad[i], NULL, &port);
		assert_true(rc == -EINVAL || rc == -ENODEV);
		assert_non_null(strchr(weir_last_error(), ';'));
		rc = weir_link_connect(f->as->ports[0], bad[i], NULL, &link);
		assert_int_equal(rc, -EINVAL);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	memcpy(long_name, "mem:", 4);
	assert_int_equal(weir_port_open(long_name, NULL, &port), -EINVAL);
	assert_int_equal(weir_port_open(NULL, NULL, &port), -EINVAL);
	/* Another scheme than the port's. */
	rc = weir_link_connect(
		f->as->ports[0],
		strcmp(f->as->ports[0]->driver->scheme, "mem") == 0 ? "shm:x"
								    : "mem:x",
		NULL, &link);
	assert_int_equal(rc, -EINVAL);
	assert_null(link);
	assert_null(port);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(status_goes_from_progress_to_up_to_end),
	cmocka_unit_test(halves_answer_nothing_before_the_link_is_up),
	cmocka_unit_test(a_link_that_is_up_answers_questions),
	cmocka_unit_test(an_absent_listener_is_an_error_in_time),
	cmocka_unit_test(connecting_before_the_listener_exists_works),
	cmocka_unit_test(a_listener_that_goes_refuses_who_waits),
	cmocka_unit_test(accepted_links_outlive_the_listener),
	cmocka_unit_test(an_address_has_one_listener),
	cmocka_unit_test(the_limit_is_what_both_can_take),
	cmocka_unit_test(the_peer_has_a_name),
	cmocka_unit_test(a_port_with_users_stays_open),
	cmocka_unit_test(a_port_can_be_opened_again),
	cmocka_unit_test(the_listeners_descriptor_tells_of_a_link),
	cmocka_unit_test(stable_mode_is_refused),
	cmocka_unit_test(an_unknown_mode_is_malformed),
	cmocka_unit_test(multi_producer_is_refused),
	cmocka_unit_test(configs_out_of_range_are_refused),
	cmocka_unit_test(a_config_of_an_older_header_is_taken),
	cmocka_unit_test(malformed_endpoints_are_refused),
};

CASE_LIST(cases_setup, tests);
