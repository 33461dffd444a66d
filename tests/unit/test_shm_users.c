/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may connect to whom, by real users: root plays them, some in a user
 * namespace that has names for two users of the machine and for no one else.
 *
 *     outside      1000   1001   1002   2000, 0, all others
 *     inside          0      1      -   65534     keeper PLAIN
 *     inside          0      -  65534   65534     keeper NOBODY_TOO
 */

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shm_pair.h"

#define NOBODY 65534u

enum where {
	OUTSIDE,
	PLAIN,
	NOBODY_TOO,
	WHERES,
};

static const char *const maps[WHERES] = {
	NULL,
	"0 1000 1\n1 1001 1\n",
	"0 1000 1\n65534 1002 1\n",
};

/* Somebody, by the ids of where he is. */
struct user {
	enum where where;
	unsigned int uid, gid;
};

/* A listener and what it lets do. */
struct door {
	struct user user;
	uint32_t access_mode;
	const char *access_group;
};

static pid_t keepers[WHERES];
static char directory[64], path[80];

static struct {
	_Atomic uint32_t peer_uid; /* whom the door let in, as it sees him */
} * told;

/* ---- namespaces ------------------------------------------------------------------- */

static bool
put(pid_t pid, const char *name, const char *text)
{
	char file[64];
	ssize_t n = -1;
	int fd;

	snprintf(file, sizeof(file), "/proc/%d/%s", pid, name);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, text, strlen(text));
		close(fd);
	}
	return n == (ssize_t)strlen(text);
}

/* Keeps a user namespace. @return its process; -1 not on this machine. */
static pid_t
keep(const char *map)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWUSER) != 0)
			_exit(1);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) == 1 && put(pid, "uid_map", map) &&
	    put(pid, "gid_map", map)) {
		close(ready[0]);
		return pid;
	}
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* In a child: from root to somebody. */
static void
become(const struct user *u)
{
	char space[64];
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (u->where != OUTSIDE) {
		snprintf(space, sizeof(space), "/proc/%d/ns/user",
			 keepers[u->where]);
		fd = open(space, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWUSER) != 0)
			_exit(90);
		close(fd);
	}
	if (setgroups(0, NULL) != 0 || setresgid(u->gid, u->gid, u->gid) != 0 ||
	    setresuid(u->uid, u->uid, u->uid) != 0)
		_exit(91);
}

/* ---- the door --------------------------------------------------------------------- */

static void
open_the_door(const struct door *d, int ready)
{
	struct weir_link_config config = {
		.size = sizeof(config),
		.access_mode = d->access_mode,
		.access_group = d->access_group,
	};
	struct weir_listener *listener;
	struct weir_link *link = NULL;
	struct weir_port *port;
	struct weir_peer peer;
	char endpoint[120];

	become(&d->user);
	snprintf(endpoint, sizeof(endpoint), "shm:door,path=%s", path);
	if (weir_port_open(endpoint, NULL, &port) != 0 ||
	    weir_listener_open(port, endpoint, &config, &listener) != 0)
		_exit(92);
	(void)!write(ready, "", 1);
	while (weir_link_accept_wait(listener, in_seconds(60), &link) != 1)
		;
	if (weir_link_peer(link, &peer) != 0)
		_exit(93);
	atomic_store(&told->peer_uid, peer.uid);
	for (;;)
		pause();
}

/* @return status of a link for which the visitor knocks. */
static int
visit(const struct user *visitor, const char *keys)
{
	struct weir_port *port;
	struct weir_link *link;
	char endpoint[120];
	int status, rc;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		become(visitor);
		snprintf(endpoint, sizeof(endpoint), "shm:door,path=%s%s", path,
			 keys);
		if (weir_port_open("shm:", NULL, &port) != 0 ||
		    weir_link_connect(port, endpoint, NULL, &link) != 0)
			_exit(94);
		rc = weir_link_wait(link, in_seconds(5));
		_exit(rc == 1 ? 0 : rc < 0 ? -rc & 0x7f : 95);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* The file lets everybody, so that it is for the listener to say no. */
static int
knock(const struct door *d, const struct user *visitor, const char *keys)
{
	int ready[2], status, rc;
	char byte;
	pid_t pid;

	atomic_store(&told->peer_uid, 0xffffffff);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		open_the_door(d, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(chmod(path, 0666), 0);
	rc = visit(visitor, keys);
	/* It is up for the connector when the listener has answered. */
	for (int i = 0; rc == 0 && i < 5000; i++) {
		if (atomic_load(&told->peer_uid) != 0xffffffff)
			break;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return rc;
}

/* ---- tests ------------------------------------------------------------------------ */

static const struct user root_inside = { PLAIN, 0, 0 };
static const struct user second_inside = { PLAIN, 1, 1 };
static const struct user stranger = { OUTSIDE, 2000, 2000 };
static const struct user nobody_inside = { NOBODY_TOO, NOBODY, NOBODY };

static void
need(enum where where)
{
	if (geteuid() != 0) {
		print_message("skipped: only root can be other users\n");
		skip();
	}
	if (keepers[where] <= 0) {
		print_message("skipped: this kernel does not let us make a "
			      "user namespace with two users: %s\n",
			      strerror(keepers[where] == 0 ? ENOSYS : EPERM));
		skip();
	}
}

static void
users_of_a_namespace_know_each_other(void **state)
{
	struct door d = { .user = second_inside };

	(void)state;
	need(PLAIN);
	assert_int_equal(knock(&d, &second_inside, ""), 0);
	assert_int_equal(atomic_load(&told->peer_uid), 1);
	/* Its root, and nobody else's. */
	assert_int_equal(knock(&d, &root_inside, ""), 0);
	assert_int_equal(atomic_load(&told->peer_uid), 0);
	d.user = root_inside;
	assert_int_equal(knock(&d, &second_inside, ""), -EACCES);
	d.access_mode = 0660;
	d.access_group = "1";
	assert_int_equal(knock(&d, &second_inside, ""), 0);
	d.access_group = "0";
	assert_int_equal(knock(&d, &second_inside, ""), -EACCES);
	d.access_mode = 0666;
	assert_int_equal(knock(&d, &second_inside, ""), 0);
}

static void
who_has_no_name_here_is_a_stranger(void **state)
{
	const struct user real_root = { OUTSIDE, 0, 0 };
	struct door d = { .user = second_inside };

	(void)state;
	need(PLAIN);
	assert_int_equal(knock(&d, &stranger, ""), -EACCES);
	assert_int_equal(knock(&d, &real_root, ""), -EACCES);
	d.access_mode = 0666;
	assert_int_equal(knock(&d, &stranger, ""), 0);
	assert_int_equal(atomic_load(&told->peer_uid), NOBODY);
	/* He sees the others by their real numbers, and they his door. */
	d.user = (struct user){ OUTSIDE, 1001, 1001 };
	d.access_mode = 0;
	assert_int_equal(knock(&d, &second_inside, ""), 0);
	assert_int_equal(knock(&d, &root_inside, ""), -EACCES);
}

/* All strangers look like him. */
static void
a_stranger_is_not_the_one_who_is_called_nobody(void **state)
{
	struct door d = { .user = nobody_inside };

	(void)state;
	need(NOBODY_TOO);
	assert_int_equal(knock(&d, &stranger, ""), -EACCES);
	d.access_mode = 0666;
	assert_int_equal(knock(&d, &stranger, ""), 0);
}

static void
nor_is_his_group(void **state)
{
	struct door d = { .user = { NOBODY_TOO, 0, 0 },
			  .access_mode = 0660,
			  .access_group = "65534" };

	(void)state;
	need(NOBODY_TOO);
	assert_int_equal(knock(&d, &stranger, ""), -EACCES);
	d.access_group = "0";
	assert_int_equal(knock(&d, &stranger, ""), -EACCES);
}

/* A stranger's socket file looks like any other stranger's. */
static void
a_stranger_listens_only_for_who_says_so(void **state)
{
	struct door d = { .user = stranger, .access_mode = 0666 };

	(void)state;
	need(PLAIN);
	assert_int_equal(knock(&d, &second_inside, ""), -EACCES);
	assert_int_equal(knock(&d, &second_inside, ",uid=65534"), 0);
	assert_int_equal(knock(&d, &second_inside, ",uid=1"), -EACCES);
	need(NOBODY_TOO);
	assert_int_equal(knock(&d, &nobody_inside, ""), -EACCES);
}

static int
prepare(void **state)
{
	(void)state;
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(directory, sizeof(directory), "/tmp/weir-users-%d", getpid());
	snprintf(path, sizeof(path), "%s/door", directory);
	if (told == MAP_FAILED || mkdir(directory, 0700) != 0 ||
	    chmod(directory, 0777) != 0)
		return -1;
	for (enum where w = PLAIN; w < WHERES && geteuid() == 0; w++)
		keepers[w] = keep(maps[w]);
	return own_names(state);
}

static int
tidy(void **state)
{
	int status;

	(void)state;
	for (enum where w = PLAIN; w < WHERES; w++)
		if (keepers[w] > 0) {
			kill(keepers[w], SIGKILL);
			waitpid(keepers[w], &status, 0);
		}
	unlink(path);
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_of_a_namespace_know_each_other),
		cmocka_unit_test(who_has_no_name_here_is_a_stranger),
		cmocka_unit_test(
			a_stranger_is_not_the_one_who_is_called_nobody),
		cmocka_unit_test(nor_is_his_group),
		cmocka_unit_test(a_stranger_listens_only_for_who_says_so),
	};

	return cmocka_run_group_tests(tests, prepare, tidy);
}
