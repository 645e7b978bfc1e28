// What values.c and values-more.c share.
struct pair {
  long first;
  double second;
};
long far_count(void);
