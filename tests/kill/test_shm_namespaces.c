/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes that see nothing of each other: mount, pid, ipc and network
 * namespaces of their own, as containers have. All that they share is one end
 * each of a socketpair that was handed over to them.
 *
 *     test ---- keeper ---- victim     namespaces A --+ fd=
 *          \--- keeper ---- survivor   namespaces B --+
 *
 * A keeper enters the namespaces and forks the first process of the new pid
 * namespace. The kernel tells neither side a pid of the other: there can be no
 * pidfd, and the hang-up of the socket is all that tells of a death.
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shm_pair.h"
#include "side.h"

#define MESSAGES 500u

/* Keepers end then, and whom they keep with them. */
#define LIFE_S 60

#define SPACES 4

static const int spaces_flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
				CLONE_NEWNET;

enum role {
	VICTIM,
	SURVIVOR,
	ROLES,
};

/* What the two processes say about themselves. */
struct told {
	_Atomic uint32_t refused; /* errno of unshare */
	_Atomic uint32_t done;    /* all messages went both ways */
	_Atomic uint32_t pid;     /* as the test sees it */
	_Atomic uint64_t knew_ns; /* that the other is dead */
	ino_t spaces[SPACES];
};

static struct told *told;

struct how {
	enum role listener;
	bool sleeps; /* the survivor, when its peer dies */
};

static const struct weir_link_config config = {
	.size = sizeof(config),
	.tx_credits = 16,
	.msg_size_max = 5000,
};

/* ---- in the namespaces ---------------------------------------------------------- */

static void
note_spaces(struct told *me)
{
	static const char *const names[SPACES] = { "mnt", "pid", "ipc", "net" };
	char path[64];
	struct stat st;

	for (int i = 0; i < SPACES; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		if (stat(path, &st) == 0)
			me->spaces[i] = st.st_ino;
	}
}

/* @return 0; -1 it did not go on, or something came that was not sent. */
static int
exchange(struct side *side)
{
	uint64_t give_up_ns = in_limit();
	struct weir_msg msg;
	int rc;

	while (side->sent < MESSAGES || side->received < MESSAGES) {
		if (side->sent < MESSAGES &&
		    side_send(side, (uint32_t)(side->sent * 37 % 5000)) < 0)
			return -1;
		rc = side_receive(side, &msg);
		if (rc < 0 || side->torn || weir_now_ns() > give_up_ns)
			return -1;
		if (rc == 1)
			weir_msg_release(&msg);
		else
			sched_yield();
	}
	return 0;
}

/* @return 0 it was told that the peer is dead, by each of its halves. */
static int
outlive(struct side *side, bool sleeps)
{
	uint64_t give_up_ns = in_limit();
	struct weir_msg msg;
	int rc = 0;

	if (sleeps)
		rc = weir_rx_recv_wait(side->rx, give_up_ns, &msg);
	while (rc == 0 && weir_now_ns() < give_up_ns)
		rc = weir_rx_recv(side->rx, &msg);
	atomic_store(&told[SURVIVOR].knew_ns, weir_now_ns());
	if (rc != -ETIMEDOUT || weir_link_status(side->link) != -ETIMEDOUT)
		return -1;
	/* A sender that has room hears of it when it has none. */
	do
		rc = side_send(side, 48);
	while (rc >= 0 && weir_now_ns() < give_up_ns);
	return rc == -ETIMEDOUT ? 0 : -1;
}

static int
live(enum role role, const struct how *how, int end)
{
	struct weir_peer peer;
	struct side side;
	char endpoint[40];

	note_spaces(&told[role]);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", end);
	if (side_open(&side, endpoint, &config, role == how->listener) != 0)
		return 20;
	if (weir_link_peer(side.link, &peer) != 0 || peer.pid != 0)
		return 21;
	if (exchange(&side) != 0)
		return 22;
	atomic_store(&told[role].done, 1);
	while (role == VICTIM)
		pause();
	if (outlive(&side, how->sleeps) != 0)
		return 23;
	return side_close(&side) == 0 ? 0 : 24;
}

/* ---- keepers ---------------------------------------------------------------------- */

static bool
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;

	if (fd >= 0)
		close(fd);
	return n >= 0;
}

/* In a user namespace of our own if we are not root. Who has no user id there
 * cannot tell it to anybody. */
static bool
enter_spaces(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char users[32], groups[32];

	if (unshare(spaces_flags) == 0)
		return true;
	snprintf(users, sizeof(users), "0 %u 1", uid);
	snprintf(groups, sizeof(groups), "0 %u 1", gid);
	return unshare(CLONE_NEWUSER | spaces_flags) == 0 &&
	       put("/proc/self/setgroups", "deny") &&
	       put("/proc/self/uid_map", users) &&
	       put("/proc/self/gid_map", groups);
}

/* Never returns. Whoever keeps an end of the socket keeps it from hanging up. */
static void
keep(enum role role, const struct how *how, int ends[2])
{
	pid_t pid;
	int status;

	alarm(LIFE_S);
	if (!enter_spaces()) {
		atomic_store(&told[role].refused, (uint32_t)errno);
		_exit(0);
	}
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1 - role]);
		_exit(live(role, how, ends[role]));
	}
	close(ends[0]);
	close(ends[1]);
	if (pid < 0)
		_exit(30);
	atomic_store(&told[role].pid, (uint32_t)pid);
	if (waitpid(pid, &status, 0) != pid)
		_exit(31);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(role == VICTIM && WTERMSIG(status) == SIGKILL ? 0 : 32);
}

static pid_t
start(enum role role, const struct how *how, int ends[2])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		keep(role, how, ends);
	return pid;
}

/* ---- the test --------------------------------------------------------------------- */

static void
finish(pid_t keeper)
{
	int status;

	assert_int_equal(waitpid(keeper, &status, 0), keeper);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool
both_done_or_refused(void)
{
	uint64_t give_up_ns = in_limit() + LIMIT_S * UINT64_C(1000000000);

	while (weir_now_ns() < give_up_ns) {
		if (atomic_load(&told[VICTIM].refused) != 0 ||
		    atomic_load(&told[SURVIVOR].refused) != 0 ||
		    (atomic_load(&told[VICTIM].done) != 0 &&
		     atomic_load(&told[SURVIVOR].done) != 0))
			return true;
		nap_ns(1000000);
	}
	return false;
}

static void
all_apart(void)
{
	struct told us;

	note_spaces(&us);
	for (int i = 0; i < SPACES; i++) {
		assert_int_not_equal(told[VICTIM].spaces[i], 0);
		assert_int_not_equal(told[VICTIM].spaces[i],
				     told[SURVIVOR].spaces[i]);
		assert_int_not_equal(told[VICTIM].spaces[i], us.spaces[i]);
		assert_int_not_equal(told[SURVIVOR].spaces[i], us.spaces[i]);
	}
}

static void
play(const struct how *how)
{
	pid_t keepers[ROLES];
	uint64_t killed_ns;
	int ends[2];

	memset((void *)told, 0, ROLES * sizeof(*told));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (enum role r = VICTIM; r < ROLES; r++)
		keepers[r] = start(r, how, ends);
	close(ends[0]);
	close(ends[1]);
	assert_true(both_done_or_refused());
	if (atomic_load(&told[VICTIM].refused) != 0 ||
	    atomic_load(&told[SURVIVOR].refused) != 0) {
		printf("no namespaces here: %s\n",
		       strerror((int)atomic_load(&told[VICTIM].refused)));
		for (enum role r = VICTIM; r < ROLES; r++) {
			kill(keepers[r], SIGKILL);
			waitpid(keepers[r], NULL, 0);
		}
		skip();
	}
	all_apart();
	killed_ns = weir_now_ns();
	assert_int_equal(kill((pid_t)atomic_load(&told[VICTIM].pid), SIGKILL),
			 0);
	finish(keepers[VICTIM]);
	finish(keepers[SURVIVOR]);
	printf("the death was known after %.1f ms\n",
	       (double)(atomic_load(&told[SURVIVOR].knew_ns) - killed_ns) /
		       1e6);
}

static void
a_listener_dies_in_other_namespaces(void **state)
{
	(void)state;
	play(&(struct how){ .listener = VICTIM, .sleeps = false });
	play(&(struct how){ .listener = VICTIM, .sleeps = true });
}

static void
a_connector_dies_in_other_namespaces(void **state)
{
	(void)state;
	play(&(struct how){ .listener = SURVIVOR, .sleeps = false });
	play(&(struct how){ .listener = SURVIVOR, .sleeps = true });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_dies_in_other_namespaces),
		cmocka_unit_test(a_connector_dies_in_other_namespaces),
	};

	told = shared_page();
	return cmocka_run_group_tests(tests, own_names, NULL);
}
