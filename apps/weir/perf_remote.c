/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * perf serve and its clients: a measurement between two commands, on one
 * machine or two. One link per size:
 *
 *     client                                   serve
 *     hello (kind, size, warm-up)   ------->
 *                                   <-------   answer (0, or why not)
 *     messages                      ------->   echoed (lat), counted (bw)
 *     end of its direction          ------->
 *                                   <-------   count, bw only; what the
 *                                              server dropped or repaired, a
 *                                              message per counter; end
 *
 * Words are little endian. There is no floor: the two sides share no memory
 * in which to find one.
 */

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "perf.h"
#include "spin.h"
#include "ticks.h"
#include "tool.h"

#define HELLO_MAGIC    UINT64_C(0x3166726570726577) /* "werperf1" */
#define HELLO_VERIFY   1u
#define CALIBRATE_NS   50000000u
#define ANSWER_WAIT_NS UINT64_C(5000000000)
#define CHUNK          256u

struct hello {
	uint64_t magic;
	uint32_t kind; /* enum weir_perf_kind */
	uint32_t size;
	uint32_t flags;
	uint32_t burst;
	uint64_t warmup_ns;
};

struct answer {
	uint64_t magic;
	uint64_t refused; /* 0, or the largest size that would do */
};

struct tallied {
	uint64_t messages;
	uint64_t timed;
	uint64_t ns;
	uint64_t found[4]; /* struct weir_integrity */
};

/* A counter of the server's that is not 0, by its part and name: versions need
 * not have the same ones. */
struct told {
	uint64_t value;
	char name[56]; /* "port.device_missed" */
};

/* ---- both ------------------------------------------------------------------- */

/* Wait for one message of exactly size bytes. @return 1; 0 too late; negative;
 * -EINTR after a signal. */
static int
receive(struct weir_side *side, void *to, uint32_t size, uint64_t wait_ns)
{
	uint64_t start_ns = weir_now_ns();
	struct weir_msg msg;
	int rc;

	for (;;) {
		rc = weir_perf_link_poll(&side->test);
		if (rc == 0)
			rc = weir_rx_recv(side->test.rx, &msg);
		if (rc != 0)
			break;
		if (weir_tool_signal != 0)
			return -EINTR;
		if (weir_now_ns() - start_ns > wait_ns)
			return 0;
		sched_yield();
	}
	if (rc < 0)
		return rc;
	rc = msg.len == size ? 1 : -EPROTO;
	if (rc == 1)
		memcpy(to, msg.data, size);
	weir_msg_release(&msg);
	return rc;
}

static int
transmit(struct weir_side *side, const void *from, uint32_t size)
{
	int rc = weir_tx_send(side->test.tx, from, size);

	return rc != 0 ? rc : weir_perf_link_poll(&side->test);
}

/* ---- serve ------------------------------------------------------------------- */

static int
serve_echo(struct weir_side *side)
{
	struct weir_spin spin = { .limit = WEIR_SPIN_LIMIT };
	int rc;

	for (;;) {
		rc = weir_perf_link_answer(&side->test);
		if (rc < 0)
			return rc == WEIR_EOF ? 0 : rc;
		if (rc > 0) {
			weir_spin_reset(&spin);
			continue;
		}
		if (weir_tool_signal != 0)
			return -EINTR;
		(void)weir_spin(&spin);
	}
}

/* Count until the client closes; the warm-up is received and forgotten. */
static int
serve_sink(struct weir_side *side, uint64_t warmup_ns, struct tallied *tallied)
{
	struct weir_spin spin = { .limit = WEIR_SPIN_LIMIT };
	uint64_t begin_ns = 0, start_ns = 0, last_ns = 0;
	int rc;

	memset(tallied, 0, sizeof(*tallied));
	while ((rc = weir_perf_link_take(&side->test)) >= 0) {
		if (rc == 0) {
			if (weir_tool_signal != 0)
				return -EINTR;
			(void)weir_spin(&spin);
			continue;
		}
		weir_spin_reset(&spin);
		last_ns = weir_raw_ns();
		tallied->messages += (uint64_t)rc;
		if (begin_ns == 0)
			begin_ns = last_ns;
		if (start_ns != 0)
			tallied->timed += (uint64_t)rc;
		else if (last_ns - begin_ns >= warmup_ns)
			start_ns = last_ns;
	}
	tallied->ns = start_ns != 0 ? last_ns - start_ns : 0;
	return rc == WEIR_EOF ? 0 : rc;
}

struct teller {
	struct weir_side *side;
	int rc;
};

static void
tell_event(void *arg, const char *part, const struct weir_counter *counter,
	   uint64_t value)
{
	struct teller *teller = arg;
	struct told told = { .value = htole64(value) };

	if (counter->kind != WEIR_COUNTER_EVENT || value == 0 ||
	    teller->rc != 0)
		return;
	snprintf(told.name, sizeof(told.name), "%s.%s", part, counter->name);
	teller->rc = transmit(teller->side, &told, sizeof(told));
}

/* Drops, waits and repairs since then. */
static int
tell_events(struct weir_side *side, const struct weir_counters *before)
{
	struct teller teller = { .side = side };
	struct weir_counters now;

	weir_side_counters(side, &now);
	weir_counters_since(&now, before);
	weir_counters_each(&now, tell_event, &teller);
	return teller.rc;
}

static int
serve_count(struct weir_side *side, uint64_t warmup_ns)
{
	const struct weir_integrity *found = &side->test.order.found;
	struct weir_counters before;
	struct tallied tallied;
	int rc;

	weir_side_counters(side, &before);
	rc = serve_sink(side, warmup_ns, &tallied);
	if (rc != 0)
		return rc;
	tallied.messages = htole64(tallied.messages);
	tallied.timed = htole64(tallied.timed);
	tallied.ns = htole64(tallied.ns);
	tallied.found[0] = htole64(found->lost);
	tallied.found[1] = htole64(found->duplicate);
	tallied.found[2] = htole64(found->reordered);
	tallied.found[3] = htole64(found->corrupt);
	rc = transmit(side, &tallied, sizeof(tallied));
	return rc != 0 ? rc : tell_events(side, &before);
}

static int
serve_client(struct weir_side *side)
{
	struct answer answer = { .magic = htole64(HELLO_MAGIC) };
	struct hello hello;
	uint32_t size, max = weir_tx_msg_size_max(side->test.tx);
	int rc = receive(side, &hello, sizeof(hello), ANSWER_WAIT_NS);

	if (rc <= 0)
		return rc == 0 ? -ETIMEDOUT : rc;
	if (le64toh(hello.magic) != HELLO_MAGIC)
		return -EPROTO;
	size = le32toh(hello.size);
	if (size > max)
		answer.refused = htole64(max);
	rc = transmit(side, &answer, sizeof(answer));
	if (rc != 0 || size > max)
		return rc;
	weir_work_close(&side->work);
	if (weir_side_test(side, NULL, size, WEIR_SPIN_LIMIT) != 0)
		return -ENOMEM;
	side->test.verify = (le32toh(hello.flags) & HELLO_VERIFY) != 0;
	side->test.load.burst = WEIR_PERF_BURST_MAX;
	weir_tool_note("%s, %u B messages, from a new client",
		       le32toh(hello.kind) == WEIR_PERF_LAT ? "lat" : "bw",
		       size);
	return le32toh(hello.kind) == WEIR_PERF_LAT
		       ? serve_echo(side)
		       : serve_count(side, le64toh(hello.warmup_ns));
}

int
weir_perf_serve(const struct weir_perf_args *args)
{
	struct weir_side side = { .args = args };
	uint64_t served = 0;
	int rc = weir_side_listen(&side, args->endpoint);

	if (rc == 0)
		weir_tool_note("listening on %s", args->endpoint);
	while (rc == 0 && (args->count == 0 || served < args->count)) {
		rc = weir_side_accept(&side, NULL);
		if (rc == WEIR_EXIT_INTERRUPT)
			break;
		if (rc == 0) {
			int end = serve_client(&side);

			/* One client's trouble is not the next one's. */
			if (end == -EINTR)
				rc = WEIR_EXIT_INTERRUPT;
			else if (end != 0)
				(void)weir_tool_link_fail(side.endpoint, end);
			served++;
		}
		weir_side_hang_up(&side);
		memset(&side.test, 0, sizeof(side.test));
	}
	weir_side_close(&side);
	return rc;
}

/* ---- client ------------------------------------------------------------------- */

struct client {
	const struct weir_perf_args *args;
	struct weir_side side;
	struct weir_tally *tally;
	struct weir_integrity integrity;
	struct weir_counters peer; /* events, as far as they were told */
	uint64_t messages;
	uint64_t start_ns; /* of the first size */
	uint64_t warmup_ns, time_ns;
	uint32_t size;
	double ticks_per_ns;
};

static int
say_hello(struct client *client)
{
	const struct weir_perf_args *args = client->args;
	struct hello hello = {
		.magic = htole64(HELLO_MAGIC),
		.kind = htole32(client->side.kind),
		.size = htole32(client->size),
		.flags = htole32(args->verify ? HELLO_VERIFY : 0),
		.burst = htole32((uint32_t)args->burst),
		.warmup_ns = htole64(client->warmup_ns),
	};
	struct answer answer;
	int rc = transmit(&client->side, &hello, sizeof(hello));

	if (rc == 0)
		rc = receive(&client->side, &answer, sizeof(answer),
			     ANSWER_WAIT_NS);
	if (rc <= 0)
		return rc == 0 ? -ETIMEDOUT : rc;
	if (le64toh(answer.magic) != HELLO_MAGIC)
		return -EPROTO;
	return answer.refused != 0 ? -EMSGSIZE : 0;
}

static bool
client_done(const struct client *client, uint64_t end_ns)
{
	return weir_tool_signal != 0 || weir_now_ns() >= end_ns ||
	       (client->args->count != 0 &&
		client->messages >= client->args->count);
}

/* Where everything goes when nothing is known about the placement. */
static struct weir_tally_place *
client_place(struct client *client)
{
	return &client->tally->places[WEIR_PLACE_FAR];
}

static int
client_lat(struct client *client)
{
	struct weir_load *load = &client->side.test.load;
	struct weir_tally_place *to = client_place(client);
	uint64_t start_ns = weir_now_ns(), end_ns;
	int rc = 0;

	while (rc == 0 && weir_tool_signal == 0 &&
	       weir_now_ns() - start_ns < client->warmup_ns)
		rc = load->ops->rounds(load, 32);
	start_ns = weir_now_ns();
	end_ns = start_ns + client->time_ns;
	while (rc == 0 && !client_done(client, end_ns))
		for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
			uint64_t before = weir_ticks(), ticks;

			rc = load->ops->rounds(load, 1);
			ticks = weir_ticks() - before;
			if (rc != 0)
				break;
			weir_hist_record(&to->rtt_ns,
					 (uint64_t)((double)ticks /
						    client->ticks_per_ns));
			client->messages++;
		}
	to->messages = client->messages;
	to->rate[0] = (double)client->messages * 1e9 /
		      (double)(weir_now_ns() - start_ns);
	to->windows = 1;
	weir_hist_add(&client->tally->all_rtt_ns, &to->rtt_ns);
	weir_order_end(&client->side.test.order, client->side.test.number);
	client->integrity = client->side.test.order.found;
	return rc;
}

/* As many as are wanted at the end, and one by one where one takes long. */
static uint32_t
client_chunk(const struct client *client)
{
	uint64_t left = client->args->count - client->messages;

	if (client->size > WEIR_MSG_SIZE_DEFAULT)
		return 1;
	return client->args->count == 0 || left > CHUNK ? CHUNK
							: (uint32_t)left;
}

/* Until the server closes. One of another version may know other counters. */
static int
hear_events(struct client *client)
{
	struct told told;
	uint64_t *at;
	int rc;

	memset(&client->peer, 0, sizeof(client->peer));
	while ((rc = receive(&client->side, &told, sizeof(told),
			     ANSWER_WAIT_NS)) == 1) {
		at = weir_counters_find(&client->peer, told.name,
					strnlen(told.name, sizeof(told.name)));
		if (at != NULL)
			*at = le64toh(told.value);
	}
	if (rc == 0)
		return -ETIMEDOUT;
	return rc == WEIR_EOF ? 0 : rc;
}

static int
client_bw(struct client *client)
{
	struct weir_load *load = &client->side.test.load;
	struct weir_tally_place *to = client_place(client);
	uint64_t end_ns = weir_now_ns() + client->warmup_ns + client->time_ns;
	struct tallied tallied;
	int rc = 0;

	while (rc == 0 && !client_done(client, end_ns)) {
		rc = load->ops->send(load, client_chunk(client));
		client->messages = client->side.test.number;
	}
	if (rc == 0)
		rc = weir_tx_close(client->side.test.tx);
	if (rc == 0)
		rc = receive(&client->side, &tallied, sizeof(tallied),
			     2 * ANSWER_WAIT_NS);
	if (rc <= 0)
		return rc == 0 ? -ETIMEDOUT : rc;
	client->integrity = (struct weir_integrity){
		.lost = le64toh(tallied.found[0]),
		.duplicate = le64toh(tallied.found[1]),
		.reordered = le64toh(tallied.found[2]),
		.corrupt = le64toh(tallied.found[3]),
	};
	tallied.messages = le64toh(tallied.messages);
	if (tallied.messages < client->messages)
		client->integrity.lost += client->messages - tallied.messages;
	to->messages = le64toh(tallied.timed);
	if (tallied.ns != 0)
		to->rate[0] = (double)to->messages * 1e9 /
			      (double)le64toh(tallied.ns);
	to->windows = 1;
	return hear_events(client);
}

/* @return 0, or exit code. */
static int
client_size(struct client *client, weir_perf_report_fn report, void *arg)
{
	struct weir_perf_result result = {
		.kind = client->side.kind,
		.size = client->size,
		.floor_size = client->size,
		.tally = client->tally,
		.cpus = { -1, -1 },
	};
	uint64_t start_ns = weir_now_ns();
	int rc = weir_side_test(&client->side, NULL, client->size,
				WEIR_SPIN_LIMIT);

	weir_tally_reset(client->tally);
	client->messages = 0;
	if (rc == 0)
		rc = say_hello(client);
	if (rc == -EMSGSIZE) {
		weir_tool_error("%s: the server takes shorter messages than "
				"%u B; start it with -s %u",
				client->side.endpoint, client->size,
				client->size);
		return WEIR_EXIT_USAGE;
	}
	if (rc == 0)
		rc = client->side.kind == WEIR_PERF_LAT ? client_lat(client)
							: client_bw(client);
	if (rc < 0 && rc != -EINTR)
		return weir_tool_link_fail(client->side.endpoint, rc);
	weir_side_counters(&client->side, &result.counters);
	if (client->side.kind == WEIR_PERF_BW && rc == 0)
		result.peer_counters = &client->peer;
	result.interrupted = weir_tool_signal != 0;
	result.duration_ns = weir_now_ns() - start_ns;
	result.messages = client->messages;
	result.integrity = client->integrity;
	result.msg_size_max = weir_tx_msg_size_max(client->side.test.tx);
	rc = report(arg, &result);
	return result.interrupted ? WEIR_EXIT_INTERRUPT : rc;
}

int
weir_perf_remote(const struct weir_perf_args *args, weir_perf_report_fn report,
		 void *arg)
{
	struct client *client = calloc(1, sizeof(*client));
	struct weir_perf_plan plan;
	int rc = 0;

	if (client == NULL)
		return WEIR_EXIT_NOT_READY;
	client->args = client->side.args = args;
	client->tally = weir_tally_new();
	client->ticks_per_ns = weir_ticks_calibrate(CALIBRATE_NS);
	weir_plan_make(args, NULL, &plan);
	client->start_ns = weir_now_ns();
	for (uint32_t i = 0; i < plan.count && client->tally != NULL; i++) {
		int one;

		if (i > 0 &&
		    weir_output_late(args, weir_now_ns() - client->start_ns,
				     plan.count - i))
			break;
		client->size = plan.runs[i].size;
		client->side.kind = plan.runs[i].kind;
		weir_plan_time(args, weir_now_ns() - client->start_ns,
			       plan.count - i, &client->warmup_ns,
			       &client->time_ns);
		memset(&client->side.test, 0, sizeof(client->side.test));
		one = weir_side_connect(&client->side, args->endpoint);
		if (one == 0)
			one = client_size(client, report, arg);
		weir_side_hang_up(&client->side);
		if (rc == 0)
			rc = one;
		if (one != 0 && one != WEIR_EXIT_INTEGRITY &&
		    one != WEIR_EXIT_ASSERT)
			break;
	}
	weir_side_close(&client->side);
	free(client->tally);
	free(client);
	return rc;
}
