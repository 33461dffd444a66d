/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A --self run: the meter, which starts the peer and goes through the sizes,
 * and the peer, which does its half of every turn.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "perf.h"
#include "ticks.h"
#include "tool.h"

#define CALIBRATE_NS 50000000u

/* For the thread of an in-process run, which gets a pointer to its view only. */
static const struct weir_perf_args *thread_args;

/* ---- peer --------------------------------------------------------------------- */

static int
peer_size(struct weir_side *side, struct weir_self *self)
{
	const struct weir_self_order *order = &self->page->order;
	int rc = weir_side_test(side, &self->page->gate, order->size,
				self->spin_limit);

	side->kind = (enum weir_perf_kind)order->kind;
	weir_perf_floor_close(side);
	if (rc == 0 && order->floor != 0) {
		weir_perf_floor_open(side, self, false);
		if (side->floor == NULL)
			rc = -EOPNOTSUPP; /* the meter goes on without */
	}
	return rc;
}

static int
peer_turn(struct weir_side *side, struct weir_self *self, enum weir_self_op op)
{
	struct weir_self_reply *reply = &self->page->reply;
	struct weir_load *load = self->page->order.which == WEIR_SELF_FLOOR
					 ? side->floor
					 : &side->test.load;

	switch (op) {
	case WEIR_SELF_SIZE:
		return peer_size(side, self);
	case WEIR_SELF_PROBE:
		return weir_probe_answer(&self->page->probe,
					 &self->probe_number);
	case WEIR_SELF_ECHO:
		return load->ops->echo(load);
	case WEIR_SELF_SINK:
		memset(&reply->flow, 0, sizeof(reply->flow));
		return load->ops->sink(load, &reply->flow);
	case WEIR_SELF_ANSWER:
		return weir_perf_load_answer(&side->test, self);
	case WEIR_SELF_SETTLE:
		load->ops->settle(load);
		return 0;
	case WEIR_SELF_FAULT:
		weir_fault_count(side->endpoint, side->port, &reply->fault);
		return weir_fault_switch(side->endpoint, side->port,
					 self->page->order.fault != 0);
	case WEIR_SELF_COUNT:
		weir_side_counters(side, &reply->counters);
		return 0;
	case WEIR_SELF_QUIT:
		break;
	}
	return 0;
}

static void
peer_serve(struct weir_side *side, struct weir_self *self)
{
	struct weir_self_reply *reply = &self->page->reply;
	enum weir_self_op op;

	while ((op = weir_self_next(self)) != WEIR_SELF_QUIT) {
		int rc = peer_turn(side, self, op);

		reply->found = side->test.order.found;
		reply->received = side->test.order.next;
		weir_self_reply(self, rc);
	}
}

static void
peer_state(struct weir_self *self, enum weir_self_state state, int exit_code)
{
	self->page->exit_code = exit_code;
	/* Release: publishes exit_code. Pairs with weir_self_await(). */
	atomic_store_explicit(&self->page->state, state, memory_order_release);
}

static int
peer_run(const struct weir_perf_args *args, struct weir_self *self)
{
	struct weir_side *side = calloc(1, sizeof(*side));
	int rc = WEIR_EXIT_NOT_READY;

	if (side == NULL)
		goto failed;
	side->args = args;
	(void)weir_cpu_pin(self->page->cpu);
	rc = weir_side_listen(side, self->page->endpoint);
	if (rc != 0)
		goto failed;
	peer_state(self, WEIR_SELF_LISTENING, 0);
	/* The first turn may be the last: the meter could not connect. */
	rc = weir_side_accept(side, &self->page->turn);
	if (rc != 0)
		goto failed;
	(void)weir_cpu_pin(self->page->cpu); /* EAL may have moved us */
	peer_state(self, WEIR_SELF_UP, 0);
	peer_serve(side, self);
	weir_side_close(side);
	free(side);
	return 0;

failed:
	peer_state(self, WEIR_SELF_FAILED, rc);
	if (side != NULL)
		weir_side_close(side);
	free(side);
	return rc;
}

static void *
peer_thread(void *arg)
{
	struct weir_self *self = arg;

	(void)peer_run(thread_args, self);
	free(self);
	return NULL;
}

int
weir_perf_self_peer(const struct weir_perf_args *args)
{
	struct weir_self self;
	int rc = weir_self_attach(&self);

	if (rc != 0)
		return WEIR_EXIT_USAGE;
	return peer_run(args, &self);
}

/* ---- meter -------------------------------------------------------------------- */

static int
report_lost_peer(const struct weir_self *self, const char *endpoint)
{
	if (!self->ended)
		weir_tool_error("%s: the peer does not answer; is something "
				"else using all of its CPU?",
				endpoint);
	else if (WIFSIGNALED(self->status))
		weir_tool_error("%s: the peer process was killed by signal %d; "
				"run it again, and report it if it repeats",
				endpoint, WTERMSIG(self->status));
	else
		weir_tool_error("%s: the peer process ended early with exit "
				"code %d; see what it printed",
				endpoint, WEXITSTATUS(self->status));
	return WEIR_EXIT_LINK;
}

/* @return exit code for a peer that did not come to the state asked for. */
static int
explain_wait(struct weir_self *self, const char *endpoint)
{
	if (atomic_load(&self->page->state) == WEIR_SELF_FAILED)
		return self->page->exit_code; /* it has said why */
	return report_lost_peer(self, endpoint);
}

static void
poll_side(void *arg)
{
	struct weir_side *side = arg;

	(void)weir_perf_link_poll(&side->test);
}

/* Open the loads of one size on both sides. @return 0; negative. */
static int
meter_size(struct weir_side *side, struct weir_self *self,
	   const struct weir_perf_run *run)
{
	struct weir_self_order *order = &self->page->order;
	int rc = weir_side_test(side, &self->page->gate, run->size,
				self->spin_limit);

	side->kind = run->kind;
	weir_perf_floor_close(side);
	if (rc == 0)
		rc = weir_perf_link_ready(&side->test);
	if (rc != 0)
		return rc;
	order->kind = run->kind;
	order->size = run->size;
	/* Round trips with faults are compared with themselves. */
	side->floor_missing = NULL;
	if (run->kind == WEIR_PERF_BW || !weir_fault_wanted(side->endpoint))
		weir_perf_floor_open(side, self, true);
	order->floor = side->floor != NULL;
	weir_self_begin(self, WEIR_SELF_SIZE, WEIR_SELF_TEST);
	rc = weir_self_end(self, NULL);
	if (rc == -EOPNOTSUPP) {
		weir_perf_floor_close(side);
		side->floor_missing = "the peer could not open it";
		rc = 0;
	}
	return rc;
}

static void
add_integrity(struct weir_integrity *sum, const struct weir_integrity *found)
{
	sum->lost += found->lost;
	sum->duplicate += found->duplicate;
	sum->reordered += found->reordered;
	sum->corrupt += found->corrupt;
}

/* Both directions: what either side saw, and what never arrived. */
static void
sum_integrity(struct weir_side *side, const struct weir_self *self,
	      struct weir_integrity *sum)
{
	const struct weir_self_reply *reply = &self->page->reply;

	memset(sum, 0, sizeof(*sum));
	if (side->kind != WEIR_PERF_BW)
		weir_order_end(&side->test.order, side->test.number);
	add_integrity(sum, &side->test.order.found);
	add_integrity(sum, &reply->found);
	if (side->test.number > reply->received)
		sum->lost += side->test.number - reply->received;
}

static int
link_broken(struct weir_side *side, struct weir_self *self, int rc)
{
	if (rc == -ECHILD || self->ended)
		return report_lost_peer(self, side->endpoint);
	return weir_tool_link_fail(side->endpoint, rc);
}

struct meter {
	struct weir_self self;
	struct weir_side side;
	struct weir_tally *tally;
	struct weir_integrity before; /* of earlier sizes */
	struct weir_counters peer;    /* of this one */
	double ticks_per_ns;
	int cpus[2];
	struct weir_perf_plan plan;
	uint64_t start_ns; /* of the first run */
	struct weir_perf_fault fault;
	struct weir_perf_load *load; /* NULL: none */
	struct weir_perf_rest rest;
	weir_perf_report_fn report;
	void *arg;
};

/* Both sides', now. @return 0; negative. */
static int
count_both(struct meter *meter, struct weir_counters *ours,
	   struct weir_counters *peers)
{
	struct weir_self *self = &meter->self;
	int rc;

	weir_self_begin(self, WEIR_SELF_COUNT, WEIR_SELF_TEST);
	rc = weir_self_end(self, &meter->side.test.load);
	weir_side_counters(&meter->side, ours);
	*peers = self->page->reply.counters;
	return rc;
}

/* What the kind of run asks for. @return as weir_trial_run(). */
static int
run_trial(struct meter *meter, struct weir_trial *trial,
	  struct weir_perf_result *result)
{
	if (result->kind == WEIR_PERF_LOAD) {
		result->load = meter->load;
		return weir_perf_load_run(trial, meter->load);
	}
	if (!weir_fault_wanted(trial->side->endpoint))
		return weir_trial_run(trial);
	result->fault = &meter->fault;
	return weir_perf_fault_run(trial, &meter->fault);
}

/* The run, and what both sides counted meanwhile. */
static int
run_counted(struct meter *meter, struct weir_trial *trial,
	    struct weir_perf_result *result)
{
	struct weir_counters before, peer_before;
	int rc = count_both(meter, &before, &peer_before), counted = 0;

	if (rc == 0)
		rc = run_trial(meter, trial, result);
	if (rc == 0 && trial->args->sleep) {
		rc = weir_perf_rest_run(trial, &meter->rest);
		result->rest = &meter->rest;
	}
	if (rc == 0 || rc == -EINTR)
		counted = count_both(meter, &result->counters, &meter->peer);
	if (counted != 0)
		return counted;
	weir_counters_since(&result->counters, &before);
	weir_counters_since(&meter->peer, &peer_before);
	result->peer_counters = &meter->peer;
	return rc;
}

static int
meter_run_one(struct meter *meter, uint32_t index)
{
	const struct weir_perf_run *run = &meter->plan.runs[index];
	struct weir_side *side = &meter->side;
	struct weir_trial trial = {
		.args = side->args,
		.self = &meter->self,
		.side = side,
		.tally = meter->tally,
		.ticks_per_ns = meter->ticks_per_ns,
	};
	struct weir_perf_result result = {
		.kind = run->kind,
		.size = run->size,
		.planned = weir_plan_sizes(&meter->plan, run->kind),
		.cpus = { meter->cpus[0], meter->cpus[1] },
		.tally = meter->tally,
		.self = true,
	};
	uint64_t start_ns = weir_now_ns();
	struct weir_integrity now;
	int rc = meter_size(side, &meter->self, run);

	weir_plan_time(side->args, start_ns - meter->start_ns,
		       meter->plan.count - index, &trial.warmup_ns,
		       &trial.time_ns);
	weir_tally_reset(meter->tally);
	if (rc == 0)
		rc = run_counted(meter, &trial, &result);
	if (rc < 0 && rc != -EINTR)
		return link_broken(side, &meter->self, rc);
	sum_integrity(side, &meter->self, &now);
	result.integrity = (struct weir_integrity){
		.lost = now.lost - meter->before.lost,
		.duplicate = now.duplicate - meter->before.duplicate,
		.reordered = now.reordered - meter->before.reordered,
		.corrupt = now.corrupt - meter->before.corrupt,
	};
	meter->before = now;
	result.interrupted = rc == -EINTR;
	result.duration_ns = weir_now_ns() - start_ns;
	result.messages = trial.messages;
	result.floor_size = side->floor != NULL ? side->floor->size : run->size;
	result.floor_missing = side->floor != NULL ? NULL : side->floor_missing;
	result.msg_size_max = weir_tx_msg_size_max(side->test.tx);
	rc = meter->report(meter->arg, &result);
	return result.interrupted ? WEIR_EXIT_INTERRUPT : rc;
}

static int
meter_run(struct meter *meter, const char *endpoint)
{
	struct weir_counters classes;
	int rc;

	/* The peer is up before DPDK starts here, and says by itself why it
	 * cannot: one line, not two. */
	if (weir_self_await(&meter->self, WEIR_SELF_LISTENING, NULL, NULL) != 0)
		return explain_wait(&meter->self, endpoint);
	rc = weir_side_connect(&meter->side, endpoint);
	if (rc != 0)
		return rc;
	(void)weir_cpu_pin(meter->cpus[0]);
	if (weir_self_await(&meter->self, WEIR_SELF_UP, poll_side,
			    &meter->side) != 0)
		return explain_wait(&meter->self, endpoint);
	weir_side_counters(&meter->side, &classes);
	weir_plan_make(meter->side.args, &classes.tx, &meter->plan);
	meter->start_ns = weir_now_ns();
	for (uint32_t i = 0; i < meter->plan.count && rc != WEIR_EXIT_INTERRUPT;
	     i++) {
		int one;

		if (i > 0 && weir_output_late(meter->side.args,
					      weir_now_ns() - meter->start_ns,
					      meter->plan.count - i))
			break;
		one = meter_run_one(meter, i);

		if (one == WEIR_EXIT_LINK)
			return one;
		if (rc == 0 || one == WEIR_EXIT_INTERRUPT)
			rc = one;
	}
	return rc;
}

/* The meter hangs up while the peer does, or each would wait for the other.
 * @return rc, or what the peer's end makes of it. */
static int
meter_close(struct meter *meter, int rc)
{
	if (meter->self.page != NULL && meter->side.port != NULL) {
		weir_self_gate(&meter->self, false, 0);
		weir_self_begin(&meter->self, WEIR_SELF_QUIT, WEIR_SELF_TEST);
	}
	weir_side_close(&meter->side);
	weir_self_stop(&meter->self);
	free(meter->tally);
	free(meter->load);
	if (rc == 0 && meter->self.ended && meter->self.status != 0)
		rc = report_lost_peer(&meter->self, meter->side.endpoint);
	return rc;
}

static int
meter_start(struct meter *meter, const struct weir_perf_args *args,
	    char *endpoint)
{
	char own[WEIR_SELF_ENDPOINT_MAX], peer[WEIR_SELF_ENDPOINT_MAX];
	bool threads;
	int rc = weir_tool_endpoint(args->endpoint, own);

	if (rc != 0)
		return rc;
	threads = weir_self_in_process(own);
	weir_self_endpoint(own, endpoint, WEIR_SELF_ENDPOINT_MAX);
	weir_self_endpoint(args->peer_endpoint != NULL ? args->peer_endpoint
						       : own,
			   peer, sizeof(peer));
	rc = args->cpus[0] < 0 ? weir_cpus_choose(meter->cpus) : 0;
	if (args->cpus[0] >= 0)
		memcpy(meter->cpus, args->cpus, sizeof(meter->cpus));
	if (rc == 0)
		rc = weir_cpu_pin(meter->cpus[0]);
	if (rc != 0) {
		weir_tool_error("CPU %d: %s; choose others with --cpu",
				meter->cpus[0], weir_strerror(rc));
		return WEIR_EXIT_NOT_READY;
	}
	thread_args = args;
	rc = weir_self_start(&meter->self, peer, meter->cpus,
			     weir_tool.hugepages != WEIR_HUGEPAGES_NEVER,
			     threads ? peer_thread : NULL);
	if (rc == 0)
		return 0;
	weir_tool_error("%s: the peer could not be started: %s; 'weir check' "
			"looks for the reason",
			endpoint, weir_strerror(rc));
	return WEIR_EXIT_NOT_READY;
}

int
weir_perf_self(const struct weir_perf_args *args, weir_perf_report_fn report,
	       void *arg)
{
	struct meter *meter = calloc(1, sizeof(*meter));
	char endpoint[WEIR_SELF_ENDPOINT_MAX];
	int rc;

	if (meter == NULL)
		return WEIR_EXIT_NOT_READY;
	meter->side.args = args;
	meter->report = report;
	meter->arg = arg;
	meter->tally = weir_tally_new();
	meter->load = calloc(1, sizeof(*meter->load));
	rc = meter->tally == NULL || meter->load == NULL
		     ? WEIR_EXIT_NOT_READY
		     : meter_start(meter, args, endpoint);
	if (rc == 0) {
		meter->ticks_per_ns = weir_ticks_calibrate(CALIBRATE_NS);
		rc = meter_run(meter, endpoint);
	}
	rc = meter_close(meter, rc);
	free(meter);
	return rc;
}
