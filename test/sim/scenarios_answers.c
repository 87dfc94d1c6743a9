/*
 * test/sim/scenarios_answers.c
 *	  Servers: answers, opening and reading (rules 16, 18, 25).
 */
#include "scenarios_data.h"

const Scenario scenarios_answers[] = {
	{NULL, NULL, NULL}};
