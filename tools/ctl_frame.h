/*
 * tools/ctl_frame.h
 *	  One picture of a live screen, from text.
 *
 * For "watch" of pg_leaderctl.  Pure: knows neither a terminal nor what the text is about, but for
 * how tables and measurements look.
 */
#ifndef CTL_FRAME_H
#define CTL_FRAME_H

/*
 * The bytes that show that text in place of what is on a terminal of so many rows and columns, at
 * least 2 of each; its first line never is marked.  Bold is what was not so in "before", the text of
 * the previous frame ('': nothing is).  Numbers with a unit ("13 kB", "0.2 s") change all the time,
 * and do not count; in a line of a table, only the cells that differ are marked.  Lines that are too
 * long are cut off and end with ">"; of too many, the last row says how many.
 * Allocated; NULL: out of memory.
 */
extern char *ctl_frame(const char *text, const char *before, int rows, int columns);

#endif /* CTL_FRAME_H */
