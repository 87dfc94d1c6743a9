/*
 * supervisor/supervise.h
 *	  The supervisor at work: one server, and its member while the server does not run.
 *
 * Called by main.c.
 */
#ifndef PG_LEADER_SUPERVISE_H
#define PG_LEADER_SUPERVISE_H

#include "settings.h"

/*
 * Run until a signal ends it and the server is down.  "settings" are what
 * supervisor_settings_read() has just read, and are changed.  Signals that are held are let
 * through once they can be handled.  false: it could not begin.
 */
extern bool supervise(const Command *command, SupervisorSettings *settings);

#endif /* PG_LEADER_SUPERVISE_H */
