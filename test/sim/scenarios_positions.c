/*
 * test/sim/scenarios_positions.c
 *	  Servers: positions, votes and older data (rules 15, 20, 22).
 */
#include "scenarios_data.h"

const Scenario scenarios_positions[] = {
	{NULL, NULL, NULL}};
