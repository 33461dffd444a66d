/* SPDX-License-Identifier: BSD-3-Clause */
/* See route.h. */

#include "route.h"

#include <stdlib.h>
#include <string.h>

void
route_add(struct route *route, uint64_t at)
{
	if (route->count == route->room) {
		uint32_t room = route->room == 0 ? 1024 : route->room * 2;
		uint64_t *more = realloc(route->at, room * sizeof(*more));

		if (more == NULL) {
			route_free(route);
			return;
		}
		route->at = more;
		route->room = room;
	}
	route->at[route->count++] = at;
}

/* An instruction that repeats itself (rep movsb) halts once at a breakpoint, and
 * a stepper at each repetition. */
static bool
repeats(const struct route *route, uint32_t i)
{
	return i > 0 && route->at[i] == route->at[i - 1];
}

struct visit {
	uint64_t at;
	uint32_t i;
};

static int
by_place(const void *a, const void *b)
{
	const struct visit *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

/* All visits of one place. */
static void
note_visits(struct route *route, const struct visit *visits, uint32_t count)
{
	uint32_t stride = count > ROUNDS ? (count - ROUNDS) / ROUNDS_MORE : 0;
	uint32_t passed = 0;

	for (uint32_t v = 0; v < count; v++) {
		uint32_t i = visits[v].i;

		route->passed[i] = passed;
		passed += !repeats(route, i);
		route->worth[i] = v < ROUNDS || v + 1 == count || stride == 0 ||
				  (v - ROUNDS) % stride == 0;
	}
}

void
route_finish(struct route *route, uint64_t end)
{
	struct visit *visits = calloc(route->count, sizeof(*visits));
	uint32_t count;

	route->end = end;
	route->passed = calloc(route->count, sizeof(*route->passed));
	route->worth = calloc(route->count, sizeof(*route->worth));
	if (visits == NULL || route->passed == NULL || route->worth == NULL) {
		free(visits);
		route_free(route);
		return;
	}
	for (uint32_t i = 0; i < route->count; i++)
		visits[i] = (struct visit){ .at = route->at[i], .i = i };
	qsort(visits, route->count, sizeof(*visits), by_place);
	for (uint32_t i = 0; i < route->count; i += count) {
		count = 1;
		while (i + count < route->count &&
		       visits[i + count].at == visits[i].at)
			count++;
		note_visits(route, &visits[i], count);
	}
	free(visits);
}

bool
route_worth(const struct route *route, uint64_t n)
{
	return route->worth == NULL || n >= route->count || route->worth[n];
}

bool
route_way(const struct route *route, uint64_t n, struct route_way *way)
{
	uint64_t best = n, cost;

	if (route->passed == NULL || n >= route->count)
		return false;
	for (uint32_t i = (uint32_t)n; n - i < best; i--) {
		cost = n - i + route->passed[i] + 1;
		if (!repeats(route, i) && cost < best) {
			best = cost;
			*way = (struct route_way){ .breakpoint = route->at[i],
						   .passes = route->passed[i],
						   .steps = (uint32_t)(n - i) };
		}
		if (i == 0)
			break;
	}
	return best < n;
}

void
route_free(struct route *route)
{
	free(route->at);
	free(route->passed);
	free(route->worth);
	memset(route, 0, sizeof(*route));
}
