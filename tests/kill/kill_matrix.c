/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The crash matrix: SIGKILL at every instruction of every call of the data
 * path, on both sides of a link, and what the survivor makes of it.
 *
 *     kill_matrix [--all | --kills N] [--only TEXT] [--at INSTRUCTION]
 *                 [--jobs N]
 *
 * --all kills at every instruction (see route_worth() about long loops);
 * otherwise at N of each operation and side, evenly, from a start that changes
 * with the clock, and of the kinds of links and the sizes each operation gets
 * some, by turns. A failure prints the line that repeats it.
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"
#include "weir_stats.h"

#define SKIPPED 77

/* AddressSanitizer makes every stretch six times as long. */
#if defined(__SANITIZE_ADDRESS__)
#define KILLS_DEFAULT 1u
#define BOTH_SIDES    false
#else
#define KILLS_DEFAULT 4u
#define BOTH_SIDES    true
#endif

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

/* One kill: who, where, and what was wrong afterwards. */
struct kill_case {
	const struct operation *op;
	unsigned int number; /* of op */
	uint32_t size;
	bool victim_listens;
	const struct kind *kind;
	uint64_t instruction;
	int64_t executed;
	struct route route; /* of the first */
	unsigned int wrong;
};

struct survivor {
	struct side side;
	struct weir_msg held[OPENING];
	uint64_t give_up_ns;
};

/* How the link of the two is made. */
struct kind {
	const char *name;
	const char *keys; /* of both endpoints */
	uint64_t flags;   /* of the victim's config */
	bool handed;      /* by a socketpair, both ends given */
};

static const struct kind kinds[] = {
	{ "", "", 0, false },
	{ "/shared", "", WEIR_LINK_MULTI_PRODUCER, false },
	{ "/trust=none", ",trust=none", 0, false },
	{ "/fd=", "", 0, true },
};

enum {
	PLAIN,
	SHARED, /* the send half is one for several threads */
	DISTRUSTFUL,
	HANDED,
	KINDS,
};

static const uint32_t sizes[] = { SMALL, LARGE, HUGE };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct blackbox *box;
static char name[64];

struct title {
	char text[96];
};

static struct title
title(const struct kill_case *k)
{
	struct title t;

	snprintf(t.text, sizeof(t.text), "%s/%u/%s%s", k->op->name, k->size,
		 k->victim_listens ? "listener" : "connector", k->kind->name);
	return t;
}

/* ---- complaints ----------------------------------------------------------------- */

static void
complain(struct kill_case *k, const char *what, int64_t seen)
{
	if (k->wrong++ == 0)
		printf("WRONG: kill_matrix --only '%s' --at %" PRIu64 "\n",
		       title(k).text, k->instruction);
	printf("    %s (%" PRId64 ")\n", what, seen);
	fflush(stdout);
}

static void
expect(struct kill_case *k, bool fine, const char *what, int64_t seen)
{
	if (!fine)
		complain(k, what, seen);
}

/* ---- before ------------------------------------------------------------------------ */

/* Of the victim's messages, in order. @return as recv. */
static int
receive_one(struct kill_case *k, struct survivor *s, struct weir_msg *msg)
{
	uint64_t number = s->side.received;
	int rc = side_receive(&s->side, msg);

	if (rc == 1)
		expect(k,
		       !s->side.torn &&
			       msg->len == victims_len(number, k->size),
		       "a message is torn or out of order", (int64_t)number);
	return rc;
}

static void
hold_the_first(struct kill_case *k, struct survivor *s)
{
	for (unsigned int i = 0; i < OPENING; i++)
		expect(k, receive_one(k, s, &s->held[i]) == 1,
		       "an opening message is missing", i);
}

static void
release_some(struct kill_case *k, struct survivor *s)
{
	struct weir_msg msg;

	for (unsigned int i = 0; i < 4; i++)
		if (receive_one(k, s, &msg) == 1)
			weir_msg_release(&msg);
}

/* What the survivor does while the victim stands still. */
static void
take_posture(struct kill_case *k, struct survivor *s)
{
	hold_the_first(k, s);
	switch (k->op->posture) {
	case SURVIVOR_SPINS:
		break;
	case SURVIVOR_RELEASES:
		release_some(k, s);
		break;
	case SURVIVOR_SLEEPS_RECEIVE:
		expect(k, weir_rx_arm(s->side.rx) == 1, "cannot sleep", 0);
		break;
	case SURVIVOR_SLEEPS_SEND:
		while (side_send(&s->side, k->size) == 1)
			;
		expect(k, weir_tx_arm(s->side.tx, k->size) == 1, "cannot sleep",
		       0);
		break;
	}
}

/* ---- after --------------------------------------------------------------------------- */

static bool
in_time(struct kill_case *k, const struct survivor *s, const char *what)
{
	if (weir_now_ns() < s->give_up_ns)
		return true;
	complain(k, what, 0);
	return false;
}

/* Either the victim's ring or its death. */
static void
wakes_up(struct kill_case *k, struct survivor *s)
{
	struct pollfd fd = { .events = POLLIN };

	if (k->op->posture == SURVIVOR_SLEEPS_RECEIVE)
		fd.fd = weir_rx_fd(s->side.rx);
	else if (k->op->posture == SURVIVOR_SLEEPS_SEND)
		fd.fd = weir_tx_fd(s->side.tx);
	else
		return;
	expect(k, poll(&fd, 1, LIMIT_S * 1000) == 1, "sleeps on", fd.fd);
}

static bool
balanced(const struct weir_tx_stats *t)
{
	uint32_t pledged = 0, allocated = 0, outstanding = 0;

	for (uint32_t i = 0; i < t->class_count; i++) {
		const struct weir_class_stats *c = &t->classes[i];

		if (c->free + c->pledged + c->allocated + c->outstanding !=
		    c->total)
			return false;
		pledged += c->pledged;
		allocated += c->allocated;
		outstanding += c->outstanding;
	}
	return pledged == t->permitted && allocated == t->allocated &&
	       outstanding == t->outstanding &&
	       t->free + t->permitted + t->allocated + t->outstanding ==
		       t->capacity;
}

/* Every credit is free, or with a message that the victim did not release. */
static void
credits_add_up(struct kill_case *k, struct survivor *s)
{
	struct weir_tx_stats t;

	(void)weir_tx_arm(s->side.tx, 0); /* looks at every return word */
	weir_tx_stats(s->side.tx, &t, sizeof(t));
	expect(k, balanced(&t), "the send half does not add up", t.free);
	expect(k, t.permitted == 0 && t.allocated == 0,
	       "permits or slots out of nowhere", t.permitted);
	expect(k,
	       t.outstanding + atomic_load(&box->releases_begun) >=
			       s->side.sent &&
		       t.outstanding + atomic_load(&box->releases) <=
			       s->side.sent,
	       "credits leaked or came from nowhere", t.outstanding);
}

static bool
answer_fits(const struct kill_case *k, int answer, unsigned int reset,
	    unsigned int closed)
{
	bool returned = atomic_load(&box->mark) == STEP_DONE;

	if (answer == WEIR_EOF)
		return (k->op->ends & closed) != 0;
	if (answer == -ECONNRESET)
		return (k->op->ends & reset) != 0;
	/* What was over before the death is not called death. */
	return answer == -ETIMEDOUT &&
	       !(returned && (k->op->ends & (reset | closed)) != 0);
}

static void
receives_all(struct kill_case *k, struct survivor *s)
{
	struct weir_msg msg;
	int rc;

	while ((rc = receive_one(k, s, &msg)) >= 0) {
		if (rc == 1)
			weir_msg_release(&msg);
		if (!in_time(k, s, "recv never hears of the death"))
			return;
	}
	expect(k, answer_fits(k, rc, ENDS_ABORTED, ENDS_CLOSED),
	       "recv's last answer", rc);
	expect(k, weir_rx_recv(s->side.rx, &msg) == rc,
	       "recv's last answer does not last", rc);
	expect(k, s->side.received >= atomic_load(&box->commits),
	       "a message that was committed is lost",
	       (int64_t)s->side.received);
	expect(k, s->side.received <= atomic_load(&box->commits_begun),
	       "a message that was never committed", (int64_t)s->side.received);
}

/* A permit is good for a message, whatever happened to the peer. */
static void
sends_until_told(struct kill_case *k, struct survivor *s)
{
	struct weir_tx_stats t;
	int rc;

	while ((rc = side_send(&s->side, k->size)) >= 0)
		if (!in_time(k, s, "reserve never hears of the death"))
			return;
	expect(k, answer_fits(k, rc, ENDS_GONE, 0), "reserve's last answer",
	       rc);
	weir_tx_stats(s->side.tx, &t, sizeof(t));
	expect(k, balanced(&t), "the send half does not add up at the end",
	       t.free);
}

static void
still_readable(struct kill_case *k, const struct survivor *s)
{
	for (unsigned int i = 0; i < OPENING; i++)
		expect(k,
		       s->held[i].store != NULL &&
			       pattern_ok(s->held[i].data, s->held[i].len, i),
		       "a message that is held has changed", i);
}

static void
autopsy(struct kill_case *k, struct survivor *s)
{
	int status;

	s->give_up_ns = in_limit();
	wakes_up(k, s);
	credits_add_up(k, s);
	receives_all(k, s);
	sends_until_told(k, s);
	status = weir_link_status(s->side.link);
	expect(k,
	       status == -ETIMEDOUT ||
		       (status == -ECONNRESET &&
			(k->op->ends & (ENDS_ABORTED | ENDS_GONE)) != 0),
	       "status of the link", status);
	still_readable(k, s);
}

/* Handles outlive everything else; then nothing is left. */
static void
leave(struct kill_case *k, struct survivor *s, int fds)
{
	expect(k, side_close(&s->side) == 0, "the port cannot be closed", 0);
	still_readable(k, s);
	for (unsigned int i = 0; i < OPENING; i++)
		if (s->held[i].store != NULL)
			weir_msg_release(&s->held[i]);
	expect(k, fds_open() == fds, "descriptors leak", fds_open() - fds);
	expect(k, segments_mapped() == 0, "segments leak", segments_mapped());
	expect(k, names_left(name) == 0, "names are left", names_left(name));
}

/* ---- one kill -------------------------------------------------------------------- */

/* Where the two meet. */
struct place {
	char victims[80], survivors[80]; /* endpoints */
	int ends[2];                     /* of a socketpair, or -1 */
};

static int
find_place(const struct kill_case *k, struct place *p)
{
	p->ends[0] = p->ends[1] = -1;
	snprintf(p->victims, sizeof(p->victims), "shm:%s%s", name,
		 k->kind->keys);
	memcpy(p->survivors, p->victims, sizeof(p->survivors));
	if (!k->kind->handed)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->ends) != 0)
		return -1;
	snprintf(p->victims, sizeof(p->victims), "shm:,fd=%d", p->ends[0]);
	snprintf(p->survivors, sizeof(p->survivors), "shm:,fd=%d", p->ends[1]);
	return 0;
}

static void
close_end(int end)
{
	if (end >= 0)
		close(end);
}

static struct weir_link_config
config_of(const struct kill_case *k, uint64_t flags)
{
	return (struct weir_link_config){
		.size = sizeof(struct weir_link_config),
		.tx_credits = CREDITS,
		.msg_size_max = k->size > LARGE ? k->size : LARGE,
		.flags = flags,
	};
}

static pid_t
start_victim(const struct kill_case *k, const struct place *p)
{
	struct weir_link_config config = config_of(k, k->kind->flags);
	pid_t pid;

	memset((void *)box, 0, sizeof(*box));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close_end(p->ends[1]);
		victim_run(k->op, k->size, p->victims, &config,
			   k->victim_listens, box);
	}
	/* Who keeps an end of it keeps it from hanging up. */
	close_end(p->ends[0]);
	return pid;
}

static void
step_over_and_kill(struct kill_case *k, struct survivor *s, pid_t pid)
{
	int status;

	if (step_until_ready(pid) != 0) {
		complain(k, "the victim ended before its turn", 0);
		return;
	}
	take_posture(k, s);
	k->executed = step_and_kill(pid, &box->mark, k->instruction, &k->route,
				    &status);
	expect(k, k->executed >= 0, "the victim ended by itself", status);
}

static void
one_kill(struct kill_case *k)
{
	struct weir_link_config config = config_of(k, 0);
	struct survivor s = { .give_up_ns = 0 };
	int fds = fds_open();
	struct place p;
	pid_t pid = find_place(k, &p) == 0 ? start_victim(k, &p) : -1;

	k->executed = -1;
	if (pid < 0 ||
	    side_open(&s.side, p.survivors, &config, !k->victim_listens) != 0) {
		complain(k, "there is no link", errno);
		if (pid > 0 && kill(pid, SIGKILL) == 0)
			waitpid(pid, NULL, 0);
		return;
	}
	while (s.side.sent < INBOUND && side_send(&s.side, k->size) == 1)
		;
	step_over_and_kill(k, &s, pid);
	autopsy(k, &s);
	leave(k, &s, fds);
}

/* ---- the matrix -------------------------------------------------------------------- */

struct plan {
	bool all;
	bool both_sides; /* else one of them, in turns */
	uint64_t kills;  /* of each operation and side */
	const char *only;
	uint64_t at;    /* STEP_TO_THE_END: as planned */
	uint64_t start; /* changes with the clock */
	unsigned int jobs;
};

/* Of all jobs. */
struct counts {
	_Atomic uint64_t stretches, kills, wrong;
};

static struct counts *counts;

/* The first one tells the way. */
static uint64_t
stride_of(const struct plan *p, const struct kill_case *k)
{
	return p->all || k->executed < 0 || (uint64_t)k->executed <= p->kills
		       ? 1
		       : (uint64_t)k->executed / p->kills;
}

/* One line of the table. The kill after the last instruction counts them. */
static void
one_stretch(const struct plan *p, struct kill_case *k)
{
	uint64_t kills = 1, wrong, stride, i;
	int64_t instructions;

	k->instruction = p->at;
	one_kill(k);
	wrong = k->wrong != 0;
	instructions = k->executed;
	stride = stride_of(p, k);
	i = p->start % stride;
	for (; p->at == STEP_TO_THE_END && (int64_t)i < instructions;
	     i += stride) {
		if (p->all && !route_worth(&k->route, i))
			continue;
		k->instruction = i;
		k->wrong = 0;
		one_kill(k);
		wrong += k->wrong != 0;
		kills++;
	}
	printf("%-46s %12" PRId64 " %7" PRIu64 " %6" PRIu64 "\n", title(k).text,
	       instructions, kills, wrong);
	route_free(&k->route);
	atomic_fetch_add(&counts->kills, kills);
	atomic_fetch_add(&counts->wrong, wrong);
	atomic_fetch_add(&counts->stretches, 1);
}

/* Plain and shared ones with messages that are not huge, by turns; besides a
 * distrustful one, one that was handed over, and huge messages, of one side
 * each. With few kills only one of these three. */
static bool
its_turn(const struct plan *p, const struct kill_case *k)
{
	uint64_t turn = p->start / 2 + k->number;
	bool huge = k->size == HUGE;
	uint64_t more = k->kind == &kinds[DISTRUSTFUL] ? 0
			: k->kind == &kinds[HANDED]    ? 1
						       : 2;

	if (k->kind <= &kinds[SHARED] && k->kind != &kinds[turn % 2])
		return false;
	if (k->kind <= &kinds[SHARED] && !huge)
		return p->both_sides ||
		       k->victim_listens == (p->start % 2 == 0);
	if (more < 2 && (huge || (k->size == LARGE && turn / 2 % 2 != 0)))
		return false;
	return k->victim_listens == ((turn + more) % 2 == 0) &&
	       (p->both_sides || turn % 3 == more);
}

static bool
chosen(const struct plan *p, const struct kill_case *k)
{
	if (k->op->one_size && k->size != SMALL)
		return false;
	/* Once the link is up its size makes no difference to them. */
	if (k->kind == &kinds[HANDED] && k->size == HUGE)
		return false;
	if (p->only != NULL)
		return strstr(title(k).text, p->only) != NULL;
	return p->all || its_turn(p, k);
}

/* Every so manieth line of the table. */
static void
work(const struct plan *p, unsigned int job)
{
	unsigned int each = SIZES * 2 * KINDS, line = 0;

	box = shared_page();
	snprintf(name, sizeof(name), "matrix-%d", getpid());
	for (unsigned int i = 0; i < operation_count * each; i++) {
		struct kill_case k = {
			.op = &operations[i / each],
			.number = i / each,
			.size = sizes[i / (2 * KINDS) % SIZES],
			.victim_listens = i / KINDS % 2 == 0,
			.kind = &kinds[i % KINDS],
		};

		if (chosen(p, &k) && line++ % p->jobs == job)
			one_stretch(p, &k);
	}
}

static void
run(const struct plan *p)
{
	int status;

	printf("%-46s %12s %7s %6s\n", "operation/bytes/victim", "instructions",
	       "kills", "wrong");
	for (unsigned int job = 1; job < p->jobs; job++) {
		fflush(stdout);
		if (fork() == 0) {
			work(p, job);
			exit(0);
		}
	}
	work(p, 0);
	while (wait(&status) > 0)
		if (status != 0)
			atomic_fetch_add(&counts->wrong, 1);
	printf("%" PRIu64 " stretches, %" PRIu64 " kills, %" PRIu64 " wrong\n",
	       atomic_load(&counts->stretches), atomic_load(&counts->kills),
	       atomic_load(&counts->wrong));
}

static bool
read_args(struct plan *p, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all") == 0)
			p->all = p->both_sides = true;
		else if (i + 1 == argc)
			return false;
		else if (strcmp(argv[i], "--kills") == 0)
			p->kills = strtoul(argv[++i], NULL, 0);
		else if (strcmp(argv[i], "--only") == 0)
			p->only = argv[++i];
		else if (strcmp(argv[i], "--at") == 0)
			p->at = strtoul(argv[++i], NULL, 0);
		else if (strcmp(argv[i], "--jobs") == 0)
			p->jobs = (unsigned int)strtoul(argv[++i], NULL, 0);
		else
			return false;
	}
	return p->kills > 0 && p->jobs > 0;
}

int
main(int argc, char **argv)
{
	struct plan p = { .kills = KILLS_DEFAULT,
			  .both_sides = BOTH_SIDES,
			  .at = STEP_TO_THE_END,
			  .start = weir_now_ns() / 1000,
			  .jobs = 1 };
	int rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!read_args(&p, argc, argv)) {
		fprintf(stderr, "kill_matrix [--all | --kills N] "
				"[--only TEXT] [--at INSTRUCTION] "
				"[--jobs N]\n");
		return 2;
	}
#ifdef HAS_TSAN
	printf("skipped: ThreadSanitizer's runtime does not survive being "
	       "killed and forked like this, and there is one thread\n");
	return SKIPPED;
#endif
	rc = step_allowed();
	if (rc != 0) {
		printf("skipped: children cannot be traced here: %s\n",
		       strerror(-rc));
		return SKIPPED;
	}
	if (victims_bytes() != 0) {
		perror("kill_matrix: the victims' bytes");
		return 1;
	}
	counts = shared_page();
	run(&p);
	return counts->wrong == 0 && counts->stretches > 0 ? 0 : 1;
}
