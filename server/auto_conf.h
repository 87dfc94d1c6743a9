/*
 * server/auto_conf.h
 *	  The settings that follow from who leads, written where ALTER SYSTEM writes.
 *
 * primary_conninfo, primary_slot_name and synchronous_standby_names have one owner in managed
 * mode, the role worker, and this is the place where it writes them: postgresql.auto.conf, whole
 * and durable, all other settings in it as they were.
 */
#ifndef PG_LEADER_AUTO_CONF_H
#define PG_LEADER_AUTO_CONF_H

#include "../node/words.h"

/*
 * Have the file say this (NULL: what it says) and, if anything in it has changed, tell the postmaster to read it.
 * false, with words: it says what it said before.
 */
extern bool auto_conf_set(const char *primary_conninfo, const char *primary_slot_name,
						  const char *synchronous_standby_names, Words *words);

#endif /* PG_LEADER_AUTO_CONF_H */
