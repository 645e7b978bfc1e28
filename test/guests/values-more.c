// The second file of values.c: static names that the first one has, too.
#include "values.h"

static int counter = 70;
static long step(long n) { return n + 7; }

long far_count(void) { return step(counter); }
