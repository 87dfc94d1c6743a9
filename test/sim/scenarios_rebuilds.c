/*
 * test/sim/scenarios_rebuilds.c
 *	  Servers: rebuilds and changes of the member list (rules 21, 24).
 */
#include "scenarios_data.h"

const Scenario scenarios_rebuilds[] = {
	{NULL, NULL, NULL}};
