/*
 * supervisor/http_answer.h
 *	  The answers to HTTP requests, as text.
 *
 * Called by http.c.  No input or output.
 */
#ifndef PG_LEADER_SUPERVISOR_HTTP_ANSWER_H
#define PG_LEADER_SUPERVISOR_HTTP_ANSWER_H

#include <stddef.h>

#include "../primary/probe.h"
#include "settings.h"

/* An answer, the one about 64 members included. */
#define HTTP_ANSWER_SIZE 32768

/* The answer into a text of that size; its length. */
extern size_t http_answer(const SupervisorSettings *settings, const ProbeRequest *request, const ProbeFacts *facts, char *text);

/* The same where there is no request that could be read. */
extern size_t http_refuse(int status, char *text);

#endif /* PG_LEADER_SUPERVISOR_HTTP_ANSWER_H */
