/*
 * server/shield.c
 *	  Holds cancels and terminations back while a commit waits for its copies.
 *
 * See shield.h.  The handlers are chained, and put in place when they are first needed.
 */
#include "postgres.h"
#include "server/port.h"

#include <signal.h>
#include <sys/socket.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

#include "server/fence.h"
#include "server/shield.h"

static volatile sig_atomic_t is_up = false;
static volatile sig_atomic_t has_term = false;

static bool				is_installed = false;
static struct sigaction their_int;
static struct sigaction their_term;

static void
call(const struct sigaction *action, int signo)
{
	if (action->sa_handler != SIG_IGN && action->sa_handler != SIG_DFL)
		(action->sa_handler)(signo);
}

static void
handle_int(SIGNAL_ARGS)
{
	if (!is_up)
		call(&their_int, postgres_signal_arg);
}

static void
handle_term(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (is_up)
	{
		has_term = true;
		if (MyProcPort != NULL)
			(void) shutdown(MyProcPort->sock, SHUT_RDWR);
		SetLatch(MyLatch);
	}
	if (!is_up || fence_lets_go())
		call(&their_term, postgres_signal_arg);
	errno = save_errno;
}

static void
install(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_flags = SA_RESTART;
	action.sa_handler = handle_int;
	sigaction(SIGINT, &action, &their_int);
	action.sa_handler = handle_term;
	sigaction(SIGTERM, &action, &their_term);
	is_installed = true;
}

/*
 * Up before it is looked at what has arrived, each time, so that nothing comes in between.
 */
void
shield_raise(void)
{
	if (!is_installed)
		install();
	is_up = true;
	while (InterruptPending && INTERRUPTS_CAN_BE_PROCESSED())
	{
		is_up = false;
		CHECK_FOR_INTERRUPTS();
		is_up = true;
	}
}

bool
shield_has_term(void)
{
	return has_term;
}

void
shield_lower(void)
{
	if (!is_up)
		return;
	is_up = false;
	if (!has_term)
		return;
	has_term = false;
	whereToSendOutput = DestNone;
	call(&their_term, SIGTERM);
}
