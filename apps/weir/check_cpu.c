/* SPDX-License-Identifier: BSD-3-Clause */
/* Clock, processors that we may use, their frequency, memory nodes. */

#include "check.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

/* Long enough for four digits of the rate. */
#define RATE_NS UINT64_C(20000000)

/* Reading the clock through the vDSO costs about 30 ns, a system call ten
 * times that. */
#define CLOCK_READ_SLOW_NS 150

static bool
has_cpu_flag(const char *flag)
{
	char line[8192];
	FILE *file = fopen("/proc/cpuinfo", "re");
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		char *rest = line, *word;

		if (strncmp(line, "flags", 5) != 0)
			continue;
		while ((word = strsep(&rest, " \t\n")) != NULL)
			if (strcmp(word, flag) == 0)
				found = true;
		break;
	}
	fclose(file);
	return found;
}

static double
tsc_hz(void)
{
	uint64_t start_ns = weir_now_ns(), start = __rdtsc();
	uint64_t end_ns;

	do
		end_ns = weir_now_ns();
	while (end_ns - start_ns < RATE_NS);
	return (double)(__rdtsc() - start) * 1e9 / (double)(end_ns - start_ns);
}

/* Cheapest of a few rounds: the machine has other work too. */
static uint64_t
clock_read_ns(void)
{
	uint64_t best_ns = UINT64_MAX;

	for (int round = 0; round < 20; round++) {
		uint64_t start_ns = weir_now_ns(), end_ns = 0;

		for (int i = 0; i < 100; i++)
			end_ns = weir_now_ns();
		if ((end_ns - start_ns) / 100 < best_ns)
			best_ns = (end_ns - start_ns) / 100;
	}
	return best_ns;
}

static void
check_clock(struct check *check)
{
	bool invariant = has_cpu_flag("nonstop_tsc") &&
			 has_cpu_flag("constant_tsc");
	uint64_t read_ns = clock_read_ns();
	char source[64] = "unknown";
	struct check_finding *f;

	(void)weir_check_read(source, sizeof(source),
			      "/sys/devices/system/clocksource/clocksource0/"
			      "current_clocksource");
	f = weir_check_add(check,
			   invariant && read_ns < CLOCK_READ_SLOW_NS
				   ? CHECK_OK
				   : CHECK_WARN,
			   "clock",
			   "tsc %s, %.3f GHz; kernel uses %s, a read "
			   "costs %llu ns",
			   invariant ? "invariant" : "not invariant",
			   tsc_hz() / 1e9, source, (unsigned long long)read_ns);
	if (!invariant)
		weir_check_effect(f, "figures of 'weir perf' may be wrong "
				     "when the frequency changes");
	else if (read_ns >= CLOCK_READ_SLOW_NS)
		weir_check_effect(f, "reading the clock is a system call");
	if (f->state == CHECK_WARN)
		weir_check_fix(f, "boot with clocksource=tsc tsc=reliable if "
				  "the machine allows it");
}

/* "0-3,8" */
static void
list_cpus(const cpu_set_t *set, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE && used < size; cpu++) {
		int last = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		used += (size_t)snprintf(text + used, size - used,
					 last > cpu ? "%s%d-%d" : "%s%d",
					 used > 0 ? "," : "", cpu, last);
		cpu = last;
	}
}

static void
check_allowed(struct check *check, const cpu_set_t *set)
{
	int count = CPU_COUNT(set);
	char list[128], siblings[64];
	bool smt = false;
	struct check_finding *f;

	list_cpus(set, list, sizeof(list));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set) &&
		    weir_check_read(siblings, sizeof(siblings),
				    "/sys/devices/system/cpu/cpu%d/topology/"
				    "thread_siblings_list",
				    cpu) &&
		    strpbrk(siblings, ",-") != NULL)
			smt = true;
	f = weir_check_add(check, count < 2 ? CHECK_WARN : CHECK_OK, "cpus",
			   "%d allowed (%s), hyperthreads %s", count, list,
			   smt ? "on" : "off or not shown");
	if (count < 2) {
		weir_check_effect(f, "both ends share it: a round trip takes "
				     "a scheduler tick instead of a "
				     "microsecond");
		weir_check_fix(f, "taskset -c 0,1 COMMAND, or give the "
				  "container a second cpu");
	}
}

/* A quota stops every thread of the group for the rest of a period. */
static void
check_quota(struct check *check)
{
	char path[256] = "", line[128];
	unsigned long long quota, period;
	struct check_finding *f;

	if (!weir_check_read(path, sizeof(path), "/proc/self/cgroup") ||
	    strncmp(path, "0::", 3) != 0)
		return;
	if (!weir_check_read(line, sizeof(line), "/sys/fs/cgroup%s/cpu.max",
			     path + 3) &&
	    !weir_check_read(line, sizeof(line), "/sys/fs/cgroup/cpu.max"))
		return;
	if (sscanf(line, "%llu %llu", &quota, &period) != 2)
		return; /* "max": no quota */
	f = weir_check_add(check, CHECK_WARN, "quota",
			   "the control group may use %.2f cpus",
			   (double)quota / (double)period);
	weir_check_effect(f,
			  "a thread that polls is stopped up to %llu ms in "
			  "each %llu ms",
			  (period - quota % period) / 1000, period / 1000);
	weir_check_fix(f, "run it outside of that group, or lift cpu.max");
}

static void
check_governor(struct check *check, const cpu_set_t *set)
{
	char governor[32];
	int seen = 0, slow = 0, first = -1;
	struct check_finding *f;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, set) ||
		    !weir_check_read(governor, sizeof(governor),
				     "/sys/devices/system/cpu/cpu%d/cpufreq/"
				     "scaling_governor",
				     cpu))
			continue;
		seen++;
		if (strcmp(governor, "performance") != 0) {
			first = first < 0 ? cpu : first;
			slow++;
		}
	}
	if (seen == 0) {
		weir_check_add(check, CHECK_INFO, "governor",
			       "no frequency control here (a virtual machine, "
			       "or the firmware does it)");
		return;
	}
	if (slow == 0) {
		weir_check_add(check, CHECK_OK, "governor",
			       "performance on all %d", seen);
		return;
	}
	f = weir_check_add(check, CHECK_WARN, "governor",
			   "%d of %d cpus are not at 'performance', cpu%d "
			   "first",
			   slow, seen, first);
	weir_check_effect(f, "costs tail latency");
	weir_check_fix(f, "cpupower frequency-set -g performance");
}

static void
check_numa(struct check *check)
{
	char online[64] = "0", node[16] = "-1";
	struct check_finding *f;

	(void)weir_check_read(online, sizeof(online),
			      "/sys/devices/system/node/online");
	f = weir_check_add(check, CHECK_OK, "numa", "nodes %s", online);
	if (strpbrk(online, ",-") == NULL || check->target.interface[0] == '\0')
		return;
	if (weir_check_read(node, sizeof(node),
			    "/sys/class/net/%s/device/numa_node",
			    check->target.interface) &&
	    atoi(node) >= 0) {
		f->state = CHECK_INFO;
		weir_check_effect(f, "%s is on node %s: poll it from there",
				  check->target.interface, node);
		weir_check_fix(f, "numactl -N %s -m %s COMMAND", node, node);
	}
}

void
weir_check_cpu(struct check *check)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	(void)sched_getaffinity(0, sizeof(set), &set);
	check_clock(check);
	check_allowed(check, &set);
	check_quota(check);
	check_governor(check, &set);
	check_numa(check);
}
