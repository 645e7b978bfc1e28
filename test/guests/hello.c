// The smallest useful program: one line on standard output.
#include <stdio.h>
int main(void) {
  printf("hello from a recording\n");
  return 0;
}
