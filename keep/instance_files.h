/*
 * keep/instance_files.h
 *	  The configuration of an instance.  Called by instance.c.
 */
#ifndef PG_LEADER_INSTANCE_FILES_H
#define PG_LEADER_INSTANCE_FILES_H

#include "instance.h"

extern bool instance_files_write(const Instance *instance, const ControlFigures *figures, Words *words);

/* Files of a server's own in its data directory, which an instance must not have. */
extern const char *const instance_foreign_files[];

#endif /* PG_LEADER_INSTANCE_FILES_H */
