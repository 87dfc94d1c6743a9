/*
 * server/control_file.h
 *	  What pg_control says, read without raising errors.
 *
 * Called by the postmaster before it starts the startup process, by that process and by the
 * role worker.  Changes nothing.
 */
#ifndef PG_LEADER_CONTROL_FILE_H
#define PG_LEADER_CONTROL_FILE_H

#include "catalog/pg_control.h"

#include "../node/words.h"

/* As it is now; another process may write it meanwhile.  false: words say why not. */
extern bool control_file_read(ControlFileData *control, Words *words);

/* The newest timeline that it names: its checkpoint's or its minRecoveryPoint's. */
extern TimeLineID control_file_timeline(const ControlFileData *control);

#endif /* PG_LEADER_CONTROL_FILE_H */
