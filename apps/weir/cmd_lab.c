/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir lab: two hosts joined by a cable, on one machine. See lab.h.
 *
 *     lab run -- COMMAND    both ends of a weir command, or a program that
 *                           finds the endpoints in its environment
 *     lab up, enter, down   the same, to stay
 *
 * A lab that stays is found by an abstract socket of its guardian: it has a
 * name while the guardian lives, and no longer.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exit.h"
#include "fault.h"
#include "lab.h"
#include "opt.h"
#include "tool.h"

#define ARGS_MAX     128
#define MTU_DEFAULT  1500
#define IP6_MTU_MIN  1280
#define DOWN_SECONDS 5

/* Of a process in a lab: PID:FD:FD of the guardian, for lab enter. */
#define ENV_LAB     "WEIR_LAB"
#define ENV_LISTEN  "WEIR_LAB_LISTEN"
#define ENV_CONNECT "WEIR_LAB_CONNECT"

enum {
	DEV_AF_PACKET,
	DEV_AF_XDP
};

static const char *const dev_names[] = { "af_packet", "af_xdp", NULL };

static struct {
	int dev;
	uint64_t mtu;
	uint64_t vlan; /* 0: none */
	const char *name;
	bool ip6;
} args = { .dev = DEV_AF_PACKET, .mtu = MTU_DEFAULT, .name = "default" };

/* ---- endpoints ---------------------------------------------------------------- */

static char listen_endpoint[128], connect_endpoint[128];

/* Of one end: what it listens at or connects to, and where it is. */
static void
name_endpoint(char *text, size_t size, const char *address, const char *iface,
	      const char *local)
{
	char vlan[16] = "";

	if (args.vlan != 0)
		snprintf(vlan, sizeof(vlan), ",vlan=%u",
			 (unsigned int)args.vlan);
	snprintf(text, size,
		 "dpdk:%s:%d,dev=net_%s0,dev.iface=%s,local=%s/%d%s", address,
		 LAB_UDP_PORT, dev_names[args.dev], iface, local,
		 args.ip6 ? LAB_IP6_BITS : LAB_IP4_BITS, vlan);
}

static const char *
address_a(void)
{
	return args.ip6 ? LAB_IP6_A : LAB_IP4_A;
}

static const char *
address_b(void)
{
	return args.ip6 ? LAB_IP6_B : LAB_IP4_B;
}

static void
name_endpoints(const char *iface_a, const char *iface_b)
{
	name_endpoint(listen_endpoint, sizeof(listen_endpoint), "*", iface_a,
		      address_a());
	name_endpoint(connect_endpoint, sizeof(connect_endpoint),
		      args.ip6 ? "[" LAB_IP6_A "]" : LAB_IP4_A, iface_b,
		      address_b());
}

static int
check_options(void)
{
	if (args.ip6 && args.mtu < IP6_MTU_MIN) {
		weir_tool_error("lab: an mtu of %u is too small for IPv6; give "
				"%d or more",
				(unsigned int)args.mtu, IP6_MTU_MIN);
		return WEIR_EXIT_USAGE;
	}
	if (args.dev != DEV_AF_XDP || geteuid() == 0)
		return 0;
	weir_tool_error("lab: AF_XDP sockets need root; run as root, or use "
			"--dev af_packet");
	return WEIR_EXIT_NOT_READY;
}

/* ---- weir lab run ------------------------------------------------------------- */

/* @return true if an argument is an endpoint: then nothing is added. */
static bool
has_endpoint(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		for (const char *const *scheme =
			     (const char *const[]){
				     "dpdk:", "shm:", "mem:", NULL };
		     *scheme != NULL; scheme++)
			if (strncmp(argv[i], *scheme, strlen(*scheme)) == 0)
				return true;
	return false;
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

static char *program = (char *)"weir";

/* perf lat OPTIONS: the peer is perf serve, stopped when it is done. */
static void
plan_perf(struct lab_run *run)
{
	static char *serve[] = { NULL,         (char *)"perf",  (char *)"serve",
				 (char *)"-q", listen_endpoint, NULL };

	serve[0] = program;
	run->listener = (struct lab_job){
		.end = 0,
		.argv = serve,
		.is_weir = true,
		.quiet_stdin = true,
		.quiet_stdout = true,
		.cpu = 1,
	};
	run->main.quiet_stdin = true;
	run->main.cpu = 0;
	run->stop_listener = true;
}

/* cat OPTIONS: from stdin over the cable to stdout. */
static void
plan_cat(struct lab_run *run)
{
	static char *receive[] = { NULL,
				   (char *)"cat",
				   (char *)"-l",
				   (char *)"--frame",
				   (char *)"file",
				   listen_endpoint,
				   NULL };

	receive[0] = program;
	run->listener = (struct lab_job){
		.end = 0,
		.argv = receive,
		.is_weir = true,
		.quiet_stdin = true,
		.cpu = -1,
	};
}

/* perf lat --self starts its peer itself: both need a device in one place. */
static void
plan_self(struct lab_run *run, char **peer_option)
{
	static char text[sizeof(listen_endpoint) + 16];

	name_endpoints(LAB_LOOP_A, LAB_LOOP_B);
	snprintf(text, sizeof(text), "--peer=%s", listen_endpoint);
	*peer_option = text;
	run->net.has_loop = true;
	run->main.end = 0;
}

/* The command with both ends, or as it stands. */
static void
plan(struct lab_run *run, int argc, char **argv)
{
	static const char *const commands[] = { "cat", "check", "info", "perf",
						NULL };
	static const char *const loads[] = { "lat", "bw", "load", "sweep",
					     NULL };
	static char *words[ARGS_MAX + 4];
	int count = 0;

	run->main = (struct lab_job){ .end = 1, .argv = argv, .cpu = -1 };
	if (!is_one_of(argv[0], commands)) {
		run->main.end = 0;
		return;
	}
	words[count++] = program;
	for (int i = 0; i < argc; i++)
		words[count++] = argv[i];
	run->main.argv = words;
	run->main.is_weir = true;
	if (has_endpoint(argc, argv))
		return;
	if (strcmp(argv[0], "perf") == 0 && argc > 1 &&
	    is_one_of(argv[1], loads)) {
		if (is_one_of("--self", (const char *const *)words))
			plan_self(run, &words[count++]);
		else
			plan_perf(run);
	} else if (strcmp(argv[0], "cat") == 0) {
		if (argc == 1) {
			words[count++] = (char *)"--frame";
			words[count++] = (char *)"file";
		}
		plan_cat(run);
	} else if (strcmp(argv[0], "check") != 0) {
		return;
	}
	words[count++] = connect_endpoint;
	words[count] = NULL;
}

/* Everything that follows happens in a child: the guardian. */
static int
guard(struct lab_run *run, int lifeline)
{
	struct lab_error error;
	char text[64];
	int rc = weir_lab_net_make(&run->net, (unsigned int)args.mtu, &error);

	if (rc != 0) {
		weir_tool_error("lab: %s", error.text);
		return WEIR_EXIT_NOT_READY;
	}
	snprintf(text, sizeof(text), "%d:%d:%d", (int)getpid(),
		 run->net.ns_fd[0], run->net.ns_fd[1]);
	setenv(ENV_LAB, text, 1);
	weir_fault_export();
	setenv(ENV_LISTEN, listen_endpoint, 1);
	setenv(ENV_CONNECT, connect_endpoint, 1);
	return weir_lab_guard(run, lifeline);
}

static pid_t guardian;

/* Terminal signals reach the whole group without our help. */
static void
pass_on(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code != SI_KERNEL)
		kill(guardian, number);
}

static void
pass_signals_on(void)
{
	struct sigaction action = { .sa_sigaction = pass_on,
				    .sa_flags = SA_SIGINFO | SA_RESTART };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static const char run_details[] =
	"perf lat, perf bw and cat get both ends: the listener is started in "
	"one\nnamespace and the command in the other. Any other program runs "
	"in end a\nand finds endpoints in WEIR_LAB_LISTEN and "
	"WEIR_LAB_CONNECT; 'weir lab\nenter b -- COMMAND' takes it to the "
	"other end.\n\nExamples: weir lab run -- perf lat --self\n"
	"          weir lab run -- cat < FILE > COPY";

static const struct weir_opt run_options[] = {
	{ 0, "dev", WEIR_OPT_CHOICE, &args.dev, "NAME",
	  "af_packet (default) or af_xdp", .choices = dev_names },
	{ 0, "mtu", WEIR_OPT_COUNT, &args.mtu, "N",
	  "of the cable, default 1500", .min = 576, .max = 9000 },
	{ 0, "ipv6", WEIR_OPT_FLAG, &args.ip6, NULL, "IPv6 instead of IPv4" },
	{ 0, "vlan", WEIR_OPT_COUNT, &args.vlan, "ID",
	  "frames in this VLAN, 1 to 4094", .min = 1, .max = 4094 },
	{ 0, "fault", WEIR_OPT_STRING, &weir_fault_spec, "SPEC",
	  "WEIR_FAULT for the command: see --fault of weir perf" },
	{ 0 },
};

static const struct weir_opt_command run_command = {
	.name = "weir lab run",
	.usage = "[OPTION]... [--] COMMAND [ARGUMENT]...",
	.summary = "run a command on two hosts that exist while it runs",
	.details = run_details,
	.options = run_options,
	.args_min = 1,
	.args_max = ARGS_MAX,
	.stop = true,
};

static int
lab_run(int argc, char **argv)
{
	struct lab_run run = { 0 };
	int pipe_fds[2], status;
	int rc = weir_opt_parse(&run_command, &argc, &argv);

	if (rc != WEIR_OPT_RUN)
		return rc;
	rc = check_options();
	if (rc != 0)
		return rc;
	name_endpoints(LAB_IFACE, LAB_IFACE);
	plan(&run, argc, argv);
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return weir_tool_fail("lab", -errno);
	guardian = fork();
	if (guardian == 0) {
		close(pipe_fds[1]);
		exit(guard(&run, pipe_fds[0]));
	}
	close(pipe_fds[0]);
	if (guardian < 0)
		return weir_tool_fail("lab", -errno);
	pass_signals_on();
	while (waitpid(guardian, &status, 0) < 0)
		if (errno != EINTR)
			return weir_tool_fail("lab", -errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- labs that stay ----------------------------------------------------------- */

static socklen_t
socket_name(struct sockaddr_un *address)
{
	int len;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	len = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1,
		       "weir-lab-%u-%s", (unsigned int)getuid(), args.name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)len);
}

/* @return the guardian of the named lab, or -errno. */
static pid_t
find_guardian(void)
{
	struct sockaddr_un address;
	socklen_t len = socket_name(&address);
	struct ucred who = { 0 };
	socklen_t who_len = sizeof(who);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, len) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) != 0)
		rc = -errno;
	close(fd);
	if (rc != 0)
		return rc;
	/* Anybody can take an abstract name: only ours is believed. */
	return who.uid == getuid() ? who.pid : -EPERM;
}

static int
no_such_lab(void)
{
	weir_tool_error("lab %s: is not up; start it: weir lab up%s%s",
			args.name,
			strcmp(args.name, "default") ? " --name " : "",
			strcmp(args.name, "default") ? args.name : "");
	return WEIR_EXIT_NOT_READY;
}

/* Where the guardian keeps its namespaces: below stdio's descriptors, above
 * nothing; a fixed place for lab enter to find. */
enum {
	KEPT_NS_A = 10,
	KEPT_NS_B = 11
};

static void
keep_and_hold(struct lab_net *net, int listen_fd, int report_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(net->ns_fd[0], KEPT_NS_A);
	dup2(net->ns_fd[1], KEPT_NS_B);
	if (setsid() < 0 || chdir("/") != 0 || write(report_fd, "", 1) != 1)
		_exit(1);
	close(report_fd);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	weir_lab_hold(listen_fd);
	_exit(0);
}

/* @return a descriptor above those that the guardian hands out. */
static int
move_up(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, KEPT_NS_B + 1);

	close(fd);
	return moved;
}

static void
stay(int listen_fd, int report_fd)
{
	struct lab_error error;
	struct lab_net net;

	listen_fd = move_up(listen_fd);
	report_fd = move_up(report_fd);
	if (weir_lab_net_make(&net, (unsigned int)args.mtu, &error) != 0) {
		weir_tool_error("lab: %s", error.text);
		_exit(1);
	}
	net.ns_fd[0] = move_up(net.ns_fd[0]);
	net.ns_fd[1] = move_up(net.ns_fd[1]);
	keep_and_hold(&net, listen_fd, report_fd);
}

static int
listen_on_name(void)
{
	struct sockaddr_un address;
	socklen_t len = socket_name(&address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* After the fork: the kernel notes whose name it is at listen(). */
	if (bind(fd, (struct sockaddr *)&address, len) != 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static const struct weir_opt up_options[] = {
	{ 0, "dev", WEIR_OPT_CHOICE, &args.dev, "NAME",
	  "af_packet (default) or af_xdp, for the endpoints shown",
	  .choices = dev_names },
	{ 0, "mtu", WEIR_OPT_COUNT, &args.mtu, "N",
	  "of the cable, default 1500", .min = 576, .max = 9000 },
	{ 0, "ipv6", WEIR_OPT_FLAG, &args.ip6, NULL, "IPv6 instead of IPv4" },
	{ 0, "vlan", WEIR_OPT_COUNT, &args.vlan, "ID",
	  "frames in this VLAN, 1 to 4094", .min = 1, .max = 4094 },
	{ 0, "name", WEIR_OPT_STRING, &args.name, "NAME",
	  "of the lab, default 'default'" },
	{ 0 },
};

static const struct weir_opt_command up_command = {
	.name = "weir lab up",
	.usage = "[OPTION]...",
	.summary = "make two hosts that stay until weir lab down",
	.options = up_options,
};

static void
tell_what_to_do(void)
{
	printf("lab %s is up: two hosts, %s and %s\n"
	       "  listen   weir lab enter a -- weir cat -l %s\n"
	       "  connect  weir lab enter b -- weir cat %s\n"
	       "  remove   weir lab down\n",
	       args.name, address_a(), address_b(), listen_endpoint,
	       connect_endpoint);
}

static int
lab_up(int argc, char **argv)
{
	int report[2], listen_fd;
	char byte;
	int rc = weir_opt_parse(&up_command, &argc, &argv);

	if (rc != WEIR_OPT_RUN)
		return rc;
	rc = check_options();
	if (rc != 0)
		return rc;
	name_endpoints(LAB_IFACE, LAB_IFACE);
	listen_fd = listen_on_name();
	if (listen_fd == -EADDRINUSE) {
		weir_tool_error("lab %s: is up already; weir lab down removes "
				"it, --name makes another",
				args.name);
		return WEIR_EXIT_NOT_READY;
	}
	if (listen_fd < 0 || pipe2(report, O_CLOEXEC) != 0)
		return weir_tool_fail("lab",
				      listen_fd < 0 ? listen_fd : -errno);
	if (fork() == 0) {
		close(report[0]);
		if (listen(listen_fd, 16) != 0)
			_exit(1);
		stay(listen_fd, report[1]);
	}
	close(report[1]);
	close(listen_fd);
	/* One byte: it holds; end of file: it said why not, and is gone. */
	if (read(report[0], &byte, 1) != 1)
		return WEIR_EXIT_NOT_READY;
	tell_what_to_do();
	return WEIR_EXIT_OK;
}

static const struct weir_opt name_options[] = {
	{ 0, "name", WEIR_OPT_STRING, &args.name, "NAME",
	  "of the lab, default 'default'" },
	{ 0 },
};

static const struct weir_opt_command down_command = {
	.name = "weir lab down",
	.usage = "[OPTION]...",
	.summary = "remove a lab and what runs in it",
	.options = name_options,
};

static int
lab_down(int argc, char **argv)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	int rc = weir_opt_parse(&down_command, &argc, &argv);
	pid_t pid;

	if (rc != WEIR_OPT_RUN)
		return rc;
	pid = find_guardian();
	if (pid < 0)
		return no_such_lab();
	kill(pid, SIGTERM);
	for (int i = 0; i < DOWN_SECONDS * 200; i++) {
		if (find_guardian() < 0)
			return WEIR_EXIT_OK;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	return WEIR_EXIT_OK;
}

/* ---- weir lab enter ----------------------------------------------------------- */

/* Of the lab we run in, else of the named one. */
static bool
find_namespaces(pid_t *pid, int *fd_a, int *fd_b)
{
	const char *env = getenv(ENV_LAB);

	if (env != NULL && sscanf(env, "%d:%d:%d", pid, fd_a, fd_b) == 3)
		return true;
	*pid = find_guardian();
	*fd_a = KEPT_NS_A;
	*fd_b = KEPT_NS_B;
	return *pid > 0;
}

/* @return 0, -errno. The user namespace first, which gives the rights. */
static int
enter(pid_t pid, int ns_fd)
{
	struct stat ours, theirs;
	char path[64];
	int user, net;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, ns_fd);
	net = open(path, O_RDONLY | O_CLOEXEC);
	if (net < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	user = open(path, O_RDONLY | O_CLOEXEC);
	if (user >= 0 && fstat(user, &theirs) == 0 &&
	    stat("/proc/self/ns/user", &ours) == 0 &&
	    ours.st_ino != theirs.st_ino && setns(user, CLONE_NEWUSER) != 0)
		return -errno;
	return setns(net, CLONE_NEWNET) == 0 ? 0 : -errno;
}

static const struct weir_opt_command enter_command = {
	.name = "weir lab enter",
	.usage = "[OPTION]... a|b [--] COMMAND [ARGUMENT]...",
	.summary = "run a program in one end of a lab",
	.options = name_options,
	.args_min = 2,
	.args_max = ARGS_MAX,
	.stop = true,
};

static int
lab_enter(int argc, char **argv)
{
	int fds[2], rc = weir_opt_parse(&enter_command, &argc, &argv);
	pid_t pid;

	if (rc != WEIR_OPT_RUN)
		return rc;
	if (strcmp(argv[0], "a") != 0 && strcmp(argv[0], "b") != 0) {
		weir_tool_error("%s: a lab has the ends a and b", argv[0]);
		return WEIR_EXIT_USAGE;
	}
	if (!find_namespaces(&pid, &fds[0], &fds[1]))
		return no_such_lab();
	rc = enter(pid, fds[argv[0][0] - 'a']);
	if (rc != 0) {
		weir_tool_error("lab %s: cannot be entered: %s; use the user "
				"who started it",
				args.name, strerror(-rc));
		return WEIR_EXIT_NOT_READY;
	}
	argv++;
	if (strcmp(argv[0], "--") == 0 && argv[1] != NULL)
		argv++;
	fflush(NULL);
	execvp(argv[0], argv);
	weir_tool_error("%s: cannot be run: %s; check the name", argv[0],
			strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

/* ---- weir lab ----------------------------------------------------------------- */

static const struct weir_opt_command lab_command = {
	.name = "weir lab",
	.usage = "run|up|enter|down [ARGUMENT]...",
	.summary = "two hosts joined by a cable, on this machine",
	.details = "  run    run a command on two hosts that exist while it "
		   "runs\n"
		   "  up     make two hosts that stay\n"
		   "  enter  run a program in one end, a or b\n"
		   "  down   remove them\n\n"
		   "No root needed where user namespaces are allowed.",
	.args_min = 1,
	.args_max = -1,
	.stop = true,
};

int
weir_cmd_lab(int argc, char **argv)
{
	static const char *const names[] = { "run", "up", "enter", "down",
					     NULL };
	static int (*const runs[])(int, char **) = { lab_run, lab_up, lab_enter,
						     lab_down };
	const char *near;
	int rc = weir_opt_parse(&lab_command, &argc, &argv);

	if (rc != WEIR_OPT_RUN)
		return rc;
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(argv[0], names[i]) == 0)
			return runs[i](argc, argv);
	near = weir_opt_nearest(argv[0], names);
	weir_tool_error("lab: %s: no such command; %s%s", argv[0],
			near != NULL ? "did you mean "
				     : "there are run, up, "
				       "enter, down",
			near != NULL ? near : "");
	return WEIR_EXIT_USAGE;
}
