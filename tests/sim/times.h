/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Share of packets lost each way, then mean, p50 and p90 in us; see bounds.c.
 * The output of: test_sim --times print
 */
{ 0, 0, 0, 0 }, { 0.001, 0, 0, 0 }, { 0.01, 0, 0, 0 }, { 0.05, 0, 0, 0 },
	{ 0.1, 0, 0, 0 }, { 0.3, 0, 0, 0 },
