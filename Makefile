# pg_leader: leader election inside PostgreSQL.
#
#	make                 the module and the program pg_leader_state
#	make install         both, and the extension's files
#	make check-sql       the SQL interface, on a private server (after install);
#	                     make installcheck is the same
#	make clean           leaves nothing behind
#
# PG_CONFIG names the server to build for.  WERROR=1 makes warnings errors.

MODULE_big = pg_leader
EXTENSION = pg_leader
DATA = $(sort $(wildcard pg_leader--*.sql))
PGFILEDESC = "pg_leader - leader election"

raft_sources := $(sort $(wildcard raft/*.c))
node_sources := $(sort $(wildcard node/*.c))
server_sources := pg_leader.c $(sort $(wildcard server/*.c))
headers := $(wildcard raft/*.h node/*.h server/*.h)

server_objects := $(server_sources:.c=.o)
OBJS := $(server_objects) $(node_sources:.c=.o) $(raft_sources:.c=.o)

# The same sources for programs that are no backend.  Without the network, and so
# without what authentication needs: this program only looks into files.
frontend_objects := $(patsubst %.c,build/frontend/%.o,$(raft_sources) tools/pg_leader_state.c \
	$(filter-out node/addresses.c node/home.c node/sockets.c node/lookup.c node/scheduler.c node/transport.c node/secret.c,$(node_sources)))

# PGXS would run these against whatever server is there; see check-sql.
REGRESS = interface privileges settings
NO_INSTALLCHECK = 1
EXTRA_CLEAN = build pg_leader_state results regression.diffs regression.out

PG_CPPFLAGS = -I$(srcdir)
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter
ifdef WERROR
PG_CFLAGS += -Werror
endif

# Nothing but what the server calls is visible outside: the server loads
# libraries into one name space, and names like store_open are anybody's.
PG_CFLAGS += -fvisibility=hidden
PG_CPPFLAGS += '-DPGDLLEXPORT=__attribute__((visibility("default")))'

# A failed assertion ends the worker, not the server; see server/worker.c.
SHLIB_LINK += -Wl,--wrap=__assert_fail

# Inlining into queries gains nothing here and would need clang.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(headers) Makefile

# PostgreSQL's own rule, which its CFLAGS bring along, is for the server side only.
$(filter-out $(server_objects),$(OBJS)): override CFLAGS += -Wno-declaration-after-statement

# ---- the program ----

frontend_cflags := $(filter-out -fvisibility=hidden -Wdeclaration-after-statement,$(CFLAGS))

build/frontend/%.o: %.c $(headers) Makefile
	@$(MKDIR_P) $(@D)
	$(CC) $(frontend_cflags) -DFRONTEND $(CPPFLAGS) -c -o $@ $<

pg_leader_state: $(frontend_objects)
	$(CC) $(frontend_cflags) -o $@ $^ $(LDFLAGS) \
		-L$(pkglibdir) -L$(libdir) -lpgcommon -lpgport

all: pg_leader_state
install: install-state
uninstall: uninstall-state

.PHONY: install-state uninstall-state check-sql installcheck
install-state: pg_leader_state installdirs
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) pg_leader_state '$(DESTDIR)$(bindir)/pg_leader_state'

uninstall-state:
	rm -f '$(DESTDIR)$(bindir)/pg_leader_state'

# ---- tests ----

# A server of its own, with the library preloaded; also works as root.
installcheck: check-sql
check-sql:
	PG_CONFIG='$(PG_CONFIG)' test/sql/run.sh $(REGRESS)
