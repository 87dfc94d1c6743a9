# pg_leader: leader election inside PostgreSQL.
#
#	make                 the module and the programs pg_leader_state,
#	                     pg_leader_supervisor, pg_leaderctl and pg_leader_keep
#	make install         all of these, the extension's files, and a manual page
#	make check-sql       the SQL interface, on a private server (after install);
#	                     make installcheck is the same
#	make clean           leaves nothing behind
#
# PG_CONFIG names the server to build for.  WERROR=1 makes warnings errors.
# pg_leader_supervisor needs libevent (libevent-dev), which pkg-config finds.

MODULE_big = pg_leader
EXTENSION = pg_leader
DATA = $(sort $(wildcard pg_leader--*.sql))
PGFILEDESC = "pg_leader - leader election"

raft_sources := $(sort $(wildcard raft/*.c))
node_sources := $(sort $(wildcard node/*.c))
primary_sources := $(sort $(wildcard primary/*.c))
server_sources := pg_leader.c $(sort $(wildcard server/*.c))
supervisor_sources := $(sort $(wildcard supervisor/*.c))
ctl_sources := tools/pg_leaderctl.c $(sort $(wildcard tools/ctl_*.c))
keep_sources := $(sort $(wildcard keep/*.c))
headers := $(wildcard raft/*.h node/*.h primary/*.h server/*.h supervisor/*.h tools/*.h keep/*.h)

server_objects := $(server_sources:.c=.o)
OBJS := $(server_objects) $(node_sources:.c=.o) $(primary_sources:.c=.o) $(raft_sources:.c=.o)

# The same sources for programs that are no backend.  Without the network, and so
# without what authentication and libpq need: this program only looks into files.
frontend_objects := $(patsubst %.c,build/frontend/%.o,$(raft_sources) tools/pg_leader_state.c \
	$(filter-out node/addresses.c node/board.c node/home.c node/listen.c node/placeholders.c node/sockets.c node/lookup.c \
		node/scheduler.c node/transport.c node/secret.c node/upstream.c node/value.c,$(node_sources)))
supervisor_objects := $(patsubst %.c,build/frontend/%.o,$(raft_sources) $(node_sources) $(primary_sources) \
	$(supervisor_sources))
keep_objects := $(patsubst %.c,build/frontend/%.o,node/lineage.c node/words.c supervisor/files.c supervisor/program.c \
	supervisor/say.c tools/ctl_table.c $(keep_sources))
ctl_objects := $(patsubst %.c,build/frontend/%.o,node/cluster.c node/words.c $(ctl_sources))

# PGXS would run these against whatever server is there; see check-sql.
REGRESS = interface privileges settings
NO_INSTALLCHECK = 1
EXTRA_CLEAN = build pg_leader_state pg_leader_supervisor pg_leaderctl pg_leader_keep results regression.diffs regression.out

PG_CPPFLAGS = -I$(srcdir) -I$(includedir)
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Wno-unused-parameter
ifdef WERROR
PG_CFLAGS += -Werror
endif

# Nothing but what the server calls is visible outside: the server loads
# libraries into one name space, and names like store_open are anybody's.
PG_CFLAGS += -fvisibility=hidden
PG_CPPFLAGS += '-DPGDLLEXPORT=__attribute__((visibility("default")))'

# A failed assertion ends the worker, not the server; see server/worker.c.  libpq: the
# leader's server is asked how its WAL goes on (node/upstream.c).
SHLIB_LINK += -Wl,--wrap=__assert_fail $(libpq)

# Inlining into queries gains nothing here and would need clang.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(headers) Makefile

# PostgreSQL's own rule, which its CFLAGS bring along, is for the server side only.
$(filter-out $(server_objects),$(OBJS)): override CFLAGS += -Wno-declaration-after-statement

# ---- the programs ----

frontend_cflags := $(filter-out -fvisibility=hidden -Wdeclaration-after-statement,$(CFLAGS))

build/frontend/%.o: %.c $(headers) Makefile
	@$(MKDIR_P) $(@D)
	$(CC) $(frontend_cflags) -DFRONTEND $(CPPFLAGS) -c -o $@ $<

pg_leader_state: $(frontend_objects)
	$(CC) $(frontend_cflags) -o $@ $^ $(LDFLAGS) \
		-L$(pkglibdir) -L$(libdir) -lpgcommon -lpgport

PKG_CONFIG ?= pkg-config
event_cflags = $(shell $(PKG_CONFIG) --cflags libevent_core)
event_libs = $(shell $(PKG_CONFIG) --libs libevent_core)
$(patsubst %.c,build/frontend/%.o,$(supervisor_sources)): override CPPFLAGS += $(event_cflags)

# HMAC is libpgcommon's, and OpenSSL's where PostgreSQL was built with it.
pg_leader_supervisor: $(supervisor_objects)
	$(CC) $(frontend_cflags) -o $@ $^ $(LDFLAGS) -L$(pkglibdir) -L$(libdir) -lpq -lpgcommon -lpgport \
		$(filter -lcrypto,$(LIBS)) $(event_libs) -lanl -lm

pg_leaderctl: $(ctl_objects)
	$(CC) $(frontend_cflags) -o $@ $^ $(LDFLAGS) -L$(libdir) -lpq

pg_leader_keep: $(keep_objects)
	$(CC) $(frontend_cflags) -o $@ $^ $(LDFLAGS) -L$(pkglibdir) -L$(libdir) -lpq -lpgcommon -lpgport $(filter -lcrypto,$(LIBS))

programs = pg_leader_state pg_leader_supervisor pg_leaderctl pg_leader_keep
manual_pages = supervisor/pg_leader_supervisor.1
all: $(programs)
install: install-programs
uninstall: uninstall-programs

.PHONY: install-programs uninstall-programs check-sql installcheck
install-programs: $(programs) installdirs
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_PROGRAM) $(programs) '$(DESTDIR)$(bindir)/'
	$(INSTALL_DATA) $(manual_pages) '$(DESTDIR)$(mandir)/man1/'

uninstall-programs:
	rm -f $(patsubst %,'$(DESTDIR)$(bindir)/%',$(programs)) \
		$(patsubst %,'$(DESTDIR)$(mandir)/man1/%',$(notdir $(manual_pages)))

# ---- tests ----

# A server of its own, with the library preloaded; also works as root.
installcheck: check-sql
check-sql:
	PG_CONFIG='$(PG_CONFIG)' test/sql/run.sh $(REGRESS)
