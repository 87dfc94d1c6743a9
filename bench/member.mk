# bench/member.mk
#	  Builds what bench/scale, bench/calm and bench/overhead run beside PostgreSQL:
#	  make -f member.mk
#
#	make -f member.mk [BUILD=DIRECTORY]		all of it, in $(BUILD)
#	make -f member.mk clean
#
# The tools call it by themselves, with a directory of their own.  The module's
# own options, so that what is measured here costs what it costs there; a member
# links raft/ and node/ and nothing of server/.

PG_CONFIG ?= pg_config
CC ?= cc
BUILD ?= ../build/member

PG_INCLUDE := $(shell $(PG_CONFIG) --includedir-server)
# HMAC and CRC-32C: PostgreSQL's, and OpenSSL where it was built with it.
PG_COMMON := $(firstword $(wildcard $(addsuffix /libpgcommon.a,$(shell $(PG_CONFIG) --pkglibdir) $(shell $(PG_CONFIG) --libdir))))
PG_PORT := $(firstword $(wildcard $(addsuffix /libpgport.a,$(shell $(PG_CONFIG) --pkglibdir) $(shell $(PG_CONFIG) --libdir))))
PG_CRYPTO := $(filter -lcrypto,$(shell $(PG_CONFIG) --libs))

OPTIONS = -Wall -Wextra -Werror -g -O2 -UNDEBUG -MMD -MP
RAFT_CFLAGS = -std=c11 -pedantic $(OPTIONS)
NODE_CFLAGS = -std=gnu11 $(OPTIONS) -DFRONTEND -I$(PG_INCLUDE)
LIBS = $(PG_COMMON) $(PG_PORT) $(PG_CRYPTO) -lanl

OBJECTS = $(patsubst ../%.c,$(BUILD)/%.o,$(wildcard ../raft/*.c ../node/*.c))

all: $(BUILD)/member $(BUILD)/pg_leader_state $(BUILD)/wakeup $(BUILD)/constant.so

$(BUILD)/member: $(BUILD)/member.o $(OBJECTS)
	$(CC) -o $@ $^ $(LIBS)

$(BUILD)/pg_leader_state: $(BUILD)/pg_leader_state.o $(OBJECTS)
	$(CC) -o $@ $^ $(LIBS)

$(BUILD)/wakeup: $(BUILD)/wakeup.o
	$(CC) -o $@ $^

# As PGXS would build a module, without its need to write beside the source.
$(BUILD)/constant.so: constant.c | $(BUILD)
	$(CC) -std=gnu11 -Wall -Wextra -Werror -O2 -fPIC -shared -I$(PG_INCLUDE) -o $@ $<

$(BUILD)/raft/%.o: ../raft/%.c | $(BUILD)/raft
	$(CC) $(RAFT_CFLAGS) -c -o $@ $<

$(BUILD)/node/%.o: ../node/%.c | $(BUILD)/node
	$(CC) $(NODE_CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.c | $(BUILD)
	$(CC) $(NODE_CFLAGS) -c -o $@ $<

$(BUILD)/%.o: ../tools/%.c | $(BUILD)
	$(CC) $(NODE_CFLAGS) -c -o $@ $<

$(BUILD) $(BUILD)/raft $(BUILD)/node:
	mkdir -p $@

clean:
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d)

.PHONY: all clean
