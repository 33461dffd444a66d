/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of threads that have armed a half; see sleepers.h. */

#include "sleepers.h"

/* A thread is known by the address of its own copy. One that ended without
 * coming back may lend its place to a newer one, which is as good. */
static _Thread_local char self;

static uint32_t
place_of_self(const struct weir_sleepers *s)
{
	uint32_t i = 0;

	while (i < s->count && s->list[i].thread != &self)
		i++;
	return i;
}

static void
publish(struct weir_sleepers *s)
{
	uint32_t wants = 0;

	for (uint32_t i = 0; i < s->count; i++)
		wants |= s->list[i].wants;
	atomic_store(&s->wants, wants);
}

bool
weir_sleepers_add(struct weir_sleepers *s, uint32_t wants)
{
	uint32_t i = place_of_self(s);

	if (i == WEIR_SLEEPERS_MAX)
		return false;
	if (i == s->count)
		s->list[s->count++].thread = &self;
	s->list[i].wants = wants;
	publish(s);
	return true;
}

bool
weir_sleepers_remove(struct weir_sleepers *s)
{
	uint32_t i = place_of_self(s);

	if (i == s->count)
		return false;
	s->list[i] = s->list[--s->count];
	publish(s);
	return true;
}
