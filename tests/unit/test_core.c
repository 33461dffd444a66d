/* SPDX-License-Identifier: BSD-3-Clause */
/* The core without any transport: errors, drivers, configs, lives, misuse. */

#define WEIR_DEBUG 1

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core.h"

/* ---- errors ---- */

static void
every_value_has_a_text(void **state)
{
	(void)state;
	for (int rc = -1; rc > -140; rc--)
		assert_true(strlen(weir_strerror(rc)) > 3);
	assert_non_null(strstr(weir_strerror(WEIR_EOF), "closed"));
	assert_non_null(strstr(weir_strerror(-ETIMEDOUT), "dead"));
	assert_string_equal(weir_strerror(0), "no error");
}

static void
the_latch_keeps_only_lasting_answers(void **state)
{
	static const int passing[] = { -ECANCELED, -EINTR,  -EMSGSIZE,
				       -EBUSY,     -EINVAL, -EOPNOTSUPP };
	int32_t status = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		assert_int_equal(weir_latch(&status, passing[i]), passing[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(weir_latch(&status, -EPROTO), -EPROTO);
	assert_int_equal(status, -EPROTO);
}

/* ---- drivers ---- */

static void
drivers_register_once_per_scheme(void **state)
{
	static const char *const keys[] = { NULL };
	static const struct weir_driver one = { .scheme = "one", .keys = keys };
	static const struct weir_driver two = { .scheme = "one", .keys = keys };
	struct weir_port *port;

	(void)state;
	assert_ptr_equal(weir_driver_find("mem", 0), weir_driver_find(NULL, 0));
	assert_null(weir_driver_find("one", 0));
	assert_int_equal(weir_port_open("one:x", NULL, &port), -EINVAL);
	assert_non_null(strstr(weir_last_error(), "unknown scheme 'one'"));
	assert_int_equal(weir_driver_register(&one), 0);
	assert_int_equal(weir_driver_register(&one), 0);
	assert_int_equal(weir_driver_register(&two), -EEXIST);
	assert_ptr_equal(weir_driver_find("one", 0), &one);
	assert_string_equal(weir_driver_scheme(&one), "one");
	assert_false(weir_driver_supports(&one, WEIR_MODE_BARE));
	assert_true(weir_driver_supports(weir_driver_find("mem", 0),
					 WEIR_MODE_BARE));
}

/* ---- configs ---- */

static void
bad_configs_are_refused_with_a_reason(void **state)
{
	const size_t size = sizeof(struct weir_link_config);
	const struct {
		struct weir_link_config config;
		int rc;
	} cases[] = {
		{ { .size = 0 }, -EINVAL },
		{ { .size = size + 8 }, -EINVAL },
		{ { .size = size, .mode = WEIR_MODE_STABLE }, -EOPNOTSUPP },
		{ { .size = size, .mode = 7 }, -EINVAL },
		{ { .size = size, .flags = 64 }, -EINVAL },
		{ { .size = size, .msg_size_max = WEIR_MSG_SIZE_LIMIT + 1 },
		  -EINVAL },
		{ { .size = size, .tx_credits = 32769 }, -EINVAL },
		{ { .size = size, .large_count = 65 }, -EINVAL },
	};
	struct weir_listener *listener;
	struct weir_port *port;
	struct weir_link *link;

	(void)state;
	assert_int_equal(weir_port_open("mem:config", NULL, &port), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(weir_link_connect(port, "mem:config",
						   &cases[i].config, &link),
				 cases[i].rc);
		assert_non_null(strchr(weir_last_error(), ';'));
		assert_int_equal(weir_listener_open(port, "mem:config",
						    &cases[i].config,
						    &listener),
				 cases[i].rc);
	}
	assert_int_equal(weir_port_close(port), 0);
}

static void
a_port_is_needed(void **state)
{
	struct weir_listener *listener;
	struct weir_link *link;

	(void)state;
	assert_int_equal(weir_link_connect(NULL, "mem:x", NULL, &link),
			 -EINVAL);
	assert_non_null(strstr(weir_last_error(), "weir_port_open()"));
	assert_int_equal(weir_listener_open(NULL, NULL, NULL, &listener),
			 -EINVAL);
}

static void
an_older_shorter_config_is_taken(void **state)
{
	struct weir_link_config config = {
		.size = offsetof(struct weir_link_config, access_mode),
		.tx_credits = 3,
		.access_mode = 12345, /* beyond what size covers */
	};
	struct weir_listener *listener;
	struct weir_port *port;

	(void)state;
	assert_int_equal(weir_port_open("mem:old", NULL, &port), 0);
	assert_int_equal(
		weir_listener_open(port, "mem:old", &config, &listener), 0);
	assert_int_equal(listener->config.tx_credits, 4);
	assert_int_equal(listener->config.access_mode, 0600);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
}

static void
bad_port_configs_are_refused(void **state)
{
	struct weir_port_config config = { .size = 3 };
	struct weir_port *port;

	(void)state;
	assert_int_equal(weir_port_open("mem:x", &config, &port), -EINVAL);
	config = (struct weir_port_config){ .size = sizeof(config),
					    .hugepages = 9 };
	assert_int_equal(weir_port_open("mem:x", &config, &port), -EINVAL);
}

/* ---- lives ---- */

static void
a_port_in_use_does_not_close(void **state)
{
	struct weir_listener *listener, *second;
	struct weir_link *a, *b;
	struct weir_port *port;
	struct weir_tx *tx, *again;

	(void)state;
	assert_int_equal(weir_port_open("mem:use", NULL, &port), 0);
	assert_int_equal(weir_listener_open(port, "mem:use", NULL, &listener),
			 0);
	assert_int_equal(weir_listener_open(port, "mem:use", NULL, &second),
			 -EADDRINUSE);
	assert_int_equal(weir_port_close(port), -EBUSY);
	assert_int_equal(weir_link_connect(port, "mem:use", NULL, &a), 0);
	assert_int_equal(weir_link_accept(listener, &b), 1);
	weir_listener_close(listener);
	assert_int_equal(weir_link_split(a, &tx, NULL), 0);
	assert_int_equal(weir_link_split(a, &again, NULL), -EALREADY);
	weir_link_destroy(a);
	weir_link_destroy(b);
	assert_int_equal(weir_port_close(port), -EBUSY);
	weir_tx_destroy(tx);
	assert_int_equal(weir_port_close(port), 0);
}

static void
a_port_of_another_scheme_is_refused(void **state)
{
	struct weir_port *port;
	struct weir_link *link;

	(void)state;
	assert_int_equal(weir_port_open("mem:x", NULL, &port), 0);
	assert_int_equal(weir_link_connect(port, "shm:x", NULL, &link),
			 -EINVAL);
	assert_non_null(strstr(weir_last_error(), "mem"));
	assert_int_equal(weir_port_close(port), 0);
}

/* ---- the runtime directory ---- */

static void
a_runtime_directory_of_others_is_refused(void **state)
{
	char dir[] = "/tmp/weir-test-XXXXXX", path[256], sub[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/run", dir);
	setenv("WEIR_RUNTIME_DIR", sub, 1);
	assert_int_equal(weir_runtime_dir(path, sizeof(path)), 0);
	assert_string_equal(path, sub);
	assert_int_equal(chmod(sub, 0777), 0);
	assert_int_equal(weir_runtime_dir(path, sizeof(path)), -EACCES);
	assert_int_equal(weir_runtime_dir(path, 4), -ENAMETOOLONG);
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(symlink(dir, sub), 0);
	assert_int_equal(weir_runtime_dir(path, sizeof(path)), -ENOTDIR);
	unlink(sub);
	rmdir(dir);
	unsetenv("WEIR_RUNTIME_DIR");
}

/* ---- misuse: this file is compiled with WEIR_DEBUG ---- */

struct ends {
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *a, *b;
};

static void
ends_open(struct ends *e)
{
	if (weir_port_open("mem:misuse", NULL, &e->port) != 0 ||
	    weir_listener_open(e->port, "mem:misuse", NULL, &e->listener) !=
		    0 ||
	    weir_link_connect(e->port, "mem:misuse", NULL, &e->a) != 0 ||
	    weir_link_accept(e->listener, &e->b) != 1)
		_exit(1);
}

static void
commit_twice(struct ends *e)
{
	struct weir_permit permit;
	struct weir_slot slot;

	weir_tx_reserve(e->b->tx, &permit);
	weir_permit_alloc(&permit, 1, &slot);
	weir_slot_commit(&slot);
	weir_slot_commit(&slot);
}

static void
alloc_twice(struct ends *e)
{
	struct weir_permit permit;
	struct weir_slot slot;

	weir_tx_reserve(e->b->tx, &permit);
	weir_permit_alloc(&permit, 1, &slot);
	weir_permit_alloc(&permit, 1, &slot);
}

static void
drop_twice(struct ends *e)
{
	struct weir_permit permit;

	weir_tx_reserve(e->b->tx, &permit);
	weir_permit_drop(&permit);
	weir_permit_drop(&permit);
}

static void
release_twice(struct ends *e)
{
	struct weir_msg msg;

	weir_tx_send(e->b->tx, "x", 1);
	while (weir_rx_recv(e->a->rx, &msg) == 0)
		;
	weir_msg_release(&msg);
	weir_msg_release(&msg);
}

static void
two_threads(struct ends *e)
{
	struct weir_permit permit;

	e->b->tx->busy = 1; /* as if another thread were inside a call */
	weir_tx_reserve(e->b->tx, &permit);
}

/* Run in a child. @return what it wrote; it must have died of SIGABRT. */
static void
expect_abort(void (*misuse)(struct ends *), const char *call)
{
	char text[256] = "";
	int fds[2], status;
	struct ends e;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		signal(SIGABRT, SIG_DFL);
		ends_open(&e);
		misuse(&e);
		_exit(0);
	}
	close(fds[1]);
	len = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(len > 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, call));
}

static void
misuse_names_the_call_and_aborts(void **state)
{
	(void)state;
	expect_abort(commit_twice, "weir_slot_commit: slot was consumed");
	expect_abort(alloc_twice, "weir_permit_alloc: permit was consumed");
	expect_abort(drop_twice, "weir_permit_drop: permit was consumed");
	expect_abort(release_twice, "weir_msg_release: message was consumed");
	expect_abort(two_threads, "weir_tx_reserve: half is in use");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_has_a_text),
		cmocka_unit_test(the_latch_keeps_only_lasting_answers),
		cmocka_unit_test(drivers_register_once_per_scheme),
		cmocka_unit_test(bad_configs_are_refused_with_a_reason),
		cmocka_unit_test(a_port_is_needed),
		cmocka_unit_test(an_older_shorter_config_is_taken),
		cmocka_unit_test(bad_port_configs_are_refused),
		cmocka_unit_test(a_port_in_use_does_not_close),
		cmocka_unit_test(a_port_of_another_scheme_is_refused),
		cmocka_unit_test(a_runtime_directory_of_others_is_refused),
		cmocka_unit_test(misuse_names_the_call_and_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
