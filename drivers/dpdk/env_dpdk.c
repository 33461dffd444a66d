/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * env_dpdk: start EAL quietly, once, or use the one that runs. See
 * env_dpdk.h.
 *
 * EAL is made for programs that it owns: it pins the calling thread, starts a
 * worker on every CPU, prints, makes a runtime directory and lets its helper
 * threads take the program's signals. All of that is undone here.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "env_dpdk.h"
#include "weir_driver.h"

/* Least free huge page memory worth starting with: two pools and EAL. */
#define ENV_HUGE_BYTES_MIN (UINT64_C(64) << 20)

/* Addresses, not memory: what EAL reserves with huge pages, and what its
 * libraries map (0.1 GiB measured). */
#define ENV_HUGE_ADDRESSES (UINT64_C(1) << 40)
#define ENV_LIBRARY_BYTES  (UINT64_C(256) << 20)

#define ENV_ARGS_MAX 16

/* Of EAL's runtime directory; our process id follows. */
#define RUNTIME_PREFIX "weir-"

static struct {
	pthread_mutex_t lock;
	bool done; /* it runs, or rte_eal_init() failed: rc says which */
	int rc;
	pid_t pid; /* EAL does not survive a fork */
	bool ours;
	bool hugepages;
	FILE *log;       /* for EAL's log */
	char error[200]; /* its last line at error level */
	pthread_mutex_t error_lock;
} env = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.error_lock = PTHREAD_MUTEX_INITIALIZER,
};

/* What stderr is while a thread is inside a guard. */
static struct {
	pthread_mutex_t lock;
	unsigned int threads;
	FILE *real;
	FILE *capture;
} quiet = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local bool guarded;

/* ---- EAL's log ------------------------------------------------------------ */

/*
 * EAL calls "error" what is often a shrug ("failed to register mp action
 * callback"); a failure that matters comes back as a return value and is told
 * by weir_fail(). So its levels count one less here.
 */
static enum weir_log_level
log_level(int rte_level)
{
	if (rte_level < 0 || rte_level > (int)RTE_LOG_NOTICE)
		return WEIR_LOG_DEBUG;
	if (rte_level <= (int)RTE_LOG_CRIT)
		return WEIR_LOG_ERROR;
	if (rte_level <= (int)RTE_LOG_ERR)
		return WEIR_LOG_NOTICE;
	return WEIR_LOG_INFO;
}

static void
log_line(int rte_level, const char *line, size_t len)
{
	if (len == 0)
		return;
	if (rte_level <= (int)RTE_LOG_ERR) {
		pthread_mutex_lock(&env.error_lock);
		snprintf(env.error, sizeof(env.error), "%.*s", (int)len, line);
		pthread_mutex_unlock(&env.error_lock);
	}
	/*
	 * The application's callback may well print to stderr: give it the
	 * real one, or its lines would come back here without end. Only the
	 * thread inside the guard may do that; in others the capture passes
	 * everything on.
	 */
	if (guarded && quiet.real != NULL)
		stderr = quiet.real;
	weir_log(log_level(rte_level), "dpdk: %.*s", (int)len, line);
	if (guarded && quiet.capture != NULL)
		stderr = quiet.capture;
}

static void
log_lines(int rte_level, const char *text, size_t size)
{
	size_t begin = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] != '\n')
			continue;
		log_line(rte_level, text + begin, i - begin);
		begin = i + 1;
	}
	log_line(rte_level, text + begin, size - begin);
}

static ssize_t
log_write(void *cookie, const char *text, size_t size)
{
	(void)cookie;
	log_lines(rte_log_cur_msg_loglevel(), text, size);
	return (ssize_t)size;
}

static FILE *
stream_open(cookie_write_function_t *write_fn)
{
	cookie_io_functions_t io = { .write = write_fn };
	FILE *file = fopencookie(NULL, "w", io);

	if (file != NULL)
		setvbuf(file, NULL, _IOLBF, 0);
	return file;
}

static int
log_open(void)
{
	if (env.log == NULL)
		env.log = stream_open(log_write);
	if (env.log == NULL)
		return weir_fail(-ENOMEM, "dpdk: no memory for EAL's log");
	rte_openlog_stream(env.log);
	return 0;
}

void
weir_env_dpdk_error(char *text, size_t size)
{
	pthread_mutex_lock(&env.error_lock);
	snprintf(text, size, "%s", env.error);
	pthread_mutex_unlock(&env.error_lock);
}

/* ---- a guard around DPDK's set-up calls ----------------------------------- */

/* Another thread that prints to stderr meanwhile gets what it wants. */
static ssize_t
capture_write(void *cookie, const char *text, size_t size)
{
	(void)cookie;
	if (!guarded)
		return write(STDERR_FILENO, text, size);
	log_lines((int)RTE_LOG_NOTICE, text, size);
	return (ssize_t)size;
}

/*
 * libxdp, libbpf and EAL's own fatal lines go to stderr past the log; glibc
 * lets us lend it. Drivers write to sockets whose peer may be gone: SIGPIPE
 * waits until we drop it.
 */
void
weir_env_dpdk_guard_begin(struct dpdk_env_guard *guard)
{
	sigset_t pipe_only, pending;

	pthread_mutex_lock(&env.error_lock);
	env.error[0] = '\0';
	pthread_mutex_unlock(&env.error_lock);

	pthread_mutex_lock(&quiet.lock);
	if (quiet.capture == NULL)
		quiet.capture = stream_open(capture_write);
	if (quiet.threads++ == 0 && quiet.capture != NULL) {
		quiet.real = stderr;
		stderr = quiet.capture;
	}
	guarded = true;
	pthread_mutex_unlock(&quiet.lock);

	sigpending(&pending);
	guard->pipe_was_pending = sigismember(&pending, SIGPIPE) == 1;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &guard->signals);
}

void
weir_env_dpdk_guard_end(struct dpdk_env_guard *guard)
{
	const struct timespec at_once = { 0 };
	sigset_t pipe_only;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	if (!guard->pipe_was_pending)
		sigtimedwait(&pipe_only, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &guard->signals, NULL);

	pthread_mutex_lock(&quiet.lock);
	if (quiet.capture != NULL)
		fflush(quiet.capture);
	guarded = false;
	if (--quiet.threads == 0 && quiet.capture != NULL)
		stderr = quiet.real;
	pthread_mutex_unlock(&quiet.lock);
}

/* ---- checks before the start ---------------------------------------------- */

static uint64_t
read_number(const char *path)
{
	unsigned long long value = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* Free and not promised to others, over all page sizes. */
static uint64_t
hugepages_free_bytes(void)
{
	const char *root = "/sys/kernel/mm/hugepages";
	DIR *dir = opendir(root);
	struct dirent *entry;
	uint64_t sum = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		unsigned long kib;
		char path[512];
		uint64_t free_count, promised;

		if (sscanf(entry->d_name, "hugepages-%lukB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", root,
			 entry->d_name);
		free_count = read_number(path);
		snprintf(path, sizeof(path), "%s/%s/resv_hugepages", root,
			 entry->d_name);
		promised = read_number(path);
		if (free_count > promised)
			sum += (free_count - promised) * kib * 1024;
	}
	closedir(dir);
	return sum;
}

/* @return 1 with huge pages, 0 without, negative when the policy forbids. */
static int
choose_hugepages(uint32_t policy, uint64_t needed)
{
	uint64_t free_bytes;

	if (policy == WEIR_HUGEPAGES_NEVER)
		return 0;
	free_bytes = hugepages_free_bytes();
	if (free_bytes >= needed)
		return 1;
	if (policy == WEIR_HUGEPAGES_AUTO)
		return 0;
	return weir_fail(-ENOMEM,
			 "huge pages: %llu MiB free, %llu MiB needed; reserve "
			 "more (as root: echo %llu > "
			 "/proc/sys/vm/nr_hugepages) or do without them",
			 (unsigned long long)(free_bytes >> 20),
			 (unsigned long long)(needed >> 20),
			 (unsigned long long)(needed >> 21) +
				 read_number("/proc/sys/vm/nr_hugepages"));
}

/*
 * With huge pages EAL reserves hundreds of gigabytes of addresses, without
 * them as much as it was told and its libraries.
 */
static int
check_limits(uint64_t needed)
{
	struct rlimit limit;

	needed = env.hugepages ? ENV_HUGE_ADDRESSES
			       : needed + ENV_LIBRARY_BYTES;
	if (getrlimit(RLIMIT_AS, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < needed)
		return weir_fail(-ENOMEM,
				 "address space: limited to %llu MiB, DPDK "
				 "reserves %llu; lift it (ulimit -v unlimited)",
				 (unsigned long long)limit.rlim_cur >> 20,
				 (unsigned long long)needed >> 20);
	return 0;
}

/* ---- the start ------------------------------------------------------------ */

struct eal_args {
	int count;
	char *argv[ENV_ARGS_MAX];
	char text[ENV_ARGS_MAX][64];
};

static void add_arg(struct eal_args *args, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
add_arg(struct eal_args *args, const char *format, ...)
{
	char *text = args->text[args->count];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(args->text[0]), format, ap);
	va_end(ap);
	args->argv[args->count++] = text;
}

/* One lcore, on a CPU that we may use: no worker threads. */
static int
first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			return cpu;
	return 0;
}

static void
build_args(struct eal_args *args, const struct dpdk_env_config *config)
{
	uint64_t bytes = config->memory_bytes;

	if (bytes == 0)
		bytes = env.hugepages ? ENV_HUGE_BYTES_MIN
				      : DPDK_ENV_MEMORY_BYTES;
	add_arg(args, "weir");
	add_arg(args, "--lcores=0@%d", first_cpu());
	if (config->pci != NULL)
		add_arg(args, "--allow=%s", config->pci);
	else
		add_arg(args, "--no-pci");
	/* Physical addresses would cut pools at page borders, for no device. */
	if (config->pci == NULL)
		add_arg(args, "--iova-mode=va");
	/*
	 * A prefix of our own keeps the runtime directory apart from that of
	 * other DPDK programs, although nothing is to stay in it.
	 */
	add_arg(args, "--file-prefix=" RUNTIME_PREFIX "%d", (int)getpid());
	add_arg(args, "--single-file-segments");
	if (env.hugepages) {
		add_arg(args, "--in-memory");
	} else {
		add_arg(args, "--no-huge");
		add_arg(args, "--no-shconf");
	}
	add_arg(args, "-m");
	add_arg(args, "%llu", (unsigned long long)(bytes >> 20));
	if (!config->telemetry)
		add_arg(args, "--no-telemetry");
	args->argv[args->count] = NULL;
}

/* Empty ones of processes that were killed while they started. */
static void
remove_dirs_of_the_dead(const char *parent)
{
	DIR *dir = opendir(parent);
	struct dirent *entry;
	int pid;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (sscanf(entry->d_name, RUNTIME_PREFIX "%d", &pid) == 1 &&
		    kill(pid, 0) != 0 && errno == ESRCH)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	closedir(dir);
}

/*
 * EAL makes a runtime directory even when told to keep nothing in files. It
 * goes, and so does the one above if nobody else is in it: EAL makes both
 * anew at need.
 */
static void
remove_runtime_dir(void)
{
	char path[PATH_MAX];
	char *slash;

	snprintf(path, sizeof(path), "%s", rte_eal_get_runtime_dir());
	if (path[0] == '\0' || rmdir(path) != 0)
		return;
	slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = '\0';
		remove_dirs_of_the_dead(path);
		rmdir(path);
	}
}

/*
 * EAL waits for each thread that it starts with naps of a microsecond, which
 * are over before a thread in a realtime class gives its processor away. With
 * SCHED_FIFO the new one, of the same priority and on the same processor, would
 * never run; with SCHED_RR, which it inherits, the two take turns.
 *
 * @return 0, *was to be given to end_turns(); -EPERM, with weir_fail().
 */
static int
begin_turns(int *was, struct sched_param *priority)
{
	*was = sched_getscheduler(0);
	if ((*was & ~SCHED_RESET_ON_FORK) != SCHED_FIFO)
		return 0;
	if (sched_getparam(0, priority) == 0 &&
	    sched_setscheduler(0, SCHED_RR | (*was & SCHED_RESET_ON_FORK),
			       priority) == 0)
		return 0;
	return weir_fail(-errno,
			 "dpdk: a SCHED_FIFO thread cannot start its "
			 "environment: %s; start it in another class or allow "
			 "realtime priorities",
			 strerror(errno));
}

static void
end_turns(int was, const struct sched_param *priority)
{
	if ((was & ~SCHED_RESET_ON_FORK) == SCHED_FIFO)
		(void)sched_setscheduler(0, was, priority);
}

/*
 * The call itself, with what EAL would leave changed in the caller's thread
 * put back, and its helper threads made deaf to the program's signals.
 */
static int
eal_init(struct eal_args *args)
{
	cpu_set_t affinity;
	bool have_affinity =
		sched_getaffinity(0, sizeof(affinity), &affinity) == 0;
	sigset_t all, before;
	struct dpdk_env_guard guard;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	weir_env_dpdk_guard_begin(&guard);
	rc = rte_eal_init(args->count, args->argv) < 0 ? -rte_errno : 0;
	weir_env_dpdk_guard_end(&guard);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (have_affinity)
		sched_setaffinity(0, sizeof(affinity), &affinity);
	remove_runtime_dir();
	return rc;
}

static int
start_ours(const struct dpdk_env_config *config)
{
	struct eal_args args = { .count = 0 };
	struct sched_param priority;
	int policy, rc;

	rc = choose_hugepages(config->hugepages, config->memory_bytes > 0
							 ? config->memory_bytes
							 : ENV_HUGE_BYTES_MIN);
	if (rc < 0)
		return rc;
	env.hugepages = rc == 1;
	rc = check_limits(config->memory_bytes > 0 ? config->memory_bytes
						   : DPDK_ENV_MEMORY_BYTES);
	if (rc != 0)
		return rc;
	rc = log_open();
	if (rc == 0)
		rc = begin_turns(&policy, &priority);
	if (rc != 0)
		return rc;

	env.ours = true;
	env.done = true;
	build_args(&args, config);
	rc = eal_init(&args);
	end_turns(policy, &priority);
	if (rc != 0) {
		env.ours = false;
		return weir_fail(rc, "dpdk: cannot start its environment: %s",
				 env.error[0] != '\0' ? env.error
						      : strerror(-rc));
	}
	weir_log(WEIR_LOG_INFO, "dpdk: environment started, %s huge pages",
		 env.hugepages ? "with" : "without");
	return 0;
}

/* The clock is calibrated near the end of rte_eal_init(), never before. */
static bool
eal_runs(void)
{
	return rte_get_tsc_hz() != 0;
}

int
weir_env_dpdk_start(const struct dpdk_env_config *config)
{
	int rc;

	pthread_mutex_lock(&env.lock);
	if (env.done && env.rc != 0) {
		weir_fail(env.rc, "dpdk: its environment could not be started "
				  "before, and one process can try only once");
	} else if (!env.done) {
		env.pid = getpid();
		if (eal_runs()) {
			env.hugepages = rte_eal_has_hugepages() != 0;
			env.done = true;
		} else {
			env.rc = start_ours(config);
		}
	}
	rc = env.rc;
	if (rc == 0 && env.pid != getpid())
		rc = weir_fail(-ENOTSUP,
			       "dpdk: this process was forked from one that "
			       "uses DPDK; open the port before, or exec");
	pthread_mutex_unlock(&env.lock);
	return rc;
}

bool
weir_env_dpdk_is_ours(void)
{
	return env.ours;
}

bool
weir_env_dpdk_has_hugepages(void)
{
	return env.hugepages;
}

bool
weir_env_dpdk_register_thread(void)
{
	if (!env.ours || rte_lcore_id() != LCORE_ID_ANY)
		return false;
	return rte_thread_register() == 0;
}

void
weir_env_dpdk_unregister_thread(void)
{
	rte_thread_unregister();
}
