/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No allocation, lock or system call per message on an established dpdk link:
 *
 *      parts_open()     whatever it takes
 *      counting = 1     calls of malloc and pthread_mutex_lock and the like land
 *                       in this file first and are counted
 *      seccomp          every system call but a few is refused by SIGSYS, which
 *                       is counted
 *      rounds           none of both, for thousands of messages
 *
 * The filter stays: the process says what it saw and ends. That the counters
 * count is shown first.
 *
 *      fast_path [multi]    multi: a send half of several threads
 */

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parts.h"

#define ROUNDS 2000u

/* ---- what is counted ------------------------------------------------------ */

static volatile sig_atomic_t counting;
static volatile sig_atomic_t allocations;
static volatile sig_atomic_t locks;
static volatile sig_atomic_t syscalls;
static volatile sig_atomic_t last_syscall;

/* Libraries must find these too. */
#define SEEN_BY_ALL __attribute__((visibility("default")))

/* glibc's own, under the names that it keeps for this. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *old);

SEEN_BY_ALL void *
malloc(size_t size)
{
	allocations += counting;
	return __libc_malloc(size);
}

SEEN_BY_ALL void *
calloc(size_t count, size_t size)
{
	allocations += counting;
	return __libc_calloc(count, size);
}

SEEN_BY_ALL void *
realloc(void *old, size_t size)
{
	allocations += counting;
	return __libc_realloc(old, size);
}

SEEN_BY_ALL void *
aligned_alloc(size_t align, size_t size)
{
	allocations += counting;
	return __libc_memalign(align, size);
}

SEEN_BY_ALL void
free(void *old)
{
	allocations += counting;
	__libc_free(old);
}

/* Found before anything is counted; the first call is main()'s. */
static int (*real_lock)(pthread_mutex_t *mutex);

SEEN_BY_ALL int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
	locks += counting;
	if (real_lock == NULL)
		*(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	return real_lock(mutex);
}

static void
on_syscall(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	syscalls++;
	last_syscall = info->si_syscall;
}

/* ---- the filter ----------------------------------------------------------- */

/* What is needed to say the result and to come back from the handler. */
static int
refuse_syscalls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	struct sigaction action = { .sa_sigaction = on_syscall,
				    .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSYS, &action, NULL) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* ---- the test ------------------------------------------------------------- */

/* One of each, so that a counter that counts nothing is found out. */
static bool
counters_work(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	char *volatile text;

	counting = 1;
	text = strdup("a"); /* libc itself calls malloc */
	free(text);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	(void)getppid();
	counting = 0;
	return allocations == 2 && locks == 1 && syscalls == 1;
}

/* stdio would allocate. */
static int
say(const char *text, long value, int rc)
{
	char line[128];
	int len = snprintf(line, sizeof(line), text, value);

	return write(STDOUT_FILENO, line, (size_t)len) == len ? rc : 2;
}

static int
judge(const struct parts *p)
{
	if (p->received != p->sent || p->received < ROUNDS)
		return say("%ld messages were lost\n",
			   (long)(p->sent - p->received), 1);
	if (allocations != 0)
		return say("%ld allocations\n", allocations, 1);
	if (locks != 0)
		return say("%ld locks\n", locks, 1);
	if (syscalls != 0)
		return say("system calls, the last one number %ld\n",
			   last_syscall, 1);
	return say("%ld messages: no allocation, lock or system call\n",
		   (long)p->received, 0);
}

int
main(int argc, char **argv)
{
	static struct parts p;

	p.burst = 32;
	(void)argv;
	parts_open(&p, false, argc > 1 ? WEIR_LINK_MULTI_PRODUCER : 0);
	if (refuse_syscalls() != 0) {
		puts("skipped: no seccomp filters here");
		return 77;
	}
	if (!counters_work())
		_exit(say("a counter does not count: %ld\n",
			  100 * locks + 10 * syscalls + allocations, 1));
	allocations = 0;
	locks = 0;
	syscalls = 0;
	counting = 1;
	for (uint32_t i = 0; i < ROUNDS; i++)
		parts_round(&p);
	counting = 0;
	_exit(judge(&p));
}
