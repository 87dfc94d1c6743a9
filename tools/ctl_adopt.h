/*
 * tools/ctl_adopt.h
 *	  "pg_leaderctl adopt": what is missing until a running primary and its standbys are
 *	  managed, and the next step.
 *
 * For pg_leaderctl.  Prints; changes nothing on any server.
 */
#ifndef CTL_ADOPT_H
#define CTL_ADOPT_H

#include "ctl_view.h"

/*
 * After a round in which somebody has answered.  true: nothing has to be corrected before the
 * next step, or there is no step left and all is well.
 */
extern bool ctl_adopt(const CtlView *view, const CtlOptions *options);

#endif /* CTL_ADOPT_H */
