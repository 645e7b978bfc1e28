// A binary search tree with helper functions that a debugger would call to inspect it: they print, allocate, open files
// and recurse.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct node {
  int key;
  struct node *left, *right;
};
struct node* root;
int inserted;

struct node* insert(struct node* n, int key) {
  if (!n) {
    n = calloc(1, sizeof *n);
    n->key = key;
    inserted++;
    return n;
  }
  if (key < n->key)
    n->left = insert(n->left, key);
  else if (key > n->key)
    n->right = insert(n->right, key);
  return n;
}

int tree_sum(const struct node* n) { return n ? n->key + tree_sum(n->left) + tree_sum(n->right) : 0; }
int tree_depth(const struct node* n) {
  if (!n) return 0;
  int l = tree_depth(n->left), r = tree_depth(n->right);
  return 1 + (l > r ? l : r);
}
void print_tree(const struct node* n, int indent) {
  if (!n) return;
  print_tree(n->right, indent + 2);
  printf("%*s%d\n", indent, "", n->key);
  fflush(stdout);
  print_tree(n->left, indent + 2);
}
// Allocates enough to make malloc call mmap.
char* describe(const struct node* n) {
  size_t size = 1 << 20;
  char* s = malloc(size);
  memset(s, 0, size);
  snprintf(s, size, "tree of %d keys, depth %d, sum %d", inserted, tree_depth(n), tree_sum(n));
  return s;
}
// Opens and reads a file that the recorded program never touched.
int count_lines(const char* path) {
  FILE* f = fopen(path, "r");
  if (!f) return -1;
  int lines = 0, c;
  while ((c = fgetc(f)) != EOF) lines += c == '\n';
  fclose(f);
  return lines;
}
// A bug for the debugger to find: null when the key is absent.
const struct node* find(const struct node* n, int key) {
  while (n && n->key != key) n = key < n->key ? n->left : n->right;
  return n;
}
int crash_on(int key) { return find(root, key)->key; }

int main(void) {
  unsigned seed = 7;
  for (int i = 0; i < 24; i++) {
    seed = seed * 1103515245u + 12345u;
    root = insert(root, seed >> 16 & 127);
  }
  printf("keys %d depth %d sum %d\n", inserted, tree_depth(root), tree_sum(root));
  print_tree(root, 0);
  return 0;
}
