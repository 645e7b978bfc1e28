// Ends in a fatal signal, with a core worth looking at.
#include <stdio.h>
#include <string.h>
struct request {
  const char* name;
  int length;
};
static int length_of(const struct request* r) { return (int)strlen(r->name) + r->length; }
int handle(struct request* r, int depth) { return depth ? handle(r, depth - 1) : length_of(r); }
int main(void) {
  struct request good = {"index", 1}, bad = {0, 2};
  printf("good %d\n", handle(&good, 3));
  fflush(stdout);
  printf("bad %d\n", handle(&bad, 5));
  return 0;
}
